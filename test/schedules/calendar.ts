/**
 * A calendar and a cron of our own for tests: slow and simple, minute by minute, and without a line
 * in common with lib/schedules.
 */

import type { Retention } from '../../lib/schedules/retention.js';

const minuteMs = 60_000;
const dayMs = 86_400_000;
const quarterMs = 15 * minuteMs;

/** Wall clock of one zone. Offsets change on quarters of an hour in all zones that tests use. */
export class Wall {
  readonly #format: Intl.DateTimeFormat;
  readonly #offsets = new Map<number, number>();

  constructor(timezone: string) {
    this.#format = new Intl.DateTimeFormat('sv-SE', {
      timeZone: timezone,
      dateStyle: 'short',
      timeStyle: 'medium',
    });
  }

  offsetMs(instantMs: number): number {
    const quarter = Math.floor(instantMs / quarterMs) * quarterMs;
    const known = this.#offsets.get(quarter);
    if (known !== undefined) return known;
    const offset = Date.parse(`${this.#format.format(quarter).replace(' ', 'T')}Z`) - quarter;
    this.#offsets.set(quarter, offset);
    return offset;
  }

  /** The local time as if it were UTC, so that getUTC… give its fields. */
  local(instantMs: number): Date {
    return new Date(instantMs + this.offsetMs(instantMs));
  }
}

/** A cron expression as sets of numbers. */
export interface Fields {
  minutes: readonly number[];
  hours: readonly number[];
  /** 0 (Sunday) to 6. */
  weekdays: readonly number[];
  daysOfMonth: readonly number[];
  /** Whether hours and minutes are fixed: gaps are made up for, and repeats are not repeated. */
  fixed: boolean;
}

export const every = {
  hour: Array.from({ length: 24 }, (_, hour) => hour),
  weekday: [0, 1, 2, 3, 4, 5, 6],
  day: Array.from({ length: 31 }, (_, day) => day + 1),
};

/** Every planned instant in `[fromMs, toMs)`. */
export function plannedInstants(
  fields: Fields,
  timezone: string,
  fromMs: number,
  toMs: number,
): number[] {
  const wall = new Wall(timezone);
  const found: number[] = [];
  for (let now = fromMs; now < toMs; now += minuteMs) {
    if (comes(fields, wall, now)) found.push(now);
  }
  return found;
}

function comes(fields: Fields, wall: Wall, now: number): boolean {
  const matched = matches(fields, wall.local(now));
  if (!fields.fixed) return matched;
  const before = wall.offsetMs(now - minuteMs);
  const gapMs = wall.offsetMs(now) - before;
  for (let skipped = 0; skipped < gapMs; skipped += minuteMs) {
    if (matches(fields, new Date(now + before + skipped))) return true;
  }
  return matched && !isRepeated(wall, now);
}

/** Whether the clock on the wall has shown this time before, up to three hours ago. */
function isRepeated(wall: Wall, now: number): boolean {
  const shown = wall.local(now).getTime();
  for (let ago = quarterMs; ago <= 12 * quarterMs; ago += quarterMs) {
    if (wall.local(now - ago).getTime() === shown) return true;
  }
  return false;
}

function matches(fields: Fields, local: Date): boolean {
  return (
    fields.minutes.includes(local.getUTCMinutes()) &&
    fields.hours.includes(local.getUTCHours()) &&
    fields.weekdays.includes(local.getUTCDay()) &&
    fields.daysOfMonth.includes(local.getUTCDate())
  );
}

// ---- Retention by hand --------------------------------------------------------------------------

export type SpanRule = Exclude<keyof Retention, 'last'>;

/** Name of the span that an instant is in. */
export function spanName(rule: SpanRule, wall: Wall, instantMs: number): string {
  const local = wall.local(instantMs);
  const iso = local.toISOString();
  if (rule === 'hourly') return `${iso.slice(0, 13)} ${wall.offsetMs(instantMs)}`;
  if (rule === 'daily') return iso.slice(0, 10);
  if (rule === 'monthly') return iso.slice(0, 7);
  // Weeks begin on Monday; 1970-01-01 was a Thursday.
  const day = Math.floor(local.getTime() / dayMs);
  return `week ${Math.floor((day + 3) / 7)}`;
}

/** The instants that rules keep, rule by rule, span by span. */
export function keptByHand(all: readonly number[], keep: Retention, zoneName: string): Set<number> {
  const wall = new Wall(zoneName);
  const sorted = [...new Set(all)].sort((a, b) => a - b);
  const kept = new Set(keep.last === 0 ? [] : sorted.slice(-keep.last));
  for (const rule of ['hourly', 'daily', 'weekly', 'monthly'] as const) {
    const newest = new Map<string, number>();
    for (const instantMs of sorted) newest.set(spanName(rule, wall, instantMs), instantMs);
    const ends = [...newest.values()].sort((a, b) => a - b);
    for (const instantMs of ends.slice(Math.max(0, ends.length - keep[rule]))) kept.add(instantMs);
  }
  return kept;
}
