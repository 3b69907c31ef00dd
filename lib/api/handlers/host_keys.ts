/** What the operations on keys of hosts do; see handlers.ts. */
import { AshlarError } from '../../errors.js';
import type { Node } from '../../node/types.js';
import { defaultTenant } from '../../volumes/state.js';
import type { HostKey } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

type HostKeyOperation = Extract<keyof Handlers, `${string}HostKey` | `${string}HostKeys`>;
type Info = ReturnType<Node['hostKeys']['list']>[number];

function hostKeyObject({ nqn, ...rest }: Info) {
  return { host: nqn, ...rest };
}

/** By host and role, the newest first. */
function placeOf({ tenant, host, role, createdAt, fingerprint }: HostKey): string {
  const newestFirst = String(Number.MAX_SAFE_INTEGER - Date.parse(createdAt));
  return `${tenant}/${host}/${role}/${newestFirst}/${fingerprint}`;
}

export function hostKeyOperations(node: Node): Pick<Handlers, HostKeyOperation> {
  const { hostKeys } = node;
  return {
    listHostKeys: async ({ query }, signal) => {
      const all = hostKeys
        .list(callOptions(query, signal))
        .map(hostKeyObject)
        .filter(({ host }) => query.host === undefined || host === query.host);
      return page(all, query, placeOf);
    },
    createHostKey: async ({ params, body, query }, signal) => {
      const { role = 'host', secret = null, hash, replace } = body;
      const wanted = { role, secret, hash, replace };
      const made = await hostKeys.set(params.host, wanted, callOptions(query, signal));
      return { key: hostKeyObject(made.key), secret: made.secret };
    },
    getHostKey: async ({ params, query }, signal) => {
      const { tenant = defaultTenant } = query;
      const found = hostKeys
        .list({ ...callOptions(query, signal), tenant })
        .find(({ nqn, fingerprint }) => nqn === params.host && fingerprint === params.fingerprint);
      if (found !== undefined) return hostKeyObject(found);
      throw new AshlarError('not-found', `host ${params.host} has no key ${params.fingerprint}`);
    },
    deleteHostKey: async ({ params, query }, signal) => {
      await hostKeys.remove(params.host, params.fingerprint, callOptions(query, signal));
      return {};
    },
  };
}
