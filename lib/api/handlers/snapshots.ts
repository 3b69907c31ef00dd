/** What the operations on snapshots do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, forceOptions, pageOptions } from './inputs.js';
import { snapshotObject, volumeObject } from './objects.js';

export function snapshotOperations(
  node: Node,
): Pick<
  Handlers,
  'listSnapshots' | 'createSnapshots' | 'getSnapshot' | 'deleteSnapshot' | 'rollbackSnapshot'
> {
  return {
    listSnapshots: async ({ query }, signal) => {
      const { volume, name, deletedVolume } = query;
      const deleted =
        deletedVolume === undefined ? {} : { deletedVolume: deletedVolume === 'true' };
      const options = { ...pageOptions(query, signal), volume, name, ...deleted };
      const { items, next } = await node.snapshots.page(options);
      return { items: items.map(snapshotObject), next };
    },
    createSnapshots: async ({ body, query }, signal) => {
      const { volumes, name, uuids, groupUuid } = body;
      const options = { ...callOptions(query, signal), uuids, groupUuid };
      const [first] = volumes;
      const made =
        volumes.length === 1 && first !== undefined && groupUuid === undefined
          ? [await node.snapshots.create(first, name, options)]
          : await node.snapshots.createGroup(volumes, name, options);
      return { items: made.map(snapshotObject) };
    },
    getSnapshot: async ({ params, query }, signal) =>
      snapshotObject(await node.snapshots.show(params.snapshot, callOptions(query, signal))),
    deleteSnapshot: async ({ params, query }, signal) => {
      await node.snapshots.delete(params.snapshot, forceOptions(query, signal));
      return {};
    },
    rollbackSnapshot: async ({ params, query }, signal) =>
      volumeObject(await node.snapshots.rollback(params.snapshot, forceOptions(query, signal))),
  };
}
