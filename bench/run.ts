/**
 * Throughput and latency of an Ashlar on a memory pool, one reactor on one CPU, driven by our own
 * host on another: 4 KiB random reads and overwrites, and 128 KiB ones, at several depths.
 */
import type { LoadResult } from '../lib/native.js';
import { messagesOf } from './limits.js';
import { Loopback, type MachineState, processCpuMs } from './machine.js';
import { BenchTarget } from './target.js';

export interface RunOptions {
  root: string;
  /** Of each scenario, ms. */
  durationMs: number;
  targetCpu: number;
  hostCpu: number;
}

export interface Scenario {
  name: string;
  ioBytes: number;
  readPercent: number;
  queues: number;
  depth: number;
  digests: boolean;
}

export interface Figure extends Scenario {
  iops: number;
  megabytesPerSecond: number;
  p50Us: number;
  p99Us: number;
  /** CPU time of the daemon's process, percent of one CPU. */
  targetCpuPercent: number;
  /** CPU time of the host's reactor, percent of one CPU. */
  hostCpuPercent: number;
  /** The limit of plain TCP with the same sizes, depth and connections; null: not measured. */
  loopback: number | null;
  errors: bigint;
  firstError: string | null;
}

export interface RunReport {
  before: MachineState;
  after: MachineState;
  figures: Figure[];
  /** 4 KiB random reads and writes a second on one reactor core, the best of all depths. */
  best: { reads: number; writes: number; wanted: number };
}

/** What issue and README promise: more than this many 4 KiB reads and writes on one core. */
const wanted = 100_000;
const mib = 1024 * 1024;
const volumeBytes = 1024 * mib;
const spanBytes = 512 * mib;
const warmupMs = 500;

function scenarios(): Scenario[] {
  const list: Scenario[] = [];
  const add = (ioBytes: number, queues: number, depth: number, digests: boolean): void => {
    for (const readPercent of [100, 0]) {
      const what = readPercent === 100 ? 'random read' : 'random overwrite';
      const size = `${ioBytes / 1024} KiB`;
      const name = `${size} ${what}${digests ? ', digests' : ''}`;
      list.push({ name, ioBytes, readPercent, queues, depth, digests });
    }
  };
  for (const depth of [1, 32, 128]) add(4096, 1, depth, false);
  add(4096, 4, 32, false);
  add(4096, 8, 128, false);
  add(4096, 1, 128, true);
  add(128 * 1024, 1, 32, false);
  return list;
}

async function fill(target: BenchTarget, hostCpu: number): Promise<void> {
  await using host = await target.connect({ cpu: hostCpu, queues: 1, depth: 127 });
  const namespace = await host.namespace(target.nsid);
  const piece = new Uint8Array(8 * mib).map((_, i) => i * 31);
  for (let at = 0; at < spanBytes; at += piece.byteLength) {
    await namespace.write(BigInt(at), piece);
  }
  await namespace.flush();
}

async function measure(
  target: BenchTarget,
  loopback: Loopback,
  scenario: Scenario,
  options: RunOptions,
): Promise<Figure> {
  const { queues, depth, digests } = scenario;
  await using host = await target.connect({ cpu: options.hostCpu, queues, depth, digests });
  const namespace = await host.identifyNamespace(target.nsid);
  const cpuBefore = await processCpuMs(target.pid);
  const from = performance.now();
  const result: LoadResult = await host.load({
    nsid: target.nsid,
    blockBytes: namespace.blockBytes,
    depth,
    queues,
    ioBytes: scenario.ioBytes,
    pattern: 'random',
    readPercent: scenario.readPercent,
    spanBytes: BigInt(spanBytes),
    warmupMs,
    durationMs: options.durationMs,
    seed: 1n,
  });
  const elapsedMs = performance.now() - from;
  const cpuMs = (await processCpuMs(target.pid)) - cpuBefore;
  const seconds = Number(result.elapsedNs) / 1e9;
  const op = scenario.readPercent === 100 ? 'read' : 'write';
  const { requestBytes: request, responseBytes: response } = messagesOf(op, scenario.ioBytes);
  return {
    ...scenario,
    iops: Number(result.commands) / seconds,
    megabytesPerSecond: Number(result.bytes) / seconds / 1e6,
    p50Us: Number(result.latencyNs[0]) / 1000,
    p99Us: Number(result.latencyNs[1]) / 1000,
    targetCpuPercent: (100 * cpuMs) / elapsedMs,
    hostCpuPercent: (100 * Number(result.hostCpuNs)) / Number(result.elapsedNs),
    loopback: digests
      ? null
      : await loopback.exchanges(request, response, depth, queues, options.durationMs / 2),
    errors: result.errors,
    firstError: result.firstError,
  };
}

/** Runs every scenario; `tell` hears each figure as it comes. */
export async function runBench(
  options: RunOptions,
  tell: (figure: Figure) => void,
): Promise<RunReport> {
  const loopback = await Loopback.build(options.root, [options.hostCpu, options.targetCpu]);
  const before = await loopback.state();
  const figures: Figure[] = [];
  {
    await using target = await BenchTarget.start(options.targetCpu, volumeBytes);
    await fill(target, options.hostCpu);
    for (const scenario of scenarios()) {
      const figure = await measure(target, loopback, scenario, options);
      figures.push(figure);
      tell(figure);
    }
  }
  const after = await loopback.state();
  const bestOf = (readPercent: number): number =>
    Math.max(
      ...figures
        .filter((f) => f.ioBytes === 4096 && f.readPercent === readPercent && f.errors === 0n)
        .map((f) => f.iops),
    );
  return { before, after, figures, best: { reads: bestOf(100), writes: bestOf(0), wanted } };
}
