/**
 * Latency histograms as results keep them: HdrHistogram's own V2 encoding, so that every tool of
 * that family reads them too. Buckets are those of an HdrHistogram from 1 ns with three significant
 * digits: up to 2,047 a bucket for each value, then 1,024 for each power of two.
 */
import { deflateSync, inflateSync } from 'node:zlib';
import { AshlarError } from '../errors.js';
import type { LoadHistogram } from '../native.js';
import type { Percentiles } from './results.js';

const subBits = 10;
const subCount = 2 ** subBits;
/** Native code counts what is longer than 2^40 ns as that. */
const highestTrackable = 2 ** 40 - 1;
const bucketCount = (40 - subBits + 1) * subCount;
const cookie = 0x1c849303 | 0x10;
const compressedCookie = 0x1c849304 | 0x10;
const headerBytes = 40;

/** The largest value of a bucket, ns. */
export function lastOf(index: number): number {
  if (index < 2 * subCount) return index;
  const shift = Math.floor(index / subCount) - 1;
  return (subCount + (index % subCount) + 1) * 2 ** shift - 1;
}

/** Counts by bucket; the extremes and the sum are exact where they are known. */
export class LatencyHistogram {
  readonly #counts = new Map<number, number>();
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  /** What a load gave. */
  static of(load: LoadHistogram): LatencyHistogram {
    const histogram = new LatencyHistogram();
    load.indexes.forEach((index, at) => {
      histogram.#add(index, load.counts[at] ?? 0);
    });
    histogram.#sum = Number(load.sumNs);
    if (histogram.#count > 0) histogram.#min = Number(load.minNs);
    histogram.#max = Number(load.maxNs);
    return histogram;
  }

  /** For tests and tools: one value, ns. */
  record(value: number, count = 1): void {
    const at = Math.min(Math.max(0, Math.floor(value)), highestTrackable);
    const exponent = at < 2 * subCount ? subBits : Math.floor(Math.log2(at));
    const sub = Math.floor(at / 2 ** (exponent - subBits));
    const index = at < 2 * subCount ? at : (exponent - subBits) * subCount + sub;
    this.#add(index, count);
    this.#sum += value * count;
    this.#min = Math.min(this.#min, value);
    this.#max = Math.max(this.#max, value);
  }

  merge(other: LatencyHistogram): void {
    for (const [index, count] of other.#counts) this.#add(index, count);
    this.#sum += other.#sum;
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
  }

  get count(): number {
    return this.#count;
  }

  get max(): number {
    return this.#max;
  }

  /** The value, ns, that the share (0 to 1) of the commands did not exceed; 0 when empty. */
  percentile(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (const [index, count] of this.buckets()) {
      seen += count;
      if (seen >= wanted) return Math.min(lastOf(index), this.#max);
    }
    return this.#max;
  }

  percentiles(): Percentiles {
    return {
      min: this.#count === 0 ? 0 : this.#min,
      mean: this.#count === 0 ? 0 : this.#sum / this.#count,
      p50: this.percentile(0.5),
      p90: this.percentile(0.9),
      p99: this.percentile(0.99),
      p999: this.percentile(0.999),
      p9999: this.percentile(0.9999),
      max: this.#max,
    };
  }

  /** Index and count of the buckets that are not empty, ascending. */
  buckets(): [number, number][] {
    return [...this.#counts].sort(([a], [b]) => a - b);
  }

  /** HdrHistogram V2, compressed, base64. */
  encode(): string {
    const payload: number[] = [];
    let next = 0;
    for (const [index, count] of this.buckets()) {
      if (index > next) putZigZag(payload, -(index - next));
      putZigZag(payload, count);
      next = index + 1;
    }
    const bytes = Buffer.alloc(headerBytes + payload.length);
    bytes.writeInt32BE(cookie, 0);
    bytes.writeInt32BE(payload.length, 4);
    bytes.writeInt32BE(0, 8);
    bytes.writeInt32BE(3, 12);
    bytes.writeBigInt64BE(1n, 16);
    bytes.writeBigInt64BE(BigInt(highestTrackable), 24);
    bytes.writeDoubleBE(1, 32);
    bytes.set(payload, headerBytes);
    const packed = deflateSync(bytes);
    const head = Buffer.alloc(8);
    head.writeInt32BE(compressedCookie, 0);
    head.writeInt32BE(packed.length, 4);
    return Buffer.concat([head, packed]).toString('base64');
  }

  /**
   * Reads what {@link encode} wrote; extremes and sum are then those of the buckets.
   *
   * @throws AshlarError 'invalid-argument'
   */
  static decode(text: string): LatencyHistogram {
    try {
      return decoded(text);
    } catch (error) {
      const cause = { cause: error };
      throw new AshlarError('invalid-argument', 'a histogram in the result is damaged', cause);
    }
  }

  #add(index: number, count: number): void {
    if (count === 0) return;
    this.#counts.set(index, (this.#counts.get(index) ?? 0) + count);
    this.#count += count;
  }
}

function decoded(text: string): LatencyHistogram {
  const packed = Buffer.from(text, 'base64');
  if (packed.readInt32BE(0) !== compressedCookie) throw new Error('not a histogram');
  // Each bucket takes 9 bytes at most.
  const limit = headerBytes + 9 * bucketCount;
  const bytes = inflateSync(packed.subarray(8), { maxOutputLength: limit });
  if (bytes.readInt32BE(0) !== cookie || bytes.readInt32BE(12) !== 3) {
    throw new Error('another kind of histogram');
  }
  const histogram = new LatencyHistogram();
  const end = headerBytes + bytes.readInt32BE(4);
  let index = 0;
  for (let at = headerBytes; at < end; ) {
    const [value, next] = takeZigZag(bytes, at);
    at = next;
    if (value < 0) index -= value;
    else {
      if (index >= bucketCount) throw new Error('more buckets than there are');
      if (value > 0) histogram.record(lastOf(index), value);
      index += 1;
    }
  }
  return histogram;
}

/** ZigZag and LEB128, of 64 bits: the ninth byte has eight of them. */
function putZigZag(into: number[], value: number): void {
  let left = value < 0 ? BigInt(-value) * 2n - 1n : BigInt(value) * 2n;
  for (let byte = 0; byte < 8; byte += 1) {
    if (left < 0x80n) {
      into.push(Number(left));
      return;
    }
    into.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  }
  into.push(Number(left & 0xffn));
}

function takeZigZag(bytes: Buffer, from: number): [value: number, next: number] {
  let value = 0n;
  let at = from;
  for (let byte = 0; ; byte += 1) {
    const piece = bytes.readUInt8(at);
    at += 1;
    if (byte === 8) {
      value |= BigInt(piece) << 56n;
      break;
    }
    value |= BigInt(piece & 0x7f) << BigInt(7 * byte);
    if (piece < 0x80) break;
  }
  const signed = (value & 1n) === 0n ? value >> 1n : -((value + 1n) >> 1n);
  return [Number(signed), at];
}
