/** What the operations on events do; see handlers.ts. */
import type { Caller } from '../../access/types.js';
import type { NodeEvent as Event, Node } from '../../node/types.js';
import type { NodeEvent } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, pageOptions } from './inputs.js';

export function eventOperations({ eventList }: Node): Pick<Handlers, 'listEvents' | 'getEvent'> {
  return {
    listEvents: async ({ query }, signal, caller) => {
      const { severity, kind, subject } = query;
      const options = {
        ...pageOptions(query, signal),
        ...{ severity, kind, subject },
        sinceMs: msOf(query.since),
        untilMs: msOf(query.until),
      };
      const { items, next } = eventList.page(options);
      return { items: items.map((event) => eventObject(event, caller)), next };
    },
    getEvent: async ({ params, query }, signal, caller) =>
      eventObject(eventList.show(params.event, callOptions(query, signal)), caller),
  };
}

function msOf(instant: string | undefined): number | undefined {
  return instant === undefined ? undefined : Date.parse(instant);
}

function eventObject(event: Event, caller: Caller): NodeEvent {
  const { id, time, severity, kind, subject, tenant } = event;
  const message = caller.tenant === null ? event.message : event.toTenants;
  return { id, time, severity, kind, message, subject, tenant };
}
