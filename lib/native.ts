/**
 * The whole contract between TypeScript and the native addon; the types of target and host are in
 * `native/`.
 *
 * Plain data only: `T | null`, never optional properties; `bigint` for 64-bit numbers; opaque
 * handles. No other file loads the addon. Calls that return a Promise reject, and others throw,
 * an `Error` whose `code` is a {@link NativeErrorCode} and whose message is one complete line;
 * `errors.ts` turns it into an `AshlarError`.
 *
 * Threading: every call returns at once. Events arrive on the JavaScript thread in batches, in the
 * order in which each reactor raised them. A blocked event loop delays admin commands and control
 * calls; it delays no I/O, no Keep Alive and no Abort, which never come here.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AshlarError, toAshlarError } from './errors.js';
import type {
  HostCommand,
  HostCompletion,
  HostConnected,
  HostOptions,
  LoadOptions,
  LoadResult,
  LocalOpened,
  LocalOptions,
  LoopbackOptions,
  LoopbackResult,
} from './native/host.js';
import type { MeterCounters, MeterLimits } from './native/meters.js';
import type {
  AnaChange,
  AsyncEvent,
  Authentication,
  CommandCompletion,
  CommandEvent,
  ConnectEvent,
  ControllerEndedEvent,
  ControllerOptions,
  ErrorLog,
  NamespaceAttachment,
  PortalOptions,
  QueueVerdict,
  TlsKey,
  TlsKeyOrigin,
} from './native/target.js';

/** The words of native `ErrorCode` (native/base/result.h), in the same order. */
export const nativeErrorCodes = [
  'invalid-argument',
  'not-found',
  'already-exists',
  'busy',
  'closed',
  'limit-exceeded',
  'timed-out',
  'cancelled',
  'io-error',
  'no-space',
  'permission-denied',
  'io-uring-forbidden',
  'io-uring-missing',
  'kernel-too-old',
  'memlock-too-small',
  'address-in-use',
  'address-unavailable',
  'connection-refused',
  'connection-lost',
  'protocol-error',
  'pool-exists',
  'pool-not-a-pool',
  'pool-locked',
  'pool-newer-format',
  'pool-truncated',
  'pool-corrupt',
  'pool-failed',
] as const;
export type NativeErrorCode = (typeof nativeErrorCodes)[number];

declare const handle: unique symbol;
type Handle<Name extends string> = { readonly [handle]: Name };
/** The reactors and everything on them. */
export type RuntimeHandle = Handle<'runtime'>;
/** An open pool. */
export type PoolHandle = Handle<'pool'>;
/** A layer open for I/O; lives until {@link NativeAddon.volumeClose} resolves. */
export type VolumeHandle = Handle<'volume'>;
/** A listening socket of the target. */
export type PortalHandle = Handle<'portal'>;
/** One controller (association) of the target. */
export type ControllerHandle = Handle<'controller'>;
/** A queue pair whose Connect command waits for an answer. */
export type ConnectHandle = Handle<'connect'>;
/** Our own NVMe/TCP host, connected. */
export type HostHandle = Handle<'host'>;
/** A device with a pool on it that is locked, and not opened as a pool. */
export type InspectHandle = Handle<'inspect'>;
/** A file or device that is open to be loaded without a network. */
export type LocalHandle = Handle<'local'>;
/** Counts and limits the I/O of the namespaces that are attached with it. */
export type MeterHandle = Handle<'meter'>;
/** 16 bytes. */
export type UuidBytes = Uint8Array;

// ---- Runtime ------------------------------------------------------------------------------------

/** What this machine offers; never throws. */
export interface Probe {
  kernelRelease: string;
  /** 'ok', or why the reactors cannot run here. */
  ioUring: 'ok' | 'missing' | 'forbidden' | 'kernel-too-old';
  /** One line saying what is wrong and what to do; null when `ioUring` is 'ok'. */
  problem: string | null;
  /** Names of optional kernel features in use, e.g. 'defer-taskrun'. */
  features: string[];
  /** RLIMIT_MEMLOCK in bytes; null: unlimited. */
  memlockBytes: bigint | null;
  cpus: number;
  /** Which CRC32C code runs: 'sse4.2' | 'armv8-crc' | 'table'. */
  crc32c: string;
}

export interface RuntimeOptions {
  /** Reactor threads, 1 to 64; null: cores − 1, at least 1, at most 8. */
  reactors: number | null;
  /** CPU numbers to pin the reactors to, one each; null: not pinned. */
  cpus: number[] | null;
  /** Registered I/O buffer memory a reactor, bytes; null: 64 MiB. */
  bufferBytes: bigint | null;
  /** Poll at most so long before sleeping, microseconds, while work comes sooner; 0: never. */
  busyPollUs: number;
}

export interface ReactorCounters {
  turns: bigint;
  sleeps: bigint;
  busyNs: bigint;
  connections: number;
  commands: bigint;
  readBytes: bigint;
  writtenBytes: bigint;
  buffersInUse: number;
  /** Connections over TLS since the start, by who does their records. */
  tlsKernelConnections: bigint;
  tlsProcessConnections: bigint;
  /** How often the kernel did not take a connection of which it was asked. */
  tlsOffloadsRefused: bigint;
  /** Heap allocations made on the I/O path; 0 after warm-up. */
  ioPathAllocations: bigint;
}

// ---- Pool ---------------------------------------------------------------------------------------

export type DeviceSpec =
  | { kind: 'file'; path: string }
  /** `populate`: take all of it from the system at once; no page fault comes in between later. */
  | { kind: 'memory'; sizeBytes: bigint; populate?: boolean };

export interface PoolCreateOptions {
  device: DeviceSpec;
  /** For a regular file that does not exist: its (sparse) size. null: the device's own size. */
  sizeBytes: bigint | null;
  uuid: UuidBytes;
  /** null: chosen from the size, see native/FORMAT.md. */
  journalBytes: bigint | null;
  writeThrough: boolean;
}

export interface PoolOpenOptions {
  device: DeviceSpec;
  writeThrough: boolean;
  /** For check and dump: nothing is written, and the lock is shared. */
  readOnly: boolean;
  /** Bound on clean map pages and resolved views in memory, bytes; null: 256 MiB. */
  mapCacheBytes: bigint | null;
}

/**
 * One device of a pool. The first (index 0) holds all metadata: when it fails the pool has failed.
 * Any other that fails or is missing gives media errors for the chunks that lie on it, and nothing
 * else.
 */
export interface PoolDeviceStatus {
  uuid: UuidBytes;
  index: number;
  /** Where it is open now ('memory' for one in memory); null: missing. */
  path: string | null;
  sizeBytes: bigint;
  totalChunks: bigint;
  freeChunks: bigint;
  /**
   * 'failed': a flush of it failed. It takes no part any more, now and after every open, as what it
   * acknowledged may be lost. 'missing': nobody has attached it since the pool was opened.
   */
  state: 'online' | 'missing' | 'failed';
  /** Since open. */
  readErrors: bigint;
  writeErrors: bigint;
}

export interface PoolStatus {
  uuid: UuidBytes;
  sizeBytes: bigint;
  chunkBytes: bigint;
  totalChunks: bigint;
  freeChunks: bigint;
  dataChunks: bigint;
  metadataChunks: bigint;
  /** Chunks that the background has still to give back, of deleted layers; 0: nothing to do. */
  reclaimingChunks: bigint;
  /** Deleted layers that the background works on. */
  reclaimingLayers: bigint;
  /** Deleted layers that wait, unseen, until only one of those that stand on them is left. */
  hiddenLayers: bigint;
  /** Free chunks promised to reserved volumes: nobody else gets them. */
  reservedChunks: bigint;
  /** Pages of maps and views in memory, bytes. */
  mapMemoryBytes: bigint;
  layerCount: bigint;
  catalogRecords: bigint;
  journalBytes: bigint;
  journalUsedBytes: bigint;
  journalSequence: bigint;
  checkpointSequence: bigint;
  commits: bigint;
  checkpoints: bigint;
  replayedRecords: bigint;
  formatVersion: number;
  /** The largest write that a power loss leaves whole or untouched, bytes (device's figure). */
  atomicWriteBytes: number;
  /** Of the check that began last and is under way: chunks whose owner it has met... */
  checkedChunks: bigint;
  /** ...of so many that have one; 0: there is no check. */
  checkChunks: bigint;
  failed: boolean;
  failure: string | null;
  /** By index. */
  devices: PoolDeviceStatus[];
}

/** Always known, without a scan. */
export interface LayerUsage {
  sizeBytes: bigint;
  blockBytes: number;
  /** Blocks that a reader of the layer sees as data, its ancestors' included, 4 KiB each. */
  mappedBytes: bigint;
  /** Of these, blocks that the layer itself holds. The rest is shared with its ancestors. */
  ownBytes: bigint;
  /** Chunks that the layer itself owns, 64 KiB each. */
  allocatedBytes: bigint;
  /**
   * Pool space that deleting the layer now would give back: all its chunks when it has no child;
   * what its only child has replaced when it has one; nothing while it has several (it stays hidden
   * until one is left).
   */
  freesBytes: bigint;
  /** Promised to it and not yet allocated. */
  reservedBytes: bigint;
  /** Layers directly on it. */
  children: number;
  /** 'live': a volume's top layer. 'frozen': it never changes again. */
  state: 'live' | 'frozen';
}

/** A run of blocks of a layer; whole 4-KiB blocks, cut at the layer's end. */
export interface LayerRange {
  offsetBytes: bigint;
  lengthBytes: bigint;
  /** 'zero': reads as zeroes where the older layer may hold data (only in differences). */
  kind: 'data' | 'zero';
}

export interface LayerRanges {
  /** In order of offset; neighbours of one kind are joined within one answer. */
  ranges: LayerRange[];
  /** Where to ask on; null: the end was reached. */
  nextOffsetBytes: bigint | null;
}

/** One step of a transaction. All steps of one `poolCommit` happen or none does. */
export type PoolChange =
  /**
   * A new live layer. A live parent becomes frozen by it, for good. `sizeBytes` is at least the
   * parent's, `blockBytes` the parent's.
   *
   * `volumeFrom` names a live layer whose open volume, if it is open, is served from the new layer
   * from that instant on, without its I/O stopping; that layer is frozen too. So
   *
   * - a snapshot of volume top T: {layer: T2, parent: T, volumeFrom: T}; T is the snapshot. Several
   *   such steps of one commit are one instant for all their volumes.
   * - a clone of snapshot S: {layer: C, parent: S, volumeFrom: null}
   * - a clone of volume top T: a snapshot as above, {layer: C, parent: T, volumeFrom: null}, and
   *   delete-layer T: it stays, hidden, while both stand on it.
   * - rollback to snapshot S: {layer: T2, parent: S, volumeFrom: T} and delete-layer T.
   *
   * When the commit resolves, the writes that were under way at that instant have landed, on one
   * side or the other, and all of the frozen layer is durable.
   */
  | {
      kind: 'create-layer';
      layer: UuidBytes;
      parent: UuidBytes | null;
      sizeBytes: bigint;
      blockBytes: number;
      volumeFrom: UuidBytes | null;
      /** As `reserve-layer` in the same transaction. */
      reserved: boolean;
    }
  /**
   * Must not be open (unless an earlier step moved its volume away). With children it stays,
   * unseen, as long as several stand on it; with one, it is merged into that in the background.
   */
  | { kind: 'delete-layer'; layer: UuidBytes }
  /**
   * A live layer. Growing: hosts may use the new size once it resolves. Shrinking: refused ('busy')
   * while it is open, or while it or an ancestor holds anything beyond the new size.
   */
  | { kind: 'resize-layer'; layer: UuidBytes; sizeBytes: bigint }
  /**
   * Promises a live layer room for all its blocks, or takes the promise back. 'no-space', saying
   * how much is missing, when the pool cannot.
   */
  | { kind: 'reserve-layer'; layer: UuidBytes; reserved: boolean }
  | { kind: 'put-record'; key: bigint; value: Uint8Array }
  | { kind: 'delete-record'; key: bigint };

export interface CatalogRecord {
  key: bigint;
  value: Uint8Array;
}

/** A part of a layer's map that cannot be read or believed, and so a part of the layer. */
export interface LostRange {
  slot: number;
  layer: UuidBytes;
  offsetBytes: bigint;
  lengthBytes: bigint;
  /** Layers that stand on it and read through it, as far as they hold nothing there; at most 64. */
  readers: UuidBytes[];
}

export interface CheckProblem {
  where: string;
  what: string;
  /** What is right follows from what is proved: `inspectRepair` can mend it. */
  repairable: boolean;
  lost: LostRange | null;
}

export interface CheckReport {
  /** At most 100; what cannot be repaired is listed before what can. */
  problems: CheckProblem[];
  suppressed: bigint;
  pagesRead: bigint;
  layers: bigint;
  chunksOwned: bigint;
  chunksLeaked: bigint;
  catalogRecords: bigint;
}

// ---- Pools that nobody has open -----------------------------------------------------------------

export interface RepairReport {
  /** What a check finds, and what is wrong with the journal. */
  found: CheckReport;
  /** All of it can be mended. Otherwise nothing is changed. */
  mendable: boolean;
  /** It was mended on the device. */
  changed: boolean;
  pagesWritten: bigint;
  /** The check after the repair; where nothing was changed, `found`. */
  checked: CheckReport;
}

export type DumpSection =
  | 'superblock'
  | 'devices'
  | 'layers'
  | 'map'
  | 'space'
  | 'journal'
  | 'kill-log'
  | 'catalog';

export interface DumpCursor {
  at: bigint;
  sequence: bigint;
}

export interface DumpRequest {
  section: DumpSection;
  /** For 'map': the slot of the layer. */
  layerSlot: bigint | null;
  /** Where to go on; null: from the beginning. */
  cursor: DumpCursor | null;
  /** Rows, roughly, 1 to 65536. */
  limit: number;
}

/**
 * One row: `row` says what it is ('problem': a part that cannot be shown), the other fields follow
 * in the order in which they are to be shown.
 */
export type DumpRow = { row: string } & Record<string, bigint | string | Uint8Array>;

export interface DumpPage {
  rows: DumpRow[];
  /** null: that was all. */
  next: DumpCursor | null;
}

// ---- Events ------------------------------------------------------------------------------------

/** A device other than the first failed; the pool goes on without it. */
export interface DeviceFailedEvent {
  type: 'device-failed';
  pool: PoolHandle;
  uuid: UuidBytes;
  reason: string;
}

/** The pool stopped acknowledging (a failed flush or journal write). */
export interface PoolFailedEvent {
  type: 'pool-failed';
  pool: PoolHandle;
  reason: string;
}

export type NativeEvent =
  | ConnectEvent
  | CommandEvent
  | ControllerEndedEvent
  | PoolFailedEvent
  | DeviceFailedEvent;

// ---- Target and host (initiator) ----------------------------------------------------------------

export type * from './native/host.js';
export type * from './native/meters.js';
export type * from './native/target.js';

// ---- The addon ----------------------------------------------------------------------------------

export interface NativeAddon {
  probe(): Probe;
  /**
   * Why the kernel cannot do the records of TLS 1.3, in one line; null: it can. It is tried over
   * 127.0.0.1, and may load its module for that.
   */
  tlsKernelProblem(): string | null;

  /**
   * Tells the service manager, as sd_notify(3) has it: lines such as `READY=1`, to the socket that
   * it named. null, or in one line why it was not taken; a full socket is waited for, 1 s at most.
   */
  serviceNotify(socket: string, message: string): string | null;

  /** Starts the reactors. Throws io-uring-*, kernel-too-old, memlock-too-small. */
  runtimeOpen(options: RuntimeOptions, onEvents: (events: NativeEvent[]) => void): RuntimeHandle;
  /** Everything on it must be closed. Resolves when all threads have ended. */
  runtimeClose(runtime: RuntimeHandle): Promise<void>;
  runtimeCounters(runtime: RuntimeHandle): ReactorCounters[];

  /** Creates and opens. On failure nothing is left behind that was not there before. */
  poolCreate(runtime: RuntimeHandle, options: PoolCreateOptions): Promise<PoolHandle>;
  poolOpen(runtime: RuntimeHandle, options: PoolOpenOptions): Promise<PoolHandle>;
  /** Volumes must be closed. Checkpoints, so that the next open replays nothing. */
  poolClose(pool: PoolHandle): Promise<void>;
  poolStatus(pool: PoolHandle): Promise<PoolStatus>;
  poolCatalog(pool: PoolHandle): Promise<CatalogRecord[]>;
  /** Durable when it resolves; after a rejection nothing has changed (except 'pool-failed'). */
  poolCommit(pool: PoolHandle, changes: PoolChange[]): Promise<void>;
  poolCheckpoint(pool: PoolHandle): Promise<void>;
  poolCheck(pool: PoolHandle): Promise<CheckReport>;
  /**
   * Adds a device online; its space counts when it resolves. 16 MiB to what is left of 256 TiB; at
   * most 32 devices. 'pool-exists' when it belongs to a pool already.
   */
  poolAddDevice(
    pool: PoolHandle,
    device: DeviceSpec,
    sizeBytes: bigint | null,
  ): Promise<PoolDeviceStatus>;
  /**
   * Brings a missing device of the pool back (after open: only the first is there by itself).
   * 'not-found' when it is none of this pool's, 'busy' when it is there already, 'pool-failed' when
   * it is marked failed.
   */
  poolAttachDevice(pool: PoolHandle, device: DeviceSpec): Promise<PoolDeviceStatus>;
  /**
   * Locks the first device of a pool without opening the pool, so that a damaged one can be looked
   * at and repaired; `readOnly`: the lock is shared and nothing can be written. 'not-found',
   * 'pool-locked', 'permission-denied'. One call on the handle at a time.
   */
  poolInspect(runtime: RuntimeHandle, options: { path: string; readOnly: boolean }): InspectHandle;
  /**
   * Mends what follows with certainty from what is proved intact, in one step: a superblock copy,
   * bitmap, space map, counters, figures and reservations of layers. When anything else is damaged
   * nothing is changed. `dryRun`: only tells. 'pool-not-a-pool', 'pool-newer-format',
   * 'pool-truncated', 'pool-corrupt' (both superblocks), 'io-error'.
   */
  inspectRepair(inspect: InspectHandle, options: { dryRun: boolean }): Promise<RepairReport>;
  /** What lies on the device, proved, and what cannot be. Never a volume's data. */
  inspectDump(inspect: InspectHandle, request: DumpRequest): Promise<DumpPage>;
  inspectClose(inspect: InspectHandle): Promise<void>;
  layerUsage(pool: PoolHandle, layer: UuidBytes): Promise<LayerUsage>;
  /** Null for a layer that is not there. At most 4,096 at once. */
  layerUsages(pool: PoolHandle, layers: UuidBytes[]): Promise<(LayerUsage | null)[]>;
  /**
   * What a layer holds, or where it differs from `since` (any other layer that shares an ancestor
   * with it, usually an older snapshot), from `offsetBytes` on. Read off the maps: no data is read.
   * At most `limit` ranges (1 to 65536) an answer. The layer must not be live, or be at rest.
   */
  layerRanges(
    pool: PoolHandle,
    layer: UuidBytes,
    since: UuidBytes | null,
    offsetBytes: bigint,
    limit: number,
  ): Promise<LayerRanges>;
  /**
   * Opens a layer for I/O; one handle a layer. `readOnly`: any layer; otherwise a live one ('busy'
   * when frozen).
   */
  volumeOpen(pool: PoolHandle, layer: UuidBytes, readOnly: boolean): Promise<VolumeHandle>;
  volumeClose(volume: VolumeHandle): Promise<void>;
  /** Reads without a host, whole blocks, at most 4 MiB. */
  volumeRead(volume: VolumeHandle, offsetBytes: bigint, lengthBytes: number): Promise<Buffer>;
  /** Likewise writes; durable after volumeFlush. 'no-space' when the pool is full. */
  volumeWrite(volume: VolumeHandle, offsetBytes: bigint, data: Uint8Array): Promise<void>;
  /** Deallocates: the range (any length, whole blocks) reads as zeroes. */
  volumeDeallocate(volume: VolumeHandle, offsetBytes: bigint, lengthBytes: bigint): Promise<void>;
  volumeFlush(volume: VolumeHandle): Promise<void>;

  /**
   * Upper bounds of the buckets of latency, ns, rising: 1,024 and then four an octave up to 2^34,
   * which is 17 s.
   */
  latencyBoundsNs(): bigint[];
  /**
   * Without limits, of weight 100. `parent`: a meter without a parent, whose limits hold for all
   * its children together.
   */
  meterCreate(runtime: RuntimeHandle, parent: MeterHandle | null): MeterHandle;
  /**
   * From now on, also for commands that wait. `limits`: null, none. `weight`: 1 to 10,000, the
   * share of a reactor that more want than it can give.
   */
  meterSet(meter: MeterHandle, limits: MeterLimits | null, weight: number): void;
  /** Asks no reactor. At most 4,096 at once. A parent tells the sum of all that were ever below. */
  meterRead(meters: readonly MeterHandle[]): MeterCounters[];
  /** 'busy' while one below it is open. What is attached with it counts on, unseen. */
  meterClose(meter: MeterHandle): void;

  portalListen(
    runtime: RuntimeHandle,
    options: PortalOptions,
  ): Promise<{ portal: PortalHandle; port: number }>;
  /** Stops accepting; `drop` also ends the connections that came through it. */
  portalClose(portal: PortalHandle, drop: boolean): Promise<void>;
  /**
   * Replaces the PSKs of one origin at all portals, all or none, for handshakes that begin from now
   * on; connections that are there stay. At most 65,536.
   */
  tlsSetKeys(runtime: RuntimeHandle, origin: TlsKeyOrigin, keys: readonly TlsKey[]): void;
  /** Resolves when every new command that comes through the portal goes by these states. */
  portalSetAna(portal: PortalHandle, changes: AnaChange[]): Promise<void>;

  /** A controller without queue pairs; the accepted admin Connect gives it its first. */
  controllerCreate(runtime: RuntimeHandle, options: ControllerOptions): ControllerHandle;
  /**
   * Replaces the namespaces; resolves when no command that was judged by the old table is at the
   * store. Commands that wait for data are judged again by the new one.
   */
  controllerSetNamespaces(
    controller: ControllerHandle,
    namespaces: NamespaceAttachment[],
  ): Promise<void>;
  /** Milliseconds, 0: no timeout. Restarts the timer. */
  controllerSetKeepAlive(controller: ControllerHandle, timeoutMs: number): void;
  /** CC.EN as Property Set left it: I/O queues and I/O need true. */
  controllerSetEnabled(controller: ControllerHandle, enabled: boolean): void;
  /**
   * Completes a parked Asynchronous Event Request, or keeps the event until one comes. Events of
   * one kind are kept once until `controllerClearEvent`, as the host has not read the log yet.
   */
  controllerRaiseEvent(controller: ControllerHandle, event: AsyncEvent): void;
  controllerClearEvent(controller: ControllerHandle, event: AsyncEvent): void;
  /**
   * Commands of all its queues that failed; not what says that another path is to be used (SCT 3h),
   * that the host's Abort was done, or that data differs (Compare). Empty when it has ended.
   */
  controllerErrorLog(controller: ControllerHandle): Promise<ErrorLog>;
  /** Ends its connections; 'controller-ended' follows. */
  controllerDestroy(controller: ControllerHandle): void;

  /**
   * `qid` 0 joins the controller's admin queue, others its I/O queues. When the queue pair of an
   * admin Connect has gone meanwhile, the controller ends ('controller-ended').
   */
  connectAccept(
    connect: ConnectHandle,
    controller: ControllerHandle,
    authentication: Authentication,
  ): void;
  /**
   * `result`: completion dwords 0 and 1 (IPO and IATTR for invalid parameters). DNR is set, except
   * for Connect Controller Busy (181h). The connection ends once the host has the answer.
   */
  connectReject(connect: ConnectHandle, status: number, result: bigint): void;
  /** A command whose queue has gone is ignored. */
  commandComplete(
    controller: ControllerHandle,
    command: bigint,
    completion: CommandCompletion,
  ): void;
  /**
   * Like `commandComplete`, of an Authentication Send or Receive, with what it means for the queue
   * pair that it came on. The verdict counts only while the command waits: it never meets another
   * queue pair that took the same QID meanwhile.
   */
  authenticationComplete(
    controller: ControllerHandle,
    command: bigint,
    completion: CommandCompletion,
    verdict: QueueVerdict,
  ): void;

  hostConnect(runtime: RuntimeHandle, options: HostOptions): Promise<HostConnected>;
  /**
   * When the association ends before the completion, rejects with 'connection-lost' if the command
   * may have been applied, with 'closed' if no byte of it was sent. A status other than 0 resolves.
   */
  hostSubmit(host: HostHandle, command: HostCommand): Promise<HostCompletion>;
  hostLoad(host: HostHandle, options: LoadOptions): Promise<LoadResult>;
  hostClose(host: HostHandle): Promise<void>;

  /** Locks it, so no pool that a daemon has. 'not-found', 'pool-locked', 'permission-denied'. */
  localOpen(runtime: RuntimeHandle, options: LocalOptions): LocalOpened;
  /** `nsids` is one number of no meaning. One load at a time. */
  localLoad(local: LocalHandle, options: LoadOptions): Promise<LoadResult>;
  /** Waits for a load that is under way. */
  localClose(local: LocalHandle): Promise<void>;

  /**
   * Resolves after the time of all ways. Needs no runtime: it has threads of its own.
   * 'invalid-argument'; 'timed-out' when nothing came in any way.
   */
  loopbackMeasure(options: LoopbackOptions): Promise<LoopbackResult>;
}

// ---- Loading ------------------------------------------------------------------------------------

let loaded: NativeAddon | null = null;

/**
 * The addon, loaded once a process. It is looked for where `node-gyp` and `prebuildify` put it
 * (`build/Release`, then `prebuilds/`), below the nearest `package.json` above this file; that
 * holds for the development build and for the package, and needs no install script. Errors that
 * its calls throw or reject with arrive as {@link AshlarError}.
 *
 * @throws AshlarError 'native-missing' when no binary fits this machine.
 */
export function loadNative(): NativeAddon {
  if (loaded === null) loaded = withAshlarErrors(loadBinary(packageRoot()));
  return loaded;
}

function packageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
    if (folder === dirname(folder)) {
      throw new AshlarError(
        'native-missing',
        `no package.json above ${start}: Ashlar must run from its package folder`,
      );
    }
  }
}

function loadBinary(root: string): NativeAddon {
  try {
    const require = createRequire(import.meta.url);
    const find = require('node-gyp-build') as (folder: string) => NativeAddon;
    return find(root);
  } catch (cause) {
    const machine = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
    const reason = String(cause instanceof Error ? cause.message : cause).split('\n')[0];
    throw new AshlarError(
      'native-missing',
      `no native binary under ${root} fits ${machine} (${reason}); ` +
        'build one with "npm run build" or install a package for this platform',
      { cause },
    );
  }
}

/** The same functions, but what they throw or reject with is an AshlarError. */
function withAshlarErrors(addon: NativeAddon): NativeAddon {
  const wrapped: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(addon)) {
    if (typeof member !== 'function') continue;
    wrapped[name] = (...args: unknown[]): unknown => {
      let result: unknown;
      try {
        result = Reflect.apply(member, addon, args);
      } catch (thrown) {
        throw toAshlarError(thrown);
      }
      if (!(result instanceof Promise)) return result;
      return result.catch((thrown: unknown) => {
        throw toAshlarError(thrown);
      });
    };
  }
  return wrapped as unknown as NativeAddon;
}
