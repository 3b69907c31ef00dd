/**
 * The kinds of record and their layouts. Numbers and field names are part of the pool's format:
 * they are never reused for something else.
 *
 * | kind | record  | what it says                                                         |
 * |-----:|---------|----------------------------------------------------------------------|
 * |    1 | tenant  | a name, its subsystem, and where its NSIDs continue                    |
 * |    2 | host    | a host that may connect to a tenant's subsystem                        |
 * |    3 | volume  | a name, its identities for life, and its top layer                     |
 * |    4 | grant   | a host (or any) may use a volume, or read a snapshot                    |
 * |    5 | snapshot| a name, its identities for life, and its frozen layer                  |
 * |    6 | device  | where a further device of the pool was last                            |
 * |    7 | schedule| when snapshots of which volumes are made, and how many are kept          |
 * |    8 | import  | a stream that is half applied to a volume                              |
 *
 * Kind 9 is in reservation_kinds.ts, kinds 10 and 11 in portal_kinds.ts, kind 12 in
 * key_kinds.ts, kind 13 in psk_kinds.ts, kinds 14 and 15 in discovery_kinds.ts, kind 16 in
 * token_kinds.ts, kind 17 in policy_kinds.ts.
 */
import type { RecordKind } from './codec.js';
import { discoveryGenerationKind, referralKind } from './discovery_kinds.js';
import { hostKeyKind } from './key_kinds.js';
import { policyKind } from './policy_kinds.js';
import { anaKind, portalKind } from './portal_kinds.js';
import { pskKind } from './psk_kinds.js';
import { reservationKind } from './reservation_kinds.js';
import { tokenKind } from './token_kinds.js';

export interface TenantRecord {
  name: string;
  uuid: Uint8Array;
  subnqn: string;
  /** One above the NSID given last. */
  nextNsid: number;
  createdMs: number;
  quota: TenantQuota;
  /** Record id of what limits all its hosts together; 0: nothing but the quota. */
  policy: bigint;
}

/** What a tenant may have at most; 0: as much as the node can. */
export interface TenantQuota {
  /** Sum of the sizes of its volumes. */
  capacityBytes: bigint;
  volumes: number;
  snapshots: number;
  iops: number;
  bytesPerSecond: bigint;
}

export const noQuota: TenantQuota = {
  capacityBytes: 0n,
  volumes: 0,
  snapshots: 0,
  iops: 0,
  bytesPerSecond: 0n,
};

export interface HostRecord {
  /** The tenant's record id. */
  tenant: bigint;
  nqn: string;
  createdMs: number;
}

export interface VolumeRecord {
  tenant: bigint;
  name: string;
  uuid: Uint8Array;
  nguid: Uint8Array;
  nsid: number;
  /** The writable top layer; snapshots and rollback put another one here. */
  layer: Uint8Array;
  sizeBytes: bigint;
  blockBytes: 512 | 4096;
  anagrpid: number;
  createdMs: number;
  /** Whether its room in the pool is promised to it. */
  reserved: boolean;
  /** UUID of the snapshot or volume that it was cloned from, 16 bytes; empty: none. */
  source: Uint8Array;
  /** Record id of what limits its hosts; 0: nothing. */
  policy: bigint;
}

export interface SnapshotRecord {
  tenant: bigint;
  /** Record id of the volume that it was taken of; stays when that is deleted. */
  volume: bigint;
  /** Name of that volume when it was last written here: what it is found by afterwards. */
  volumeName: string;
  name: string;
  uuid: Uint8Array;
  nguid: Uint8Array;
  /** From the tenant's sequence at the first grant, and then kept; 0: never granted. */
  nsid: number;
  /** The frozen layer. */
  layer: Uint8Array;
  sizeBytes: bigint;
  blockBytes: 512 | 4096;
  /** UUID of the group of snapshots made at the same instant, 16 bytes; empty: made alone. */
  group: Uint8Array;
  /** UUID of the snapshot elsewhere whose import this holds, 16 bytes; empty: made here. */
  origin: Uint8Array;
  createdMs: number;
  /** UUID of the schedule that made it, 16 bytes; empty: made by hand. */
  schedule: Uint8Array;
  /** The instant that the schedule had planned for it; 0: made by hand. */
  plannedMs: number;
  /** UUID of its volume, 16 bytes; empty in records older than the field. */
  volumeUuid: Uint8Array;
}

/** An import that has not come to its end. Until then no host sees the volume. */
export interface ImportRecord {
  /** The volume's record id. */
  volume: bigint;
  /** Its top layer; when another one is there, the import cannot go on. */
  layer: Uint8Array;
  kind: 'full' | 'difference';
  /** UUID of the stream, which names its contents. */
  stream: Uint8Array;
  /** UUID of the snapshot at the source. */
  snapshot: Uint8Array;
  /** UUID of the snapshot at the source that a difference starts at; empty: full. */
  base: Uint8Array;
  /** `volume@name` of the snapshot at the source. */
  source: string;
  sizeBytes: bigint;
  /** Everything below is in the volume and durable. */
  appliedBytes: bigint;
  startedMs: number;
}

/** A device of the pool beyond its first. */
export interface DeviceRecord {
  uuid: Uint8Array;
  /** Where it was attached last. */
  path: string;
}

export interface ScheduleRecord {
  tenant: bigint;
  name: string;
  uuid: Uint8Array;
  /** Five fields, or a nickname such as '@daily'. */
  cron: string;
  /** IANA name of the zone that `cron` and the spans of `keep` are of. */
  timezone: string;
  /** Record ids; those of deleted volumes are taken out in the transaction that deletes them. */
  volumes: readonly bigint[];
  /** What the names of its snapshots begin with. */
  prefix: string;
  /** How many snapshots each rule keeps. */
  keep: { last: number; hourly: number; daily: number; weekly: number; monthly: number };
  enabled: boolean;
  /** Planned instants up to this one are not due: it was created, enabled or changed then. */
  armedMs: number;
  /** The planned instant of the last run that succeeded or was given up; 0: none yet. */
  lastRunMs: number;
  /** Why that run was given up; empty: it succeeded. */
  lastFailure: string;
  createdMs: number;
}

/** `host` of a grant to every host. */
export const anyHost = '*';

export interface GrantRecord {
  /** The volume's record id; 0 in the grant of a snapshot. */
  volume: bigint;
  /** The snapshot's record id; 0 in the grant of a volume. */
  snapshot: bigint;
  /** An NQN, or '*'. */
  host: string;
  access: 'read-write' | 'read-only';
  createdMs: number;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export const tenantKind: RecordKind<TenantRecord, 'name' | 'uuid' | 'subnqn', 'policy'> = {
  kind: 1,
  name: 'tenant',
  version: 1,
  decode: (fields) => ({
    name: fields.text('name'),
    uuid: fields.bytes('uuid', 16),
    subnqn: fields.text('subnqn'),
    nextNsid: fields.integer('nextNsid'),
    createdMs: fields.integer('createdMs'),
    quota: {
      capacityBytes: fields.has('quotaCapacity') ? fields.u64('quotaCapacity') : 0n,
      volumes: fields.integerOr('quotaVolumes', 0),
      snapshots: fields.integerOr('quotaSnapshots', 0),
      iops: fields.integerOr('quotaIops', 0),
      bytesPerSecond: fields.has('quotaRate') ? fields.u64('quotaRate') : 0n,
    },
    policy: fields.has('policy') ? fields.u64('policy') : 0n,
  }),
  encode: ({ quota, ...rest }) => ({
    ...rest,
    quotaCapacity: quota.capacityBytes,
    quotaVolumes: quota.volumes,
    quotaSnapshots: quota.snapshots,
    quotaIops: quota.iops,
    quotaRate: quota.bytesPerSecond,
  }),
  indexes: {
    name: ({ name }) => name,
    uuid: ({ uuid }) => hex(uuid),
    subnqn: ({ subnqn }) => subnqn,
  },
  groups: { policy: ({ policy }) => (policy === 0n ? null : String(policy)) },
};

export const hostKind: RecordKind<HostRecord, 'nqn', 'tenant'> = {
  kind: 2,
  name: 'host',
  version: 1,
  decode: (fields) => ({
    tenant: fields.u64('tenant'),
    nqn: fields.text('nqn'),
    createdMs: fields.integer('createdMs'),
  }),
  encode: (value) => ({ ...value }),
  indexes: { nqn: ({ tenant, nqn }) => hostKey(tenant, nqn) },
  groups: { tenant: ({ tenant }) => String(tenant) },
};

export const volumeKind: RecordKind<
  VolumeRecord,
  'name' | 'uuid' | 'layer' | 'nsid',
  'tenant' | 'policy'
> = {
  kind: 3,
  name: 'volume',
  version: 1,
  decode: (fields) => ({
    tenant: fields.u64('tenant'),
    name: fields.text('name'),
    uuid: fields.bytes('uuid', 16),
    nguid: fields.bytes('nguid', 16),
    nsid: fields.integer('nsid'),
    layer: fields.bytes('layer', 16),
    sizeBytes: fields.u64('sizeBytes'),
    blockBytes: fields.choice('blockBytes', [512, 4096]),
    anagrpid: fields.integer('anagrpid'),
    createdMs: fields.integer('createdMs'),
    reserved: fields.flag('reserved'),
    source: fields.bytesOrNone('source', 16),
    policy: fields.has('policy') ? fields.u64('policy') : 0n,
  }),
  encode: (value) => ({ ...value }),
  indexes: {
    name: ({ tenant, name }) => volumeKey(tenant, name),
    uuid: ({ uuid }) => hex(uuid),
    layer: ({ layer }) => hex(layer),
    nsid: ({ tenant, nsid }) => nsidKey(tenant, nsid),
  },
  groups: {
    tenant: ({ tenant }) => String(tenant),
    policy: ({ policy }) => (policy === 0n ? null : String(policy)),
  },
};

export const grantKind: RecordKind<GrantRecord, 'host', 'volume' | 'snapshot' | 'host'> = {
  kind: 4,
  name: 'grant',
  version: 1,
  decode: (fields) => ({
    volume: fields.u64('volume'),
    snapshot: fields.has('snapshot') ? fields.u64('snapshot') : 0n,
    host: fields.text('host'),
    access: fields.choice('access', ['read-write', 'read-only']),
    createdMs: fields.integer('createdMs'),
  }),
  encode: (value) => ({ ...value }),
  indexes: {
    host: ({ volume, snapshot, host }) =>
      snapshot === 0n ? grantKey(volume, host) : snapshotGrantKey(snapshot, host),
  },
  groups: {
    volume: ({ volume }) => (volume === 0n ? null : String(volume)),
    snapshot: ({ snapshot }) => (snapshot === 0n ? null : String(snapshot)),
    host: ({ host }) => host,
  },
};

export const snapshotKind: RecordKind<
  SnapshotRecord,
  'name' | 'uuid' | 'nsid',
  'tenant' | 'volume' | 'namespaces' | 'schedule' | 'group'
> = {
  kind: 5,
  name: 'snapshot',
  version: 1,
  decode: (fields) => ({
    tenant: fields.u64('tenant'),
    volume: fields.u64('volume'),
    volumeName: fields.text('volumeName'),
    name: fields.text('name'),
    uuid: fields.bytes('uuid', 16),
    nguid: fields.bytes('nguid', 16),
    nsid: fields.integer('nsid'),
    layer: fields.bytes('layer', 16),
    sizeBytes: fields.u64('sizeBytes'),
    blockBytes: fields.choice('blockBytes', [512, 4096]),
    group: fields.bytesOrNone('group', 16),
    origin: fields.bytesOrNone('origin', 16),
    createdMs: fields.integer('createdMs'),
    schedule: fields.bytesOrNone('schedule', 16),
    plannedMs: fields.integerOr('plannedMs', 0),
    volumeUuid: fields.bytesOrNone('volumeUuid', 16),
  }),
  encode: (value) => ({ ...value }),
  indexes: {
    name: ({ volume, name }) => snapshotKey(volume, name),
    uuid: ({ uuid }) => hex(uuid),
    nsid: ({ tenant, nsid }) => (nsid === 0 ? null : nsidKey(tenant, nsid)),
  },
  groups: {
    tenant: ({ tenant }) => String(tenant),
    volume: ({ volume }) => String(volume),
    /** Those with an NSID, by tenant. */
    namespaces: ({ tenant, nsid }) => (nsid === 0 ? null : String(tenant)),
    /** Those made by a schedule, by its UUID. */
    schedule: ({ schedule }) => (schedule.length === 0 ? null : hex(schedule)),
    /** Those of one instant, by the UUID of their group. */
    group: ({ group }) => (group.length === 0 ? null : hex(group)),
  },
  namesGone: ({ volume }) => [{ kind: volumeKind.kind, id: volume }],
};

export const deviceKind: RecordKind<DeviceRecord, 'uuid', never> = {
  kind: 6,
  name: 'device',
  version: 1,
  decode: (fields) => ({ uuid: fields.bytes('uuid', 16), path: fields.text('path') }),
  encode: (value) => ({ ...value }),
  indexes: { uuid: ({ uuid }) => hex(uuid) },
  groups: {},
};

export const scheduleKind: RecordKind<ScheduleRecord, 'name' | 'uuid' | 'prefix', 'tenant'> = {
  kind: 7,
  name: 'schedule',
  version: 1,
  decode: (fields) => ({
    tenant: fields.u64('tenant'),
    name: fields.text('name'),
    uuid: fields.bytes('uuid', 16),
    cron: fields.text('cron'),
    timezone: fields.text('timezone'),
    volumes: fields.u64s('volumes'),
    prefix: fields.text('prefix'),
    keep: {
      last: fields.integer('keepLast'),
      hourly: fields.integer('keepHourly'),
      daily: fields.integer('keepDaily'),
      weekly: fields.integer('keepWeekly'),
      monthly: fields.integer('keepMonthly'),
    },
    enabled: fields.flag('enabled'),
    armedMs: fields.integer('armedMs'),
    lastRunMs: fields.integer('lastRunMs'),
    lastFailure: fields.text('lastFailure'),
    createdMs: fields.integer('createdMs'),
  }),
  encode: ({ keep, ...rest }) => ({
    ...rest,
    keepLast: keep.last,
    keepHourly: keep.hourly,
    keepDaily: keep.daily,
    keepWeekly: keep.weekly,
    keepMonthly: keep.monthly,
  }),
  indexes: {
    name: ({ tenant, name }) => scheduleKey(tenant, name),
    uuid: ({ uuid }) => hex(uuid),
    prefix: ({ tenant, prefix }) => scheduleKey(tenant, prefix),
  },
  groups: { tenant: ({ tenant }) => String(tenant) },
};

export const importKind: RecordKind<ImportRecord, 'volume', never> = {
  kind: 8,
  name: 'import',
  version: 1,
  decode: (fields) => ({
    volume: fields.u64('volume'),
    layer: fields.bytes('layer', 16),
    kind: fields.choice('kind', ['full', 'difference']),
    stream: fields.bytes('stream', 16),
    snapshot: fields.bytes('snapshot', 16),
    base: fields.bytesOrNone('base', 16),
    source: fields.text('source'),
    sizeBytes: fields.u64('sizeBytes'),
    appliedBytes: fields.u64('appliedBytes'),
    startedMs: fields.integer('startedMs'),
  }),
  encode: (value) => ({ ...value }),
  indexes: { volume: ({ volume }) => String(volume) },
  groups: {},
};

/** Key of a host in its index: unique within a tenant. */
export const hostKey = (tenant: bigint, nqn: string): string => `${tenant}/${nqn}`;
/** Key of a volume's name in its index: unique within a tenant. */
export const volumeKey = (tenant: bigint, name: string): string => `${tenant}/${name}`;
/** Key of an NSID in its index: unique within a tenant. */
export const nsidKey = (tenant: bigint, nsid: number): string => `${tenant}/${nsid}`;
/** Key of a volume's grant in its index. */
export const grantKey = (volume: bigint, host: string): string => `${volume}/${host}`;
/** Key of a snapshot's grant in the same index. */
export const snapshotGrantKey = (snapshot: bigint, host: string): string => `@${snapshot}/${host}`;
/** Key of a snapshot's name in its index: unique among the snapshots of one volume. */
export const snapshotKey = (volume: bigint, name: string): string => `${volume}@${name}`;
/** Key of a schedule's name, and of its prefix, in their indexes: unique within a tenant. */
export const scheduleKey = (tenant: bigint, name: string): string => `${tenant}/${name}`;

/** Every kind, for {@link Catalog.load}. */
export const allKinds = [
  tenantKind,
  hostKind,
  volumeKind,
  grantKind,
  snapshotKind,
  deviceKind,
  scheduleKind,
  importKind,
  reservationKind,
  portalKind,
  anaKind,
  hostKeyKind,
  pskKind,
  referralKind,
  discoveryGenerationKind,
  tokenKind,
  policyKind,
] as const;
