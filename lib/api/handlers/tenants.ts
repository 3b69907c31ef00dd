/** What the operations on tenants do; see handlers.ts. */

import type { Node } from '../../node/types.js';
import { nameFilter } from '../../volumes/filters.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';
import { tenantObject } from './objects.js';

export function tenantOperations(
  node: Node,
): Pick<Handlers, 'listTenants' | 'createTenant' | 'getTenant' | 'deleteTenant'> {
  return {
    listTenants: async ({ query }) => {
      const named = nameFilter(query.name);
      const all =
        query.tenant === undefined ? node.tenants.list() : [node.tenants.show(query.tenant)];
      return page(
        all.filter(({ name }) => named(name)).map(tenantObject),
        query,
        ({ name }) => name,
      );
    },
    createTenant: async ({ body, query }, signal) =>
      tenantObject(await node.tenants.create(body.name, callOptions(query, signal))),
    getTenant: async ({ params }) => tenantObject(node.tenants.show(params.tenant)),
    deleteTenant: async ({ params, query }, signal) => {
      await node.tenants.delete(params.tenant, callOptions(query, signal));
      return {};
    },
  };
}
