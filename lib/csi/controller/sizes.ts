/** From a range of sizes to the size of a volume. */
import { formatSize } from '../../config/units.js';
import { CsiError } from '../errors.js';
import type { Decoded } from '../wire/fields.js';
import type { CapacityRange } from '../wire/messages.js';

export type Range = Decoded<typeof CapacityRange> | null;

/** 64 TiB: as large as a volume can be. */
export const maxVolumeBytes = 64n << 40n;

/** When nothing is asked for; 1 GiB. */
const standardBytes = 1n << 30n;

/** @throws CsiError OUT_OF_RANGE when no size is in it. */
export function checkRange(range: Range): void {
  const { requiredBytes: required, limitBytes: limit } = range ?? none;
  if (required < 0n || limit < 0n) {
    throw outOfRange(`a size cannot be negative: required ${required}, limit ${limit} bytes`);
  }
  if (limit !== 0n && limit < required) {
    throw outOfRange(`at least ${text(required)} is asked for, and at most ${text(limit)}`);
  }
  if (required > maxVolumeBytes) {
    throw outOfRange(`${text(required)} is over the limit of a volume, ${text(maxVolumeBytes)}`);
  }
}

const none = { requiredBytes: 0n, limitBytes: 0n };

/**
 * The size of a new volume: the least that is asked for, in whole blocks.
 *
 * @param source size of what it is made from; null: it is empty.
 * @throws CsiError OUT_OF_RANGE.
 */
export function sizeWithin(range: Range, blockBytes: number, source: bigint | null): bigint {
  checkRange(range);
  const { requiredBytes: required, limitBytes: limit } = range ?? none;
  const block = BigInt(blockBytes);
  if (source !== null && required !== 0n && roundUp(required, block) < source) {
    throw outOfRange(`${text(required)} is less than the source has, ${text(source)}`);
  }
  const standard = limit === 0n || limit >= standardBytes ? standardBytes : limit - (limit % block);
  const size = required === 0n ? (source ?? standard) : roundUp(required, block);
  if (limit !== 0n && size > limit) {
    const why = required === 0n ? 'the source has' : `${text(required)} in whole blocks is`;
    throw outOfRange(`${why} ${text(size)}, and at most ${text(limit)} is asked for`);
  }
  if (size === 0n) throw outOfRange(`${text(limit)} is less than one block of ${blockBytes} bytes`);
  return size;
}

/** Whether a volume of that size is what was asked for. */
export function isWithin(range: Range, size: bigint): boolean {
  const { requiredBytes: required, limitBytes: limit } = range ?? none;
  return size >= required && (limit === 0n || size <= limit);
}

/** For messages. */
export function rangeText(range: Range): string {
  const { requiredBytes: required, limitBytes: limit } = range ?? none;
  const most = limit === 0n ? '' : `at most ${text(limit)}`;
  return required === 0n ? most : `at least ${text(required)}${most && ` and ${most}`}`;
}

function roundUp(bytes: bigint, block: bigint): bigint {
  return ((bytes + block - 1n) / block) * block;
}

function text(bytes: bigint): string {
  return formatSize(bytes);
}

function outOfRange(message: string): CsiError {
  return new CsiError('OUT_OF_RANGE', message);
}
