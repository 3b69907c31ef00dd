/**
 * The kinds of record and their layouts. Numbers and field names are part of the pool's format:
 * they are never reused for something else.
 *
 * | kind | record  | what it says                                                         |
 * |-----:|---------|----------------------------------------------------------------------|
 * |    1 | tenant  | a name, its subsystem, and where its NSIDs continue                    |
 * |    2 | host    | a host that may connect to a tenant's subsystem                        |
 * |    3 | volume  | a name, its identities for life, and its top layer                     |
 * |    4 | grant   | a host (or any) may use a volume                                       |
 */
import type { RecordKind } from './codec.js';

export interface TenantRecord {
  name: string;
  uuid: Uint8Array;
  subnqn: string;
  /** One above the NSID given last. */
  nextNsid: number;
  createdMs: number;
}

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
  /** The writable top layer; snapshots and rollback will put another one here. */
  layer: Uint8Array;
  sizeBytes: bigint;
  blockBytes: 512 | 4096;
  anagrpid: number;
  createdMs: number;
}

/** `host` of a grant to every host. */
export const anyHost = '*';

export interface GrantRecord {
  /** The volume's record id. */
  volume: bigint;
  /** An NQN, or '*'. */
  host: string;
  access: 'read-write' | 'read-only';
  createdMs: number;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export const tenantKind: RecordKind<TenantRecord, 'name' | 'uuid' | 'subnqn', never> = {
  kind: 1,
  name: 'tenant',
  version: 1,
  decode: (fields) => ({
    name: fields.text('name'),
    uuid: fields.bytes('uuid', 16),
    subnqn: fields.text('subnqn'),
    nextNsid: fields.integer('nextNsid'),
    createdMs: fields.integer('createdMs'),
  }),
  encode: (value) => ({ ...value }),
  indexes: {
    name: ({ name }) => name,
    uuid: ({ uuid }) => hex(uuid),
    subnqn: ({ subnqn }) => subnqn,
  },
  groups: {},
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

export const volumeKind: RecordKind<VolumeRecord, 'name' | 'uuid' | 'layer' | 'nsid', 'tenant'> = {
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
  }),
  encode: (value) => ({ ...value }),
  indexes: {
    name: ({ tenant, name }) => volumeKey(tenant, name),
    uuid: ({ uuid }) => hex(uuid),
    layer: ({ layer }) => hex(layer),
    nsid: ({ tenant, nsid }) => nsidKey(tenant, nsid),
  },
  groups: { tenant: ({ tenant }) => String(tenant) },
};

export const grantKind: RecordKind<GrantRecord, 'host', 'volume' | 'host'> = {
  kind: 4,
  name: 'grant',
  version: 1,
  decode: (fields) => ({
    volume: fields.u64('volume'),
    host: fields.text('host'),
    access: fields.choice('access', ['read-write', 'read-only']),
    createdMs: fields.integer('createdMs'),
  }),
  encode: (value) => ({ ...value }),
  indexes: { host: ({ volume, host }) => grantKey(volume, host) },
  groups: { volume: ({ volume }) => String(volume), host: ({ host }) => host },
};

/** Key of a host in its index: unique within a tenant. */
export const hostKey = (tenant: bigint, nqn: string): string => `${tenant}/${nqn}`;
/** Key of a volume's name in its index: unique within a tenant. */
export const volumeKey = (tenant: bigint, name: string): string => `${tenant}/${name}`;
/** Key of an NSID in its index: unique within a tenant. */
export const nsidKey = (tenant: bigint, nsid: number): string => `${tenant}/${nsid}`;
/** Key of a grant in its index. */
export const grantKey = (volume: bigint, host: string): string => `${volume}/${host}`;

/** Every kind, for {@link Catalog.load}. */
export const allKinds = [tenantKind, hostKind, volumeKind, grantKind] as const;
