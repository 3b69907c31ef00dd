/**
 * Which snapshots of a schedule may go. Pure: the same snapshots, counts and time give the same
 * answer, in whatever order they come.
 */
import { spansOf } from './zone.js';

/** How many to keep by each rule; 0: the rule keeps none. A snapshot stays if any rule keeps it. */
export interface Retention {
  /** The newest, whenever they were made. */
  last: number;
  /** The newest of each of the last hours, days, ISO weeks and months that have one. */
  hourly: number;
  daily: number;
  weekly: number;
  monthly: number;
}

/** The rules by name, in the order in which people read them. */
export const retentionRules = ['last', 'hourly', 'daily', 'weekly', 'monthly'] as const;

/** A snapshot that the schedule made. Those of one instant are kept or let go together. */
export interface Planned {
  /** The planned instant. */
  instantMs: number;
}

/**
 * Those that no rule keeps, oldest first.
 *
 * Spans are those of the schedule's time zone; only spans that have a snapshot are counted, so what
 * was kept stays kept while nothing new is made. Snapshots from after `nowMs` (the clock was set
 * back) neither count nor go. Without any rule nothing goes.
 */
export function expired<T extends Planned>(
  snapshots: readonly T[],
  keep: Retention,
  timezone: string,
  nowMs: number,
): T[] {
  if (retentionRules.every((rule) => keep[rule] === 0)) return [];
  const past = snapshots.filter(({ instantMs }) => instantMs <= nowMs);
  const kept = keptInstants(
    past.map(({ instantMs }) => instantMs),
    keep,
    timezone,
  );
  return past
    .filter(({ instantMs }) => !kept.has(instantMs))
    .sort((a, b) => a.instantMs - b.instantMs);
}

function keptInstants(
  instants: readonly number[],
  keep: Retention,
  timezone: string,
): ReadonlySet<number> {
  const newestFirst = [...new Set(instants)].sort((a, b) => b - a);
  const kept = new Set(newestFirst.slice(0, keep.last));
  const seen = {
    hour: new Set<string>(),
    day: new Set<string>(),
    week: new Set<string>(),
    month: new Set<string>(),
  };
  const rules = [
    { span: 'hour', count: keep.hourly },
    { span: 'day', count: keep.daily },
    { span: 'week', count: keep.weekly },
    { span: 'month', count: keep.monthly },
  ] as const;
  for (const instantMs of newestFirst) {
    const open = rules.filter(({ span, count }) => seen[span].size < count);
    if (open.length === 0) break;
    const spans = spansOf(timezone, instantMs);
    for (const { span } of open) {
      if (seen[span].has(spans[span])) continue;
      seen[span].add(spans[span]);
      kept.add(instantMs);
    }
  }
  return kept;
}
