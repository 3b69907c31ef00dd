/**
 * Our own NVMe/TCP host: connects to any controller, ours or another's, without the kernel.
 *
 * Durability is the protocol's: a write is durable when a later {@link HostNamespace.flush}
 * resolves, or when it was sent with `fua`. When the connection ends, every call under way rejects:
 * with 'connection-lost' when the command may or may not have been applied, with 'closed' when it
 * certainly was not. Nothing reconnects by itself.
 */
import { randomBytes } from 'node:crypto';
import { AshlarError, throwIfAborted } from '../errors.js';
import {
  type HostCommand,
  type HostCompletion,
  type HostConnected,
  type LoadResult,
  loadNative,
  type NativeAddon,
  type RuntimeHandle,
} from '../native.js';
import { type CommandFields, getLogPageCommand, identifyCommand, sqe } from './commands.js';
import {
  type ControllerIdentity,
  type NamespaceIdentity,
  readControllerIdentity,
  readNamespaceIdentity,
  readNamespaceList,
} from './identify.js';
import { type LoadSettings, loadOptions } from './load.js';
import { HostNamespace } from './namespace.js';
import { openReactors, type ReactorOptions } from './reactors.js';
import { succeeded } from './status.js';

/** Where to connect, as whom, and how. Reactors are those of its own, where it has some. */
export interface ConnectHostOptions extends ReactorOptions {
  /** An IP address. */
  address: string;
  port: number;
  subnqn: string;
  hostnqn: string;
  /** 16 bytes; left out: random, so that each connection is another host to the subsystem. */
  hostid?: Uint8Array | undefined;
  /** I/O queues, 0 to 128; 1 when left out. The controller may grant fewer. */
  ioQueues?: number | undefined;
  /** Entries of each I/O queue, 2 to 1,024; 128 when left out. One less can be in flight. */
  queueDepth?: number | undefined;
  headerDigest?: boolean | undefined;
  dataDigest?: boolean | undefined;
  /** Keep Alive Timeout, ms; 0: none; 15,000 when left out. */
  keepAliveMs?: number | undefined;
  /** For each step of connecting, ms; 10,000 when left out. */
  connectTimeoutMs?: number | undefined;
  /** The reactors to live on; left out: one of its own, closed with the host. */
  runtime?: RuntimeHandle | undefined;
  /** Gives up connecting. */
  signal?: AbortSignal | undefined;
}

/** A raw command; see NVMe Base for the dwords. */
export interface RawCommand extends CommandFields {
  dataOut?: Uint8Array | undefined;
  /** Room for data from the controller, bytes. */
  dataInBytes?: number | undefined;
}

/** What may come with any call. */
export interface CallOptions {
  /**
   * Rejects the call with 'cancelled'. A command that was sent is not recalled: it may still be
   * applied.
   */
  signal?: AbortSignal | undefined;
}

/** Options of {@link Host.getLogPage}. */
export interface LogPageOptions extends CallOptions {
  nsid?: number | undefined;
  /** Bytes from the start of the page, a multiple of 4. */
  offset?: bigint | undefined;
  /** Log Specific Field. */
  lsp?: number | undefined;
  retainAsyncEvent?: boolean | undefined;
}

const identifyBytes = 4096;
const cns = { namespace: 0x00, controller: 0x01, activeNamespaces: 0x02 } as const;

/**
 * Connects: admin queue, controller enable, then all I/O queues.
 *
 * @throws AshlarError 'connection-refused', 'permission-denied' (this host NQN is not allowed),
 * 'busy', 'timed-out', 'protocol-error', 'invalid-argument', 'cancelled', or what the runtime
 * lacks.
 */
export async function connectHost(options: ConnectHostOptions): Promise<Host> {
  throwIfAborted(options.signal, 'connecting to the controller');
  const native = loadNative();
  const ownRuntime = options.runtime === undefined ? openReactors(options) : null;
  const runtime = options.runtime ?? ownRuntime;
  if (runtime === null) throw new AshlarError('internal', 'no runtime to connect from');
  const connecting = native.hostConnect(runtime, {
    address: options.address,
    port: options.port,
    subnqn: options.subnqn,
    hostnqn: options.hostnqn,
    hostid: options.hostid ?? randomBytes(16),
    ioQueues: options.ioQueues ?? 1,
    queueDepth: options.queueDepth ?? 128,
    headerDigest: options.headerDigest ?? false,
    dataDigest: options.dataDigest ?? false,
    keepAliveMs: options.keepAliveMs ?? 15_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
  });
  const made = connecting.then((connected) => new Host(native, ownRuntime, connected));
  try {
    return await abortable(made, options.signal, 'connecting to the controller');
  } catch (error) {
    // Whoever gave up does not wait; a connection that still comes about is closed.
    const release = made
      .then((host) => host.close())
      .catch(async () => {
        if (ownRuntime !== null) await native.runtimeClose(ownRuntime);
      });
    if (options.signal?.aborted === true) release.catch(() => {});
    else await release;
    throw error;
  }
}

/** A connected host. */
export class Host implements AsyncDisposable {
  /** The controller's ID in its subsystem. */
  readonly cntlid: number;
  /** I/O queues granted. */
  readonly ioQueues: number;
  /** Entries of each I/O queue. */
  readonly queueDepth: number;
  readonly #native: NativeAddon;
  readonly #ownRuntime: RuntimeHandle | null;
  readonly #connected: HostConnected;
  #closing: Promise<void> | null = null;
  #lastQueue = 0;
  #controller: Promise<ControllerIdentity> | null = null;

  /** Use {@link connectHost}. */
  constructor(native: NativeAddon, ownRuntime: RuntimeHandle | null, connected: HostConnected) {
    this.#native = native;
    this.#ownRuntime = ownRuntime;
    this.#connected = connected;
    this.cntlid = connected.cntlid;
    this.ioQueues = connected.ioQueues;
    this.queueDepth = connected.queueDepth;
  }

  /**
   * Sends any admin command. Resolves with the completion whatever its status.
   *
   * @throws AshlarError 'connection-lost', 'closed', 'limit-exceeded', 'cancelled'.
   */
  admin(command: RawCommand, options: CallOptions = {}): Promise<HostCompletion> {
    return this.#submit(0, command, options);
  }

  /**
   * Sends any I/O command, on queue `qid` or on the queues in turn. Resolves with the completion
   * whatever its status. Errors as of {@link admin}.
   */
  io(command: RawCommand, options: CallOptions & { qid?: number } = {}): Promise<HostCompletion> {
    return this.#submit(options.qid ?? this.#nextQueue(), command, options);
  }

  /** For the host's own modules: a whole 64-byte entry. */
  submitEntry(
    qid: number | null,
    command: Omit<HostCommand, 'qid'>,
    options: CallOptions,
  ): Promise<HostCompletion> {
    if (this.#closing !== null) {
      return Promise.reject(new AshlarError('closed', 'the host connection is closed'));
    }
    if (options.signal?.aborted === true) {
      return Promise.reject(new AshlarError('cancelled', 'the command was cancelled'));
    }
    const completion = this.#native.hostSubmit(this.#connected.host, {
      qid: qid ?? this.#nextQueue(),
      ...command,
    });
    return abortable(completion, options.signal, 'the command');
  }

  /** Identify Controller; asked once and remembered. */
  identifyController(options: CallOptions = {}): Promise<ControllerIdentity> {
    this.#controller ??= this.#identify(cns.controller, 0, {}).then(readControllerIdentity);
    return abortable(this.#controller, options.signal, 'Identify Controller');
  }

  /** Identify Namespace, as it is now. A namespace that is not there has size 0 or fails. */
  async identifyNamespace(nsid: number, options: CallOptions = {}): Promise<NamespaceIdentity> {
    return readNamespaceIdentity(await this.#identify(cns.namespace, nsid, options));
  }

  /** The NSIDs of all active namespaces, ascending. */
  async activeNamespaces(options: CallOptions = {}): Promise<number[]> {
    const perList = identifyBytes / 4;
    const all: number[] = [];
    for (;;) {
      const after = all.at(-1) ?? 0;
      const list = readNamespaceList(await this.#identify(cns.activeNamespaces, after, options));
      // A list that does not ascend would never end.
      if (list.some((nsid, i) => nsid <= (i === 0 ? after : (list[i - 1] ?? 0)))) {
        throw new AshlarError('protocol-error', 'the list of active namespaces does not ascend');
      }
      all.push(...list);
      if (list.length < perList) return all;
    }
  }

  /** A namespace to read and write; its size and block size are read once, now. */
  async namespace(nsid: number, options: CallOptions = {}): Promise<HostNamespace> {
    const identity = await this.identifyNamespace(nsid, options);
    if (identity.sizeBlocks === 0n) {
      throw new AshlarError('not-found', `namespace ${nsid} is not active on this controller`);
    }
    const { mdts } = await this.identifyController(options);
    return new HostNamespace(this, nsid, identity, mdts);
  }

  /** Get Log Page. `bytes` is a multiple of 4. */
  async getLogPage(lid: number, bytes: number, options: LogPageOptions = {}): Promise<Uint8Array> {
    if (bytes <= 0 || bytes % 4 !== 0) {
      throw new AshlarError(
        'invalid-argument',
        `a log page of ${bytes} bytes asked for; it must be a positive multiple of 4`,
      );
    }
    const entry = getLogPageCommand({
      lid,
      bytes,
      nsid: options.nsid ?? 0xffff_ffff,
      offset: options.offset ?? 0n,
      lsp: options.lsp ?? 0,
      retainAsyncEvent: options.retainAsyncEvent ?? false,
    });
    const completion = await this.submitEntry(
      0,
      { sqe: entry, dataOut: null, dataInBytes: bytes },
      options,
    );
    return dataOf(succeeded(completion, `Get Log Page ${lid}`));
  }

  /** Runs the native load generator; for benchmarks and soak tests. */
  async load(settings: LoadSettings): Promise<LoadResult> {
    return this.#native.hostLoad(this.#connected.host, loadOptions(settings));
  }

  /**
   * Shuts the controller down in good order and ends the connection. Await what is under way
   * first; what is not is told 'connection-lost'. Idempotent; never rejects for a lost connection.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#native.hostClose(this.#connected.host);
    if (this.#ownRuntime !== null) await this.#native.runtimeClose(this.#ownRuntime);
  }

  #nextQueue(): number {
    if (this.ioQueues === 0) {
      throw new AshlarError('invalid-argument', 'this host connected without I/O queues');
    }
    this.#lastQueue = (this.#lastQueue % this.ioQueues) + 1;
    return this.#lastQueue;
  }

  #submit(qid: number, command: RawCommand, options: CallOptions): Promise<HostCompletion> {
    const entry = {
      sqe: sqe(command),
      dataOut: command.dataOut ?? null,
      dataInBytes: command.dataInBytes ?? 0,
    };
    return this.submitEntry(qid, entry, options);
  }

  async #identify(what: number, nsid: number, options: CallOptions): Promise<Uint8Array> {
    const entry = {
      sqe: identifyCommand(what, nsid),
      dataOut: null,
      dataInBytes: identifyBytes,
    };
    const completion = await this.submitEntry(0, entry, options);
    return dataOf(succeeded(completion, `Identify ${what.toString(16)}h of namespace ${nsid}`));
  }
}

/** The data of a completion that was asked for some. */
function dataOf(completion: HostCompletion): Uint8Array {
  if (completion.data === null) throw new AshlarError('internal', 'a completion without data');
  return completion.data;
}

/** The promise, or 'cancelled' as soon as the signal says so. */
function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  what: string,
): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      reject(new AshlarError('cancelled', `${what}: cancelled`, { cause: signal.reason }));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    if (signal.aborted) onAbort();
  });
}
