/** What people write in fields, and the limits that the API has for it. */
import {
  burstPercentRange,
  burstSecondsRange,
  maxNqnLength,
  maxRate,
  namePattern,
  weightRange,
} from '../../api/limits.js';
import { parseSize } from '../../config/units.js';
import { AshlarError } from '../../errors.js';
import type { Values } from './task.js';

/** Refuses what is not valid; the message does not name the field. @throws AshlarError. */
export type Check = (text: string) => unknown;

export const of = (values: Values, name: string): string => (values[name] ?? '').trim();

/** Those that are written, one a line. */
export const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

function wrong(text: string, wanted: string): never {
  throw new AshlarError('invalid-argument', `Give ${wanted}, not '${text.slice(0, 60)}'.`);
}

export const nameHint =
  "1 to 63 of a–z, A–Z, 0–9, '.', '_' and '-', beginning with a letter or digit.";

export const checkName: Check = (text) =>
  namePattern.test(text) ||
  wrong(text, "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit");

/** As the daemon has it: 'nqn.' and a date, up to a length. */
export const checkNqn: Check = (text) => {
  if (text.length > maxNqnLength || !/^nqn\.\d{4}-\d{2}\../.test(text)) {
    wrong(text, `an NQN of up to ${maxNqnLength} letters, such as 'nqn.2014-08.org.nvmexpress:…'`);
  }
};

export const checkNqnOrAny: Check = (text) => text === '*' || checkNqn(text);

/** Thousands apart, or `5k`, `1.5M`. */
const thousands: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

export function wholeOf(text: string, low: number, high: number): number {
  const [, number, unit = ''] = /^(\d[\d,]*(?:\.\d+)?)\s*([kmg]?)$/i.exec(text) ?? [];
  const scale = thousands[unit.toLowerCase()] ?? Number.NaN;
  const value = Math.round(Number(number?.replaceAll(',', '')) * scale * 1000) / 1000;
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  const limit = high < Number.MAX_SAFE_INTEGER ? `from ${low} to ${high}` : `of at least ${low}`;
  return wrong(text, `a whole number ${limit}`);
}

export const wholeNumber =
  (low: number, high: number): Check =>
  (text) =>
    wholeOf(text, low, high);

/** Bytes of a size, with or without `/s`. @throws AshlarError. */
export function bytesOf(text: string, low = 0, high = Number.MAX_SAFE_INTEGER): number {
  const bytes = Number(parseSize(text.replace(/\/s$/, ''), ''.trim()));
  if (bytes >= low && bytes <= high) return bytes;
  return wrong(text, high === maxRate ? 'a size from 1 byte to 1 TiB' : `at least ${low} bytes`);
}

export const checkSize: Check = (text) => bytesOf(text, 512);
export const checkRate: Check = (text) => wholeOf(text, 1, maxRate);
export const checkByteRate: Check = (text) => bytesOf(text, 1, maxRate);
export const checkBurstPercent = wholeNumber(...burstPercentRange);
export const checkBurstSeconds = wholeNumber(...burstSecondsRange);
export const checkWeight = wholeNumber(...weightRange);

/** A value of an object as one writes it; null: nothing. */
export const written = (value: number | null): string => (value === null ? '' : String(value));

/** Bytes as a size that means the same number. */
export { formatSize } from '../../config/units.js';
