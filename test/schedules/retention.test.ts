/** Retention: properties over random snapshots, and examples that a person can check. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { expired, type Retention, retentionRules } from '../../lib/schedules/retention.js';
import { seedOfRun } from '../rig/random.js';
import { keptByHand, spanName, Wall } from './calendar.js';

const seed = seedOfRun();
const minuteMs = 60_000;
const dayMs = 86_400_000;
const start = Date.UTC(2026, 0, 1);
const nothing: Retention = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0 };

interface Snapshot {
  id: number;
  instantMs: number;
}

const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'Australia/Lord_Howe');
const counts = fc.record({
  last: fc.nat(5),
  hourly: fc.nat(30),
  daily: fc.nat(10),
  weekly: fc.nat(6),
  monthly: fc.nat(6),
});
const someCounts = counts.filter((keep) => retentionRules.some((rule) => keep[rule] > 0));
/** Dense in the days around a change of the clocks, sparse over two years; some instants twice. */
const instants = fc.array(
  fc.oneof(
    fc.nat(2 * 365 * 24 * 4).map((quarter) => start + quarter * 15 * minuteMs),
    fc.nat(4 * 24 * 4).map((quarter) => Date.UTC(2026, 9, 23) + quarter * 15 * minuteMs),
  ),
  { maxLength: 120 },
);
const nowMs = fc.nat(2 * 365).map((day) => start + day * dayMs);
const inputs = fc.record({ instants, keep: someCounts, zone, nowMs });

function snapshotsAt(all: readonly number[]): Snapshot[] {
  return all.map((instantMs, id) => ({ id, instantMs }));
}

function check<T>(arbitrary: fc.Arbitrary<T>, holds: (input: T) => void): void {
  fc.assert(fc.property(arbitrary, holds), { seed, numRuns: 300 });
}

describe(`retention: seed ${seed}`, () => {
  it('goes exactly what no rule keeps, and never what is newer than now', () => {
    check(inputs, (input) => {
      const snapshots = snapshotsAt(input.instants);
      const gone = new Set(expired(snapshots, input.keep, input.zone, input.nowMs));
      const past = input.instants.filter((instantMs) => instantMs <= input.nowMs);
      const kept = keptByHand(past, input.keep, input.zone);
      for (const snapshot of snapshots) {
        const stays = snapshot.instantMs > input.nowMs || kept.has(snapshot.instantMs);
        assert.equal(gone.has(snapshot), !stays, new Date(snapshot.instantMs).toISOString());
      }
    });
  });

  it('one rule alone keeps as many as it says, or all spans that there are', () => {
    const rule = fc.constantFrom('hourly', 'daily', 'weekly', 'monthly' as const);
    check(fc.record({ instants, zone, rule, count: fc.integer({ min: 1, max: 40 }) }), (input) => {
      const snapshots = snapshotsAt([...new Set(input.instants)]);
      const keep = { ...nothing, [input.rule]: input.count };
      const gone = expired(snapshots, keep, input.zone, start + 1000 * dayMs);
      const wall = new Wall(input.zone);
      const spans = new Set(
        snapshots.map(({ instantMs }) => spanName(input.rule, wall, instantMs)),
      );
      assert.equal(snapshots.length - gone.length, Math.min(input.count, spans.size));
    });
  });

  it('a second time changes nothing', () => {
    check(inputs, (input) => {
      const snapshots = snapshotsAt(input.instants);
      const gone = new Set(expired(snapshots, input.keep, input.zone, input.nowMs));
      const left = snapshots.filter((snapshot) => !gone.has(snapshot));
      assert.deepEqual(expired(left, input.keep, input.zone, input.nowMs), []);
    });
  });

  it('the order of the snapshots does not matter', () => {
    const shuffled = inputs.chain((input) =>
      fc.record({
        input: fc.constant(input),
        order: fc.shuffledSubarray(snapshotsAt(input.instants), {
          minLength: input.instants.length,
        }),
      }),
    );
    check(shuffled, ({ input, order }) => {
      const ids = (all: readonly Snapshot[]) =>
        expired(all, input.keep, input.zone, input.nowMs)
          .map(({ id }) => id)
          .sort((a, b) => a - b);
      assert.deepEqual(ids(order), ids(snapshotsAt(input.instants)));
    });
  });

  it('step by step or all at once: what is kept while time passes is kept in the end', () => {
    const steps = fc.record({ instants, keep: someCounts, zone });
    check(steps, (input) => {
      const ordered = [...new Set(input.instants)].sort((a, b) => a - b);
      let left: Snapshot[] = [];
      for (const [id, instantMs] of ordered.entries()) {
        left.push({ id, instantMs });
        const gone = new Set(expired(left, input.keep, input.zone, instantMs));
        left = left.filter((snapshot) => !gone.has(snapshot));
      }
      const end = ordered.at(-1) ?? start;
      const atOnce = keptByHand(ordered, input.keep, input.zone);
      assert.ok(left.every(({ instantMs }) => atOnce.has(instantMs) && instantMs <= end));
      assert.deepEqual(
        left.map(({ instantMs }) => instantMs),
        [...atOnce].sort((a, b) => a - b),
      );
    });
  });

  it('no rule at all: nothing goes', () => {
    check(fc.record({ instants, zone }), (input) => {
      const snapshots = snapshotsAt(input.instants);
      assert.deepEqual(expired(snapshots, nothing, input.zone, start + 1000 * dayMs), []);
    });
  });
});

describe('retention: examples', () => {
  const at = (text: string): Snapshot => ({ id: 0, instantMs: Date.parse(text) });
  const left = (snapshots: Snapshot[], keep: Partial<Retention>, zoneName: string): string[] => {
    const gone = new Set(
      expired(snapshots, { ...nothing, ...keep }, zoneName, start + 1000 * dayMs),
    );
    return snapshots
      .filter((snapshot) => !gone.has(snapshot))
      .map(({ instantMs }) => new Date(instantMs).toISOString().slice(0, 16));
  };

  it('the hour that comes twice in autumn is two hours', () => {
    const twice = [at('2026-10-25T00:30Z'), at('2026-10-25T01:30Z')];
    assert.equal(left(twice, { hourly: 2 }, 'Europe/Berlin').length, 2);
    assert.deepEqual(left(twice, { hourly: 1 }, 'Europe/Berlin'), ['2026-10-25T01:30']);
  });

  it("a day is the zone's own: 23:30 UTC is the next day in Berlin", () => {
    const evening = [at('2026-01-10T12:00Z'), at('2026-01-10T23:30Z')];
    assert.deepEqual(left(evening, { daily: 2 }, 'UTC'), ['2026-01-10T23:30']);
    assert.equal(left(evening, { daily: 2 }, 'Europe/Berlin').length, 2);
  });

  it('the last days of December can belong to week 1 of the next year', () => {
    const week = [at('2029-12-30T12:00Z'), at('2029-12-31T12:00Z'), at('2030-01-06T12:00Z')];
    const gone = expired(week, { ...nothing, weekly: 5 }, 'UTC', Date.UTC(2031, 0, 1));
    assert.deepEqual(
      gone.map(({ instantMs }) => new Date(instantMs).toISOString().slice(0, 10)),
      ['2029-12-31'],
    );
  });

  it('spans without a snapshot are not counted: a long pause deletes nothing', () => {
    const old = [at('2026-01-01T12:00Z'), at('2026-01-02T12:00Z'), at('2026-06-01T12:00Z')];
    assert.equal(left(old, { daily: 3 }, 'UTC').length, 3);
  });

  it('all snapshots of one instant stay or go together', () => {
    const pair = [at('2026-01-01T12:00Z'), at('2026-01-01T12:00Z'), at('2026-01-02T12:00Z')];
    assert.deepEqual(left(pair, { last: 1 }, 'UTC'), ['2026-01-02T12:00']);
    assert.equal(left(pair, { last: 2 }, 'UTC').length, 3);
  });
});
