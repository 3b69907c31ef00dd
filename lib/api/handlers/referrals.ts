/** What the operations on referrals do; see handlers.ts. */
import { discoveryPort } from '../../config/config.js';
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

type ReferralOperation = Extract<keyof Handlers, `${string}Referral` | `${string}Referrals`>;

export function referralOperations(node: Node): Pick<Handlers, ReferralOperation> {
  const { referrals } = node;
  return {
    listReferrals: async ({ query }) => page(referrals.list(), query, ({ endpoint }) => endpoint),
    createReferral: async ({ body, query }, signal) => {
      const { address, port = discoveryPort, portalId } = body;
      return referrals.add({ address, port, portalId }, callOptions(query, signal));
    },
    getReferral: async ({ params }) => referrals.find(params.referral),
    deleteReferral: async ({ params, query }, signal) => {
      await referrals.remove(params.referral, callOptions(query, signal));
      return {};
    },
  };
}
