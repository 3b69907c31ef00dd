/** What the operations on tenants do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';
import { tenantObject } from './objects.js';

export function tenantOperations(
  node: Node,
): Pick<Handlers, 'listTenants' | 'createTenant' | 'deleteTenant'> {
  return {
    listTenants: async ({ query }) =>
      page(node.tenants.list().map(tenantObject), query, (item) => item.name),
    createTenant: async ({ body, query }, signal) =>
      tenantObject(await node.tenants.create(body.name, callOptions(query, signal))),
    deleteTenant: async ({ params, query }, signal) => {
      await node.tenants.delete(params.tenant, callOptions(query, signal));
      return {};
    },
  };
}
