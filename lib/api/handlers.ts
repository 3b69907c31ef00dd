/**
 * What every operation does: the control plane's own objects in, the API's objects out. No rule is
 * decided here; those are the node's.
 */
import { AshlarError } from '../errors.js';
import type { Node } from '../node/types.js';
import type { Pool } from './contract.js';
import { hostKeyOperations } from './host_keys.js';
import { callOptions, forceOptions, page, pageOptions } from './inputs.js';
import {
  controllerObject,
  grantObject,
  hostObject,
  reactorObject,
  snapshotObject,
  tenantObject,
  volumeObject,
} from './objects.js';
import { deviceObject, poolCheckObject, poolObject } from './pools.js';
import { portalObject, portalOperations } from './portals.js';
import { pskOperations } from './psks.js';
import { referralOperations } from './referrals.js';
import { reservationOperations } from './reservations.js';
import { scheduleOperations } from './schedules.js';
import type { Handlers } from './server.js';
import { streamOperations } from './stream_handlers.js';

/** Handlers that work on a node. */
export function nodeHandlers(node: Node): Handlers {
  return {
    ...nodeOperations(node),
    ...tenantOperations(node),
    ...deviceOperations(node),
    ...volumeOperations(node),
    ...snapshotOperations(node),
    ...scheduleOperations(node),
    ...streamOperations(node),
    ...hostOperations(node),
    ...grantOperations(node),
    ...hostKeyOperations(node),
    ...referralOperations(node),
    ...reservationOperations(node),
    ...portalOperations(node),
    ...pskOperations(node),
  };
}

type Some<K extends keyof Handlers> = Pick<Handlers, K>;

function nodeOperations(
  node: Node,
): Some<'getStatus' | 'listPools' | 'getPool' | 'checkPool' | 'listControllers'> {
  return {
    getStatus: async () => {
      const status = await node.status();
      return {
        state: status.state,
        problem: status.problem,
        version: status.version,
        pid: process.pid,
        startedAt: status.startedAt,
        pools: [poolObject(status.pool, status.device, status.provisionedBytes)],
        portals: status.portals.map(portalObject),
        reactors: status.reactors.map(reactorObject),
        tls: status.tls,
        tenants: status.tenants,
        volumes: status.volumes,
        snapshots: status.snapshots,
        controllers: status.connections.length,
      };
    },
    listPools: async ({ query }) => page([await onlyPool(node)], query, (item) => item.uuid),
    getPool: async ({ params }) => namedPool(node, params.pool),
    checkPool: async ({ params }, signal) => {
      await namedPool(node, params.pool);
      return poolCheckObject(await node.pool.check({ signal }));
    },
    listControllers: async ({ query }) => {
      const { connections } = await node.status();
      return page(
        connections.map(controllerObject),
        query,
        (item) => `${item.subnqn} ${item.cntlid}`,
      );
    },
  };
}

async function onlyPool(node: Node): Promise<Pool> {
  const status = await node.status();
  return poolObject(status.pool, status.device, status.provisionedBytes);
}

async function namedPool(node: Node, name: string): Promise<Pool> {
  const only = await onlyPool(node);
  if (name === only.name || name.toLowerCase() === only.uuid) return only;
  throw new AshlarError(
    'not-found',
    `pool '${name}' does not exist on this node; it has '${only.name}' (${only.uuid})`,
  );
}

function deviceOperations(node: Node): Some<'listDevices' | 'addDevice' | 'attachDevice'> {
  return {
    listDevices: async ({ params, query }) => {
      const { devices } = await namedPool(node, params.pool);
      return page(devices, query, (item) => String(item.index).padStart(4, '0'));
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

function tenantOperations(node: Node): Some<'listTenants' | 'createTenant' | 'deleteTenant'> {
  return {
    listTenants: async ({ query }) =>
      page(node.tenants.list().map(tenantObject), query, (item) => item.name),
    createTenant: async ({ body, query }, signal) =>
      tenantObject(await node.tenants.create(body.name, callOptions(query, signal))),
    deleteTenant: async ({ params, query }, signal) => {
      await node.tenants.delete(params.tenant, callOptions(query, signal));
      return {};
    },
  };
}

function volumeOperations(
  node: Node,
): Some<
  'listVolumes' | 'createVolume' | 'cloneVolume' | 'getVolume' | 'changeVolume' | 'deleteVolume'
> {
  return {
    listVolumes: async ({ query }, signal) => {
      const { items, next } = await node.volumes.page(pageOptions(query, signal));
      return { items: items.map(volumeObject), next };
    },
    createVolume: async ({ body, query }, signal) =>
      volumeObject(
        await node.volumes.create(
          { ...body, sizeBytes: BigInt(body.sizeBytes) },
          callOptions(query, signal),
        ),
      ),
    cloneVolume: async ({ body, query }, signal) => {
      const { source, sizeBytes, ...request } = body;
      const size = sizeBytes === undefined ? {} : { sizeBytes: BigInt(sizeBytes) };
      const options = callOptions(query, signal);
      return volumeObject(await node.volumes.clone(source, { ...request, ...size }, options));
    },
    getVolume: async ({ params, query }, signal) =>
      volumeObject(await node.volumes.show(params.volume, callOptions(query, signal))),
    changeVolume: async ({ params, query, body }, signal) => {
      const options = callOptions(query, signal);
      // The UUID stays when the name changes, so all changes hit one volume.
      let volume = await node.volumes.show(params.volume, options);
      if (body.sizeBytes !== undefined) {
        const { shrink } = body;
        const sizeBytes = BigInt(body.sizeBytes);
        volume = await node.volumes.resize(volume.uuid, sizeBytes, { ...options, shrink });
      }
      if (body.reserved !== undefined) {
        volume = await node.volumes.reserve(volume.uuid, body.reserved, options);
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

function snapshotOperations(
  node: Node,
): Some<
  'listSnapshots' | 'createSnapshots' | 'getSnapshot' | 'deleteSnapshot' | 'rollbackSnapshot'
> {
  return {
    listSnapshots: async ({ query }, signal) => {
      const { volume } = query;
      const { items, next } = await node.snapshots.page({ ...pageOptions(query, signal), volume });
      return { items: items.map(snapshotObject), next };
    },
    createSnapshots: async ({ body, query }, signal) => {
      const { volumes, name } = body;
      const options = callOptions(query, signal);
      const [first] = volumes;
      const made =
        volumes.length === 1 && first !== undefined
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

function hostOperations(node: Node): Some<'listHosts' | 'createHost' | 'deleteHost'> {
  return {
    listHosts: async ({ query }, signal) =>
      page(
        node.hosts.list(callOptions(query, signal)).map(hostObject),
        query,
        (item) => `${item.tenant}/${item.nqn}`,
      ),
    createHost: async ({ body, query }, signal) =>
      hostObject(await node.hosts.add(body.nqn, callOptions(query, signal))),
    deleteHost: async ({ params, query }, signal) => {
      await node.hosts.remove(params.host, callOptions(query, signal));
      return {};
    },
  };
}

function grantOperations(node: Node): Some<'listGrants' | 'createGrant' | 'deleteGrant'> {
  return {
    listGrants: async ({ query }, signal) =>
      page(
        node.grants.list(callOptions(query, signal)).map(grantObject),
        query,
        (item) => `${item.tenant}/${item.volume}@${item.snapshot ?? ''}/${item.host}`,
      ),
    createGrant: async ({ body, query }, signal) => {
      const options = { ...callOptions(query, signal), access: body.access };
      return grantObject(await node.grants.add(body.volume, body.host, options));
    },
    deleteGrant: async ({ params, query }, signal) => {
      await node.grants.remove(params.volume, params.host, callOptions(query, signal));
      return {};
    },
  };
}
