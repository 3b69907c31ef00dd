/**
 * Sizes and durations as people write them, exact in both directions.
 *
 * A size is a whole number of bytes as `bigint`. Binary units (KiB … PiB) are powers of 1,024,
 * decimal ones (kB … PB) powers of 1,000; a bare number counts bytes. `1.5TiB` is fine because it
 * is a whole number of bytes, `0.3B` is not. Nothing here passes through floating point.
 */
import { AshlarError } from '../errors.js';

const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Lower-case unit → bytes. */
const unitBytes: ReadonlyMap<string, bigint> = new Map([
  ['', 1n],
  ['b', 1n],
  ...['k', 'm', 'g', 't', 'p'].flatMap((letter, index): [string, bigint][] => [
    [`${letter}ib`, 1024n ** BigInt(index + 1)],
    [`${letter}b`, 1000n ** BigInt(index + 1)],
  ]),
]);

/** Words that make a good example in a message. */
const goodSizes = "'10GiB', '1.5TiB', '500GB' or '4096' (bytes)";

/**
 * Bytes of a written size such as `10GiB`, `1.5TiB`, `10GB` or `4096`.
 *
 * Letter case does not matter; a space before the unit is allowed. A lone letter (`10G`) is
 * refused, because half of all tools mean 1,000 by it and the other half 1,024.
 *
 * @param what names the value in the error, e.g. `--size`.
 * @throws AshlarError 'invalid-argument'
 */
export function parseSize(text: string, what = 'size'): bigint {
  const match = /^(\d+)(?:\.(\d+))?\s*([a-z]*)$/i.exec(text.trim());
  const [, whole = '', fraction = '', unit = ''] = match ?? [];
  if (match === null || text.length > 40) {
    throw invalidSize(text, what, `is not a size; write for example ${goodSizes}`);
  }
  const scale = unitBytes.get(unit.toLowerCase());
  if (scale === undefined) {
    const letter = /^[kmgtp]$/i.exec(unit)?.[0].toUpperCase();
    const number = fraction === '' ? whole : `${whole}.${fraction}`;
    const advice =
      letter === undefined
        ? `has the unknown unit '${unit}'; write for example ${goodSizes}`
        : `could mean two things; write '${number}${letter}iB' (powers of 1,024) ` +
          `or '${number}${letter === 'K' ? 'k' : letter}B' (powers of 1,000)`;
    throw invalidSize(text, what, advice);
  }
  const denominator = 10n ** BigInt(fraction.length);
  const numerator = (BigInt(whole) * denominator + BigInt(fraction || '0')) * scale;
  if (numerator % denominator !== 0n) {
    throw invalidSize(text, what, 'is not a whole number of bytes');
  }
  return numerator / denominator;
}

function invalidSize(text: string, what: string, advice: string): AshlarError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  return new AshlarError('invalid-argument', `${what} '${shown}' ${advice}`);
}

/**
 * The shortest exact writing of a size: the largest binary unit in which it needs at most two
 * decimals and none is lost, else plain bytes. `parseSize(formatSize(n)) === n` for every n.
 */
export function formatSize(bytes: bigint): string {
  for (let index = binaryUnits.length - 1; index > 0; index -= 1) {
    const scale = 1024n ** BigInt(index);
    if (bytes < scale || (bytes * 100n) % scale !== 0n) continue;
    return `${decimals((bytes * 100n) / scale, 2)}${binaryUnits[index]}`;
  }
  return bytes === 0n ? '0' : `${bytes}B`;
}

/**
 * A size for a table: rounded to one decimal (below 100 of the unit), e.g. `12.3 GiB`. Not exact;
 * programs get numbers.
 */
export function formatSizeShort(bytes: bigint): string {
  let index = 0;
  while (index < binaryUnits.length - 1 && bytes >= 1024n ** BigInt(index + 1)) index += 1;
  const scale = 1024n ** BigInt(index);
  const tenths = (bytes * 10n + scale / 2n) / scale;
  // 1023.95 GiB rounds to 1024 GiB, which people write 1 TiB.
  if (tenths >= 10240n && index < binaryUnits.length - 1) return `1 ${binaryUnits[index + 1]}`;
  const number = tenths < 1000n ? decimals(tenths, 1) : String((bytes + scale / 2n) / scale);
  return `${number} ${binaryUnits[index]}`;
}

/** `scaled` / 10^places, without trailing zeroes. */
function decimals(scaled: bigint, places: number): string {
  const unit = 10n ** BigInt(places);
  const fraction = (scaled % unit).toString().padStart(places, '0').replace(/0+$/, '');
  return fraction === '' ? `${scaled / unit}` : `${scaled / unit}.${fraction}`;
}

const durationMs: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/**
 * Milliseconds of a written duration such as `250ms`, `10s`, `1.5s` or `2m`. A unit is required.
 *
 * @throws AshlarError 'invalid-argument'
 */
export function parseDurationMs(text: string, what = 'duration'): number {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]+)$/i.exec(text.trim());
  const scale = match === null ? undefined : durationMs.get((match[2] ?? '').toLowerCase());
  const value = Number(match?.[1]) * (scale ?? Number.NaN);
  if (!Number.isFinite(value)) {
    throw new AshlarError(
      'invalid-argument',
      `${what} '${text}' is not a duration; write for example '250ms', '10s' or '2m'`,
    );
  }
  return Math.round(value);
}

/** A duration for people: `1.2 s`, `3 min 20 s`, `2 d 4 h`. */
export function formatDurationMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const units: [string, number][] = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ];
  const seconds = Math.floor(ms / 1000);
  const first = units.findIndex(([, size]) => seconds >= size);
  const parts: string[] = [];
  let rest = seconds;
  for (const [name, size] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(' ');
}
