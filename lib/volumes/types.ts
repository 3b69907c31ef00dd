/**
 * What the rest of the control plane (API, CLI, later CSI) sees of volumes, hosts and tenants.
 *
 * Sizes are bytes as `bigint`; UUIDs are lower-case text with hyphens; times are ISO 8601 in UTC.
 * A promise resolves when the change is durable and connected hosts have been told.
 */
import type { AnaState } from '../native.js';

/** Options of every call. */
export interface CallOptions {
  /** Ends the call before its change is committed; afterwards it has no effect. */
  signal?: AbortSignal | undefined;
  /** The tenant that names are looked up in; 'default' when not given. */
  tenant?: string | undefined;
  /**
   * True: the call succeeds when its effect is there already (a volume of that name and the same
   * properties, a grant given, a volume gone). Otherwise a repeat is an error, which is what a
   * person at a shell wants to hear.
   */
  repeatable?: boolean | undefined;
}

export type BlockBytes = 512 | 4096;

/** Who may use a volume: one host, or every host ('*'). */
export interface GrantInfo {
  /** A host NQN, or '*' for any host. */
  host: string;
  access: GrantAccess;
  createdAt: string;
}
export type GrantAccess = 'read-write' | 'read-only';

export interface VolumeInfo {
  name: string;
  tenant: string;
  uuid: string;
  /** 32 hexadecimal digits. */
  nguid: string;
  nsid: number;
  /** The subsystem that carries it. */
  subnqn: string;
  sizeBytes: bigint;
  blockBytes: BlockBytes;
  anagrpid: number;
  createdAt: string;
  /** By host. */
  grants: GrantInfo[];
}

export interface VolumeUsage {
  /** Blocks written and not deallocated, 4 KiB each. */
  mappedBytes: bigint;
  /** Pool space held, in chunks of 64 KiB. */
  allocatedBytes: bigint;
}

export interface VolumeDetail extends VolumeInfo {
  usage: VolumeUsage;
  /** Controllers that see it now, one for each host and path. */
  connectedHosts: ConnectedHost[];
}

export interface CreateVolume {
  /** 1 to 63 of a–z, A–Z, 0–9, '.', '_' and '-', beginning with a letter or digit; not a UUID. */
  name: string;
  /** A multiple of `blockBytes`, up to 64 TiB. */
  sizeBytes: bigint;
  /** 4096 when not given. */
  blockBytes?: BlockBytes | undefined;
  /** Chosen by the caller so that a repeat can be told from a namesake; random when not given. */
  uuid?: string | undefined;
  /** Hosts granted from the start: NQNs, or '*'. */
  hosts?: readonly string[] | undefined;
}

/** `volume` is a name in the tenant of the options, or a UUID. */
export interface Volumes {
  /**
   * @throws AshlarError invalid-argument (name, size zero, not whole blocks, block size),
   * limit-exceeded (over 64 TiB, too many volumes), already-exists, no-space, pool-failed.
   */
  create(request: CreateVolume, options?: CallOptions): Promise<VolumeDetail>;
  /** By tenant and name. Without a tenant in the options: all. */
  list(options?: CallOptions): VolumeInfo[];
  /** @throws AshlarError not-found. */
  show(volume: string, options?: CallOptions): Promise<VolumeDetail>;
  /**
   * Grows a volume; hosts are told and see the new size without reconnecting.
   * @throws AshlarError not-found, invalid-argument (below the current size, not whole blocks),
   * limit-exceeded (over 64 TiB).
   */
  resize(volume: string, sizeBytes: bigint, options?: CallOptions): Promise<VolumeDetail>;
  /** @throws AshlarError not-found, already-exists. */
  rename(volume: string, name: string, options?: CallOptions): Promise<VolumeDetail>;
  /**
   * Hosts lose it first (commands under way end, new ones fail), then it is gone for good; its
   * space comes back in the background.
   * @throws AshlarError not-found.
   */
  delete(volume: string, options?: CallOptions): Promise<void>;
  /**
   * Lets a host (an NQN, or '*') use the volume. The host is added to the tenant's when new.
   * @throws AshlarError not-found, invalid-argument (NQN), already-exists.
   */
  grant(
    volume: string,
    host: string,
    options?: CallOptions & { access?: GrantAccess | undefined },
  ): Promise<VolumeDetail>;
  /**
   * When it resolves, no command of that host is under way any more (unless '*' still lets it).
   * @throws AshlarError not-found.
   */
  revoke(volume: string, host: string, options?: CallOptions): Promise<VolumeDetail>;
}

export interface HostInfo {
  nqn: string;
  tenant: string;
  createdAt: string;
  /** Volumes granted to this NQN (those granted to '*' are not counted), by name. */
  volumes: string[];
  connections: ConnectedHost[];
}

/** One association of a host with a subsystem. */
export interface ConnectedHost {
  hostnqn: string;
  /** UUID text. */
  hostid: string;
  subnqn: string;
  cntlid: number;
  portalId: number;
  /** Address and port it came from. */
  peer: string;
  kind: 'io' | 'discovery';
  /** I/O queues connected. */
  ioQueues: number;
  /** 0: no Keep Alive timeout. */
  keepAliveMs: number;
  connectedAt: string;
}

export interface Hosts {
  /** A host may connect from now on, and sees what it is granted. */
  add(nqn: string, options?: CallOptions): Promise<HostInfo>;
  list(options?: CallOptions): HostInfo[];
  /** @throws AshlarError not-found. */
  show(nqn: string, options?: CallOptions): HostInfo;
  /** Revokes its grants too. @throws AshlarError not-found. */
  remove(nqn: string, options?: CallOptions): Promise<void>;
}

export interface TenantInfo {
  name: string;
  uuid: string;
  /** For life; `nqn.2026-01.dev.ashlar:` and the tenant's UUID. */
  subnqn: string;
  volumes: number;
  hosts: number;
  createdAt: string;
}

export interface Tenants {
  /** @throws AshlarError invalid-argument, already-exists, limit-exceeded. */
  create(name: string, options?: CallOptions): Promise<TenantInfo>;
  list(): TenantInfo[];
  /** @throws AshlarError not-found. */
  show(name: string): TenantInfo;
  /** @throws AshlarError not-found, conflict (it has volumes, or is 'default'). */
  delete(name: string, options?: CallOptions): Promise<void>;
}

/** A listening address of the target. */
export interface PortalInfo {
  portalId: number;
  address: string;
  port: number;
  discoveryOnly: boolean;
  /** State of each ANA group that is not optimized. */
  ana: { anagrpid: number; state: AnaState }[];
}
