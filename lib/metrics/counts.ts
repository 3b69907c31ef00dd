/** What a meter has counted, as plain numbers in one array, so that sums are cheap. */
import type { MeterCounters } from '../native.js';
import { type LatencyBuckets, latencyCells } from './latency.js';

/** Where each count is. */
export const cell = {
  reads: 0,
  writes: 1,
  others: 2,
  flushes: 3,
  readBytes: 4,
  writtenBytes: 5,
  errors: 6,
  limitedCommands: 7,
  limitedSeconds: 8,
  readLatency: 9,
  writeLatency: 9 + latencyCells,
} as const;

const cells = cell.writeLatency + latencyCells;

export interface Counts {
  /** By {@link cell}; they only grow. */
  grown: Float64Array;
  /** Now. */
  underWay: number;
}

export function noCounts(): Counts {
  return { grown: new Float64Array(cells), underWay: 0 };
}

export function countsOf(counters: MeterCounters, buckets: LatencyBuckets): Counts {
  const counts = noCounts();
  const { grown } = counts;
  grown[cell.reads] = Number(counters.reads);
  grown[cell.writes] = Number(counters.writes);
  grown[cell.others] = Number(counters.others);
  grown[cell.flushes] = Number(counters.flushes);
  grown[cell.readBytes] = Number(counters.readBytes);
  grown[cell.writtenBytes] = Number(counters.writtenBytes);
  grown[cell.errors] = Number(counters.errors);
  grown[cell.limitedCommands] = Number(counters.limitedCommands);
  grown[cell.limitedSeconds] = Number(counters.limitedNs) / 1e9;
  buckets.condense(counters.readLatency, grown, cell.readLatency);
  buckets.condense(counters.writeLatency, grown, cell.writeLatency);
  counts.underWay = counters.underWay;
  return counts;
}

export function add(to: Counts, more: Counts): void {
  for (let at = 0; at < cells; at += 1) to.grown[at] = (to.grown[at] ?? 0) + (more.grown[at] ?? 0);
  to.underWay += more.underWay;
}
