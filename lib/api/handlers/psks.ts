/** What the operations on PSKs do; see handlers.ts. */
import { AshlarError } from '../../errors.js';
import type { Node } from '../../node/types.js';
import { defaultTenant } from '../../volumes/state.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

export function pskOperations(
  node: Node,
): Pick<Handlers, 'listPsks' | 'createPsk' | 'getPsk' | 'deletePsk'> {
  const { psks } = node;
  return {
    listPsks: async ({ query }, signal) => {
      const found = psks
        .list(callOptions(query, signal))
        .filter(({ host }) => query.host === undefined || host === query.host);
      return page(found, query, (psk) => `${psk.tenant}/${psk.host} ${psk.createdAt} ${psk.id}`);
    },
    createPsk: async ({ body, query }, signal) => {
      const options = callOptions(query, signal);
      const { host, psk, hash = 'sha256' } = body;
      if (psk === undefined) return psks.generate(host, hash, options);
      return { ...(await psks.set(host, psk, options)), psk: null };
    },
    getPsk: async ({ params, query }, signal) => {
      const { tenant = defaultTenant } = query;
      const [found, second] = psks
        .list({ ...callOptions(query, signal), tenant })
        .filter(({ host, id }) => host === params.host && (query.id ?? id) === id);
      if (found === undefined) {
        throw new AshlarError('not-found', `host ${params.host} has no such PSK`);
      }
      if (second === undefined) return found;
      throw new AshlarError('conflict', `host ${params.host} has several PSKs; name one by its id`);
    },
    deletePsk: async ({ params, query }, signal) => {
      await psks.remove(params.host, query.id ?? null, callOptions(query, signal));
      return {};
    },
  };
}
