/**
 * A node: one pool, its volumes, and the target that serves them. What the API, the CLI and
 * embedders hold in their hands.
 */

import type { Sessions, Tokens } from '../access/types.js';
import type { Referrals } from '../discovery/types.js';
import type { EventKind, EventSeverity } from '../events/kinds.js';
import type { Jobs } from '../jobs/types.js';
import type {
  CheckReport,
  DeviceSpec,
  PoolDeviceStatus,
  PoolStatus,
  PortalTls,
  ReactorCounters,
  RuntimeOptions,
  TlsRecords,
} from '../native.js';
import type { PortalInfo, Portals } from '../portals/types.js';
import type { Schedules } from '../schedules/types.js';
import type { HostPsks } from '../secrets/psk_types.js';
import type { HostKeys } from '../secrets/types.js';
import type { Streams } from '../stream/types.js';
import type { Policies } from '../volumes/policy_types.js';
import type { VolumeReservations } from '../volumes/reservation_types.js';
import type { Statistics } from '../volumes/statistics.js';
import type {
  CallOptions,
  ConnectedHost,
  Grants,
  Groups,
  Hosts,
  Page,
  PageOptions,
  Snapshots,
  Tenants,
  Volumes,
} from '../volumes/types.js';
import type { CheckProgress } from './check_progress.js';

export interface PortalConfig {
  /** An IPv4 or IPv6 address of this machine, or 0.0.0.0 or ::. */
  address: string;
  /** 0: any free port. */
  port: number;
  /** Serves discovery alone (by convention on port 8009), no volumes. */
  discoveryOnly: boolean;
  /** When it cannot be listened on, warn and go on without it. */
  optional?: boolean | undefined;
  /** What discovery says instead, when hosts reach the portal through another address. */
  advertised?: { address: string; port: number } | undefined;
}

export interface NodeConfig {
  pool: {
    device: DeviceSpec;
    /** Create the pool when the file is missing or the device is memory; null: never. */
    create: { sizeBytes: bigint | null; journalBytes: bigint | null } | null;
    writeThrough: boolean;
    mapCacheBytes: bigint | null;
    /**
     * File with the key that wraps secrets, absolute. When not given: the pool file's path with
     * `.key` behind it; none for a block device, so that it can keep no keys of hosts; the key of a
     * pool in memory is in memory too.
     */
    keyFile?: string | null | undefined;
  };
  runtime: RuntimeOptions;
  portals: readonly PortalConfig[];
  /** Announce the discovery service by mDNS where it is reached through other than loopback. */
  mdns?: boolean | undefined;
  /** Whether hosts speak TLS to them; not given: never. */
  tls?: PortalTls;
  /** Whether the kernel does the records of TLS; not given: where it can. */
  ktls?: 'auto' | 'off';
  /** Discovery services of other nodes that hosts are told of. */
  referrals?: readonly { address: string; port: number }[] | undefined;
  /** The node's share of controller IDs, unique over all nodes of a cluster; 1 to 65519. */
  cntlids: { first: number; last: number };
  /** File in which events outlive a restart, absolute; not given or null: in memory only. */
  eventFile?: string | null | undefined;
  /** On the creation of the pool: add this volume, granted to any host; null: none. */
  demo: { volume: string; sizeBytes: bigint } | null;
}

/** Something that happened: kept (the last 1,000 of the node, 200 of each tenant) and logged. */
export interface NodeEvent {
  /** Ascending from 1, over restarts too where events are kept in a file. */
  sequence: number;
  /** Names it, and says nothing of how many others there are. */
  id: string;
  time: string;
  severity: EventSeverity;
  /** What kind, for programs. */
  kind: EventKind;
  /** One line for people. */
  message: string;
  /** The same for callers of its tenant: without what is the node's. */
  toTenants: string;
  /** The object concerned: a volume's or tenant's UUID, an NQN; null: the node. */
  subject: string | null;
  /** Whose the object is or was: the tenant's name then; null: the node's own. */
  tenant: string | null;
}

export interface EventFilter extends PageOptions {
  severity?: NodeEvent['severity'] | undefined;
  kind?: EventKind | undefined;
  subject?: string | undefined;
  /** Not before this instant. */
  sinceMs?: number | undefined;
  /** Before this instant. */
  untilMs?: number | undefined;
}

/** The events that are kept, for lists. With a tenant in the options: of its objects alone. */
export interface NodeEvents {
  /** Newest first. @throws AshlarError not-found (the tenant), invalid-argument (the cursor). */
  page(options?: EventFilter): Page<NodeEvent>;
  /** @throws AshlarError not-found. */
  show(id: string, options?: CallOptions): NodeEvent;
  /** With this, cursors of pages are sealed so that a restart does not end them; null: it does. */
  readonly cursorKey: Uint8Array | null;
}

/** TLS at the portals, and who does its records. */
export interface NodeTls {
  mode: PortalTls;
  /** Of a connection whose handshake is done; the handshake is always this process's. */
  records: TlsRecords;
  /** Why the process does them, in one line; null: the kernel does, or there is no TLS. */
  problem: string | null;
  /** Connections since the start, by who does their records. */
  kernelConnections: number;
  processConnections: number;
  /** How often the kernel did not take a connection of which it was asked. */
  refused: number;
}

/** Of a check of the pool. */
export interface CheckOptions extends CallOptions {
  /** Told how far it is. */
  progress?: CheckProgress | undefined;
}

export interface NodeStatus {
  /** 'failed': the pool stopped acknowledging; `problem` says why and what to do. */
  state: 'serving' | 'failed' | 'closing';
  problem: string | null;
  version: string;
  startedAt: string;
  /** True when this start created the pool. */
  created: boolean;
  pool: PoolStatus;
  device: DeviceSpec;
  portals: PortalInfo[];
  tenants: number;
  volumes: number;
  snapshots: number;
  /** Sum of the sizes of all volumes. */
  provisionedBytes: bigint;
  connections: ConnectedHost[];
  reactors: ReactorCounters[];
  tls: NodeTls;
}

/** The pool of a running node. */
export interface NodePool {
  status(): Promise<PoolStatus>;
  /** Proves every structure of one instant while I/O goes on. */
  check(options?: CheckOptions): Promise<CheckReport>;
  /** Makes the next start replay nothing of what is there now. */
  checkpoint(): Promise<void>;
  /**
   * Adds a device while I/O goes on; its space counts when it resolves, and every start finds it
   * again. Volumes span devices, and a device cannot be taken out again.
   *
   * @param path absolute: a block device, or a file that is made when it is not there.
   * @param sizeBytes of a new file; null: the device's own.
   * @throws AshlarError invalid-argument, already-exists (it holds data, or is there already),
   * pool-exists, no-space, permission-denied, limit-exceeded (32 devices).
   */
  addDevice(
    path: string,
    sizeBytes: bigint | null,
    options?: CallOptions,
  ): Promise<PoolDeviceStatus>;
  /**
   * Brings back a device that was missing, from where it is now.
   * @throws AshlarError not-found (none of this pool), busy (it is there), pool-failed (it failed).
   */
  attachDevice(path: string, options?: CallOptions): Promise<PoolDeviceStatus>;
}

export interface Node extends AsyncDisposable {
  readonly volumes: Volumes;
  readonly snapshots: Snapshots;
  readonly groups: Groups;
  readonly streams: Streams;
  readonly grants: Grants;
  readonly hosts: Hosts;
  readonly hostKeys: HostKeys;
  readonly tenants: Tenants;
  readonly statistics: Statistics;
  readonly policies: Policies;
  readonly tokens: Tokens;
  readonly sessions: Sessions;
  readonly jobs: Jobs;
  readonly reservations: VolumeReservations;
  readonly portals: Portals;
  readonly psks: HostPsks;
  readonly referrals: Referrals;
  readonly schedules: Schedules;
  readonly pool: NodePool;
  readonly eventList: NodeEvents;
  status(): Promise<NodeStatus>;
  /** Events after `after`, oldest first. */
  events(after?: number): NodeEvent[];
  /** Records an event of whoever serves this node. */
  tell(severity: NodeEvent['severity'], kind: EventKind, message: string): void;
  /** Calls `listener` for each event from now on; returns how to stop. */
  onEvent(listener: (event: NodeEvent) => void): () => void;
  /**
   * Stops in order: no new connections, associations end, volumes close, checkpoint, pool and
   * reactors close. Safe to call twice. Other calls then throw 'closed'.
   */
  close(): Promise<void>;
}

// Implemented in node.ts:   openNode(config: NodeConfig, logger: Logger): Promise<Node>
// and without a daemon:     createPool, inspectPool and checkPool in pool_file.ts.
