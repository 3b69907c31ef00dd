/** What the operations on volumes do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, forceOptions, pageOptions } from './inputs.js';
import { volumeObject } from './objects.js';
import { assertMayChoose } from './policies.js';

export function volumeOperations(
  node: Node,
): Pick<
  Handlers,
  'listVolumes' | 'createVolume' | 'cloneVolume' | 'getVolume' | 'changeVolume' | 'deleteVolume'
> {
  return {
    listVolumes: async ({ query }, signal) => {
      const { name, host, reserved, cloneOf, snapshots } = query;
      const filter = {
        name,
        host,
        cloneOf,
        ...(reserved && { reserved: reserved === 'true' }),
        ...(snapshots && { snapshots: snapshots === 'true' }),
      };
      const { items, next } = await node.volumes.page({ ...pageOptions(query, signal), ...filter });
      return { items: items.map(volumeObject), next };
    },
    createVolume: async ({ body, query }, signal, caller) => {
      assertMayChoose(node, caller, body.policy, null);
      return volumeObject(
        await node.volumes.create(
          { ...body, sizeBytes: BigInt(body.sizeBytes) },
          callOptions(query, signal),
        ),
      );
    },
    cloneVolume: async ({ body, query }, signal, caller) => {
      assertMayChoose(node, caller, body.policy, null);
      const { source, sizeBytes, ...request } = body;
      const size = sizeBytes === undefined ? {} : { sizeBytes: BigInt(sizeBytes) };
      const options = callOptions(query, signal);
      return volumeObject(await node.volumes.clone(source, { ...request, ...size }, options));
    },
    getVolume: async ({ params, query }, signal) =>
      volumeObject(await node.volumes.show(params.volume, callOptions(query, signal))),
    changeVolume: async ({ params, query, body }, signal, caller) => {
      const options = callOptions(query, signal);
      // The UUID stays when the name changes, so all changes hit one volume.
      let volume = await node.volumes.show(params.volume, options);
      assertMayChoose(node, caller, body.policy, volume.policy);
      if (body.sizeBytes !== undefined) {
        const { shrink } = body;
        const sizeBytes = BigInt(body.sizeBytes);
        volume = await node.volumes.resize(volume.uuid, sizeBytes, { ...options, shrink });
      }
      if (body.reserved !== undefined) {
        volume = await node.volumes.reserve(volume.uuid, body.reserved, options);
      }
      if (body.policy !== undefined) {
        volume = await node.volumes.setPolicy(volume.uuid, body.policy, options);
      }
      if (body.name !== undefined) {
        volume = await node.volumes.rename(volume.uuid, body.name, options);
      }
      return volumeObject(volume);
    },
    deleteVolume: async ({ params, query }, signal) => {
      await node.volumes.delete(params.volume, forceOptions(query, signal));
      return {};
    },
  };
}
