/** What our own host (initiator) takes and gives: the part of native.ts about it. */
import type { HostHandle } from '../native.js';

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
  nsid: number;
  blockBytes: number;
  /** Total commands in flight a queue. */
  depth: number;
  queues: number;
  ioBytes: number;
  pattern: 'random' | 'sequential';
  /** Share of reads, 0 to 100. */
  readPercent: number;
  /** The range of the namespace that is used, from LBA 0. */
  spanBytes: bigint;
  warmupMs: number;
  durationMs: number;
  seed: bigint;
}

export interface LoadResult {
  commands: bigint;
  bytes: bigint;
  elapsedNs: bigint;
  errors: bigint;
  /** The first error: command, LBA, queue, status; null when none. */
  firstError: string | null;
  /** Latency, ns: [p50, p99, p99.9, max]. */
  latencyNs: [bigint, bigint, bigint, bigint];
  /** CPU time of the host's reactors during the run. */
  hostCpuNs: bigint;
}
