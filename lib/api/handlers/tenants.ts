/** What the operations on tenants do; see handlers.ts. */

import type { Node } from '../../node/types.js';
import { nameFilter } from '../../volumes/filters.js';
import type { SetQuota } from '../../volumes/types.js';
import type { Input } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';
import { tenantObject } from './objects.js';

export function tenantOperations(
  node: Node,
): Pick<Handlers, 'listTenants' | 'createTenant' | 'getTenant' | 'changeTenant' | 'deleteTenant'> {
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
      tenantObject(
        await node.tenants.create(body.name, {
          ...callOptions(query, signal),
          quota: quotaOf(body.quota),
          policy: body.policy,
        }),
      ),
    getTenant: async ({ params }) => tenantObject(node.tenants.show(params.tenant)),
    changeTenant: async ({ params, body }, signal) => {
      const request = { name: body.name, quota: quotaOf(body.quota), policy: body.policy };
      return tenantObject(await node.tenants.change(params.tenant, request, { signal }));
    },
    deleteTenant: async ({ params, query }, signal) => {
      await node.tenants.delete(params.tenant, callOptions(query, signal));
      return {};
    },
  };
}

type QuotaInput = NonNullable<Input<'changeTenant'>['body']['quota']>;

function quotaOf(quota: QuotaInput | undefined): SetQuota {
  const { capacityBytes, bytesPerSecond, ...rest } = quota ?? {};
  return { ...rest, capacityBytes: whole(capacityBytes), bytesPerSecond: whole(bytesPerSecond) };
}

function whole(value: number | null | undefined): bigint | null | undefined {
  return typeof value === 'number' ? BigInt(value) : value;
}
