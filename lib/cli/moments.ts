/** Moments as people write them: how long ago, or when. */
import { parseDurationMs } from '../config/units.js';
import { AshlarError } from '../errors.js';

const dayMs = 24 * 3_600_000;

/**
 * `2h` (ago), `03:00` (the last there was), `2026-11-29`, `2026-11-29 03:00` (of this machine's
 * clock), `2026-11-29T03:00:00Z`.
 *
 * @param what how the option is called.
 * @throws AshlarError usage.
 */
export function momentMs(text: string, what: string, nowMs: number): number {
  const word = text.trim();
  if (/^\d+(?:\.\d+)?\s*[a-z]+$/i.test(word)) return nowMs - ago(word, what);
  const clock = /^(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(word);
  if (clock !== null) {
    const [hours, minutes, seconds] = [clock[1], clock[2], clock[3] ?? 0].map(Number);
    if ((hours ?? 24) < 24 && (minutes ?? 60) < 60 && (seconds ?? 60) < 60) {
      const today = new Date(nowMs).setHours(hours ?? 0, minutes, seconds, 0);
      return today <= nowMs ? today : today - dayMs;
    }
  }
  const date =
    /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:\d{2})?)?$/i;
  const [, day, time = '00:00', zone = ''] = date.exec(word) ?? [];
  // A time without a zone is of this machine; a date alone would be of UTC.
  const ms = day === undefined ? Number.NaN : Date.parse(`${day}T${time}${zone.toUpperCase()}`);
  if (!Number.isNaN(ms) && isDay(day ?? '')) return ms;
  throw new AshlarError(
    'usage',
    `${what} '${text}' is no moment; write how long ago, such as '2h', or when, such as '03:00' or ` +
      "'2026-11-29 03:00'",
  );
}

function ago(text: string, what: string): number {
  try {
    return parseDurationMs(text, what);
  } catch (thrown) {
    if (!(thrown instanceof AshlarError)) throw thrown;
    throw new AshlarError('usage', thrown.message, { cause: thrown });
  }
}

/** Date.parse takes the 31st of a month that has 30 days as the next one's first. */
function isDay(day: string): boolean {
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}
