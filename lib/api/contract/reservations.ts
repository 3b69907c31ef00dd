/** What goes into and comes out of the operations on reservations; see contract.ts. */
import Type from 'typebox';
import { reservationTypeNames } from '../../volumes/reservation_types.js';
import {
  count,
  exact,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  target,
  text,
  uuid,
} from './schemas.js';

const registrantSchema = Type.Object(
  {
    hostid: uuid('Host identifier: hosts reserve by it, not by their NQN.'),
    hosts: Type.Array(text('NQN by which it is connected now.')),
    key: text('Its key, 16 hexadecimal digits.'),
    holds: Type.Boolean({ description: 'Whether it holds the reservation.' }),
  },
  { ...exact, description: 'A host that is registered.' },
);

export const reservationSchema = Type.Object(
  {
    tenant: text('Tenant.'),
    volume: text('Name of the volume.'),
    snapshot: orNull(text('Name of the snapshot; null: of the volume itself.')),
    nsid: count('NSID.'),
    type: orNull(
      Type.Enum([...reservationTypeNames], {
        description: 'Type; null: registrants, but no reservation.',
      }),
    ),
    persistent: Type.Boolean({ description: 'Whether it outlives a restart of the node.' }),
    generation: count('Counts the changes of registrations.'),
    registrants: Type.Array(registrantSchema),
  },
  { ...exact, description: 'A volume or snapshot that hosts are registered with.' },
);

const reservationParams = Type.Object(
  {
    volume: Type.String({
      minLength: 1,
      description: "A volume's name or UUID, or a snapshot as 'volume@name'.",
    }),
  },
  exact,
);

export const reservationContract = {
  listReservations: {
    summary: 'Volumes and snapshots that hosts have reserved or are registered with',
    params: none,
    query: Type.Object({ ...ofTenant, ...paging }, exact),
    body: none,
    response: pageOf(reservationSchema),
  },
  getReservation: {
    summary: 'The registrants and the reservation of one volume or snapshot',
    params: reservationParams,
    query: target,
    body: none,
    response: reservationSchema,
  },
  clearReservations: {
    summary: 'End the reservation and all registrations of a volume or snapshot; hosts are told',
    params: reservationParams,
    query: target,
    body: none,
    response: Type.Object({ registrants: count('How many were registered.') }, exact),
  },
} as const;
