/**
 * What the rest of the control plane (API, CLI, later CSI) sees of volumes, hosts and tenants.
 *
 * Sizes are bytes as `bigint`; UUIDs are lower-case text with hyphens; times are ISO 8601 in UTC.
 * A promise resolves when the change is durable and connected hosts have been told.
 */

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
  /** Whether room for all its blocks is promised to it. */
  reserved: boolean;
  /** What limits its hosts; null: nothing. */
  policy: string | null;
  /** UUID of the snapshot or volume that it was cloned from, which may be gone; null: none. */
  sourceUuid: string | null;
  /** How many snapshots it has. */
  snapshots: number;
  /** By host. */
  grants: GrantInfo[];
}

/** How much of the pool a volume uses; provisioned is its `sizeBytes`. Known without a scan. */
export interface VolumeUsage {
  /** Blocks that hosts read as data, 4 KiB each, whoever holds them. */
  mappedBytes: bigint;
  /** Pool space that is its own alone, in chunks of 64 KiB. */
  exclusiveBytes: bigint;
  /** Of the mapped blocks, those that it shares with snapshots or with what it was cloned from. */
  sharedBytes: bigint;
  /** Pool space promised to it and not yet used; 0 for a volume that is not reserved. */
  reservedBytes: bigint;
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
  /** Promise it room for all its blocks, so that a full pool does not fail its writes. */
  reserved?: boolean | undefined;
  /** Name of the policy that limits its hosts; null or not given: none. */
  policy?: string | null | undefined;
}

/** A new volume that begins with the data of a snapshot, or of a volume at this instant. */
export interface CloneVolume {
  /** As in {@link CreateVolume}. */
  name: string;
  /** At least the source's size, which it is when not given. The block size is the source's. */
  sizeBytes?: bigint | undefined;
  uuid?: string | undefined;
  hosts?: readonly string[] | undefined;
  reserved?: boolean | undefined;
  /** As in {@link CreateVolume}; not given: that of the volume that it is made from. */
  policy?: string | null | undefined;
}

/** `force`: goes on although hosts are connected, and tells so by an event. */
export type ForceOptions = CallOptions & { force?: boolean | undefined };

/** At most so many items a page, after the one that `after` names. */
export interface PageOptions extends CallOptions {
  /** 1 to 1000; 1000 when not given. */
  limit?: number | undefined;
  /** `next` of the page before. */
  after?: string | undefined;
}

/** Part of a list in a fixed order. What comes or goes in between shifts nothing else. */
export interface Page<T> {
  items: T[];
  /** Where the next page begins; null: this was the last. */
  next: string | null;
}

/** Which volumes a list has; every part that is given counts. */
export interface VolumeFilter {
  /** Those whose name has this in it, whatever the case. */
  name?: string | undefined;
  /** Those granted to this NQN by name, or to any host ('*'). */
  host?: string | undefined;
  reserved?: boolean | undefined;
  /** Clones of this volume or of its snapshots, by name or UUID. */
  cloneOf?: string | undefined;
  /** Those that have snapshots, or have none. */
  snapshots?: boolean | undefined;
}

/** Which snapshots a list has; every part that is given counts. */
export interface SnapshotFilter {
  /** Of this volume, by name (also of a deleted one) or UUID. */
  volume?: string | undefined;
  /** Those whose name has this in it, whatever the case. */
  name?: string | undefined;
  /** Those whose volume is deleted, or is not. */
  deletedVolume?: boolean | undefined;
}

/** `volume` is a name in the tenant of the options, or a UUID. */
export interface Volumes {
  /**
   * @throws AshlarError invalid-argument (name, size zero, not whole blocks, block size),
   * limit-exceeded (over 64 TiB, too many volumes), already-exists, no-space, pool-failed.
   */
  create(request: CreateVolume, options?: CallOptions): Promise<VolumeDetail>;
  /**
   * A volume with the data of `source`, a snapshot (`volume@name` or UUID) or a volume as it is at
   * this instant: made at once, without copying, and independent of it from then on.
   * @throws AshlarError not-found, invalid-argument (also: smaller than the source),
   * limit-exceeded, already-exists, no-space.
   */
  clone(source: string, request: CloneVolume, options?: CallOptions): Promise<VolumeDetail>;
  /** By tenant and name. Without a tenant in the options: all. */
  list(options?: CallOptions): VolumeInfo[];
  /** The same order, page by page, with usage. */
  page(options?: PageOptions & VolumeFilter): Promise<Page<VolumeDetail>>;
  /** @throws AshlarError not-found. */
  show(volume: string, options?: CallOptions): Promise<VolumeDetail>;
  /**
   * Grows a volume; hosts are told and see the new size without reconnecting. With `shrink` it may
   * become smaller, when no host is connected and nothing is mapped beyond the new size, in the
   * volume or in a snapshot below it.
   * @throws AshlarError not-found, invalid-argument (below the current size without `shrink`, not
   * whole blocks), limit-exceeded (over 64 TiB), busy (shrinking), no-space (reserved).
   */
  resize(
    volume: string,
    sizeBytes: bigint,
    options?: CallOptions & { shrink?: boolean | undefined },
  ): Promise<VolumeDetail>;
  /** Promises it room for all its blocks, or takes that back. @throws AshlarError no-space. */
  reserve(volume: string, reserved: boolean, options?: CallOptions): Promise<VolumeDetail>;
  /** Null: none. @throws AshlarError not-found. */
  setPolicy(volume: string, policy: string | null, options?: CallOptions): Promise<VolumeDetail>;
  /** @throws AshlarError not-found, already-exists. */
  rename(volume: string, name: string, options?: CallOptions): Promise<VolumeDetail>;
  /**
   * It is gone for good; its space comes back in the background. Its snapshots stay. With `force`
   * connected hosts lose it first (commands under way end, new ones fail).
   * @throws AshlarError not-found, busy (naming the hosts that have it connected).
   */
  delete(volume: string, options?: ForceOptions): Promise<void>;
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

/** A grant, and what it is of. */
export interface GrantEntry extends GrantInfo {
  tenant: string;
  /** Name of the volume, or of the snapshot's volume. */
  volume: string;
  /** Name of the snapshot; null: the grant is of the volume itself. */
  snapshot: string | null;
}

/** `reference` is a volume's name or UUID, or a snapshot's `volume@name` or UUID. */
export interface Grants {
  /**
   * As {@link Volumes.grant} or {@link Snapshots.grant}; a snapshot is granted read-only.
   *
   * @throws AshlarError busy when it is to be `alone` and another host has it: 'host' any other,
   * 'writer' one that may write. Of two that ask at once one is refused.
   */
  add(
    reference: string,
    host: string,
    options?: CallOptions & {
      access?: GrantAccess | undefined;
      alone?: 'host' | 'writer' | undefined;
    },
  ): Promise<GrantEntry>;
  /** @throws AshlarError not-found. */
  show(reference: string, host: string, options?: CallOptions): GrantEntry;
  /** As {@link Volumes.revoke} or {@link Snapshots.revoke}. */
  remove(reference: string, host: string, options?: CallOptions): Promise<void>;
  /** By tenant, volume, snapshot and host. Without a tenant in the options: all. */
  list(options?: CallOptions): GrantEntry[];
}

// ---- Snapshots ----------------------------------------------------------------------------------

/** What a volume was at one instant; never changes. */
export interface SnapshotInfo {
  /** Unique among the snapshots of its volume. */
  name: string;
  /** Name of its volume, or the last one that it had. */
  volume: string;
  /** UUID of its volume; null: that is deleted. */
  volumeUuid: string | null;
  /** The same, and kept when that is deleted; null: it was deleted by an older version. */
  sourceUuid: string | null;
  /** `volume@name`, by which people find it. */
  reference: string;
  tenant: string;
  uuid: string;
  /** 32 hexadecimal digits. */
  nguid: string;
  /** Given at its first grant, then kept; null: never granted. */
  nsid: number | null;
  subnqn: string;
  sizeBytes: bigint;
  blockBytes: BlockBytes;
  /** UUID shared by the snapshots made at the same instant; null: made alone. */
  groupUuid: string | null;
  createdAt: string;
  /** By host; always read-only. */
  grants: GrantInfo[];
}

export interface SnapshotUsage {
  /** Blocks that a reader sees as data, 4 KiB each, whoever holds them. */
  mappedBytes: bigint;
  /** Pool space of its own layer, in chunks of 64 KiB. */
  exclusiveBytes: bigint;
  /** Of the mapped blocks, those of older snapshots. */
  sharedBytes: bigint;
  /** Pool space that deleting it now would give back. */
  freesBytes: bigint;
}

export interface SnapshotDetail extends SnapshotInfo {
  usage: SnapshotUsage;
  /** Controllers that see it now. */
  connectedHosts: ConnectedHost[];
}

/**
 * `snapshot` is `volume@name` in the tenant of the options, or a UUID. A snapshot outlives its
 * volume: it is found by the volume's last name as long as no volume of that name has a snapshot
 * of the same name, and always by UUID.
 */
export interface Snapshots {
  /**
   * Freezes what the volume holds now, without copying or stopping I/O: acknowledged writes are in
   * it; each block of one that is under way is in it or not.
   * @throws AshlarError not-found, invalid-argument (name), already-exists, limit-exceeded,
   * no-space.
   */
  create(
    volume: string,
    name: string,
    options?: CallOptions & Pick<SnapshotIdentities, 'uuids'>,
  ): Promise<SnapshotDetail>;
  /**
   * The same for several volumes (1 to 64, each once, of one tenant) at one instant: all or none.
   * In the order of `volumes`. They are a group, also when it is of one.
   */
  createGroup(
    volumes: readonly string[],
    name: string,
    options?: CallOptions & SnapshotIdentities,
  ): Promise<SnapshotDetail[]>;
  /** All of a volume (a name or UUID), oldest first. @throws AshlarError not-found. */
  listOf(volume: string, options?: CallOptions): SnapshotInfo[];
  /**
   * By tenant, volume and age. `volume`: only those of a volume (a name, also that of a deleted
   * volume, or UUID). `name`: those whose own name has this in it, whatever the case. Without a
   * tenant in the options: all.
   */
  page(options?: PageOptions & SnapshotFilter): Promise<Page<SnapshotDetail>>;
  /** @throws AshlarError not-found, conflict (several of that name; it lists their UUIDs). */
  show(snapshot: string, options?: CallOptions): Promise<SnapshotDetail>;
  /**
   * Makes the snapshot's volume hold what it held then; what was written since is gone for good,
   * unless another snapshot has it. The volume keeps the larger of both sizes. Refused while hosts
   * are connected: what they have in their caches is older or newer than what they would read.
   * `force` does it under them.
   * @throws AshlarError not-found, conflict (the volume is deleted), busy (naming the hosts).
   */
  rollback(snapshot: string, options?: ForceOptions): Promise<VolumeDetail>;
  /**
   * Deletes a snapshot, in any order with others, volumes and clones; its space comes back in the
   * background. `force` takes it from connected hosts first.
   * @throws AshlarError not-found, busy (naming the hosts that have it connected, or its reader).
   */
  delete(snapshot: string, options?: ForceOptions): Promise<void>;
  /** Lets a host read it, as a namespace of its own. Errors as of {@link Volumes.grant}. */
  grant(snapshot: string, host: string, options?: CallOptions): Promise<SnapshotDetail>;
  /** When it resolves, no command of that host is under way. @throws AshlarError not-found. */
  revoke(snapshot: string, host: string, options?: CallOptions): Promise<SnapshotDetail>;
}

/** The snapshots of several volumes, taken at one instant. */
export interface GroupInfo {
  uuid: string;
  /** The name that its snapshots have. */
  name: string;
  tenant: string;
  createdAt: string;
  /** `volume@name` of each that is still there, by volume. */
  snapshots: string[];
  /** Their UUIDs, in the same order. */
  snapshotUuids: string[];
  /** Sum of their sizes. */
  sizeBytes: bigint;
}

/** Identities of snapshots to make; random where none is given. */
export interface SnapshotIdentities {
  /** One for each volume, in their order. */
  uuids?: readonly string[] | undefined;
  groupUuid?: string | undefined;
}

/** Groups are made by {@link Snapshots.createGroup}, and are there while a snapshot of them is. */
export interface Groups {
  /** By tenant, instant and UUID. Without a tenant in the options: all. */
  page(options?: PageOptions): Page<GroupInfo>;
  /** @throws AshlarError not-found. */
  show(uuid: string, options?: CallOptions): GroupInfo;
  /**
   * Deletes its snapshots, one after the other: when one is refused, those before it are gone.
   * @throws AshlarError not-found, and as of {@link Snapshots.delete}.
   */
  delete(uuid: string, options?: ForceOptions): Promise<void>;
}

export interface HostInfo {
  nqn: string;
  tenant: string;
  createdAt: string;
  /** Volumes and snapshots granted to this NQN (those granted to '*' are not counted), by name. */
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
  snapshots: number;
  hosts: number;
  createdAt: string;
  /** Sum of the sizes of its volumes. */
  provisionedBytes: bigint;
  quota: QuotaInfo;
  /** What limits its hosts all together, beside the quota; null: nothing. */
  policy: string | null;
}

/** What a tenant may have at most; null: as much as the node can. */
export interface QuotaInfo {
  /** Sum of the sizes of its volumes. */
  capacityBytes: bigint | null;
  volumes: number | null;
  snapshots: number | null;
  /** Reads and writes a second, and their bytes, of all its volumes together. */
  iops: number | null;
  bytesPerSecond: bigint | null;
}

/** Parts that are not given stay as they are; of a new tenant they are null. */
export type SetQuota = { [K in keyof QuotaInfo]?: QuotaInfo[K] | undefined };

export interface ChangeTenant {
  name?: string | undefined;
  quota?: SetQuota | undefined;
  /** Null: none. */
  policy?: string | null | undefined;
}

export interface Tenants {
  /** @throws AshlarError invalid-argument, already-exists, limit-exceeded. */
  create(
    name: string,
    options?: CallOptions & {
      quota?: SetQuota | undefined;
      policy?: string | null | undefined;
    },
  ): Promise<TenantInfo>;
  /**
   * A quota below what the tenant has takes nothing away: it gets nothing more.
   * @throws AshlarError not-found, invalid-argument, already-exists, conflict ('default' keeps its
   * name).
   */
  change(name: string, request: ChangeTenant, options?: CallOptions): Promise<TenantInfo>;
  list(): TenantInfo[];
  /** @throws AshlarError not-found. */
  show(name: string): TenantInfo;
  /** @throws AshlarError not-found, conflict (it has volumes or snapshots, or is 'default'). */
  delete(name: string, options?: CallOptions): Promise<void>;
}
