/** What native code counts of the I/O of a namespace, and limits: a part of native.ts. */

/** What a meter counts, since it was made; over all hosts, portals and reactors. */
export interface MeterCounters {
  /** Commands answered: Read, Compare and Verify; Write; the others that change data; Flush. */
  reads: bigint;
  writes: bigint;
  others: bigint;
  flushes: bigint;
  readBytes: bigint;
  writtenBytes: bigint;
  /** Of these, the ones answered with a status other than 0 that is no path status (SCT 3h). */
  errors: bigint;
  /** Commands taken from hosts and not yet answered, now. */
  underWay: number;
  /** Commands that waited for a limit, and for how long in sum. */
  limitedCommands: bigint;
  limitedNs: bigint;
  /**
   * Answered reads and writes by latency, from the arrival of the command at the reactor to its
   * answer on the way out, less the wait for data that R2Ts asked the host for. Element i counts
   * those below `latencyBoundsNs()[i]` and not below the bound before; the last one (one more than
   * there are bounds) all others.
   */
  readLatency: BigUint64Array;
  writeLatency: BigUint64Array;
}

/**
 * Limits of a meter, over all hosts, portals and reactors. Rates are a second, 1 to 2^40; null:
 * none. `iops` and `bytesPerSecond` are for reads and writes together. Compare and Verify count as
 * reads; Write Zeroes, Dataset Management and Copy as writes, the bytes of a Copy once it is done.
 * A Flush is never kept waiting.
 */
export interface MeterLimits {
  readIops: bigint | null;
  writeIops: bigint | null;
  iops: bigint | null;
  readBytesPerSecond: bigint | null;
  writeBytesPerSecond: bigint | null;
  bytesPerSecond: bigint | null;
  /** While credits last, so many percent of each rate; 100 to 10,000; 100: no bursts. */
  burstPercent: number;
  /** So long lasts a burst at full speed from full credits, seconds, 0 to 3,600; 0: no bursts. */
  burstSeconds: number;
}
