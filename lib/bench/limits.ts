/**
 * What the machine allows for a scenario, measured beside each round: messages of the same sizes
 * over loopback without a protocol, and I/Os of the same sizes on a file without a store. No figure
 * above it can be reached by any target, and none is quoted without it.
 */
import { networkInterfaces } from 'node:os';
import { type LoopbackMessages, type LoopbackThreads, loadNative } from '../native.js';
import { LocalSubject } from './local.js';
import type { Limit, Scenario, Workload } from './results.js';
import type { Generator } from './subject.js';

/** The limits of the subjects of a run. */
export interface LimitMeter {
  /** One line for people: what limits this subject, or why nothing is known. */
  describe(subject: string): string;
  /** null: none is known. */
  measure(scenario: Scenario, subject: string): Promise<Limit | null>;
}

/** One limit of one subject. */
export type LimitSource = (scenario: Scenario, ms: number) => Promise<Limit>;

/** CapsuleCmd; CapsuleResp, or the header of C2HData: what goes with the data on the wire. */
const commandBytes = 72;
const responseBytes = 24;
const digestBytes = 4;

/** The messages of one I/O, as few as they could be. */
export function messagesOf(
  op: 'read' | 'write',
  bytes: number,
  digests: boolean,
): LoopbackMessages {
  const header = digests ? digestBytes : 0;
  const data = bytes + header;
  return {
    requestBytes: commandBytes + header + (op === 'write' ? data : 0),
    responseBytes: responseBytes + header + (op === 'read' ? data : 0),
  };
}

export interface LoopbackSides {
  /** Of the load generator. */
  requester: LoopbackThreads;
  /** Of the target. */
  responder: LoopbackThreads;
}

/** Plain TCP over loopback with the same sizes, and as much under way on as many connections. */
export async function loopbackLimit(
  { readPercent, ioBytes, queues, depth, digests }: Workload,
  sides: LoopbackSides,
  ms: number,
): Promise<Limit> {
  const { perSecond } = await loadNative().loopbackMeasure({
    read: messagesOf('read', ioBytes, digests),
    write: messagesOf('write', ioBytes, digests),
    ...{ readPercent, depth, connections: queues, touchBytes: 0n, ...sides },
    durationMs: Math.max(leastWayMs, Math.ceil(ms / waysOfLoopback)),
    way: null,
  });
  return { what: 'plain TCP over loopback', perSecond };
}

const waysOfLoopback = 4;
/** A shorter one may end before the scheduler has let both sides run. */
const leastWayMs = 20;

/** Whether packets to this address never leave the machine. */
export function isOwnAddress(address: string): boolean {
  if (/^127\.|^::1$|^localhost$/.test(address)) return true;
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return own.some((each) => each.address === address);
}

/** A file of its own beside a pool: what io_uring does there with the same I/Os. */
export class FileLimit implements AsyncDisposable {
  readonly #file: LocalSubject;

  private constructor(file: LocalSubject) {
    this.#file = file;
  }

  /**
   * Makes the file; it is removed at the end.
   *
   * @param pool the file of the pool, in whose folder it is made.
   * @param bytes at most so many are used.
   * @throws AshlarError as of `openLocal`.
   */
  static async open(pool: string, bytes: number, generator: Generator): Promise<FileLimit> {
    const file = await LocalSubject.open({
      ...{ name: 'the limit of the file', path: `${pool}.limit`, createBytes: bytes, generator },
      ...{ overwrite: false, writes: true },
    });
    return new FileLimit(file);
  }

  readonly measure: LimitSource = async ({ workload, setting }, ms) => {
    const spanBytes = setting.volumes * setting.spanBytes;
    const plain = { volumes: 1, spanBytes, snapshots: 0, state: 'filled' as const };
    await this.#file.prepare(plain, () => {});
    const closed = { ...workload, ratePerSecond: null, verify: false };
    const turn = { warmupMs: Math.ceil(ms / 5), durationMs: Math.ceil(ms), seed: 1n };
    const { commands, elapsedNs } = await this.#file.load(closed, plain, turn);
    const perSecond = elapsedNs === 0n ? 0 : (Number(commands) * 1e9) / Number(elapsedNs);
    return { what: 'io_uring on a file beside the pool', perSecond };
  };

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file[Symbol.asyncDispose]();
  }
}

/** What limits one subject. */
export interface SubjectLimits {
  /** As of {@link LimitMeter.describe}. */
  description: string;
  /** The lowest of them counts; empty: none is known. */
  sources: readonly LimitSource[];
}

/** Measures each source for `ms`, and keeps the lowest. */
export class Limits implements LimitMeter {
  readonly #subjects = new Map<string, SubjectLimits>();
  readonly #ms: number;

  constructor(ms: number) {
    this.#ms = ms;
  }

  add(subject: string, limits: SubjectLimits): void {
    this.#subjects.set(subject, limits);
  }

  describe(subject: string): string {
    return this.#subjects.get(subject)?.description ?? 'not measured';
  }

  async measure(scenario: Scenario, subject: string): Promise<Limit | null> {
    let lowest: Limit | null = null;
    for (const source of this.#subjects.get(subject)?.sources ?? []) {
      const limit = await source(scenario, this.#ms);
      if (limit.perSecond > 0 && limit.perSecond < (lowest?.perSecond ?? Infinity)) lowest = limit;
    }
    return lowest;
  }
}
