/** What the operations on PSKs do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

export function pskOperations(node: Node): Pick<Handlers, 'listPsks' | 'createPsk' | 'deletePsk'> {
  const { psks } = node;
  return {
    listPsks: async ({ query }, signal) =>
      page(psks.list(callOptions(query, signal)), query, ({ host, id }) => `${host} ${id}`),
    createPsk: async ({ body, query }, signal) => {
      const options = callOptions(query, signal);
      const { host, psk, hash = 'sha256' } = body;
      if (psk === undefined) return psks.generate(host, hash, options);
      return { ...(await psks.set(host, psk, options)), psk: null };
    },
    deletePsk: async ({ params, query }, signal) => {
      await psks.remove(params.host, query.id ?? null, callOptions(query, signal));
      return {};
    },
  };
}
