/** What the operations on groups of snapshots do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { GroupInfo } from '../../volumes/types.js';
import { toInteger } from '../codec.js';
import type { Group } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, forceOptions, pageOptions } from './inputs.js';

type GroupOperation = Extract<keyof Handlers, `${string}Group` | `${string}Groups`>;

export function groupOperations({ groups }: Node): Pick<Handlers, GroupOperation> {
  return {
    listGroups: async ({ query }, signal) => {
      const { items, next } = groups.page(pageOptions(query, signal));
      return { items: items.map(groupObject), next };
    },
    getGroup: async ({ params, query }, signal) =>
      groupObject(groups.show(params.group, callOptions(query, signal))),
    deleteGroup: async ({ params, query }, signal) => {
      await groups.delete(params.group, forceOptions(query, signal));
      return {};
    },
  };
}

function groupObject(group: GroupInfo): Group {
  return { ...group, sizeBytes: toInteger(group.sizeBytes) };
}
