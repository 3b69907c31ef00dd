/** Any NVMe/TCP target, by address and NQN. */
import { AshlarError } from '../errors.js';
import { connectHost, type Host, type NamespaceIdentity } from '../host/index.js';
import type { LoadResult } from '../native.js';
import type { Setting, Subject, Workload } from './results.js';
import {
  type Generator,
  maxErrors,
  type OpenSubject,
  refuseOverwrite,
  type Turn,
  usedBytes,
} from './subject.js';

export interface TargetOptions {
  name: string;
  address: string;
  port: number;
  subnqn: string;
  hostnqn: string;
  /** Namespaces to use; empty: the first one. */
  nsids: readonly number[];
  /** The process that serves, when it is on this machine. */
  pid: number | null;
  generator: Generator;
  /** What the namespaces hold may go. */
  overwrite: boolean;
  /** Something of the run writes. */
  writes: boolean;
}

/** What is asked of each namespace once. */
export interface NamespaceFacts {
  nsid: number;
  sizeBytes: bigint;
  blockBytes: number;
}

const fillBytes = 128 * 1024;
const fillDepth = 16;

/** Connects for each round anew, with as many queues as that needs. */
export class TargetSubject implements OpenSubject {
  readonly subject: Subject;
  readonly pid: number | null;
  readonly #options: TargetOptions;
  readonly #namespaces: readonly NamespaceFacts[];
  #filled = 0;

  private constructor(
    options: TargetOptions,
    subject: Subject,
    namespaces: readonly NamespaceFacts[],
  ) {
    this.#options = options;
    this.subject = subject;
    this.pid = options.pid;
    this.#namespaces = namespaces;
  }

  /**
   * Connects once and looks at it.
   *
   * @throws AshlarError as of {@link connectHost}; 'usage' when data would be overwritten,
   * 'not-found', 'protocol-error' when it says of itself what cannot be.
   */
  static async open(options: TargetOptions): Promise<TargetSubject> {
    await using host = await connect(options, 1, 1, false);
    const nsids = options.nsids.length > 0 ? options.nsids : await firstNamespace(host);
    const namespaces: NamespaceFacts[] = [];
    for (const nsid of nsids) {
      const identity = await host.identifyNamespace(nsid);
      namespaces.push(factsOf(nsid, identity));
      if (options.writes && !options.overwrite) {
        const used = identity.usedBlocks * BigInt(identity.blockBytes);
        const data = used > 0n ? ` (it says that ${used} bytes of it are in use)` : '';
        throw refuseOverwrite(`namespace ${nsid} of ${options.subnqn}`, data);
      }
      if (options.writes && identity.readOnly) {
        throw new AshlarError('permission-denied', `namespace ${nsid} is read-only`);
      }
    }
    const controller = await host.identifyController();
    const at = `${options.address}:${options.port}`;
    const subject: Subject = {
      name: options.name,
      kind: 'target',
      description: `${controller.modelNumber} at ${at}, ${namespaces.length} namespace(s)`,
      facts: {
        address: at,
        subnqn: options.subnqn,
        model: controller.modelNumber,
        firmware: controller.firmwareRevision,
        namespaces: namespaces
          .map(({ nsid, sizeBytes, blockBytes }) => `${nsid}: ${sizeBytes} / ${blockBytes}`)
          .join(', '),
        inCapsuleBytes: String(controller.inCapsuleBytes),
      },
    };
    return new TargetSubject(options, subject, namespaces);
  }

  check(setting: Setting): void {
    if (setting.snapshots > 0 || setting.state === 'fresh-snapshot') {
      throw new AshlarError(
        'usage',
        `${this.subject.name}: snapshots can be taken only of an Ashlar that the benchmark starts`,
      );
    }
    this.#chosen(setting);
  }

  /** Writes the span once, where that is allowed. Volumes and snapshots are as they are. */
  async prepare(setting: Setting, tell: (what: string) => void): Promise<void> {
    if (!this.#options.overwrite || setting.state === 'as-is') return;
    if (this.#filled >= setting.spanBytes) return;
    tell(`filling ${this.subject.name}`);
    await fill(this.#options, this.#namespaces, setting.spanBytes);
    this.#filled = setting.spanBytes;
  }

  async beforeRound(): Promise<void> {}

  async load(workload: Workload, setting: Setting, turn: Turn): Promise<LoadResult> {
    const { queues, depth, digests } = workload;
    await using host = await connect(this.#options, queues, depth, digests);
    if (host.ioQueues < queues) {
      throw new AshlarError(
        'limit-exceeded',
        `${this.subject.name} grants ${host.ioQueues} I/O queues, not ${queues}; ask for fewer`,
      );
    }
    return await loadHost(host, this.#chosen(setting), workload, setting, turn);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #chosen(setting: Setting): readonly NamespaceFacts[] {
    if (setting.volumes <= this.#namespaces.length) {
      return this.#namespaces.slice(0, setting.volumes);
    }
    throw new AshlarError(
      'usage',
      `${setting.volumes} volumes asked for, but ${this.subject.name} was given ` +
        `${this.#namespaces.length} namespace(s); name more with --nsid`,
    );
  }
}

/** Where and as whom. */
export type HostPlace = Pick<
  TargetOptions,
  'address' | 'port' | 'subnqn' | 'hostnqn' | 'generator' | 'name'
>;

export function connect(
  place: HostPlace,
  queues: number,
  depth: number,
  digests: boolean,
): Promise<Host> {
  const { cpus, pollUs } = place.generator;
  return connectHost({
    ...{ address: place.address, port: place.port },
    ...{ subnqn: place.subnqn, hostnqn: place.hostnqn },
    ...{ ioQueues: queues, queueDepth: depth + 1 },
    ...{ headerDigest: digests, dataDigest: digests },
    ...{ busyPollUs: pollUs, cpus: cpus ?? undefined },
  });
}

export function loadHost(
  host: Host,
  namespaces: readonly NamespaceFacts[],
  workload: Workload,
  setting: Setting,
  turn: Turn,
): Promise<LoadResult> {
  const [first] = namespaces;
  if (first === undefined) throw new AshlarError('internal', 'no namespace to load');
  const smallest = namespaces.map(({ sizeBytes }) => sizeBytes).reduce((a, b) => (a < b ? a : b));
  if (namespaces.some(({ blockBytes }) => blockBytes !== first.blockBytes)) {
    throw new AshlarError('usage', 'the namespaces have different block sizes; choose equal ones');
  }
  return host.load({
    nsids: namespaces.map(({ nsid }) => nsid),
    blockBytes: first.blockBytes,
    depth: workload.depth,
    queues: workload.queues,
    ioBytes: workload.ioBytes,
    pattern: workload.pattern,
    zipfTheta: workload.zipfTheta ?? undefined,
    readPercent: workload.readPercent,
    spanBytes: usedBytes(setting.spanBytes, smallest, workload.ioBytes),
    ratePerSecond: workload.ratePerSecond ?? undefined,
    verify: workload.verify,
    maxErrors,
    ...turn,
  });
}

/** Writes the span of each namespace once, in sequence. */
export async function fill(
  place: HostPlace,
  namespaces: readonly NamespaceFacts[],
  spanBytes: number,
): Promise<void> {
  await using host = await connect(place, 1, fillDepth, false);
  const { mdts } = await host.identifyController();
  const most = mdts === 0 ? fillBytes : 4096 * 2 ** mdts;
  for (const { nsid, sizeBytes, blockBytes } of namespaces) {
    const ioBytes = Math.min(fillBytes, most);
    const used = usedBytes(spanBytes, sizeBytes, ioBytes);
    const result = await host.load({
      ...{ nsid, blockBytes, ioBytes, depth: fillDepth, pattern: 'sequential', readPercent: 0 },
      ...{ spanBytes: used, maxCommands: used / BigInt(ioBytes), maxErrors: 1 },
    });
    if (result.firstError !== null) {
      throw new AshlarError('io-error', `filling ${place.name}: ${result.firstError}`);
    }
  }
}

async function firstNamespace(host: Host): Promise<number[]> {
  const [first] = await host.activeNamespaces();
  if (first !== undefined) return [first];
  throw new AshlarError(
    'not-found',
    'the subsystem shows this host no namespace; grant one to the host NQN of the benchmark',
  );
}

/** What the rest relies on. */
function factsOf(nsid: number, identity: NamespaceIdentity): NamespaceFacts {
  const { sizeBlocks, blockBytes, sizeBytes } = identity;
  if (sizeBlocks === 0n) {
    throw new AshlarError('not-found', `namespace ${nsid} is not active on this controller`);
  }
  if (blockBytes < 512 || blockBytes > 65_536 || sizeBytes >= 2n ** 63n) {
    throw new AshlarError(
      'protocol-error',
      `namespace ${nsid} claims ${sizeBlocks} blocks of ${blockBytes} bytes, which cannot be`,
    );
  }
  return { nsid, sizeBytes, blockBytes };
}
