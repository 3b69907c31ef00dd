/**
 * What a benchmark is made of and what it leaves: the JSON that `ashlar bench` writes, and that
 * `report` and `compare` read. Times are nanoseconds, sizes bytes, as JSON numbers.
 */

/** First of every result file; it changes when an older reader would misread a newer one. */
export const resultFormat = 'ashlar-bench-1';

export type Pattern = 'random' | 'sequential' | 'zipf';

/** What is sent, and how much of it at a time. */
export interface Workload {
  pattern: Pattern;
  /** Skew of 'zipf', above 0; null for the other patterns. */
  zipfTheta: number | null;
  /** 0 to 100; the rest are writes. */
  readPercent: number;
  ioBytes: number;
  /** I/O queues, each a connection of its own. */
  queues: number;
  /** Commands in flight a queue; with a rate, the most that may be. */
  depth: number;
  /**
   * Commands a second over all queues, whatever the answers do: latency then counts from when a
   * command was due. null: the next is sent when one is answered, and latency counts from then.
   */
  ratePerSecond: number | null;
  /** Every block carries a stamp that each read is held against. */
  verify: boolean;
  /** Header and data digests. */
  digests: boolean;
}

/** What the workload meets. */
export interface Setting {
  /** Volumes that it is spread over evenly. */
  volumes: number;
  /** The part of each volume that is used, from its beginning. */
  spanBytes: number;
  /** Snapshots of each volume before the first round, with fresh writes on each. */
  snapshots: number;
  /**
   * Before each round: 'as-is': nothing. 'filled': every block of the span has been written since
   * the volumes were made. 'fresh-snapshot': a snapshot is taken, so that all is shared.
   */
  state: 'as-is' | 'filled' | 'fresh-snapshot';
}

export interface Scenario {
  /** Unique in a run and the same in every run of it: results are matched by it. */
  name: string;
  workload: Workload;
  setting: Setting;
}

/** Latency at these shares of the commands; {@link Round.readLatencyNs}. */
export interface Percentiles {
  min: number;
  mean: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  p9999: number;
  max: number;
}

/** What the machine allows for the same bytes without any of the work, in the same round. */
export interface Limit {
  /** What was measured, e.g. 'loopback TCP' or 'io_uring on /dev/nvme0n1'. */
  what: string;
  /** Exchanges or I/Os a second. */
  perSecond: number;
}

/** The first thing that went wrong in a round. */
export interface Failure {
  /**
   * 'status': the controller failed a command. 'lost': the connection ended. 'wrong-data': a stamp
   * is not what was written. 'setup': no command was involved.
   */
  kind: 'status' | 'lost' | 'wrong-data' | 'setup';
  /** One line: command, LBA, queue and what is wrong. */
  message: string;
  op: 'read' | 'write' | null;
  nsid: number | null;
  lba: number | null;
  queue: number | null;
}

/** One turn of a scenario on one subject. Rounds of all subjects are interleaved. */
export interface Round {
  /** 0-based; rounds of several subjects with one index ran one after the other. */
  index: number;
  /** ISO 8601. */
  startedAt: string;
  elapsedNs: number;
  commands: number;
  bytes: number;
  iops: number;
  bytesPerSecond: number;
  /** null: none were sent. */
  readLatencyNs: Percentiles | null;
  writeLatencyNs: Percentiles | null;
  /** Both together. */
  latencyNs: Percentiles;
  /** CPU time of the load generator's threads. */
  hostCpuNs: number;
  /** CPU time of the target's process, all threads; null: not known. */
  targetCpuNs: number | null;
  /** With a rate: commands that were due and still not sent when the time was over. */
  behind: number;
  /** Blocks of 4 KiB whose stamps were held against what was written. */
  verifiedBlocks: number;
  errors: number;
  failure: Failure | null;
  limit: Limit | null;
  /** Load average of the machine at the end, one minute. */
  loadAverage: number;
}

/** Of the rounds that have no failure. */
export interface Summary {
  median: number;
  min: number;
  max: number;
}

export interface ScenarioResult {
  scenario: Scenario;
  /** {@link Subject.name}. */
  subject: string;
  rounds: Round[];
  /** null: no round was without failure. */
  iops: Summary | null;
  bytesPerSecond: Summary | null;
  p50Ns: Summary | null;
  p99Ns: Summary | null;
  p999Ns: Summary | null;
  /** CPU time of the target for each command. null: not known. */
  targetCpuNsPerCommand: Summary | null;
  hostCpuNsPerCommand: Summary | null;
  /** Median of {@link Limit.perSecond}. */
  limit: Limit | null;
  /** Median over rounds of iops / limit of the same round. */
  shareOfLimit: Summary | null;
  /** Over all rounds without failure: HdrHistogram V2, compressed, base64; 3 digits, ns. */
  readHistogram: string | null;
  writeHistogram: string | null;
}

/** What was measured. */
export interface Subject {
  /** Unique in a run. */
  name: string;
  /** 'self': an Ashlar that the benchmark started. 'local': a file or device, without a network. */
  kind: 'self' | 'target' | 'local';
  /** One line for people: model, address, pool, size. */
  description: string;
  /** Version, options and whatever else can change its figures. */
  facts: Record<string, string>;
}

export interface Machine {
  hostname: string;
  cpuModel: string;
  cpus: number;
  memoryBytes: number;
  kernel: string;
  congestionControl: string;
  /** One minute. */
  loadAverage: number;
  /** One cache line there and back between two CPUs; it doubles in a slow phase. null: unknown. */
  cacheLineNs: number | null;
}

export interface BenchResult {
  format: typeof resultFormat;
  /** What the user called this run. */
  title: string;
  startedAt: string;
  endedAt: string;
  versions: { ashlar: string; node: string; revision: string | null };
  command: string;
  seed: number;
  rounds: number;
  durationMs: number;
  warmupMs: number;
  /** How long the load generator polls before it sleeps, µs. */
  pollUs: number;
  machine: { before: Machine; after: Machine };
  subjects: Subject[];
  results: ScenarioResult[];
  /** The run was ended early, by a person or by a failure. */
  complete: boolean;
  /** The first failure of the whole run. */
  failure:
    | (Failure & {
        /** As of an error of Ashlar's: 'connection-lost', 'io-error', … */
        code: string;
        scenario: string | null;
        subject: string | null;
      })
    | null;
}
