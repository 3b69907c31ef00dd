/** What the operations on hosts do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';
import { controllerObject, hostObject } from './objects.js';

export function hostOperations(
  node: Node,
): Pick<Handlers, 'listHosts' | 'createHost' | 'deleteHost' | 'listControllers'> {
  return {
    listHosts: async ({ query }, signal) =>
      page(
        node.hosts.list(callOptions(query, signal)).map(hostObject),
        query,
        (item) => `${item.tenant}/${item.nqn}`,
      ),
    createHost: async ({ body, query }, signal) =>
      hostObject(await node.hosts.add(body.nqn, callOptions(query, signal))),
    deleteHost: async ({ params, query }, signal) => {
      await node.hosts.remove(params.host, callOptions(query, signal));
      return {};
    },
    listControllers: async ({ query }) => {
      const { connections } = await node.status();
      return page(
        connections.map(controllerObject),
        query,
        (item) => `${item.subnqn} ${item.cntlid}`,
      );
    },
  };
}
