/** Rates and latencies of readings of counters that only grow: each is of two that follow. */
import { type LatencyBucket, mergeBuckets, percentileBucket } from '../api/latency.js';

/** What is read of a reading; see the contract of statistics. */
export interface Counts {
  atMs: number;
  reads: number;
  writes: number;
  readBytes: number;
  writtenBytes: number;
  errors: number;
  limitedMs: number;
  readLatency: readonly LatencyBucket[];
  writeLatency: readonly LatencyBucket[];
}

/** Between two readings; null: not known, or of latencies that there was nothing. */
export interface Point {
  /** Seconds since 1970, by this browser's clock. */
  at: number;
  readIops: number | null;
  writeIops: number | null;
  readBytes: number | null;
  writtenBytes: number | null;
  readP50: number | null;
  readP99: number | null;
  writeP50: number | null;
  writeP99: number | null;
}

const gap = {
  readIops: null,
  writeIops: null,
  readBytes: null,
  writtenBytes: null,
  readP50: null,
  readP99: null,
  writeP50: null,
  writeP99: null,
};

/** All of them together. */
export function sumOf(parts: readonly Counts[]): Counts | null {
  const [first, ...rest] = parts;
  if (first === undefined) return null;
  return rest.reduce<Counts>(
    (sum, each) => ({
      atMs: sum.atMs,
      reads: sum.reads + each.reads,
      writes: sum.writes + each.writes,
      readBytes: sum.readBytes + each.readBytes,
      writtenBytes: sum.writtenBytes + each.writtenBytes,
      errors: sum.errors + each.errors,
      limitedMs: sum.limitedMs + each.limitedMs,
      readLatency: mergeBuckets(sum.readLatency, each.readLatency, 1),
      writeLatency: mergeBuckets(sum.writeLatency, each.writeLatency, 1),
    }),
    first,
  );
}

/** In nanoseconds, the bound of the bucket that it lies in; null: there is none. */
export function percentileOf(buckets: readonly LatencyBucket[], share: number): number | null {
  return percentileBucket(buckets, share)?.belowNs ?? null;
}

/** @param at seconds since 1970. */
export function pointOf(before: Counts, now: Counts, at: number): Point {
  const seconds = (now.atMs - before.atMs) / 1000;
  // Counters that are smaller are of a daemon that was started anew.
  if (seconds <= 0 || now.reads < before.reads || now.writes < before.writes) {
    return { at, ...gap };
  }
  const reads = mergeBuckets(now.readLatency, before.readLatency, -1);
  const writes = mergeBuckets(now.writeLatency, before.writeLatency, -1);
  return {
    at,
    readIops: (now.reads - before.reads) / seconds,
    writeIops: (now.writes - before.writes) / seconds,
    readBytes: (now.readBytes - before.readBytes) / seconds,
    writtenBytes: (now.writtenBytes - before.writtenBytes) / seconds,
    readP50: percentileOf(reads, 0.5),
    readP99: percentileOf(reads, 0.99),
    writeP50: percentileOf(writes, 0.5),
    writeP99: percentileOf(writes, 0.99),
  };
}

const keptPoints = 150;

/** The newest points of something; they stay while the page is open. */
export class History {
  #last: Counts | null = null;
  points: readonly Point[] = [];

  /** @param everyS how far apart readings are; much more is a gap. */
  add(now: Counts, everyS: number): void {
    const before = this.#last;
    if (before !== null && before.atMs === now.atMs) return;
    this.#last = now;
    if (before === null) return;
    const at = Date.now() / 1000;
    const paused = now.atMs - before.atMs > 3000 * everyS;
    const point = paused ? { at, ...gap } : pointOf(before, now, at);
    this.points = [...this.points, point].slice(-keptPoints);
  }
}
