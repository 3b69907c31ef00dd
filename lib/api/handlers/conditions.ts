/** What the operation on conditions does; see handlers.ts. */
import { volumeFacts } from '../../conditions/collect.js';
import { explain } from '../../conditions/judge.js';
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions } from './inputs.js';

export function conditionOperations(node: Node): Pick<Handlers, 'explainVolume'> {
  return {
    explainVolume: async ({ params, query }, signal, caller) => {
      const ofNode = caller.tenant === null;
      return explain(await volumeFacts(node, params.volume, ofNode, callOptions(query, signal)));
    },
  };
}
