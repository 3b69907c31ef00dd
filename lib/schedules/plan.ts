/** When a schedule runs next, and what it has missed. Pure. */
import type { CronPlan } from './cron.js';

/** What a schedule's record says of its runs. */
export interface RunState {
  /** Instants up to this one are not due: it was made, enabled or changed then. */
  armedMs: number;
  /** The planned instant of the last run that succeeded or was given up; 0: none. */
  lastRunMs: number;
}

export interface Outlook {
  /** The newest planned instant that has passed without a run; older ones are not run any more. */
  dueMs: number | null;
  /** The next planned instant after now; null: there is none. */
  nextMs: number | null;
  /** The record is of a time that has not come yet: the clock was wrong then, or is now. */
  aheadOfClock: boolean;
}

/**
 * A record further ahead of the clock than this was written by a clock that was wrong. Waiting
 * until its time comes could mean years without snapshots.
 */
export const clockToleranceMs = 86_400_000;

export function outlook(plan: CronPlan, state: RunState, nowMs: number): Outlook {
  const doneMs = Math.max(state.armedMs, state.lastRunMs);
  if (doneMs - nowMs > clockToleranceMs) {
    return { dueMs: null, nextMs: plan.next(nowMs), aheadOfClock: true };
  }
  // The clock stepped back a little: instants that it passes again have had their run.
  if (doneMs > nowMs) return { dueMs: null, nextMs: plan.next(doneMs), aheadOfClock: false };
  const latestMs = plan.latest(nowMs);
  const dueMs = latestMs !== null && latestMs > doneMs ? latestMs : null;
  return { dueMs, nextMs: plan.next(nowMs), aheadOfClock: false };
}

/** The whole minute that an instant is in; what a run by hand is named by. */
export function minuteOf(instantMs: number): number {
  return Math.floor(instantMs / 60_000) * 60_000;
}

/**
 * Name of a planned snapshot: `<prefix>-2026-11-25T02-00`, in UTC, so that the hour that comes
 * twice in autumn has two names, and names sort by age.
 */
export function snapshotName(prefix: string, instantMs: number): string {
  const minute = new Date(instantMs).toISOString().slice(0, 16);
  return `${prefix}-${minute.replace(':', '-')}`;
}

/** Letters that {@link snapshotName} adds to the prefix. */
export const snapshotSuffixLength = 17;
