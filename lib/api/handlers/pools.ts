/** What the operations on pools and devices do; see handlers.ts. */
import { AshlarError } from '../../errors.js';
import type { Node } from '../../node/types.js';
import type { Pool } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';
import { jobObject } from './jobs.js';
import { deviceObject, poolCheckObject, poolObject } from './pool_objects.js';

type PoolOperation =
  | Exclude<Extract<keyof Handlers, `${string}Pool` | `${string}Pools`>, 'explainPool'>
  | Extract<keyof Handlers, `${string}Device` | `${string}Devices`>
  | 'startPoolCheck';

export function poolOperations(node: Node): Pick<Handlers, PoolOperation> {
  return {
    listPools: async ({ query }) => page([await onlyPool(node)], query, (item) => item.uuid),
    getPool: async ({ params }) => namedPool(node, params.pool),
    checkPool: async ({ params }, signal) => {
      await namedPool(node, params.pool);
      return poolCheckObject(await node.pool.check({ signal }));
    },
    startPoolCheck: async ({ params }, _signal, caller) => {
      const { name } = await namedPool(node, params.pool);
      const job = node.jobs.start(
        {
          kind: 'pool-check',
          title: `check pool '${name}'`,
          tenant: null,
          owner: caller.name,
          cancellable: false,
        },
        async ({ signal, progress }) =>
          poolCheckObject(await node.pool.check({ signal, progress })),
      );
      return jobObject(job, caller);
    },
    listDevices: async ({ params, query }) => {
      const { devices } = await namedPool(node, params.pool);
      return page(devices, query, (item) => String(item.index).padStart(4, '0'));
    },
    getDevice: async ({ params }) => {
      const { devices, name } = await namedPool(node, params.pool);
      const wanted = params.device.toLowerCase();
      const found = devices.find(({ uuid, index }) => wanted === uuid || wanted === String(index));
      if (found !== undefined) return found;
      throw new AshlarError('not-found', `pool '${name}' has no device '${params.device}'`);
    },
    addDevice: async ({ params, query, body }, signal) => {
      const { chunkBytes } = await namedPool(node, params.pool);
      const sizeBytes = body.sizeBytes === undefined ? null : BigInt(body.sizeBytes);
      const options = callOptions(query, signal);
      const added = await node.pool.addDevice(body.path, sizeBytes, options);
      return deviceObject(added, BigInt(chunkBytes));
    },
    attachDevice: async ({ params, query, body }, signal) => {
      const { chunkBytes } = await namedPool(node, params.pool);
      const attached = await node.pool.attachDevice(body.path, callOptions(query, signal));
      return deviceObject(attached, BigInt(chunkBytes));
    },
  };
}

async function onlyPool(node: Node): Promise<Pool> {
  const status = await node.status();
  return poolObject(status.pool, status.device, status.provisionedBytes);
}

/** @throws AshlarError not-found. */
export async function namedPool(node: Node, name: string): Promise<Pool> {
  const only = await onlyPool(node);
  if (name === only.name || name.toLowerCase() === only.uuid) return only;
  throw new AshlarError(
    'not-found',
    `pool '${name}' does not exist on this node; it has '${only.name}' (${only.uuid})`,
  );
}
