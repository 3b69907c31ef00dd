/**
 * What the machine itself allows for the same bytes: loopback without a protocol, by the code with
 * which `ashlar bench` puts a limit beside each round (native/load/loopback.h), and a device without
 * a store, by a program that shares no code with ours (bench/limits/device.cc).
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as wire from '../lib/bench/limits.js';
import { cacheLineNs } from '../lib/bench/machine.js';
import { type LoopbackResult, type LoopbackWay, loadNative } from '../lib/native.js';

const run = promisify(execFile);

/** Nanoseconds. */
export interface LimitLatency {
  p50: number;
  p99: number;
  p999: number;
  longest: number;
}

/** The limit is the best of the ways. */
export interface TcpLimit extends LoopbackResult {
  kind: 'tcp';
  requestBytes: number;
  responseBytes: number;
  /** Of each connection. */
  depth: number;
  connections: number;
  /** Memory on each side that payload moves through; 0: it stays in cache. */
  touchBytes: number;
}

export interface DeviceLimit {
  kind: 'device';
  path: string;
  op: 'read' | 'write';
  pattern: 'random' | 'sequential';
  bytes: number;
  depth: number;
  spanBytes: number;
  result: { perSecond: number; latencyNs: LimitLatency | null; registeredBuffers: boolean };
}

export interface TcpExchange {
  requestBytes: number;
  responseBytes: number;
  depth: number;
  connections: number;
  /** Of each way, ms. */
  ms: number;
  touchBytes?: number;
  /** Left out: all. */
  way?: LoopbackWay;
}

export interface DeviceLoad {
  path: string;
  op: 'read' | 'write';
  sequential?: boolean;
  bytes: number;
  depth: number;
  ms: number;
  spanBytes?: number;
  /** What the path holds may be destroyed; without it, writes are refused. */
  overwrite?: boolean;
}

/** The messages of one I/O, as few as they could be. */
export function messagesOf(
  op: 'read' | 'write',
  bytes: number,
): Pick<TcpExchange, 'requestBytes' | 'responseBytes'> {
  return wire.messagesOf(op, bytes, false);
}

/** The program, compiled on first use. */
export class Limits {
  readonly #program: string;
  readonly #cpus: readonly [number, number];

  private constructor(program: string, cpus: readonly [number, number]) {
    this.#program = program;
    this.#cpus = cpus;
  }

  /** `cpus`: those of the host's and the target's reactor. */
  static async build(root: string, cpus: readonly [number, number]): Promise<Limits> {
    await run('make', ['-C', `${root}/bench/limits`]);
    return new Limits(`${root}/.build/bench/limits/limits`, cpus);
  }

  /** @throws AshlarError as of `loopbackMeasure`. */
  async tcp(exchange: TcpExchange): Promise<TcpLimit> {
    const { requestBytes, responseBytes, depth, connections, ms, touchBytes = 0 } = exchange;
    const messages = { requestBytes, responseBytes };
    const [requester, responder] = this.#cpus.map((cpu) => ({ threads: 1, cpus: [cpu] }));
    if (requester === undefined || responder === undefined) throw new Error('two CPUs are named');
    const measured = await loadNative().loopbackMeasure({
      ...{ read: messages, write: messages, readPercent: 100, depth, connections },
      ...{ requester, responder, touchBytes: BigInt(touchBytes) },
      ...{ durationMs: Math.ceil(ms), way: exchange.way ?? null },
    });
    return { kind: 'tcp', ...messages, depth, connections, touchBytes, ...measured };
  }

  /** @throws Error what the program says: a write without `overwrite`, a path with holes. */
  async device(load: DeviceLoad): Promise<DeviceLimit> {
    return (await this.#ask([
      ...['--path', load.path, '--cpu', String(this.#cpus[1])],
      ...['--bytes', String(load.bytes), '--depth', String(load.depth)],
      ...['--ms', String(Math.ceil(load.ms))],
      ...(load.spanBytes === undefined ? [] : ['--span', String(load.spanBytes)]),
      ...(load.sequential === true ? ['--sequential'] : []),
      ...(load.op === 'write' ? ['--write'] : []),
      ...(load.overwrite === true ? ['--overwrite'] : []),
    ])) as DeviceLimit;
  }

  /** NaN: both threads never ran at once. */
  async cacheLineNs(): Promise<number> {
    return (await cacheLineNs()) ?? Number.NaN;
  }

  async #ask(words: readonly string[]): Promise<unknown> {
    try {
      const { stdout } = await run(this.#program, words);
      return JSON.parse(stdout);
    } catch (error) {
      const said = (error as { stderr?: string }).stderr?.trim();
      throw said === undefined || said === '' ? error : new Error(said, { cause: error });
    }
  }
}

export interface LimitsOptions {
  /** Of each way, ms. */
  ms: number;
  /** A file or block device to measure as well; null: none. */
  path: string | null;
  /** It may be written. */
  overwrite: boolean;
}

const kib = 1024;

/** The points of the standard set, 4 KiB and 128 KiB; `tell` hears each as it comes. */
export async function measureLimits(
  limits: Limits,
  options: LimitsOptions,
  tell: (limit: TcpLimit | DeviceLimit) => void,
): Promise<(TcpLimit | DeviceLimit)[]> {
  const { ms, path, overwrite } = options;
  const all: (TcpLimit | DeviceLimit)[] = [];
  const keep = (limit: TcpLimit | DeviceLimit): void => {
    all.push(limit);
    tell(limit);
  };
  const ops = ['read', 'write'] as const;
  for (const connections of [1, 8]) {
    for (const depth of [1, 32, 128]) {
      for (const op of ops) {
        keep(await limits.tcp({ ...messagesOf(op, 4 * kib), depth, connections, ms }));
      }
    }
  }
  for (const touchBytes of [0, 512 * kib * kib]) {
    for (const op of ops) {
      const large = messagesOf(op, 128 * kib);
      keep(await limits.tcp({ ...large, depth: 32, connections: 1, ms, touchBytes }));
    }
  }
  if (path === null) return all;
  for (const op of ops.filter((each) => each === 'read' || overwrite)) {
    for (const depth of [1, 32, 128]) {
      keep(await limits.device({ path, op, bytes: 4 * kib, depth, ms, overwrite }));
    }
    keep(await limits.device({ path, op, bytes: 128 * kib, depth: 32, ms, overwrite }));
  }
  return all;
}
