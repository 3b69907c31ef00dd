/** What the operations on grants do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';
import { grantObject } from './objects.js';

export function grantOperations(
  node: Node,
): Pick<Handlers, 'listGrants' | 'createGrant' | 'deleteGrant'> {
  return {
    listGrants: async ({ query }, signal) =>
      page(
        node.grants.list(callOptions(query, signal)).map(grantObject),
        query,
        (item) => `${item.tenant}/${item.volume}@${item.snapshot ?? ''}/${item.host}`,
      ),
    createGrant: async ({ body, query }, signal) => {
      const options = { ...callOptions(query, signal), access: body.access };
      return grantObject(await node.grants.add(body.volume, body.host, options));
    },
    deleteGrant: async ({ params, query }, signal) => {
      await node.grants.remove(params.volume, params.host, callOptions(query, signal));
      return {};
    },
  };
}
