/** What the operations on hosts do; see handlers.ts. */

import type { Node } from '../../node/types.js';
import { nameFilter } from '../../volumes/filters.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';
import { controllerObject, hostObject } from './objects.js';

export function hostOperations(
  node: Node,
): Pick<Handlers, 'listHosts' | 'createHost' | 'getHost' | 'deleteHost' | 'listControllers'> {
  return {
    listHosts: async ({ query }, signal) => {
      const wanted = nameFilter(query.nqn);
      const all = node.hosts.list(callOptions(query, signal)).filter(({ nqn }) => wanted(nqn));
      return page(all.map(hostObject), query, ({ tenant, nqn }) => `${tenant}/${nqn}`);
    },
    createHost: async ({ body, query }, signal) =>
      hostObject(await node.hosts.add(body.nqn, callOptions(query, signal))),
    getHost: async ({ params, query }, signal) =>
      hostObject(node.hosts.show(params.host, callOptions(query, signal))),
    deleteHost: async ({ params, query }, signal) => {
      await node.hosts.remove(params.host, callOptions(query, signal));
      return {};
    },
    listControllers: async ({ query }) => {
      const { tenant, host } = query;
      const { connections } = await node.status();
      const only = tenant === undefined ? null : node.tenants.show(tenant).subnqn;
      const found = connections.filter(({ subnqn, hostnqn }) => {
        return (only === null || subnqn === only) && (host === undefined || hostnqn === host);
      });
      return page(found.map(controllerObject), query, (item) => `${item.subnqn} ${item.cntlid}`);
    },
  };
}
