/** What the operations on events do; see handlers.ts. */
import type { NodeEvent as Event, Node } from '../../node/types.js';
import type { NodeEvent } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, pageOptions } from './inputs.js';

export function eventOperations({ eventList }: Node): Pick<Handlers, 'listEvents' | 'getEvent'> {
  return {
    listEvents: async ({ query }, signal) => {
      const { severity, kind, subject } = query;
      const options = { ...pageOptions(query, signal), severity, kind, subject };
      const { items, next } = eventList.page(options);
      return { items: items.map(eventObject), next };
    },
    getEvent: async ({ params, query }, signal) =>
      eventObject(eventList.show(params.event, callOptions(query, signal))),
  };
}

function eventObject({ id, time, severity, kind, message, subject, tenant }: Event): NodeEvent {
  return { id, time, severity, kind, message, subject, tenant };
}
