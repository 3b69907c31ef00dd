/** What goes into and comes out of the operations on events; see contract.ts. */
import Type from 'typebox';
import { eventKinds, eventSeverities } from '../../events/kinds.js';
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

const severity = Type.Enum([...eventSeverities], { description: 'How bad it is.' });

const kind = Type.Enum([...eventKinds], {
  description: 'What kind, for programs; docs/observability.md says what each means.',
  expected: "a kind of event such as 'host-disconnected'; openapi.json lists them",
});
const instant = (description: string) =>
  Type.String({
    format: 'date-time',
    description,
    expected: "an instant with its zone (RFC 3339) such as '2026-11-29T03:00:00Z'",
  });

export const eventSchema = Type.Object(
  {
    id: uuid('Names the event.'),
    time: time('When it happened.'),
    severity,
    kind,
    message: text('One line for people: what, and why.'),
    subject: orNull(text('UUID or NQN of the object; null: the node.')),
    tenant: orNull(text("Tenant of the object, as it was called; null: the node's own.")),
  },
  {
    ...exact,
    description:
      'Something that happened. The last 1,000 of the node and 200 of each tenant are kept, over ' +
      'restarts too unless the pool is in memory; all are logged.',
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
        kind: Type.Optional(kind),
        subject: Type.Optional(text('Only of this object, by UUID or NQN.')),
        since: Type.Optional(instant('Only what happened then or later.')),
        until: Type.Optional(instant('Only what happened before then.')),
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
