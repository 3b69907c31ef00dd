/** What the operations on keys of hosts do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

type HostKeyOperation = Extract<keyof Handlers, `${string}HostKey` | `${string}HostKeys`>;
type Info = ReturnType<Node['hostKeys']['list']>[number];

function hostKeyObject({ nqn, ...rest }: Info) {
  return { host: nqn, ...rest };
}

export function hostKeyOperations(node: Node): Pick<Handlers, HostKeyOperation> {
  const { hostKeys } = node;
  return {
    listHostKeys: async ({ query }, signal) => {
      const all = hostKeys.list(callOptions(query, signal)).map(hostKeyObject);
      const places = new Map(all.map((each, index) => [each, String(index).padStart(8, '0')]));
      return page(all, query, (each) => places.get(each) ?? '');
    },
    createHostKey: async ({ params, body, query }, signal) => {
      const { role = 'host', secret = null, hash, replace } = body;
      const wanted = { role, secret, hash, replace };
      const made = await hostKeys.set(params.host, wanted, callOptions(query, signal));
      return { key: hostKeyObject(made.key), secret: made.secret };
    },
    deleteHostKey: async ({ params, query }, signal) => {
      await hostKeys.remove(params.host, params.fingerprint, callOptions(query, signal));
      return {};
    },
  };
}
