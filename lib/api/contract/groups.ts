/** What goes into and comes out of the operations on groups of snapshots; see contract.ts. */
import Type from 'typebox';
import {
  bytes,
  exact,
  forced,
  none,
  ofTenant,
  pageOf,
  paging,
  target,
  text,
  time,
  uuid,
} from './schemas.js';

export const groupSchema = Type.Object(
  {
    uuid: uuid('Identity of the group.'),
    name: text('The name that its snapshots have.'),
    tenant: text('Who owns it.'),
    createdAt: time('The instant.'),
    snapshots: Type.Array(Type.String(), {
      description: '`volume@name` of each that is still there.',
    }),
    snapshotUuids: Type.Array(uuid('Identity.'), {
      description: 'Identities of `snapshots`, in the same order.',
    }),
    sizeBytes: bytes('Sum of their sizes.'),
  },
  { ...exact, description: 'Snapshots of one or several volumes, taken at one instant.' },
);

const params = Type.Object({ group: uuid('Identity of the group.') }, exact);

export const groupContract = {
  listGroups: {
    summary: 'Groups of snapshots, by tenant and instant; createSnapshots makes them',
    params: none,
    query: Type.Object({ ...ofTenant, ...paging }, exact),
    body: none,
    response: pageOf(groupSchema),
  },
  getGroup: {
    summary: 'One group',
    params,
    query: target,
    body: none,
    response: groupSchema,
  },
  deleteGroup: {
    summary:
      'Delete its snapshots, one after the other; when one is refused, those before are gone',
    params,
    query: forced,
    body: none,
    response: none,
  },
} as const;
