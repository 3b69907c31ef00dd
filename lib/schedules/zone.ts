/** Calendar of a time zone: which local hour, day, ISO week and month an instant falls into. */
import { AshlarError } from '../errors.js';

/** The fields of a local time. */
interface LocalTime {
  year: number;
  /** 1 to 12. */
  month: number;
  day: number;
  hour: number;
  /** Local time minus UTC. */
  offsetMinutes: number;
}

/** Spans of the local calendar. Two instants with equal keys are in the same span. */
export interface Spans {
  hour: string;
  day: string;
  week: string;
  month: string;
}

const dayMs = 86_400_000;

/** @throws AshlarError invalid-argument. */
export function checkTimezone(name: string): void {
  // Newer runtimes also take offsets such as +01:00, which know nothing of daylight saving.
  if (/^[A-Za-z]/.test(name) && formatOf(name) !== null) return;
  throw new AshlarError(
    'invalid-argument',
    `time zone '${name}' is not known; give an IANA name such as 'UTC' or 'Europe/Berlin' ` +
      '("timedatectl list-timezones" lists them)',
  );
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timezone: string): Intl.DateTimeFormat | null {
  const known = formats.get(timezone);
  if (known !== undefined) return known;
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(timezone, format);
    return format;
  } catch {
    return null;
  }
}

function localTime(timezone: string, instantMs: number): LocalTime {
  const format = formatOf(timezone);
  if (format === null) throw new RangeError(`no time zone '${timezone}'`);
  const fields = new Map<string, number>();
  for (const { type, value } of format.formatToParts(instantMs)) fields.set(type, Number(value));
  const field = (name: string): number => fields.get(name) ?? 0;
  const [year, month, day, hour] = [field('year'), field('month'), field('day'), field('hour')];
  const local = Date.UTC(year, month - 1, day, hour, field('minute'), field('second'));
  const offsetMinutes = Math.round((local - Math.floor(instantMs / 1000) * 1000) / 60_000);
  return { year, month, day, hour, offsetMinutes };
}

/** The spans that an instant falls into, in a zone for which {@link checkTimezone} holds. */
export function spansOf(timezone: string, instantMs: number): Spans {
  const { year, month, day, hour, offsetMinutes } = localTime(timezone, instantMs);
  return {
    // With the offset, as the hour that comes twice in autumn is two hours.
    hour: `${year}-${month}-${day} ${hour} ${offsetMinutes}`,
    day: `${year}-${month}-${day}`,
    week: isoWeek(year, month, day),
    month: `${year}-${month}`,
  };
}

/** ISO 8601: weeks begin on Monday and belong to the year that has their Thursday. */
function isoWeek(year: number, month: number, day: number): string {
  const date = Date.UTC(year, month - 1, day);
  const daysAfterMonday = (new Date(date).getUTCDay() + 6) % 7;
  const thursday = new Date(date + (3 - daysAfterMonday) * dayMs);
  const weekYear = thursday.getUTCFullYear();
  const dayOfYear = Math.round((thursday.getTime() - Date.UTC(weekYear, 0, 1)) / dayMs);
  return `${weekYear}-W${Math.floor(dayOfYear / 7) + 1}`;
}
