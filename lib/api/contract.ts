/**
 * What goes into and comes out of every operation: one TypeBox schema per object, from which come
 * the check of requests, the TypeScript types of server and client, and the OpenAPI document.
 *
 * Conventions: names in camelCase; sizes are whole bytes, times ISO 8601 in UTC; nothing is left
 * out of an answer (`null` stands for "none"); lists come as `{ items, next }`, where `next` is
 * given back as `cursor` for the next page.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { hostKeyContract, type hostKeySchema } from './host_key_contract.js';
import type { OperationId } from './operations.js';
import { type anaSchema, portalContract, portalSchema } from './portal_contract.js';
import { pskContract, type pskSchema } from './psk_contract.js';
import { referralContract, type referralSchema } from './referral_contract.js';
import { reservationContract, type reservationSchema } from './reservation_contract.js';
import { scheduleContract, type scheduleSchema } from './schedule_contract.js';
import {
  bytes,
  change,
  count,
  exact,
  force,
  inTenant,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  repeat,
  repeatable,
  snapshotParams,
  target,
  text,
  time,
  uuid,
  volumeName,
  volumeParams,
  volumeRef,
} from './schemas.js';
import { streamContract } from './stream_contract.js';

const maxVolumeBytes = 64 * 2 ** 40;

const sourceRef = Type.String({
  minLength: 1,
  description: "A volume's name or UUID, or a snapshot's 'volume@name' or UUID.",
});
const reserved = Type.Boolean({
  description:
    'Whether room for all its blocks is promised to it, so that its writes never find ' +
    'the pool full.',
});
const hostRef = Type.String({
  minLength: 1,
  maxLength: 255,
  description: "A host NQN, or '*' for any host.",
  expected: "a host NQN such as 'nqn.2014-08.org.nvmexpress:uuid:…', or '*'",
});
const access = Type.Enum(['read-write', 'read-only'], { description: 'What the host may do.' });

export const reactorSchema = Type.Object(
  {
    turns: count('Rounds of the reactor.'),
    sleeps: count('How often it slept.'),
    busyNs: count('Time awake, nanoseconds.'),
    connections: count('Connections it serves.'),
    commands: count('Commands it completed.'),
    readBytes: bytes('Bytes sent to hosts.'),
    writtenBytes: bytes('Bytes received from hosts.'),
    buffersInUse: count('I/O buffers held at this moment.'),
    ioPathAllocations: count('Heap allocations on the I/O path; 0 after warm-up.'),
  },
  { ...exact, description: 'One I/O thread.' },
);

export const deviceSchema = Type.Object(
  {
    uuid: uuid('Identity of the device, for life.'),
    index: count('Its place in the pool; 0 is the first, which holds all metadata.'),
    path: orNull(text('Where it is; null: missing, or in memory.')),
    state: Type.Enum(['online', 'missing', 'failed'], {
      description:
        '"missing": not attached; "failed": a flush of it failed, it takes no more part.',
    }),
    sizeBytes: bytes('Size of the device.'),
    freeBytes: bytes('Free space on it, whole chunks.'),
    readErrors: count('Reads of it that failed since the pool was opened.'),
    writeErrors: count('Writes to it that failed since the pool was opened.'),
  },
  { ...exact, description: 'A file, block device or memory under a pool.' },
);

export const poolSchema = Type.Object(
  {
    name: text('Name of the pool file without its ending, or the device; "memory" in memory.'),
    uuid: uuid('Identity of the pool, for life.'),
    device: Type.Object(
      {
        kind: Type.Enum(['file', 'memory'], { description: 'A file or block device, or memory.' }),
        path: orNull(text('Where it is.')),
      },
      { ...exact, description: 'What the pool lies on.' },
    ),
    state: Type.Enum(['healthy', 'degraded', 'failed'], {
      description:
        '"degraded": a device is missing or failed, the rest works; "failed": nothing is ' +
        'acknowledged any more. `problem` says why.',
    }),
    problem: orNull(text('Why it is degraded or failed.')),
    devices: Type.Array(deviceSchema, { description: 'Its devices, by index.' }),
    sizeBytes: bytes('Size of the pool.'),
    freeBytes: bytes('Free space, whole chunks.'),
    reservedBytes: bytes('Part of the free space that is promised to reserved volumes.'),
    availableBytes: bytes('The rest of it: what other volumes can use.'),
    dataBytes: bytes('Chunks that hold data of volumes.'),
    metadataBytes: bytes('Chunks that hold maps, journal and catalog.'),
    reclaimingBytes: bytes('Chunks of deleted layers, given back in the background.'),
    reclaimingLayers: count('Deleted layers that the background works on.'),
    hiddenLayers: count('Deleted layers that wait until one alone of those on them is left.'),
    provisionedBytes: orNull(bytes('Sum of the sizes of all volumes; null when not served.')),
    chunkBytes: bytes('Unit of allocation.'),
    layers: count('Layers in the pool.'),
    mapMemoryBytes: bytes('Memory that maps of layers take now.'),
    catalogRecords: count('Records of the catalog.'),
    journalBytes: bytes('Size of the journal.'),
    journalUsedBytes: bytes('Part of the journal that a restart would replay.'),
    journalSequence: count('The newest durable commit.'),
    checkpointSequence: count('Replay would start after this commit.'),
    commits: count('Commits since the pool was opened.'),
    checkpoints: count('Checkpoints since the pool was opened.'),
    replayedRecords: count('Journal records that the last opening replayed.'),
    formatVersion: count('Version of the format on the device.'),
    atomicWriteBytes: bytes('The largest write that a power loss leaves whole or untouched.'),
  },
  { ...exact, description: 'The space of one or more devices, managed as one store.' },
);

export const poolCheckSchema = Type.Object(
  {
    clean: Type.Boolean({ description: 'Whether nothing is wrong.' }),
    problems: Type.Array(
      Type.Object({ where: text('Which structure.'), what: text('What is wrong.') }, exact),
    ),
    suppressed: count('Problems beyond those listed.'),
    pagesRead: count('Metadata pages read and proved.'),
    layers: count('Layers walked.'),
    chunksOwned: count('Chunks that belong to exactly one layer.'),
    chunksLeaked: count('Chunks that belong to none; "ashlar pool check --repair" frees them.'),
    catalogRecords: count('Catalog records read.'),
  },
  { ...exact, description: 'Outcome of a walk over every structure of a pool.' },
);

export const tenantSchema = Type.Object(
  {
    name: text('Name of the tenant.'),
    uuid: uuid('Identity, for life.'),
    subnqn: text('NQN of its subsystem.'),
    volumes: count('How many volumes it has.'),
    snapshots: count('How many snapshots it has.'),
    hosts: count('How many hosts it has.'),
    createdAt: time('When it was created.'),
  },
  { ...exact, description: 'Who owns volumes; has one subsystem.' },
);

export const grantSchema = Type.Object(
  {
    volume: text("Name of the volume, or of the snapshot's."),
    snapshot: orNull(text('Name of the snapshot; null: the grant is of the volume itself.')),
    tenant: text('Tenant of the volume.'),
    host: text("A host NQN, or '*' for any host."),
    access,
    createdAt: time('When it was given.'),
  },
  { ...exact, description: 'The right of a host to use a volume, or to read a snapshot.' },
);

export const volumeSchema = Type.Object(
  {
    name: text('Name, unique in its tenant.'),
    tenant: text('Who owns it.'),
    uuid: uuid('Identity, for life; hosts see it as the namespace UUID.'),
    nguid: text('Namespace globally unique identifier, 32 hexadecimal digits.'),
    nsid: count('Namespace ID in its subsystem, for life.'),
    subnqn: text('NQN of the subsystem that carries it.'),
    sizeBytes: bytes('Size that hosts see.'),
    blockBytes: Type.Enum([512, 4096], { description: 'Logical block size.' }),
    mappedBytes: bytes('Blocks that read as data, whoever holds them.'),
    allocatedBytes: bytes('Pool space of its own, whole chunks; the same as exclusiveBytes.'),
    exclusiveBytes: bytes('Pool space that is its own alone, whole chunks.'),
    sharedBytes: bytes('Mapped blocks shared with snapshots or with what it was cloned from.'),
    reserved,
    reservedBytes: bytes('Pool space promised to it and not yet used.'),
    sourceUuid: orNull(uuid('The snapshot or volume it was cloned from; null: none.')),
    snapshots: count('How many snapshots it has.'),
    anagrpid: count('ANA group.'),
    createdAt: time('When it was created.'),
    grants: Type.Array(grantSchema, { description: 'Who may use it.' }),
    connections: count('Controllers through which hosts see it now.'),
  },
  { ...exact, description: 'A thin volume, served as a namespace.' },
);

export const createVolumeSchema = Type.Object(
  {
    name: volumeName,
    sizeBytes: Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: `A multiple of the block size, from one block to 64 TiB (${maxVolumeBytes}).`,
      expected: 'a size in whole bytes',
    }),
    blockBytes: Type.Optional(
      Type.Enum([512, 4096], { description: 'Logical block size; 4096 when not given.' }),
    ),
    uuid: Type.Optional(uuid('Identity; random when not given.')),
    hosts: Type.Optional(Type.Array(hostRef, { maxItems: 1024, description: 'Granted at once.' })),
    reserved: Type.Optional(reserved),
  },
  { ...exact, description: 'A volume to create.' },
);

export const cloneVolumeSchema = Type.Object(
  {
    source: sourceRef,
    name: volumeName,
    sizeBytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: "At least the source's size, which it is when not given.",
        expected: 'a size in whole bytes',
      }),
    ),
    uuid: Type.Optional(uuid('Identity; random when not given.')),
    hosts: Type.Optional(Type.Array(hostRef, { maxItems: 1024, description: 'Granted at once.' })),
    reserved: Type.Optional(reserved),
  },
  { ...exact, description: 'A volume to make with the data of a snapshot or of another volume.' },
);

export const changeVolumeSchema = Type.Object(
  {
    name: Type.Optional(volumeName),
    sizeBytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'The new size; a smaller one needs `shrink`.',
        expected: 'a size in whole bytes',
      }),
    ),
    shrink: Type.Optional(
      Type.Boolean({
        description:
          'Lets the volume become smaller, when no host is connected and nothing is mapped beyond ' +
          'the new size.',
      }),
    ),
    reserved: Type.Optional(reserved),
  },
  { ...exact, minProperties: 1, description: 'What to change; the rest stays.' },
);

export const createGrantSchema = Type.Object(
  { volume: sourceRef, host: hostRef, access: Type.Optional(access) },
  {
    ...exact,
    description:
      'A grant to give; read-write of a volume when not said otherwise, and always ' +
      'read-only of a snapshot.',
  },
);

export const snapshotSchema = Type.Object(
  {
    name: text('Name, unique among the snapshots of its volume.'),
    volume: text('Name of its volume, or the last one that it had.'),
    volumeUuid: orNull(uuid('Identity of its volume; null: deleted.')),
    reference: text("'volume@name', by which it is found."),
    tenant: text('Who owns it.'),
    uuid: uuid('Identity, for life; hosts see it as the namespace UUID.'),
    nguid: text('Namespace globally unique identifier, 32 hexadecimal digits.'),
    nsid: orNull(count('Namespace ID in its subsystem, from its first grant on; null: none.')),
    subnqn: text('NQN of the subsystem that carries it when it is granted.'),
    sizeBytes: bytes('Size of the volume at that instant.'),
    blockBytes: Type.Enum([512, 4096], { description: 'Logical block size.' }),
    mappedBytes: bytes('Blocks that read as data, whoever holds them.'),
    exclusiveBytes: bytes('Pool space of its own layer, whole chunks.'),
    sharedBytes: bytes('Mapped blocks of older snapshots.'),
    freesBytes: bytes('Pool space that deleting it now would give back.'),
    groupUuid: orNull(uuid('Shared by the snapshots of one instant; null: made alone.')),
    createdAt: time('The instant.'),
    grants: Type.Array(grantSchema, { description: 'Who may read it.' }),
    connections: count('Controllers through which hosts see it now.'),
  },
  { ...exact, description: 'What a volume was at one instant; never changes.' },
);

export const createSnapshotsSchema = Type.Object(
  {
    volumes: Type.Array(volumeRef, {
      minItems: 1,
      maxItems: 64,
      description: 'One volume, or several of one tenant at one instant: all or none.',
    }),
    name: volumeName,
  },
  { ...exact, description: 'Snapshots to create, all of one name.' },
);

const devicePath = Type.String({
  minLength: 1,
  maxLength: 4096,
  description: 'Absolute path on the machine of the daemon.',
});

export const addDeviceSchema = Type.Object(
  {
    path: devicePath,
    sizeBytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Size of a file that is not there yet; a device has its own.',
        expected: 'a size in whole bytes',
      }),
    ),
  },
  { ...exact, description: 'A device to add to a pool.' },
);

export const attachDeviceSchema = Type.Object(
  { path: devicePath },
  { ...exact, description: 'Where a device of the pool that is missing is now.' },
);

export const hostSchema = Type.Object(
  {
    nqn: text('Host NQN.'),
    tenant: text('Tenant it belongs to.'),
    createdAt: time('When it was added.'),
    volumes: Type.Array(Type.String(), { description: 'Volumes granted to it by name.' }),
    connections: count('Controllers it has now.'),
  },
  { ...exact, description: 'An NVMe host that may use volumes.' },
);

export const createHostSchema = Type.Object(
  { nqn: hostRef },
  { ...exact, description: 'A host to add.' },
);

export const createTenantSchema = Type.Object(
  { name: volumeName },
  { ...exact, description: 'A tenant to add.' },
);

export const controllerSchema = Type.Object(
  {
    cntlid: count('Controller ID, unique in its subsystem.'),
    kind: Type.Enum(['io', 'discovery'], { description: 'For volumes, or for discovery.' }),
    subnqn: text('Subsystem NQN.'),
    hostnqn: text('Host NQN.'),
    hostid: text('Host identifier.'),
    peer: text('Address and port it came from.'),
    portalId: count('The portal it came through.'),
    ioQueues: count('I/O queues connected.'),
    keepAliveMs: count('Keep Alive timeout, milliseconds; 0: none.'),
    connectedAt: time('Since when.'),
  },
  { ...exact, description: 'One association of a host with a subsystem.' },
);

const tlsSchema = Type.Object(
  {
    mode: Type.Enum(['none', 'allowed', 'required'], {
      description: 'Whether hosts speak TLS to the portals.',
    }),
    records: Type.Enum(['kernel', 'process'], {
      description: 'Who does the records of a connection once its handshake is done.',
    }),
    problem: orNull(text('Why the process does them; null: the kernel does, or there is no TLS.')),
    kernelConnections: count('Connections since the start with records by the kernel.'),
    processConnections: count('Connections since the start with records by the process.'),
    refused: count('How often the kernel did not take a connection of which it was asked.'),
  },
  { ...exact, description: 'TLS at the portals.' },
);

export const statusSchema = Type.Object(
  {
    state: Type.Enum(['serving', 'failed', 'closing'], {
      description: '"failed": a pool stopped acknowledging; `problem` says why and what to do.',
    }),
    problem: orNull(text('What is wrong, and what to do.')),
    version: text('Version of Ashlar.'),
    pid: count('Process ID of the daemon.'),
    startedAt: time('When the daemon started.'),
    pools: Type.Array(poolSchema),
    portals: Type.Array(portalSchema),
    reactors: Type.Array(reactorSchema),
    tls: tlsSchema,
    tenants: count('How many tenants there are.'),
    volumes: count('How many volumes there are.'),
    snapshots: count('How many snapshots there are.'),
    controllers: count('How many controllers hosts have now.'),
  },
  { ...exact, description: 'The whole node at one glance.' },
);

const poolParams = Type.Object(
  { pool: Type.String({ minLength: 1, description: "A pool's name or UUID." }) },
  exact,
);

const forced = Type.Object({ ...inTenant, ...repeatable, ...force }, exact);

export interface OperationContract {
  readonly summary: string;
  readonly params: TSchema;
  readonly query: TSchema;
  readonly body: TSchema;
  readonly response: TSchema;
}

export const contract = {
  getStatus: {
    summary: 'The node at one glance',
    params: none,
    query: none,
    body: none,
    response: statusSchema,
  },
  listPools: {
    summary: 'Pools',
    params: none,
    query: Type.Object({ ...paging }, exact),
    body: none,
    response: pageOf(poolSchema),
  },
  getPool: {
    summary: 'One pool',
    params: poolParams,
    query: none,
    body: none,
    response: poolSchema,
  },
  checkPool: {
    summary: 'Walk and prove every structure of a pool while I/O goes on',
    params: poolParams,
    query: none,
    body: none,
    response: poolCheckSchema,
  },
  listDevices: {
    summary: 'Devices of a pool and their health',
    params: poolParams,
    query: Type.Object({ ...paging }, exact),
    body: none,
    response: pageOf(deviceSchema),
  },
  addDevice: {
    summary: 'Add a device to a pool while I/O goes on',
    params: poolParams,
    query: repeat,
    body: addDeviceSchema,
    response: deviceSchema,
  },
  attachDevice: {
    summary: 'Bring a missing device of a pool back',
    params: poolParams,
    query: repeat,
    body: attachDeviceSchema,
    response: deviceSchema,
  },
  listTenants: {
    summary: 'Tenants',
    params: none,
    query: Type.Object({ ...paging }, exact),
    body: none,
    response: pageOf(tenantSchema),
  },
  createTenant: {
    summary: 'Add a tenant, with a subsystem of its own',
    params: none,
    query: repeat,
    body: createTenantSchema,
    response: tenantSchema,
  },
  deleteTenant: {
    summary: 'Remove a tenant that has no volumes',
    params: Type.Object({ tenant: Type.String({ minLength: 1, description: 'Name.' }) }, exact),
    query: repeat,
    body: none,
    response: none,
  },
  listVolumes: {
    summary: 'Volumes with their usage, by tenant and name',
    params: none,
    query: Type.Object({ ...ofTenant, ...paging }, exact),
    body: none,
    response: pageOf(volumeSchema),
  },
  createVolume: {
    summary: 'Create a volume; durable and visible to its hosts when answered',
    params: none,
    query: change,
    body: createVolumeSchema,
    response: volumeSchema,
  },
  getVolume: {
    summary: 'One volume',
    params: volumeParams,
    query: target,
    body: none,
    response: volumeSchema,
  },
  changeVolume: {
    summary: 'Rename, resize or reserve a volume; hosts see the new size at once',
    params: volumeParams,
    query: target,
    body: changeVolumeSchema,
    response: volumeSchema,
  },
  deleteVolume: {
    summary: 'Delete a volume and its data; its snapshots stay. Refused while hosts have it',
    params: volumeParams,
    query: forced,
    body: none,
    response: none,
  },
  cloneVolume: {
    summary: 'Make a volume with the data of a snapshot, or of another volume at this instant',
    params: none,
    query: change,
    body: cloneVolumeSchema,
    response: volumeSchema,
  },
  listSnapshots: {
    summary: 'Snapshots with their usage, by tenant, volume and age',
    params: none,
    query: Type.Object(
      {
        ...ofTenant,
        volume: Type.Optional(
          Type.String({
            minLength: 1,
            description: 'Only of this volume, by name (also of a deleted one) or UUID.',
          }),
        ),
        ...paging,
      },
      exact,
    ),
    body: none,
    response: pageOf(snapshotSchema),
  },
  createSnapshots: {
    summary: 'Take a snapshot of one volume, or of several at one instant, without stopping I/O',
    params: none,
    query: change,
    body: createSnapshotsSchema,
    response: Type.Object({ items: Type.Array(snapshotSchema) }, exact),
  },
  getSnapshot: {
    summary: 'One snapshot',
    params: snapshotParams,
    query: target,
    body: none,
    response: snapshotSchema,
  },
  deleteSnapshot: {
    summary: 'Delete a snapshot; refused while hosts have it',
    params: snapshotParams,
    query: forced,
    body: none,
    response: none,
  },
  rollbackSnapshot: {
    summary: 'Make a volume hold what a snapshot of it holds; refused while hosts have it',
    params: snapshotParams,
    query: Type.Object({ ...inTenant, ...force }, exact),
    body: none,
    response: volumeSchema,
  },
  ...scheduleContract,
  ...streamContract,
  ...hostKeyContract,
  ...referralContract,
  ...reservationContract,
  ...portalContract,
  ...pskContract,
  listHosts: {
    summary: 'Hosts',
    params: none,
    query: Type.Object({ ...ofTenant, ...paging }, exact),
    body: none,
    response: pageOf(hostSchema),
  },
  createHost: {
    summary: 'Let a host connect before it has volumes',
    params: none,
    query: change,
    body: createHostSchema,
    response: hostSchema,
  },
  deleteHost: {
    summary: 'Remove a host and its grants',
    params: Type.Object({ host: hostRef }, exact),
    query: change,
    body: none,
    response: none,
  },
  listGrants: {
    summary: 'Grants, by volume and host',
    params: none,
    query: Type.Object({ ...ofTenant, ...paging }, exact),
    body: none,
    response: pageOf(grantSchema),
  },
  createGrant: {
    summary: 'Let a host use a volume, or read a snapshot',
    params: none,
    query: change,
    body: createGrantSchema,
    response: grantSchema,
  },
  deleteGrant: {
    summary:
      'Take a volume or snapshot away from a host; no command of it is under way when answered',
    params: Type.Object({ volume: sourceRef, host: hostRef }, exact),
    query: change,
    body: none,
    response: none,
  },
  listControllers: {
    summary: 'Controllers that hosts have now',
    params: none,
    query: Type.Object({ ...paging }, exact),
    body: none,
    response: pageOf(controllerSchema),
  },
} as const satisfies Record<OperationId, OperationContract>;

type Contract = typeof contract;

/** What an operation takes, checked. */
export interface Input<K extends OperationId> {
  params: Static<Contract[K]['params']>;
  query: Static<Contract[K]['query']>;
  body: Static<Contract[K]['body']>;
}

/** What an operation answers. */
export type Output<K extends OperationId> = Static<Contract[K]['response']>;

export type Status = Static<typeof statusSchema>;
export type Pool = Static<typeof poolSchema>;
export type PoolCheck = Static<typeof poolCheckSchema>;
export type Tenant = Static<typeof tenantSchema>;
export type Device = Static<typeof deviceSchema>;
export type Volume = Static<typeof volumeSchema>;
export type Snapshot = Static<typeof snapshotSchema>;
export type Schedule = Static<typeof scheduleSchema>;
export type Host = Static<typeof hostSchema>;
export type Grant = Static<typeof grantSchema>;
export type Portal = Static<typeof portalSchema>;
export type Ana = Static<typeof anaSchema>;
export type HostKey = Static<typeof hostKeySchema>;
export type Referral = Static<typeof referralSchema>;
export type Psk = Static<typeof pskSchema>;
export type Reservation = Static<typeof reservationSchema>;
export type Controller = Static<typeof controllerSchema>;
export type Reactor = Static<typeof reactorSchema>;
