/** What goes into and comes out of the operations on grants; see contract.ts. */
import Type from 'typebox';
import {
  change,
  exact,
  hostRef,
  none,
  ofHost,
  ofTenant,
  orNull,
  pageOf,
  paging,
  sourceRef,
  target,
  text,
  time,
} from './schemas.js';

const access = Type.Enum(['read-write', 'read-only'], { description: 'What the host may do.' });

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

export const createGrantSchema = Type.Object(
  {
    volume: sourceRef,
    host: hostRef,
    access: Type.Optional(access),
    alone: Type.Optional(
      Type.Enum(['host', 'writer'], {
        description:
          '"host": only while no other host may use it; "writer": only while no other may write ' +
          'to it. It is looked at in the same moment in which the grant is given.',
      }),
    ),
  },
  {
    ...exact,
    description:
      'A grant to give; read-write of a volume when not said otherwise, and always ' +
      'read-only of a snapshot.',
  },
);

const grantParams = Type.Object({ volume: sourceRef, host: hostRef }, exact);

export const grantContract = {
  listGrants: {
    summary: 'Grants, by volume and host',
    params: none,
    query: Type.Object(
      {
        ...ofTenant,
        volume: Type.Optional(text('Only of this volume or its snapshots, by name.')),
        ...ofHost,
        ...paging,
      },
      exact,
    ),
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
  getGrant: {
    summary: 'One grant',
    params: grantParams,
    query: target,
    body: none,
    response: grantSchema,
  },
  deleteGrant: {
    summary:
      'Take a volume or snapshot away from a host; no command of it is under way when answered',
    params: grantParams,
    query: change,
    body: none,
    response: none,
  },
} as const;
