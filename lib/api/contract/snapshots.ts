/** What goes into and comes out of the operations on snapshots; see contract.ts. */
import Type from 'typebox';
import { grantSchema } from './grants.js';
import {
  bytes,
  change,
  count,
  exact,
  force,
  forced,
  inTenant,
  named,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  snapshotParams,
  target,
  text,
  time,
  trueOrFalse,
  uuid,
  volumeName,
  volumeRef,
} from './schemas.js';
import { volumeSchema } from './volumes.js';

export const snapshotSchema = Type.Object(
  {
    name: text('Name, unique among the snapshots of its volume.'),
    volume: text('Name of its volume, or the last one that it had.'),
    volumeUuid: orNull(uuid('Identity of its volume; null: deleted.')),
    sourceUuid: orNull(
      uuid('Identity of its volume, also of one that is deleted; null: an older version did that.'),
    ),
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
    uuids: Type.Optional(
      Type.Array(uuid('Identity of a snapshot.'), {
        minItems: 1,
        maxItems: 64,
        description: 'Their identities, one for each of `volumes`; random when not given.',
      }),
    ),
    groupUuid: Type.Optional(
      uuid('Identity of their group, which also one alone makes then; random when not given.'),
    ),
  },
  { ...exact, description: 'Snapshots to create, all of one name.' },
);

export const snapshotContract = {
  listSnapshots: {
    summary: 'Snapshots with their usage, by tenant, volume and age',
    params: none,
    query: Type.Object(
      {
        ...ofTenant,
        volume: Type.Optional(
          Type.String({
            minLength: 1,
            description: 'Only of this volume, by name or UUID, also when it is deleted.',
          }),
        ),
        deletedVolume: trueOrFalse('Only those whose volume is deleted, or is there.'),
        ...named,
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
} as const;
