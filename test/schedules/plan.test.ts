/** What is due and what comes next, and what snapshots are called. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cronPlan } from '../../lib/schedules/cron.js';
import {
  clockToleranceMs,
  minuteOf,
  outlook,
  snapshotName,
  snapshotSuffixLength,
} from '../../lib/schedules/plan.js';

const hourMs = 3_600_000;
const noon = Date.UTC(2026, 10, 25, 12);
const hourly = cronPlan('0 * * * *', 'UTC');

/** Hours after noon that are due and next, of a schedule last run and armed at such hours. */
function hours(lastRun: number | null, armed: number, now: number): (number | null)[] {
  const lastRunMs = lastRun === null ? 0 : noon + lastRun * hourMs;
  const state = { lastRunMs, armedMs: noon + armed * hourMs };
  const { dueMs, nextMs } = outlook(hourly, state, noon + now * hourMs);
  return [dueMs, nextMs].map((at) => (at === null ? null : (at - noon) / hourMs));
}

describe('schedules: the plan', () => {
  it('due: the newest instant that has passed since the last run, or since it was armed', () => {
    assert.deepEqual(hours(null, 0.5, 0.9), [null, 1]);
    assert.deepEqual(hours(null, 0.5, 1), [1, 2]);
    assert.deepEqual(
      hours(null, 0, 0),
      [null, 1],
      'armed at an instant: the next one is the first',
    );
    assert.deepEqual(hours(1, 0.5, 1.5), [null, 2]);
    assert.deepEqual(hours(1, 0.5, 5.5), [5, 6]);
    assert.deepEqual(hours(1, 4.5, 4.9), [null, 5]);
    assert.deepEqual(hours(1, 4.5, 5.1), [5, 6]);
  });

  it('a clock behind the last run: nothing is due, and what has run is not next', () => {
    assert.deepEqual(hours(4, 0, 2.5), [null, 5]);
    assert.deepEqual(hours(4, 0, 4), [null, 5]);
  });

  it('behind by more than a day: the record is not to be believed', () => {
    const ahead = (ms: number) =>
      outlook(hourly, { armedMs: 0, lastRunMs: noon + ms }, noon).aheadOfClock;
    assert.equal(ahead(clockToleranceMs), false);
    assert.equal(ahead(clockToleranceMs + 1), true);
  });

  it('an expression that comes no more: nothing next', () => {
    const never = { next: () => null, latest: () => null };
    const { dueMs, nextMs } = outlook(never, { armedMs: 0, lastRunMs: 0 }, noon);
    assert.deepEqual([dueMs, nextMs], [null, null]);
  });

  it('names: the minute in UTC; both hours that autumn repeats have their own', () => {
    const name = snapshotName('nightly', Date.UTC(2026, 9, 25, 0, 30));
    assert.equal(name, 'nightly-2026-10-25T00-30');
    assert.equal(name.length, 'nightly'.length + snapshotSuffixLength);
    assert.notEqual(name, snapshotName('nightly', Date.UTC(2026, 9, 25, 1, 30)));
    assert.equal(minuteOf(noon + 59_999), noon);
  });
});
