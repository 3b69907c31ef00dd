/**
 * Cron expressions of five fields, in a time zone. The library reads and evaluates them; here are
 * our refusals, which name the field, its value and what is possible.
 *
 * Daylight saving, as in Vixie cron: an expression with fixed hours and minutes whose time is
 * skipped runs right after the gap, and one whose time comes twice runs the first time only. One
 * with a wildcard or a step follows the clock on the wall through both.
 */
import { Cron } from 'croner';
import { AshlarError } from '../errors.js';

/** Instants are milliseconds since 1970, whole minutes. */
export interface CronPlan {
  /** The first planned instant after this one; null: there is none. */
  next(afterMs: number): number | null;
  /** The last planned instant not after this one; null: there is none. */
  latest(untilMs: number): number | null;
}

interface Field {
  name: string;
  possible: string;
}

const fields: readonly Field[] = [
  { name: 'minute', possible: '0 to 59' },
  { name: 'hour', possible: '0 to 23' },
  { name: 'day of month', possible: '1 to 31, or L for the last' },
  { name: 'month', possible: '1 to 12 or JAN to DEC' },
  { name: 'day of week', possible: '0 to 7 or SUN to SAT (0 and 7 are Sunday)' },
];

const nicknames = ['@hourly', '@daily', '@weekly', '@monthly', '@yearly'];
const maxLength = 200;
const secondMs = 1000;

/** For an expression and a zone that {@link checkCron} and `checkTimezone` have let pass. */
export function cronPlan(expression: string, timezone: string): CronPlan {
  const cron = read(expression, timezone);
  return {
    next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() ?? null,
    // The library gives what is strictly before a whole second.
    latest: (untilMs) => {
      const before = new Date((Math.floor(untilMs / secondMs) + 1) * secondMs);
      return cron.previousRuns(1, before)[0]?.getTime() ?? null;
    },
  };
}

function read(expression: string, timezone: string): Cron {
  return new Cron(expression, {
    paused: true,
    mode: '5-part',
    timezone,
    fixedTimeRule: 'no-wildcard',
  });
}

/**
 * Refuses what is no expression, what would run more often than once a minute, and what never
 * comes.
 *
 * @param timezone one for which `checkTimezone` holds.
 * @throws AshlarError invalid-argument.
 */
export function checkCron(expression: string, timezone: string, nowMs: number): void {
  const shown = expression.length > 80 ? `${expression.slice(0, 80)}…` : expression;
  const refuse = (why: string): never => {
    throw new AshlarError('invalid-argument', `cron '${shown}': ${why}`);
  };
  if (expression.length > maxLength) refuse(`longer than ${maxLength} characters`);
  const text = expression.trim();
  if (text.startsWith('@')) {
    if (!nicknames.includes(text.toLowerCase())) {
      refuse(`'${text}' is not known; give one of ${nicknames.join(', ')}, or five fields`);
    }
    return;
  }
  const parts = text === '' ? [] : text.split(/\s+/);
  if (parts.length === 6 || parts.length === 7) {
    refuse(
      `${parts.length} fields, so the first would be seconds; once a minute ('* * * * *') is the ` +
        'most. Give five fields: minute, hour, day of month, month, day of week',
    );
  }
  if (parts.length !== fields.length) {
    refuse(
      `${parts.length} fields instead of five: minute, hour, day of month, month, day of week; ` +
        "for example '0 2 * * *', at 02:00 every day",
    );
  }
  for (const [index, part] of parts.entries()) checkField(index, part, refuse);
  if (read(text, timezone).nextRun(new Date(nowMs)) === null) refuse(neverWhy(parts));
}

/** The library is asked about one field at a time, so that we know which it does not like. */
function checkField(index: number, part: string, refuse: (why: string) => never): void {
  const { name, possible } = fields[index] ?? { name: 'field', possible: '' };
  const alone = fields.map((_, each) => (each === index ? part : '*')).join(' ');
  const listed = `possible are ${possible}, and of these lists (1,2), ranges (1-5) and steps (*/5)`;
  // The library takes '?' for the present time, which would be another one at the next start.
  if (part.includes('?')) refuse(`${name} '${part}' is not possible; write '*'; ${listed}`);
  try {
    read(alone, 'UTC');
  } catch {
    refuse(`${name} '${part}' is not possible; ${listed}`);
  }
}

function neverWhy(parts: readonly string[]): string {
  const [, , day = '*', month = '*', weekday = '*'] = parts;
  const which = weekday === '*' ? '' : ` on day of week '${weekday}'`;
  return (
    `never comes: no month of '${month}' has a day '${day}'${which}. February has 28 or 29 days, ` +
    "April, June, September and November have 30; 'L' is the last day of a month"
  );
}
