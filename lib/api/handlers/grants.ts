/** What the operations on grants do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';
import { grantObject } from './objects.js';

export function grantOperations(
  node: Node,
): Pick<Handlers, 'listGrants' | 'createGrant' | 'getGrant' | 'deleteGrant'> {
  return {
    listGrants: async ({ query }, signal) => {
      const { volume, host } = query;
      const found = node.grants.list(callOptions(query, signal)).filter((grant) => {
        return (
          (volume === undefined || grant.volume === volume) &&
          (host === undefined || grant.host === host)
        );
      });
      return page(
        found.map(grantObject),
        query,
        (item) => `${item.tenant}/${item.volume}@${item.snapshot ?? ''}/${item.host}`,
      );
    },
    createGrant: async ({ body, query }, signal) => {
      const { volume, host, access, alone } = body;
      const options = { ...callOptions(query, signal), access, alone };
      return grantObject(await node.grants.add(volume, host, options));
    },
    getGrant: async ({ params, query }, signal) =>
      grantObject(node.grants.show(params.volume, params.host, callOptions(query, signal))),
    deleteGrant: async ({ params, query }, signal) => {
      await node.grants.remove(params.volume, params.host, callOptions(query, signal));
      return {};
    },
  };
}
