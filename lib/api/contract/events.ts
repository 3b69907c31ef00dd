/** What goes into and comes out of the operations on events; see contract.ts. */
import Type from 'typebox';
import {
  exact,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  target,
  text,
  time,
  uuid,
} from './schemas.js';

const severity = Type.Enum(['info', 'warning', 'error'], { description: 'How bad it is.' });

export const eventSchema = Type.Object(
  {
    id: uuid('Names the event.'),
    time: time('When it happened.'),
    severity,
    kind: text("What kind, for programs, e.g. 'volume-created' or 'host-disconnected'."),
    message: text('One line for people: what, and why.'),
    subject: orNull(text('UUID or NQN of the object; null: the node.')),
    tenant: orNull(text("Tenant of the object, as it was called; null: the node's own.")),
  },
  {
    ...exact,
    description:
      'Something that happened. The last 1,000 of the node and 200 of each tenant are kept; all ' +
      'are logged.',
  },
);

export const eventContract = {
  listEvents: {
    summary: 'What happened, the newest first',
    params: none,
    query: Type.Object(
      {
        ...ofTenant,
        severity: Type.Optional(severity),
        kind: Type.Optional(text('Only of this kind.')),
        subject: Type.Optional(text('Only of this object, by UUID or NQN.')),
        ...paging,
      },
      exact,
    ),
    body: none,
    response: pageOf(eventSchema),
  },
  getEvent: {
    summary: 'One event',
    params: Type.Object({ event: uuid('Names the event.') }, exact),
    query: target,
    body: none,
    response: eventSchema,
  },
} as const;
