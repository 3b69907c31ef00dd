/** Schedules in simulated time: every promise about runs, and every refusal by its code. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { scheduleKind } from '../../lib/catalog/kinds.js';
import { AshlarError } from '../../lib/errors.js';
import { longestSleepMs } from '../../lib/schedules/runner.js';
import type { CreateSchedule } from '../../lib/schedules/types.js';
import { Simulation } from './simulated.js';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
/** A Wednesday, 12:30:30 UTC. */
const start = Date.UTC(2026, 10, 25, 12, 30, 30);

const hourly: CreateSchedule = {
  name: 'hourly',
  cron: '0 * * * *',
  volumes: ['a', 'b'],
  keep: { hourly: 3 },
};

async function withHourly(over: Partial<CreateSchedule> = {}): Promise<Simulation> {
  const simulation = await Simulation.open(start, ['a', 'b', 'c']);
  await simulation.service.create({ ...hourly, ...over });
  return simulation;
}

/** Names of the snapshots of one volume, without the prefix. */
function timesOf(simulation: Simulation): string[] {
  return [...new Set(simulation.names())].map((name) => name.replace('hourly-2026-', ''));
}

describe('schedules: runs', () => {
  it('every hour, all volumes at once, and only what is kept stays', async () => {
    const simulation = await withHourly();
    await simulation.passTo(start + 10 * hourMs);
    assert.deepEqual(timesOf(simulation), ['11-25T20-00', '11-25T21-00', '11-25T22-00']);
    assert.equal(simulation.snapshots.all.size, 6);
    assert.equal(simulation.snapshots.creations, 10);
    const { lastRunAt, nextRunAt, lastFailure, state, snapshots } =
      simulation.service.show('hourly');
    assert.deepEqual(
      { lastRunAt, nextRunAt, lastFailure, state, snapshots },
      {
        lastRunAt: '2026-11-25T22:00:00.000Z',
        nextRunAt: '2026-11-25T23:00:00.000Z',
        lastFailure: null,
        state: 'waiting',
        snapshots: 6,
      },
    );
  });

  it('begins at the planned second: the snapshot is made then, not a minute later', async () => {
    const simulation = await withHourly();
    await simulation.passTo(start + hourMs);
    assert.deepEqual(
      simulation.snapshots.log.map(({ madeMs }) => new Date(madeMs).toISOString()),
      ['2026-11-25T13:00:00.000Z'],
    );
  });

  it('two days down: the newest missed run is made up for once, at the start', async () => {
    const simulation = await withHourly();
    await simulation.passTo(start + hourMs);
    await simulation.down();
    await simulation.passTo(start + 48 * hourMs);
    await simulation.up();
    assert.deepEqual(timesOf(simulation), ['11-25T13-00', '11-27T12-00']);
    const { message } = simulation.events.at(-1) ?? assert.fail('no event');
    assert.match(message, /run of 2026-11-27 12:00 UTC: missed and made up for now, 2 made/);
    await simulation.down();
    await simulation.up();
    assert.equal(simulation.snapshots.creations, 2);
  });

  it('suspended for hours: made up for once within a minute of waking', async () => {
    const simulation = await withHourly();
    simulation.clock.jumpTo(start + 5 * hourMs);
    await simulation.passTo(start + 5 * hourMs + longestSleepMs);
    assert.deepEqual(timesOf(simulation), ['11-25T17-00']);
  });

  it('a crash between snapshot and record: the repeated run finds its own, makes none', async () => {
    const simulation = await withHourly();
    simulation.snapshots.meanwhile = async () => {
      simulation.store.failNext = new AshlarError('pool-failed', 'the pool has failed');
    };
    await simulation.passTo(start + hourMs);
    assert.equal(simulation.service.show('hourly').lastRunAt, null, 'not recorded');
    simulation.snapshots.meanwhile = () => Promise.resolve();
    await simulation.down();
    await simulation.up();
    assert.equal(simulation.service.show('hourly').lastRunAt, '2026-11-25T13:00:00.000Z');
    assert.equal(simulation.snapshots.creations, 1);
    assert.equal(simulation.snapshots.all.size, 2);
  });

  it('a run that cannot be recorded is not tried in a loop', async () => {
    const simulation = await withHourly();
    simulation.snapshots.failure = new AshlarError('pool-failed', 'the pool has failed');
    await simulation.passTo(start + 3 * hourMs);
    assert.equal(simulation.snapshots.creations, 3);
    assert.match(simulation.service.show('hourly').lastFailure ?? '', /\(pool-failed\)/);
    assert.equal(simulation.kinds().filter((kind) => kind === 'schedule-failed').length, 3);
  });

  it('a full pool: an error event, and the next planned instant is the next try', async () => {
    const simulation = await withHourly();
    simulation.snapshots.failure = new AshlarError('no-space', 'the pool is full');
    await simulation.passTo(start + hourMs);
    const failed = simulation.service.show('hourly');
    assert.match(failed.lastFailure ?? '', /no room left/);
    assert.equal(failed.lastRunAt, '2026-11-25T13:00:00.000Z');
    const event = simulation.events.at(-1) ?? assert.fail('no event');
    assert.deepEqual([event.severity, event.kind], ['error', 'schedule-failed']);
    assert.match(event.message, /failed: the pool is full$/, 'the event has the whole of it');
    simulation.snapshots.failure = null;
    await simulation.down();
    await simulation.up();
    assert.deepEqual(timesOf(simulation), [], 'given up: not made up for');
    await simulation.passTo(start + 2 * hourMs);
    assert.deepEqual(timesOf(simulation), ['11-25T14-00']);
    assert.equal(simulation.service.show('hourly').lastFailure, null);
  });

  it('the clock set back an hour: what it passes again is not run again', async () => {
    const simulation = await withHourly();
    await simulation.passTo(start + 3 * hourMs);
    simulation.clock.jumpTo(start + 2 * hourMs);
    await simulation.passTo(start + 4 * hourMs);
    assert.deepEqual(
      simulation.snapshots.log.map(({ name }) => name.slice(-5)),
      ['13-00', '14-00', '15-00', '16-00'],
    );
  });

  it('a clock that was years ahead: goes on by the present one, with a warning', async () => {
    const simulation = await withHourly();
    simulation.clock.jumpTo(Date.UTC(2036, 0, 1, 12, 0, 10));
    await simulation.passTo(simulation.clock.nowMs() + longestSleepMs);
    simulation.clock.jumpTo(start + hourMs);
    await simulation.passTo(start + 4 * hourMs);
    const made = simulation.snapshots.log.map(({ name }) => name.replace('hourly-', ''));
    assert.deepEqual(made.slice(1), ['2026-11-25T14-00', '2026-11-25T15-00', '2026-11-25T16-00']);
    assert.equal(simulation.kinds().filter((kind) => kind === 'schedule-clock').length, 1);
    const kept = new Set(simulation.names());
    assert.equal(kept.size, 4, 'the one of the future takes no place from the others');
  });

  it('a volume deleted in the middle of a run: the others are taken', async () => {
    const simulation = await withHourly();
    simulation.snapshots.meanwhile = async () => {
      simulation.snapshots.meanwhile = () => Promise.resolve();
      await simulation.deleteVolume('a');
      throw new AshlarError('not-found', 'a volume has been deleted meanwhile');
    };
    await simulation.passTo(start + hourMs);
    assert.equal(simulation.snapshots.all.size, 1);
    assert.equal(simulation.service.show('hourly').lastFailure, null);
  });

  it('all volumes deleted: idle, says so, runs nothing, and wakes nobody', async () => {
    const simulation = await withHourly();
    await simulation.deleteVolume('a');
    await simulation.deleteVolume('b');
    const { state, volumes, nextRunAt } = simulation.service.show('hourly');
    assert.deepEqual(
      { state, volumes, nextRunAt },
      { state: 'idle', volumes: [], nextRunAt: null },
    );
    await simulation.passTo(start + 5 * hourMs);
    assert.equal(simulation.snapshots.creations, 0);
    assert.equal(simulation.clock.timers, 0);
    await assert.rejects(simulation.service.run('hourly'), {
      code: 'conflict',
      message: /'hourly' has no volumes any more/,
    });
    await simulation.service.change('hourly', { volumes: ['c'] });
    assert.equal(simulation.snapshots.creations, 0, 'the idle time is not made up for');
    await simulation.passTo(start + 6 * hourMs);
    assert.deepEqual(timesOf(simulation), ['11-25T18-00']);
  });

  it('no schedule: no timer', async () => {
    const simulation = await Simulation.open(start, []);
    assert.equal(simulation.clock.timers, 0);
  });

  it('by hand: named by the minute; again in it: nothing new; planned runs go on', async () => {
    const simulation = await withHourly();
    const first = await simulation.service.run('hourly');
    assert.equal(first.plannedAt, '2026-11-25T12:30:00.000Z');
    assert.deepEqual([first.made, first.snapshots.length], [true, 2]);
    const again = await simulation.service.run('hourly');
    assert.deepEqual([again.made, again.snapshots], [false, first.snapshots]);
    assert.equal(again.schedule.lastRunAt, null);
    await simulation.passTo(start + hourMs);
    assert.deepEqual(timesOf(simulation), ['11-25T12-30', '11-25T13-00']);
  });
});

describe('schedules: deletions', () => {
  it("other schedules' snapshots and those made by hand are never touched", async () => {
    const simulation = await withHourly({ keep: { last: 1 } });
    await simulation.service.create({ ...hourly, name: 'other', keep: { last: 1 } });
    await simulation.passTo(start + 2 * hourMs);
    await simulation.service.change('other', { enabled: false });
    await simulation.passTo(start + 5 * hourMs);
    assert.deepEqual(
      [...new Set(simulation.names())],
      ['hourly-2026-11-25T17-00', 'other-2026-11-25T14-00'],
    );
  });

  it('granted, or being read: stays, told of once, and goes when it is free', async () => {
    const simulation = await withHourly({ volumes: ['a'], keep: { last: 1 } });
    await simulation.passTo(start + hourMs);
    const [granted] = simulation.snapshots.all.values();
    assert.ok(granted);
    granted.hosts = ['nqn.2026-01.test:reader'];
    await simulation.passTo(start + 2 * hourMs);
    const [, read] = simulation.snapshots.all.values();
    assert.ok(read);
    simulation.snapshots.busy.add(read.uuid);
    await simulation.passTo(start + 4 * hourMs);
    assert.deepEqual(timesOf(simulation), ['11-25T13-00', '11-25T14-00', '11-25T16-00']);
    const told = simulation.events.filter(({ kind }) => kind === 'schedule-kept');
    assert.deepEqual(
      told.map(({ severity, message }) => [
        severity,
        /(granted to \S+|read by .*)$/.exec(message)?.[1],
      ]),
      [
        ['warning', 'granted to nqn.2026-01.test:reader'],
        ['warning', 'read by an export'],
      ],
    );
    granted.hosts = [];
    simulation.snapshots.busy.clear();
    await simulation.passTo(start + 5 * hourMs);
    assert.deepEqual(timesOf(simulation), ['11-25T17-00']);
  });

  it('deleted: its snapshots stay, and so they do when another takes its name', async () => {
    const simulation = await withHourly();
    await simulation.passTo(start + 2 * hourMs);
    await simulation.service.delete('hourly');
    await assert.rejects(simulation.service.delete('hourly'), { code: 'not-found' });
    await simulation.service.delete('hourly', { repeatable: true });
    assert.equal(simulation.clock.timers, 0);
    await simulation.service.create({ ...hourly, keep: { last: 1 } });
    await simulation.passTo(start + 5 * hourMs);
    assert.deepEqual(timesOf(simulation), ['11-25T13-00', '11-25T14-00', '11-25T17-00']);
  });
});

describe('schedules: create and change', () => {
  it('every wrong argument by its code, and nothing is left', async () => {
    const simulation = await withHourly();
    const many = Array.from({ length: 65 }, (_, index) => `v${index}`);
    const cases: [Partial<CreateSchedule>, string, RegExp][] = [
      [{ name: 'a b' }, 'invalid-argument', /schedule name 'a b'/],
      [{ prefix: 'x'.repeat(47) }, 'invalid-argument', /prefix 'x+' is not 1 to 46 letters/],
      [{ prefix: 'hourly' }, 'already-exists', /prefix 'hourly' is that of schedule 'hourly'/],
      [{ name: 'hourly', prefix: 'y' }, 'already-exists', /schedule 'hourly' exists already/],
      [{ cron: '0 0 30 2 *' }, 'invalid-argument', /never comes/],
      [{ cron: '0 25 * * *' }, 'invalid-argument', /hour '25' is not possible/],
      [{ timezone: 'Mars' }, 'invalid-argument', /time zone 'Mars' is not known/],
      [{ volumes: ['a', 'none'] }, 'not-found', /volume 'none'/],
      [{ keep: {} }, 'invalid-argument', /keeps no snapshot/],
      [{ keep: { daily: -1 } }, 'invalid-argument', /keep daily: -1 is not/],
      [{ keep: { daily: 10_001 } }, 'invalid-argument', /from 0 to 10000/],
      [{ keep: { last: 1.5 } }, 'invalid-argument', /keep last: 1.5/],
    ];
    for (const [over, code, message] of cases) {
      const request = { ...hourly, name: 'new', ...over };
      await assert.rejects(simulation.service.create(request), { code, message });
    }
    await assert.rejects(simulation.service.create({ ...hourly, name: 'new', volumes: many }), {
      code: 'not-found',
    });
    await assert.rejects(simulation.service.create(hourly, { tenant: 'none' }), {
      code: 'not-found',
    });
    assert.equal(simulation.service.list().length, 1);
  });

  it('65 volumes: over the limit of a group', async () => {
    const names = Array.from({ length: 65 }, (_, index) => `v${index}`);
    const simulation = await Simulation.open(start, names);
    await assert.rejects(simulation.service.create({ ...hourly, volumes: names }), {
      code: 'limit-exceeded',
      message: /65 volumes are over the limit of 64/,
    });
    await simulation.service.create({ ...hourly, volumes: names.slice(1) });
  });

  it('the longest prefix makes names of 63 letters', async () => {
    const simulation = await withHourly({ prefix: 'x'.repeat(46) });
    await simulation.passTo(start + hourMs);
    assert.equal(simulation.names()[0]?.length, 63);
  });

  it('repeats: the same is accepted when asked for, a different one never', async () => {
    const simulation = await withHourly();
    const { uuid } = simulation.service.show('hourly');
    await assert.rejects(simulation.service.create(hourly), { code: 'already-exists' });
    const repeat = { repeatable: true };
    const again = await simulation.service.create({ ...hourly, volumes: ['b', 'a'] }, repeat);
    assert.equal(again.uuid, uuid);
    await assert.rejects(simulation.service.create({ ...hourly, cron: '@daily' }, repeat), {
      code: 'already-exists',
      message: /is different \(cron '0 \* \* \* \*', UTC\)/,
    });
  });

  it('a volume named twice, by name and by UUID, is one', async () => {
    const simulation = await withHourly({ volumes: ['a', 'a'] });
    assert.deepEqual(simulation.service.show('hourly').volumes, ['a']);
  });

  it('what is not changed stays; counts change one by one', async () => {
    const simulation = await withHourly({ keep: { hourly: 3, daily: 2 } });
    const before = simulation.service.show('hourly');
    const after = await simulation.service.change(before.uuid, { keep: { daily: 5 }, name: 'new' });
    assert.deepEqual(after, {
      ...before,
      name: 'new',
      keep: { last: 0, hourly: 3, daily: 5, weekly: 0, monthly: 0 },
    });
    await assert.rejects(simulation.service.change('new', { keep: { hourly: 0, daily: 0 } }), {
      code: 'invalid-argument',
    });
    await assert.rejects(simulation.service.change('hourly', {}), { code: 'not-found' });
  });

  it('disabled for a day, then enabled: the day is not made up for', async () => {
    const simulation = await withHourly();
    const disabled = await simulation.service.change('hourly', { enabled: false });
    assert.deepEqual([disabled.state, disabled.nextRunAt], ['disabled', null]);
    await simulation.passTo(start + dayMs);
    assert.equal(simulation.snapshots.creations, 0);
    await simulation.service.change('hourly', { enabled: true });
    await simulation.service.change('hourly', { enabled: true });
    assert.equal(simulation.snapshots.creations, 0);
    await simulation.passTo(start + dayMs + hourMs);
    assert.equal(simulation.snapshots.creations, 1);
  });

  it('another expression: holds from now on, also while the daemon sleeps', async () => {
    const simulation = await withHourly();
    await simulation.service.change('hourly', { cron: '45 * * * *' });
    await simulation.passTo(start + hourMs);
    assert.deepEqual(timesOf(simulation), ['11-25T12-45']);
  });

  it('a zone that the machine no longer knows: broken, told of once, others go on', async () => {
    const simulation = await withHourly();
    const [stored] = simulation.catalog.all(scheduleKind);
    assert.ok(stored);
    await simulation.catalog.transact('break', (transaction) => {
      transaction.put(scheduleKind, stored.id, { ...stored.value, timezone: 'Mars/Olympus' });
    });
    await simulation.service.create({ ...hourly, name: 'fine' });
    await simulation.passTo(start + 3 * hourMs);
    assert.equal(simulation.service.show('hourly').state, 'broken');
    assert.equal(simulation.kinds().filter((kind) => kind === 'schedule-failed').length, 1);
    assert.equal(simulation.snapshots.creations, 3);
    await simulation.service.change('hourly', { timezone: 'UTC' });
    await simulation.passTo(start + 4 * hourMs);
    assert.equal(simulation.snapshots.creations, 5);
  });

  it('a restart: the record is what it was', async () => {
    const simulation = await withHourly({
      timezone: 'Europe/Berlin',
      prefix: 'p',
      keep: { weekly: 1 },
    });
    await simulation.passTo(start + hourMs);
    const before = simulation.service.show('hourly');
    await simulation.down();
    await simulation.up();
    assert.deepEqual(simulation.service.show('hourly'), before);
  });
});
