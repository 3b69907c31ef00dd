/** What the operations on reservations do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

export function reservationOperations(
  node: Node,
): Pick<Handlers, 'listReservations' | 'getReservation' | 'clearReservations'> {
  const { reservations } = node;
  return {
    listReservations: async ({ query }, signal) =>
      page(
        reservations.list(callOptions(query, signal)),
        query,
        ({ tenant, volume, snapshot }) => `${tenant}/${volume}@${snapshot ?? ''}`,
      ),
    getReservation: async ({ params, query }, signal) =>
      reservations.show(params.volume, callOptions(query, signal)),
    clearReservations: async ({ params, query }, signal) => {
      const options = callOptions(query, signal);
      return { registrants: await reservations.clear(params.volume, options) };
    },
  };
}
