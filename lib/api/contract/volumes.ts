/** What goes into and comes out of the operations on volumes; see contract.ts. */
import Type from 'typebox';
import { grantSchema } from './grants.js';
import {
  bytes,
  change,
  count,
  exact,
  forced,
  hostRef,
  named,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  policyName,
  sourceRef,
  target,
  text,
  time,
  trueOrFalse,
  uuid,
  volumeName,
  volumeParams,
} from './schemas.js';

const maxVolumeBytes = 64 * 2 ** 40;

const reserved = Type.Boolean({
  description:
    'Whether room for all its blocks is promised to it, so that its writes never find ' +
    'the pool full.',
});

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
    policy: orNull(text('The policy that limits its hosts; null: none.')),
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
    policy: Type.Optional(policyName),
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
    policy: Type.Optional(policyName),
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
    policy: Type.Optional(policyName),
  },
  { ...exact, minProperties: 1, description: 'What to change; the rest stays.' },
);

export const volumeContract = {
  listVolumes: {
    summary: 'Volumes with their usage, by tenant and name',
    params: none,
    query: Type.Object(
      {
        ...ofTenant,
        ...named,
        host: Type.Optional(
          Type.String({
            minLength: 1,
            maxLength: 255,
            description: 'Only those that this host may use.',
          }),
        ),
        reserved: trueOrFalse('Only those with room reserved, or without.'),
        cloneOf: Type.Optional(
          Type.String({
            minLength: 1,
            maxLength: 255,
            description: 'Only clones of this volume or of its snapshots, by its name or UUID.',
          }),
        ),
        snapshots: trueOrFalse('Only those that have snapshots, or have none.'),
        ...paging,
      },
      exact,
    ),
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
} as const;
