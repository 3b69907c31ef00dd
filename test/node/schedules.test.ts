/** Schedules over a real pool, in simulated time: their snapshots are real ones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { openNode } from '../../lib/node/node.js';
import type { Node } from '../../lib/node/types.js';
import { SimulatedClock } from '../schedules/simulated.js';
import { hostNqn, mib, nodeConfig, type Overrides, PoolFolder } from './bench.js';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const start = Date.UTC(2026, 9, 20, 12, 30);
const hourly = {
  name: 'hourly',
  cron: '0 * * * *',
  timezone: 'Europe/Berlin',
  volumes: ['a', 'b'],
  keep: { hourly: 3, daily: 2 },
};

function open(clock: SimulatedClock, over: Overrides = {}): Promise<Node> {
  return openNode(nodeConfig(over), pino({ level: 'silent' }), clock);
}

/** Waits until nothing is running: each event may be the last one. */
async function settled(node: Node): Promise<void> {
  const running = (): boolean => node.schedules.list().some(({ state }) => state === 'running');
  while (running()) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** The names of a volume's snapshots, oldest first. */
function namesOf(node: Node, volume: string): string[] {
  return node.snapshots.listOf(volume).map(({ name }) => name);
}

describe('schedules over a pool', () => {
  it('a week: volumes together, what is kept is there, and the pool is sound', async () => {
    const clock = new SimulatedClock(start);
    const node = await open(clock);
    for (const name of ['a', 'b']) await node.volumes.create({ name, sizeBytes: mib });
    await node.snapshots.create('a', 'by-hand');
    await node.schedules.create(hourly);
    await clock.advanceTo(start + 7 * dayMs, () => settled(node));
    // The newest of three hours and of two days, by the clock of Berlin.
    const expected = [
      '2026-10-26T22-00',
      '2026-10-27T10-00',
      '2026-10-27T11-00',
      '2026-10-27T12-00',
    ];
    const names = expected.map((time) => `hourly-${time}`);
    assert.deepEqual(namesOf(node, 'a'), ['by-hand', ...names]);
    assert.deepEqual(namesOf(node, 'b'), names);
    const groups = (volume: string) =>
      node.snapshots.listOf(volume).map(({ groupUuid }) => groupUuid);
    assert.deepEqual(groups('a').slice(1), groups('b'), 'of one instant');
    assert.equal(new Set(groups('b')).size, names.length);
    assert.deepEqual((await node.pool.check()).problems, []);
    await node.close();
  });

  it('a granted snapshot stays until it is revoked; nothing else does', async () => {
    const clock = new SimulatedClock(start);
    const node = await open(clock);
    await node.volumes.create({ name: 'a', sizeBytes: mib });
    await node.schedules.create({ ...hourly, volumes: ['a'], keep: { last: 1 } });
    const { snapshots } = await node.schedules.run('hourly');
    const [reference = ''] = snapshots;
    await node.snapshots.grant(reference, hostNqn('reader'));
    await clock.advanceTo(start + 2 * hourMs, () => settled(node));
    assert.deepEqual(namesOf(node, 'a'), ['hourly-2026-10-20T12-30', 'hourly-2026-10-20T14-00']);
    const kept = node.events().filter(({ kind }) => kind === 'schedule-kept');
    assert.equal(kept.length, 1);
    await node.snapshots.revoke(reference, hostNqn('reader'));
    await clock.advanceTo(start + 3 * hourMs, () => settled(node));
    assert.deepEqual(namesOf(node, 'a'), ['hourly-2026-10-20T15-00']);
    await node.close();
  });

  it('a restart after two days: what was missed is made up for once', async () => {
    using folder = new PoolFolder();
    const clock = new SimulatedClock(start);
    const first = await open(clock, { pool: folder.pool });
    await first.volumes.create({ name: 'a', sizeBytes: mib });
    await first.schedules.create({ ...hourly, volumes: ['a'] });
    await clock.advanceTo(start + hourMs, () => settled(first));
    const before = first.schedules.show('hourly');
    await first.close();
    clock.jumpTo(start + 2 * dayMs);
    const again = await open(clock, { pool: folder.pool });
    await settled(again);
    assert.deepEqual(namesOf(again, 'a'), ['hourly-2026-10-20T13-00', 'hourly-2026-10-22T12-00']);
    const after = again.schedules.show('hourly');
    assert.equal(after.uuid, before.uuid);
    assert.equal(after.lastRunAt, '2026-10-22T12:00:00.000Z');
    await again.close();
  });

  it('a deleted volume leaves its schedules at once; the last one leaves them idle', async () => {
    const clock = new SimulatedClock(start);
    const node = await open(clock);
    for (const name of ['a', 'b']) await node.volumes.create({ name, sizeBytes: mib });
    await node.schedules.create(hourly);
    await node.volumes.rename('b', 'renamed');
    assert.deepEqual(node.schedules.show('hourly').volumes, ['a', 'renamed']);
    await node.volumes.delete('a');
    assert.deepEqual(node.schedules.show('hourly').volumes, ['renamed']);
    await clock.advanceTo(start + hourMs, () => settled(node));
    assert.deepEqual(namesOf(node, 'renamed'), ['hourly-2026-10-20T13-00']);
    await node.volumes.delete('renamed');
    assert.equal(node.schedules.show('hourly').state, 'idle');
    const idle = node.events().find(({ kind }) => kind === 'schedule-idle');
    assert.match(idle?.message ?? '', /schedule 'hourly' is idle: volume 'renamed' was the last/);
    await clock.advanceTo(start + 5 * hourMs, () => settled(node));
    assert.equal(node.schedules.show('hourly').snapshots, 1);
    await node.close();
  });

  it('a tenant deleted: its schedules are gone with it', async () => {
    const node = await open(new SimulatedClock(start));
    const options = { tenant: 't' };
    await node.tenants.create('t');
    await node.volumes.create({ name: 'a', sizeBytes: mib }, options);
    await node.schedules.create({ ...hourly, volumes: ['a'] }, options);
    assert.deepEqual(node.schedules.list(options).length, 1);
    await node.volumes.delete('a', options);
    await node.tenants.delete('t');
    assert.deepEqual(node.schedules.list(), []);
    await node.close();
  });
});
