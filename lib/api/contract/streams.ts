/** What the operations on differences, exports and imports take and answer; see contract.ts. */
import Type, { type Static } from 'typebox';
import {
  bytes,
  change,
  exact,
  inTenant,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  snapshotParams,
  target,
  text,
  time,
  uuid,
  volumeParams,
} from './schemas.js';

export const rangeSchema = Type.Object(
  {
    offsetBytes: bytes('Where it begins.'),
    lengthBytes: bytes('How long it is; whole blocks of 4 KiB, cut at the end of the volume.'),
    kind: Type.Enum(['data', 'zero'], {
      description: '"zero": reads as zeroes where the older snapshot may hold data.',
    }),
  },
  { ...exact, description: 'A run of blocks that a snapshot holds, or where two differ.' },
);

export const importSchema = Type.Object(
  {
    volume: text('The volume that is half imported; no host sees it.'),
    tenant: text('Tenant that it belongs to.'),
    volumeUuid: uuid('Its identity.'),
    kind: Type.Enum(['full', 'difference'], { description: 'What the stream holds.' }),
    streamUuid: uuid('Names the contents; only a stream of the same UUID goes on with it.'),
    source: text('`volume@name` of the snapshot at the source.'),
    snapshotUuid: uuid('Identity of that snapshot.'),
    baseUuid: orNull(uuid('Snapshot that the difference starts at; null when full.')),
    appliedBytes: bytes('Everything below this offset is done and durable.'),
    sizeBytes: bytes('Size of what is imported.'),
    active: Type.Boolean({ description: 'Whether a stream is being read for it now.' }),
    startedAt: time('When it began.'),
  },
  { ...exact, description: 'An import that has not come to its end.' },
);

export const importResultSchema = Type.Object(
  {
    volume: text('The volume that was imported to.'),
    tenant: text('Tenant that it belongs to.'),
    volumeUuid: uuid('Its identity.'),
    snapshot: text(
      '`volume@name` of the snapshot that holds it; the next difference starts there.',
    ),
    snapshotUuid: uuid('Its identity.'),
    kind: Type.Enum(['full', 'difference'], { description: 'What the stream held.' }),
    sizeBytes: bytes('Size of the volume.'),
    dataBytes: bytes('Bytes of data in the stream, before compression.'),
    zeroBytes: bytes('Bytes that became zeroes.'),
    resumedBytes: bytes('Offset at which it went on; 0: it began at the start.'),
  },
  { ...exact, description: 'An import that has come to its end.' },
);

const offset = (description: string) =>
  Type.String({
    pattern: '^[0-9]{1,15}$',
    description,
    expected: 'a whole number of bytes',
  });
const since = {
  since: Type.Optional(
    Type.String({ minLength: 1, description: 'Only what differs from this snapshot.' }),
  ),
  from: Type.Optional(offset('Begin at this offset, a multiple of 4,096.')),
};

/** What the operations in transfers.ts take, beside the stream. */
export const transferContract = {
  exportSnapshot: {
    summary:
      'The data of a snapshot as a stream (lib/stream/FORMAT.md), or what differs from another',
    params: snapshotParams,
    query: Type.Object({ ...inTenant, ...since }, exact),
  },
  importVolume: {
    summary: 'A stream into a new volume, or a difference into one that has its base',
    params: volumeParams,
    query: Type.Object(
      { ...inTenant, sizeBytes: Type.Optional(offset('Size of a new volume.')) },
      exact,
    ),
  },
} as const;

export const streamContract = {
  listRanges: {
    summary: 'What a snapshot holds, or where it differs from another; no data is read',
    params: snapshotParams,
    query: Type.Object({ ...inTenant, ...since, ...paging }, exact),
    body: none,
    response: pageOf(rangeSchema),
  },
  listImports: {
    summary: 'Imports that have not come to their end',
    params: none,
    query: Type.Object({ ...ofTenant, ...paging }, exact),
    body: none,
    response: pageOf(importSchema),
  },
  getImport: {
    summary: 'The unfinished import to one volume',
    params: volumeParams,
    query: target,
    body: none,
    response: importSchema,
  },
  abandonImport: {
    summary: 'Give up an unfinished import: its volume goes, or goes back to what it was',
    params: volumeParams,
    query: change,
    body: none,
    response: none,
  },
} as const;

export type Range = Static<typeof rangeSchema>;
export type Import = Static<typeof importSchema>;
export type ImportResult = Static<typeof importResultSchema>;
