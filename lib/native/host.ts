/** What our own host (initiator) takes and gives: the part of native.ts about it. */
import type { HostHandle, LocalHandle } from '../native.js';

export interface HostOptions {
  address: string;
  port: number;
  subnqn: string;
  hostnqn: string;
  /** 16 bytes. */
  hostid: Uint8Array;
  ioQueues: number;
  /** Entries of each I/O queue, 2 to 1024. */
  queueDepth: number;
  headerDigest: boolean;
  dataDigest: boolean;
  /** 0: no keep-alive. */
  keepAliveMs: number;
  connectTimeoutMs: number;
}

export interface HostConnected {
  host: HostHandle;
  cntlid: number;
  ioQueues: number;
  queueDepth: number;
}

export interface HostCommand {
  /** 0: the admin queue. */
  qid: number;
  /** 64 bytes; CID and the SGL are filled in. */
  sqe: Uint8Array;
  dataOut: Uint8Array | null;
  /** Bytes expected from the controller; 0: none. */
  dataInBytes: number;
}

export interface HostCompletion {
  status: number;
  doNotRetry: boolean;
  result: bigint;
  /** Exactly `dataInBytes` long (zero-filled where fewer came); null when 0 was asked. */
  data: Uint8Array | null;
  /** Bytes that really came. */
  dataBytes: number;
}

export interface LoadOptions {
  /** Namespaces that the load is spread over; the same part of each is used. 1 to 1,024. */
  nsids: number[];
  blockBytes: number;
  /** Commands in flight a queue; with a rate, the most that may be. */
  depth: number;
  queues: number;
  ioBytes: number;
  pattern: 'random' | 'sequential' | 'zipf';
  /** Skew of 'zipf', above 0 and at most 8; 0 for the others. */
  zipfTheta: number;
  /** Share of reads, 0 to 100. */
  readPercent: number;
  /** The range of each namespace that is used, from LBA 0. */
  spanBytes: bigint;
  /**
   * Commands a second over all queues, due at equal distances; latency then counts from when a
   * command was due. 0: the next is sent when one is answered, and latency counts from then.
   */
  ratePerSecond: number;
  /**
   * Writes carry stamps and reads are held against them, block by block of 4 KiB; at the end all
   * that was written is read once more. `ioBytes` and `spanBytes` are multiples of 4,096.
   */
  verify: boolean;
  warmupMs: number;
  durationMs: number;
  /** Ends after so many commands; 0: when the time is over. Sequential: each block once. */
  maxCommands: bigint;
  /** Ends after so many errors; 0: goes on. */
  maxErrors: number;
  seed: bigint;
}

/** What went wrong first. */
export interface LoadFailure {
  /** 'lost': answered by nobody; applied or not. 'never-sent': the connection had ended before. */
  kind: 'status' | 'lost' | 'never-sent' | 'wrong-data';
  op: 'read' | 'write';
  nsid: number;
  /** In blocks of the namespace; of wrong data, the first wrong block. */
  lba: bigint;
  blocks: number;
  queue: number;
  /** SCT << 8 | SC, 0 where there was none; of a local device the errno. */
  status: number;
  /** All of it in one line. */
  message: string;
}

/**
 * Latencies of 1/1,024 resolution, as HdrHistogram has them with 3 digits: below 2,048 ns each
 * value has a bucket of its own, above that each power of two has 1,024.
 */
export interface LoadHistogram {
  /** Of the buckets that are not empty, ascending. */
  indexes: number[];
  counts: number[];
  minNs: bigint;
  maxNs: bigint;
  sumNs: bigint;
}

export interface LoadResult {
  /** In the measured time, the successful ones. */
  commands: bigint;
  bytes: bigint;
  elapsedNs: bigint;
  /** Over the whole run, warm-up included. */
  errors: bigint;
  /** The first error: command, LBA, queue, status; null when none. */
  firstError: string | null;
  failure: LoadFailure | null;
  /** Latency of reads and writes together, ns: [p50, p99, p99.9, max]. */
  latencyNs: [bigint, bigint, bigint, bigint];
  reads: LoadHistogram;
  writes: LoadHistogram;
  /** With a rate: commands that were due and not sent when the time was over. */
  behind: bigint;
  /** Blocks of 4 KiB whose stamps were looked at, and those that were wrong. */
  verifiedBlocks: bigint;
  wrongBlocks: bigint;
  /** CPU time of the host's reactors during the run. */
  hostCpuNs: bigint;
}

/** A file or block device to load without a network: what the machine itself allows. */
export interface LocalOptions {
  path: string;
  /** A file that is not there is made with this size, and removed at the end. null: it is. */
  createSizeBytes: bigint | null;
  readOnly: boolean;
}

export interface LocalOpened {
  local: LocalHandle;
  sizeBytes: bigint;
  /** Offsets and lengths are multiples of this. */
  blockBytes: number;
  /** False: through the page cache, as the file system has no direct I/O. */
  direct: boolean;
}

/** Bytes of one message each way, as TCP carries them. */
export interface LoopbackMessages {
  requestBytes: number;
  responseBytes: number;
}

/** The threads of one side; connections are dealt out to them in turn. */
export interface LoopbackThreads {
  /** 1 to 64. */
  threads: number;
  /** One for each; null: not pinned. */
  cpus: number[] | null;
}

export type LoopbackWay = 'blocking' | 'spin' | 'epoll' | 'uring';

/** Exchanges over 127.0.0.1 in this process, without a protocol: what the machine itself allows. */
export interface LoopbackOptions {
  read: LoopbackMessages;
  write: LoopbackMessages;
  /** Share of `read` among the exchanges, 0 to 100. */
  readPercent: number;
  /** Requests under way on each connection. */
  depth: number;
  /** 1 to 256. */
  connections: number;
  /** Memory on each side that payload moves through; 0: it stays in the processor's cache. */
  touchBytes: bigint;
  requester: LoopbackThreads;
  responder: LoopbackThreads;
  /** Of each way, after a tenth of it that does not count. */
  durationMs: number;
  /** null: all that can run here, one after the other. */
  way: LoopbackWay | null;
}

export interface LoopbackWayResult {
  way: LoopbackWay;
  /** Why it did not run; the figures are 0 then. */
  leftOut: string | null;
  perSecond: number;
  /** CPUs that each side took: far below its threads in 'spin' or 'epoll', somebody else had them. */
  requesterCpus: number;
  responderCpus: number;
  /** [p50, p99, p99.9, max]; null: more than one request was under way. */
  latencyNs: [bigint, bigint, bigint, bigint] | null;
}

export interface LoopbackResult {
  /** Of the best way. */
  perSecond: number;
  best: LoopbackWay;
  /** Congestion control of the connections. */
  congestion: string;
  ways: LoopbackWayResult[];
}
