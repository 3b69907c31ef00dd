/**
 * Runs cut off at each of their commits, over the services of volumes and snapshots: whatever was
 * done by then, the restarted daemon makes each run's snapshots once, and deletes what it must.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ScheduleService } from '../../lib/schedules/schedules.js';
import { ScheduledSnapshots } from '../../lib/schedules/snapshots.js';
import { ControlBench } from '../volumes/control_bench.js';
import { SimulatedClock } from './simulated.js';

const hourMs = 3_600_000;
const start = Date.UTC(2026, 10, 25, 12, 30);

function serviceOver(bench: ControlBench, clock: SimulatedClock): ScheduleService {
  return new ScheduleService({
    ...bench.state,
    snapshots: new ScheduledSnapshots(bench.catalog, bench.snapshots),
    clock,
    emit: (_severity, kind, message) => bench.events.push(`${kind}: ${message}`),
  });
}

interface Outcome {
  /** Whether the run went through before the commit that was to fail. */
  whole: boolean;
}

/** The run of 14:00 is cut off after so many commits; the daemon starts again at 14:30. */
async function cutOffAfter(commits: number): Promise<Outcome> {
  const clock = new SimulatedClock(start);
  const bench = await ControlBench.open();
  const service = serviceOver(bench, clock);
  service.start();
  for (const name of ['a', 'b']) await bench.volumes.create({ name, sizeBytes: 65_536n });
  await service.create({
    name: 's',
    cron: '0 * * * *',
    volumes: ['a', 'b'],
    keep: { last: 1 },
  });
  await clock.advanceTo(start + hourMs, () => service.idle());
  bench.layers.failAfter = commits;
  await clock.advanceTo(start + 2 * hourMs, () => service.idle());
  const whole = bench.layers.failAfter > 0;
  bench.layers.failAfter = null;
  await service.close();

  const again = await bench.restart();
  const restarted = serviceOver(again, clock);
  restarted.start();
  await restarted.idle();
  const { lastRunAt, lastFailure } = restarted.show('s');
  assert.equal(lastRunAt, '2026-11-25T14:00:00.000Z');
  assert.equal(lastFailure, null);
  const made = [...bench.events, ...again.events].filter((event) =>
    /^snapshot-created: snapshot '.@s-2026-11-25T14-00'/.test(event),
  );
  assert.deepEqual(made.length, 2, 'one of each volume');
  await clock.advanceTo(start + 3 * hourMs, () => restarted.idle());
  for (const volume of ['a', 'b']) {
    const names = again.snapshots.listOf(volume).map(({ name }) => name);
    assert.deepEqual(names, ['s-2026-11-25T15-00'], 'what was left over goes with the next run');
  }
  again.assertConsistent();
  await restarted.close();
  return { whole };
}

describe('schedules: crashes', () => {
  it('a run cut off at each commit: snapshots once, old ones gone, layers agree', async () => {
    let commits = 0;
    while (!(await cutOffAfter(commits)).whole) commits += 1;
    // The snapshots of both volumes, the record, two deletions; and a cut behind them all.
    assert.equal(commits, 5);
  });
});
