/** The node: runtime, pool, catalog, volumes and target, put together and taken apart in order. */

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { SessionService } from '../access/sessions.js';
import { TokenService } from '../access/tokens.js';
import { Catalog, type Stored } from '../catalog/catalog.js';
import {
  allKinds,
  snapshotKind,
  type TenantRecord,
  tenantKind,
  volumeKind,
} from '../catalog/kinds.js';
import { maxCntlid, minCntlid } from '../config/config.js';
import { formatSize } from '../config/units.js';
import { takeGenerations } from '../discovery/generation.js';
import { ReferralService } from '../discovery/referrals.js';
import { AshlarError, toAshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { JobService } from '../jobs/jobs.js';
import { Announcer } from '../mdns/announcer.js';
import {
  loadNative,
  type NativeAddon,
  type NativeEvent,
  type PoolHandle,
  type PoolStatus,
  type ReactorCounters,
  type RuntimeHandle,
} from '../native.js';
import { PortalService } from '../portals/portals.js';
import { Meters } from '../qos/meters.js';
import { type Clock, systemClock } from '../schedules/clock.js';
import { ScheduleService } from '../schedules/schedules.js';
import { ScheduledSnapshots } from '../schedules/snapshots.js';
import { HostKeyService, keysProblem, knownKeys } from '../secrets/host_keys.js';
import { KeyFile } from '../secrets/key_file.js';
import { PskService } from '../secrets/psks.js';
import { type StreamPool, StreamService } from '../stream/streams.js';
import { Target } from '../target/target.js';
import { decideRecords, type RecordsDecision, recordsText } from '../target/tls_records.js';
import { Exports, type VolumePool } from '../volumes/exports.js';
import { GrantService } from '../volumes/grants.js';
import { GroupService } from '../volumes/groups.js';
import { HostService } from '../volumes/hosts.js';
import { KeyedLocks } from '../volumes/locks.js';
import { PolicyService } from '../volumes/policies.js';
import { ReservationService } from '../volumes/reservations.js';
import { SnapshotService } from '../volumes/snapshots.js';
import { type ControlState, defaultTenant, type EventSubject } from '../volumes/state.js';
import { StatisticsService } from '../volumes/statistics.js';
import { addTenantRecord, subsystemNqnPrefix, TenantService } from '../volumes/tenants.js';
import { hexText, uuidBytes, uuidText } from '../volumes/uuid.js';
import { VolumeService } from '../volumes/volumes.js';
import { EventFile, type KeptEvent } from './event_file.js';
import { EventList } from './event_list.js';
import { EventLog, type EventOwner } from './event_log.js';
import { attachDevices, PoolService } from './node_pool.js';
import { openOrCreatePool } from './pool_open.js';
import { Reclaiming } from './reclaiming.js';
import { targetListener } from './target_events.js';
import type { Node, NodeConfig, NodeEvent, NodeEvents, NodePool, NodeStatus } from './types.js';
import { version } from './version.js';
import { WatermarkWatch } from './watermarks.js';

/** How often the pool's fill is looked at. */
const watermarkIntervalMs = 10_000;

/**
 * Opens everything and serves. When it rejects, nothing is left open and nothing is listening.
 *
 * @param clock what schedules go by.
 * @throws AshlarError config-invalid; of the runtime: io-uring-*, kernel-too-old,
 * memlock-too-small; of the pool: not-found and pool-*; of the portals: address-in-use,
 * address-unavailable, permission-denied.
 */
export async function openNode(
  config: NodeConfig,
  logger: Logger,
  clock: Clock = systemClock,
): Promise<Node> {
  checkConfig(config);
  const opening = new OpeningNode(config, logger, clock);
  try {
    return await opening.open();
  } catch (thrown) {
    const error = toAshlarError(thrown);
    await opening.undo(error);
    throw error;
  }
}

function checkConfig(config: NodeConfig): void {
  const { first, last } = config.cntlids;
  const fine = Number.isInteger(first) && Number.isInteger(last) && first >= minCntlid;
  if (!fine || last < first || last > maxCntlid) {
    throw new AshlarError(
      'config-invalid',
      `controller IDs ${first} to ${last} are not a range within ${minCntlid} to ${maxCntlid}`,
    );
  }
}

/** A file beside a block device would be in /dev, which is empty after the next boot. */
function keyFileOf({ pool }: NodeConfig): KeyFile {
  if (pool.keyFile !== undefined && pool.keyFile !== null) return new KeyFile(pool.keyFile);
  if (pool.device.kind === 'memory') return new KeyFile('in-memory');
  const { path } = pool.device;
  return new KeyFile(path.startsWith('/dev/') ? 'unnamed' : `${path}.key`);
}

/** A node half way up: each step notes how to undo it. */
class OpeningNode {
  readonly #config: NodeConfig;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #undo: { what: string; step: () => Promise<void> }[] = [];
  #keeping: Promise<Keeping> | null = null;

  constructor(config: NodeConfig, logger: Logger, clock: Clock) {
    this.#config = config;
    this.#logger = logger;
    this.#clock = clock;
  }

  async open(): Promise<Node> {
    const config = this.#config;
    const native = loadNative();
    const keyFile = keyFileOf(config);
    keyFile.check();
    // Read while native threads open the pool.
    this.#keeping = keptEvents(config, this.#logger);
    const router = new EventRouter();
    const runtime = native.runtimeOpen(config.runtime, (batch) => router.take(batch));
    this.#onUndo('close the reactors', () => native.runtimeClose(runtime));

    const { handle: pool, created } = await openOrCreatePool(native, runtime, config.pool);
    this.#onUndo('close the pool', () => native.poolClose(pool));
    const status = await native.poolStatus(pool);
    const size = formatSize(status.sizeBytes);
    const catalog = await loadCatalog(native, pool);
    const events = await this.#eventLog(await this.#keeping, catalog);
    const verb = created ? 'created' : 'opened';
    events.add('info', `pool-${verb}`, `pool ${uuidText(status.uuid)} of ${size} ${verb}`, null, {
      replayedRecords: String(status.replayedRecords),
    });
    await attachDevices(native, pool, catalog, events);
    const problem = keysProblem(catalog, keyFile);
    if (problem !== null) events.add('error', 'host-keys-unreadable', problem);
    const generation = await takeGenerations(catalog);
    const tls = config.tls ?? 'none';
    const records = decideRecords(native, tls, config.ktls ?? 'auto');
    if (tls !== 'none') events.add('info', 'tls-records', recordsText(records));
    const parts = { native, runtime, pool, config, catalog, events, status, generation, records };
    const target = makeTarget(parts);
    const node = new RunningNode({
      native,
      runtime,
      pool,
      config,
      catalog,
      target,
      records,
      events,
      router,
      created,
      keyFile,
      clock: this.#clock,
    });
    this.#onUndo('close the volumes', () => node.exports.closeAll());
    this.#onUndo('end the associations', () => target.close());
    this.#onUndo('give up portals that wait', () => node.portals.close());
    await node.start();
    events.started();
    return node;
  }

  /** The event log with what earlier runs kept; says how the last of them ended. */
  async #eventLog({ file, events: earlier }: Keeping, catalog: Catalog): Promise<EventLog> {
    const events = new EventLog(this.#logger, file);
    this.#onUndo('close the file of events', () => events.close());
    events.restore(earlier, (uuid) =>
      ownerOf(catalog.find(tenantKind, 'uuid', hexText(uuidBytes(uuid)))),
    );
    const last = earlier.findLast(({ event }) => event.kind !== 'start-failed')?.event;
    const started = `Ashlar ${version} started`;
    if (last === undefined || last.kind === 'node-closed') {
      events.add('info', 'node-started', started);
    } else {
      const message =
        `${started}; the run before did not end in order (killed, crashed, or power lost): the ` +
        `last that is known of it is of ${last.time}`;
      events.add('warning', 'node-started', message);
    }
    return events;
  }

  async undo(error: AshlarError): Promise<void> {
    for (const { what, step } of this.#undo.reverse()) {
      try {
        await step();
      } catch (thrown) {
        this.#logger.error({ err: thrown }, `while giving up the start: could not ${what}`);
      }
    }
    await this.#noteFailure(error);
  }

  /**
   * That the start failed, and why, is all that is kept of it: a service manager tries again and
   * again, and what happened before must not go for that. Of a node that never ran, nothing.
   */
  async #noteFailure({ code, message }: AshlarError): Promise<void> {
    // The daemon that has the pool has the file too.
    if (code === 'pool-locked') return;
    const { file = null, events = [] } = (await this.#keeping) ?? {};
    const last = events.at(-1)?.event;
    const told = `the start failed: ${message}`;
    if (file === null || last === undefined) return;
    if (last.kind === 'start-failed' && last.message === told) return;
    await file.appendAlone({ event: startFailed(last.sequence + 1, told), owner: null });
  }

  #onUndo(what: string, step: () => Promise<void>): void {
    this.#undo.push({ what, step });
  }
}

function startFailed(sequence: number, message: string): NodeEvent {
  const [id, time] = [randomUUID(), new Date().toISOString()];
  const about = { kind: 'start-failed', severity: 'error', subject: null, tenant: null } as const;
  return { sequence, id, time, message, toTenants: message, ...about };
}

interface Keeping {
  file: EventFile | null;
  events: KeptEvent[];
}

async function keptEvents({ eventFile = null }: NodeConfig, logger: Logger): Promise<Keeping> {
  return eventFile === null ? { file: null, events: [] } : EventFile.read(eventFile, logger);
}

/** Native events, kept until there is someone to take them. */
class EventRouter {
  #waiting: NativeEvent[] = [];
  #handler: ((event: NativeEvent) => void) | null = null;

  take(batch: NativeEvent[]): void {
    if (this.#handler === null) this.#waiting.push(...batch);
    else for (const event of batch) this.#handler(event);
  }

  handle(handler: (event: NativeEvent) => void): void {
    this.#handler = handler;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.take(waiting);
  }
}

async function loadCatalog(native: NativeAddon, pool: PoolHandle): Promise<Catalog> {
  const store = {
    records: () => native.poolCatalog(pool),
    commit: (changes: Parameters<NativeAddon['poolCommit']>[1]) => native.poolCommit(pool, changes),
  };
  const catalog = await Catalog.load(store, allKinds);
  if (catalog.find(tenantKind, 'name', defaultTenant) === null) {
    await catalog.transact('create the default tenant', (transaction) => {
      addTenantRecord(transaction, defaultTenant);
    });
  }
  return catalog;
}

interface TargetParts {
  native: NativeAddon;
  runtime: RuntimeHandle;
  pool: PoolHandle;
  config: NodeConfig;
  catalog: Catalog;
  events: EventLog;
  status: PoolStatus;
  records: RecordsDecision;
  /** Versions of the discovery page begin above this. */
  generation: bigint;
}

function makeTarget(parts: TargetParts): Target {
  const { native, runtime, pool, config, catalog, events, status } = parts;
  const startedMs = Date.now();
  const tenant = catalog.find(tenantKind, 'name', defaultTenant);
  if (tenant === null) throw new RangeError('the default tenant was just made, and is not there');
  return new Target({
    native,
    runtime,
    firmware: version,
    discovery: {
      nqn: `${subsystemNqnPrefix}discovery:${uuidText(status.uuid)}`,
      serial: hexText(tenant.value.uuid).slice(0, 20),
      firstGeneration: parts.generation,
    },
    writeThrough: config.pool.writeThrough,
    tls: config.tls ?? 'none',
    tlsRecords: parts.records.records,
    atomicWriteBytes: status.atomicWriteBytes,
    cntlids: config.cntlids,
    health: async () => {
      const now = await native.poolStatus(pool);
      return {
        poolFailed: now.failed,
        freePercent: freePercent(now),
        powerOnHours: BigInt(Math.floor((Date.now() - startedMs) / 3_600_000)),
      };
    },
    listener: targetListener(events, (subnqn) =>
      ownerOf(catalog.find(tenantKind, 'subnqn', subnqn)),
    ),
  });
}

function ownerOf(tenant: Stored<TenantRecord> | null): EventOwner | null {
  if (tenant === null) return null;
  return { id: tenant.id, uuid: uuidText(tenant.value.uuid), name: tenant.value.name };
}

function streamPool(native: NativeAddon, pool: PoolHandle): StreamPool {
  return {
    ranges: (layer, since, offsetBytes, limit) =>
      native.layerRanges(pool, layer, since, offsetBytes, limit),
    read: (volume, offsetBytes, lengthBytes) => native.volumeRead(volume, offsetBytes, lengthBytes),
    write: (volume, offsetBytes, data) => native.volumeWrite(volume, offsetBytes, data),
    deallocate: (volume, offsetBytes, lengthBytes) =>
      native.volumeDeallocate(volume, offsetBytes, lengthBytes),
    flush: (volume) => native.volumeFlush(volume),
  };
}

interface NodeParts {
  native: NativeAddon;
  runtime: RuntimeHandle;
  pool: PoolHandle;
  config: NodeConfig;
  catalog: Catalog;
  target: Target;
  records: RecordsDecision;
  events: EventLog;
  router: EventRouter;
  created: boolean;
  keyFile: KeyFile;
  clock: Clock;
}

class RunningNode implements Node {
  readonly exports: Exports;
  readonly volumes: VolumeService;
  readonly snapshots: SnapshotService;
  readonly groups: GroupService;
  readonly streams: StreamService;
  readonly grants: GrantService;
  readonly hosts: HostService;
  readonly hostKeys: HostKeyService;
  readonly tenants: TenantService;
  readonly statistics: StatisticsService;
  readonly policies: PolicyService;
  readonly tokens: TokenService;
  readonly sessions: SessionService;
  readonly jobs: JobService;
  readonly reservations: ReservationService;
  readonly portals: PortalService;
  readonly psks: PskService;
  readonly referrals: ReferralService;
  readonly schedules: ScheduleService;
  readonly pool: NodePool;
  readonly eventList: NodeEvents;
  readonly #parts: NodeParts;
  readonly #locks = new KeyedLocks();
  readonly #startedAt = new Date().toISOString();
  readonly #watermarks = new WatermarkWatch();
  readonly #announcer: Announcer | null;
  #watermarkTimer: NodeJS.Timeout | null = null;
  #failure: string | null = null;
  #closing: Promise<void> | null = null;

  constructor(parts: NodeParts) {
    this.#parts = parts;
    this.eventList = new EventList(parts.events, parts.catalog);
    const { native, pool, catalog, target, events, clock } = parts;
    const volumePool: VolumePool = {
      open: (layer, readOnly) => native.volumeOpen(pool, layer, readOnly),
      close: (volume) => native.volumeClose(volume),
      usage: (layer) => native.layerUsage(pool, layer),
      usages: (layers) => native.layerUsages(pool, layers),
    };
    const { keyFile } = parts;
    const meters = new Meters(native, parts.runtime);
    this.exports = new Exports(catalog, volumePool, target, meters, (tenant, hostnqn) =>
      knownKeys(catalog, keyFile, tenant, hostnqn),
    );
    const state: ControlState = {
      catalog,
      exports: this.exports,
      locks: this.#locks,
      assertOpen: () => this.#assertOpen(),
      hostsGone: () => this.psks.refresh(),
      emit: (kind, message, about, severity = 'info') => this.#tell(severity, kind, message, about),
    };
    this.grants = new GrantService(state);
    this.volumes = new VolumeService(state, this.grants);
    this.snapshots = new SnapshotService(state, this.grants);
    this.groups = new GroupService(state, this.snapshots);
    this.streams = new StreamService({
      state,
      pool: streamPool(native, pool),
      volumes: this.volumes,
      snapshots: this.snapshots,
    });
    this.hosts = new HostService(state);
    this.hostKeys = new HostKeyService(state, keyFile, () => target.hostsChanged());
    this.tenants = new TenantService(state);
    this.statistics = new StatisticsService(state);
    this.policies = new PolicyService(state);
    this.tokens = new TokenService(state);
    this.sessions = new SessionService(this.tokens);
    this.jobs = new JobService(catalog);
    const reclaiming = new Reclaiming(this.jobs, () => native.poolStatus(pool));
    events.listen(({ kind }) => {
      if (kind === 'volume-deleted' || kind === 'snapshot-deleted') reclaiming.look();
    });
    this.reservations = new ReservationService(state);
    this.portals = new PortalService({
      catalog,
      target,
      locks: this.#locks,
      configured: parts.config.portals,
      assertOpen: () => this.#assertOpen(),
      emit: (severity, kind, message) => events.add(severity, kind, message),
    });
    this.psks = new PskService(state, {
      target,
      keyFile,
    });
    this.referrals = new ReferralService({
      catalog,
      target,
      locks: this.#locks,
      configured: parts.config.referrals ?? [],
      assertOpen: () => this.#assertOpen(),
      emit: (kind, message) => events.add('info', kind, message),
    });
    this.schedules = new ScheduleService({
      catalog,
      snapshots: new ScheduledSnapshots(catalog, this.snapshots),
      locks: this.#locks,
      clock,
      assertOpen: () => this.#assertOpen(),
      emit: (severity, kind, message, about) => this.#tell(severity, kind, message, about),
    });
    this.#announcer = parts.config.mdns === true ? announcerOf(parts) : null;
    this.pool = new PoolService({
      native,
      handle: pool,
      catalog,
      locks: this.#locks,
      events,
      assertOpen: () => this.#assertOpen(),
    });
  }

  async start(): Promise<void> {
    const { router } = this.#parts;
    await this.exports.openAll();
    await this.#makeDemo();
    this.psks.openAll();
    this.referrals.show();
    router.handle((event) => this.#take(event));
    await this.portals.start();
    await this.#lookAtFill();
    this.#watermarkTimer = setInterval(() => void this.#lookAtFill(), watermarkIntervalMs);
    this.#watermarkTimer.unref();
    this.schedules.start();
    this.#announcer?.start();
  }

  /** Made only while the pool has never had a volume, so that a deleted demo stays deleted. */
  async #makeDemo(): Promise<void> {
    const { catalog, config } = this.#parts;
    const tenant = catalog.find(tenantKind, 'name', defaultTenant);
    if (config.demo === null || tenant?.value.nextNsid !== 1) return;
    const { volume: name, sizeBytes } = config.demo;
    await this.volumes.create({ name, sizeBytes, hosts: ['*'] });
  }

  async status(): Promise<NodeStatus> {
    const { native, runtime, config, catalog, created } = this.#parts;
    const poolStatus = await this.pool.status();
    const volumes = catalog.all(volumeKind);
    const failure = poolStatus.failure ?? this.#failure;
    return {
      state: failure === null ? 'serving' : 'failed',
      problem: failure === null ? null : failedAdvice(failure),
      version,
      startedAt: this.#startedAt,
      created,
      pool: poolStatus,
      device: config.pool.device,
      portals: this.portals.list(),
      tenants: catalog.count(tenantKind),
      volumes: volumes.length,
      snapshots: catalog.count(snapshotKind),
      provisionedBytes: volumes.reduce((sum, { value }) => sum + value.sizeBytes, 0n),
      connections: this.exports.connections(null),
      ...this.#reactors(native.runtimeCounters(runtime)),
    };
  }

  #reactors(reactors: ReactorCounters[]): Pick<NodeStatus, 'reactors' | 'tls'> {
    const { config, records } = this.#parts;
    const sum = (of: (each: ReactorCounters) => bigint) =>
      Number(reactors.reduce((total, each) => total + of(each), 0n));
    const tls = {
      mode: config.tls ?? 'none',
      ...records,
      kernelConnections: sum((each) => each.tlsKernelConnections),
      processConnections: sum((each) => each.tlsProcessConnections),
      refused: sum((each) => each.tlsOffloadsRefused),
    };
    return { reactors, tls };
  }

  #tell(
    severity: NodeEvent['severity'],
    kind: EventKind,
    message: string,
    { subject, tenant, error }: EventSubject,
  ): void {
    const { catalog, events } = this.#parts;
    const owner = tenant === null ? null : ownerOf(catalog.get(tenantKind, tenant));
    if (tenant !== null && owner === null) events.disown(tenant);
    events.add(severity, kind, message, subject, {}, owner, error);
  }

  events(after = 0): NodeEvent[] {
    return this.#parts.events.after(after);
  }

  tell(severity: NodeEvent['severity'], kind: EventKind, message: string): void {
    this.#parts.events.add(severity, kind, message);
  }

  onEvent(listener: (event: NodeEvent) => void): () => void {
    return this.#parts.events.listen(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Every step is tried, whatever the ones before it did; the first failure is reported. */
  async #closeNow(): Promise<void> {
    const { native, runtime, pool, catalog, target, events } = this.#parts;
    if (this.#watermarkTimer !== null) clearInterval(this.#watermarkTimer);
    events.add('info', 'node-closing', 'closing: no new connections, associations end');
    const goodbye = this.#announcer?.close();
    const steps: [string, () => Promise<void>][] = [
      ['end the runs of schedules', () => this.schedules.close()],
      ['give up portals that wait for their address', () => this.portals.close()],
      ['end the jobs', () => this.jobs.close()],
      ['end the associations', () => target.close()],
      ['end exports and imports', () => this.streams.close()],
      ['finish calls under way', () => this.#locks.idle()],
      ['finish transactions', () => catalog.settled()],
      ['close the volumes', () => this.exports.closeAll()],
      ['close the pool', () => native.poolClose(pool)],
      ['close the reactors', () => native.runtimeClose(runtime)],
      ['take the announcement back', async () => goodbye],
    ];
    let first: AshlarError | null = null;
    for (const [what, step] of steps) {
      try {
        await step();
      } catch (thrown) {
        const error = toAshlarError(thrown);
        events.add('error', 'close-failed', `could not ${what}: ${error.message}`);
        first ??= error;
      }
    }
    if (first === null) events.add('info', 'node-closed', 'closed');
    await events.close();
    if (first !== null) throw first;
  }

  // ---- Pieces -----------------------------------------------------------------------------------

  #take(event: NativeEvent): void {
    if (event.type === 'device-failed') {
      const device = uuidText(event.uuid);
      const message = `device ${device} failed, its blocks cannot be read: ${event.reason}`;
      this.#parts.events.add('error', 'device-failed', message, device);
      return;
    }
    if (event.type !== 'pool-failed') {
      this.#parts.target.handle(event);
      return;
    }
    if (this.#failure !== null) return;
    this.#failure = event.reason;
    this.#parts.events.add('error', 'pool-failed', failedAdvice(event.reason));
  }

  #assertOpen(): void {
    if (this.#closing === null) return;
    throw new AshlarError('closed', 'the node is closing; start it again with "ashlar serve"');
  }

  async #lookAtFill(): Promise<void> {
    const { native, pool, events } = this.#parts;
    if (this.#closing !== null) return;
    let status: PoolStatus;
    try {
      status = await native.poolStatus(pool);
    } catch {
      return; // Closing, or failed, which has its own event.
    }
    const passed = this.#watermarks.look(status);
    if (passed === null) return;
    const available = status.freeChunks - status.reservedChunks;
    const free = formatSize(available * status.chunkBytes);
    if (passed.direction === 'below') {
      events.add(
        'info',
        'pool-usage',
        `the pool is below ${passed.percent} % again, ${free} available`,
      );
      return;
    }
    events.add(
      passed.percent >= 95 ? 'error' : 'warning',
      'pool-usage',
      `the pool is over ${passed.percent} % full, ${free} available; when it is full, writes that ` +
        'need new space fail. Delete volumes, discard unused blocks (fstrim), or move data away',
    );
  }
}

function announcerOf({ target, events }: NodeParts): Announcer {
  const nqn = target.discoveryNqn;
  return new Announcer({
    hostname: `ashlar-${nqn.slice(-12)}`,
    name: `Ashlar on ${hostname().slice(0, 32)}`,
    nqn,
    // One that is reached through another address is not where it would be announced to be.
    portals: () => target.portals.filter(({ advertised }) => advertised === undefined),
    emit: (severity, kind, message) => events.add(severity, kind, message),
  });
}

/** What hosts can still write, in percent; what is promised to some is not there for others. */
function freePercent({ freeChunks, reservedChunks, totalChunks }: PoolStatus): number {
  const left = freeChunks > reservedChunks ? freeChunks - reservedChunks : 0n;
  return Number((left * 100n) / (totalChunks || 1n));
}

function failedAdvice(reason: string): string {
  return (
    `the pool failed and acknowledges no more writes: ${reason}. ` +
    'Mend the device, restart the daemon, and run "ashlar pool check"'
  );
}
