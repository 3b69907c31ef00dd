/**
 * What the machine itself allows for the same bytes, measured by bench/limits/limits.cc: loopback
 * without a protocol, and a device without a store. What each figure includes is said there.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Nanoseconds. */
export interface LimitLatency {
  p50: number;
  p99: number;
  p999: number;
  longest: number;
}

export interface TcpVariant {
  name: 'blocking' | 'spin' | 'epoll' | 'uring';
  perSecond?: number;
  /** CPUs that each side took: far below 1 of `spin` or `epoll`, somebody else had them. */
  requesterCpus?: number;
  responderCpus?: number;
  /** Of depth 1 over one connection. */
  latencyNs?: LimitLatency | null;
  /** Why it was not measured. */
  leftOut?: string;
}

/** The limit is the best of the variants. */
export interface TcpLimit {
  kind: 'tcp';
  requestBytes: number;
  responseBytes: number;
  /** Of each connection. */
  depth: number;
  connections: number;
  /** Memory on each side that payload moves through; 0: it stays in cache. */
  touchBytes: number;
  congestion: string;
  includes: string;
  best: TcpVariant['name'];
  perSecond: number;
  variants: TcpVariant[];
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
  /** Of each variant, ms. */
  ms: number;
  touchBytes?: number;
  variant?: TcpVariant['name'] | 'all';
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

/** CapsuleCmd; CapsuleResp, and the header of C2HData: what goes with the data on the wire. */
const commandBytes = 72;
const responseBytes = 24;

/** The messages of one I/O, as few as they could be. */
export function messagesOf(
  op: 'read' | 'write',
  bytes: number,
): Pick<TcpExchange, 'requestBytes' | 'responseBytes'> {
  return op === 'read'
    ? { requestBytes: commandBytes, responseBytes: responseBytes + bytes }
    : { requestBytes: commandBytes + bytes, responseBytes };
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

  /** @throws Error what the program says. */
  async tcp(exchange: TcpExchange): Promise<TcpLimit> {
    const { requestBytes, responseBytes, depth, connections, ms } = exchange;
    return (await this.#ask('tcp', [
      ...this.#bothCpus(),
      ...['--request', String(requestBytes), '--response', String(responseBytes)],
      ...['--depth', String(depth), '--connections', String(connections)],
      ...['--ms', String(Math.ceil(ms)), '--touch', String(exchange.touchBytes ?? 0)],
      ...['--variant', exchange.variant ?? 'all'],
    ])) as TcpLimit;
  }

  /** @throws Error what the program says: a write without `overwrite`, a path with holes. */
  async device(load: DeviceLoad): Promise<DeviceLimit> {
    return (await this.#ask('device', [
      ...['--path', load.path, '--cpu', String(this.#cpus[1])],
      ...['--bytes', String(load.bytes), '--depth', String(load.depth)],
      ...['--ms', String(Math.ceil(load.ms))],
      ...(load.spanBytes === undefined ? [] : ['--span', String(load.spanBytes)]),
      ...(load.sequential === true ? ['--sequential'] : []),
      ...(load.op === 'write' ? ['--write'] : []),
      ...(load.overwrite === true ? ['--overwrite'] : []),
    ])) as DeviceLimit;
  }

  async cacheLineNs(): Promise<number> {
    return ((await this.#ask('ping', this.#bothCpus())) as { ns: number }).ns;
  }

  #bothCpus(): string[] {
    return ['--cpus', this.#cpus.join(',')];
  }

  async #ask(kind: string, words: readonly string[]): Promise<unknown> {
    try {
      const { stdout } = await run(this.#program, [kind, ...words]);
      return JSON.parse(stdout);
    } catch (error) {
      const said = (error as { stderr?: string }).stderr?.trim();
      throw said === undefined || said === '' ? error : new Error(said, { cause: error });
    }
  }
}

export interface LimitsOptions {
  /** Of each variant, ms. */
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
