/** What the operations on conditions do; see handlers.ts. */
import { hostFacts, poolFacts, tenantFacts, volumeFacts } from '../../conditions/collect.js';
import { explain } from '../../conditions/judge.js';
import { explainHost } from '../../conditions/judge_host.js';
import { explainPool } from '../../conditions/judge_pool.js';
import { explainTenant } from '../../conditions/judge_tenant.js';
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions } from './inputs.js';
import { namedPool } from './pools.js';

type Explaining = 'explainVolume' | 'explainPool' | 'explainHost' | 'explainTenant';

export function conditionOperations(node: Node): Pick<Handlers, Explaining> {
  return {
    explainPool: async ({ params }) => {
      const { name } = await namedPool(node, params.pool);
      return explainPool(await poolFacts(node, name));
    },
    explainTenant: async ({ params }, signal, caller) => {
      const ofNode = caller.tenant === null;
      return explainTenant(await tenantFacts(node, params.tenant, ofNode, { signal }));
    },
    explainHost: async ({ params, query }, signal, caller) => {
      const ofNode = caller.tenant === null;
      return explainHost(await hostFacts(node, params.host, ofNode, callOptions(query, signal)));
    },
    explainVolume: async ({ params, query }, signal, caller) => {
      const ofNode = caller.tenant === null;
      return explain(await volumeFacts(node, params.volume, ofNode, callOptions(query, signal)));
    },
  };
}
