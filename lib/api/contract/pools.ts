/** What goes into and comes out of the operations on pools and devices; see contract.ts. */
import Type from 'typebox';
import {
  bytes,
  count,
  exact,
  none,
  orNull,
  pageOf,
  paging,
  repeat,
  text,
  uuid,
} from './schemas.js';

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

export const poolParams = Type.Object(
  { pool: Type.String({ minLength: 1, description: "A pool's name or UUID." }) },
  exact,
);

const deviceParams = Type.Object(
  {
    pool: Type.String({ minLength: 1, description: "A pool's name or UUID." }),
    device: Type.String({ minLength: 1, description: 'UUID of the device, or its index.' }),
  },
  exact,
);

export const poolContract = {
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
  getDevice: {
    summary: 'One device of a pool',
    params: deviceParams,
    query: none,
    body: none,
    response: deviceSchema,
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
} as const;
