/**
 * What every operation does: the control plane's own objects in, the API's objects out. No rule is
 * decided here; those are the node's.
 */
import { basename, extname } from 'node:path';
import { AshlarError } from '../errors.js';
import type { CheckReport, DeviceSpec, PoolStatus, ReactorCounters } from '../native.js';
import type { Node } from '../node/types.js';
import type {
  CallOptions,
  ConnectedHost,
  HostInfo,
  PortalInfo,
  TenantInfo,
  VolumeDetail,
} from '../volumes/types.js';
import { toInteger } from './codec.js';
import type {
  Controller,
  Grant,
  Host,
  Pool,
  PoolCheck,
  Portal,
  Reactor,
  Tenant,
  Volume,
} from './contract.js';
import type { Handlers } from './server.js';

/** Handlers that work on a node. */
export function nodeHandlers(node: Node): Handlers {
  return {
    ...nodeOperations(node),
    ...tenantOperations(node),
    ...volumeOperations(node),
    ...hostOperations(node),
    ...grantOperations(node),
  };
}

type Some<K extends keyof Handlers> = Pick<Handlers, K>;

function nodeOperations(
  node: Node,
): Some<'getStatus' | 'listPools' | 'getPool' | 'checkPool' | 'listPortals' | 'listControllers'> {
  const pool = async (): Promise<Pool> => {
    const status = await node.status();
    return poolObject(status.pool, status.device, status.provisionedBytes);
  };
  const namedPool = async (name: string): Promise<Pool> => {
    const only = await pool();
    if (name === only.name || name.toLowerCase() === only.uuid) return only;
    throw new AshlarError(
      'not-found',
      `pool '${name}' does not exist on this node; it has '${only.name}' (${only.uuid})`,
    );
  };
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
        tenants: status.tenants,
        volumes: status.volumes,
        controllers: status.connections.length,
      };
    },
    listPools: async ({ query }) => page([await pool()], query, (item) => item.uuid),
    getPool: async ({ params }) => namedPool(params.pool),
    checkPool: async ({ params }, signal) => {
      await namedPool(params.pool);
      return poolCheckObject(await node.pool.check({ signal }));
    },
    listPortals: async ({ query }) =>
      page(node.portals.map(portalObject), query, (item) => String(item.portalId)),
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
): Some<'listVolumes' | 'createVolume' | 'getVolume' | 'changeVolume' | 'deleteVolume'> {
  return {
    listVolumes: async ({ query }, signal) => {
      const all = node.volumes.list(callOptions(query, signal));
      const { items, next } = page(all, query, (item) => `${item.tenant}/${item.name}`);
      // Usage is asked for the page only. A volume deleted meanwhile is left out.
      const shown = await Promise.all(
        items.map(async (item) => {
          try {
            return volumeObject(await node.volumes.show(item.uuid, { tenant: item.tenant }));
          } catch (error) {
            if (error instanceof AshlarError && error.code === 'not-found') return null;
            throw error;
          }
        }),
      );
      return { items: shown.filter((item) => item !== null), next };
    },
    createVolume: async ({ body, query }, signal) =>
      volumeObject(
        await node.volumes.create(
          { ...body, sizeBytes: BigInt(body.sizeBytes) },
          callOptions(query, signal),
        ),
      ),
    getVolume: async ({ params, query }, signal) =>
      volumeObject(await node.volumes.show(params.volume, callOptions(query, signal))),
    changeVolume: async ({ params, query, body }, signal) => {
      const options = callOptions(query, signal);
      // The UUID stays when the name changes, so both changes hit one volume.
      let volume = await node.volumes.show(params.volume, options);
      if (body.sizeBytes !== undefined) {
        volume = await node.volumes.resize(volume.uuid, BigInt(body.sizeBytes), options);
      }
      if (body.name !== undefined) {
        volume = await node.volumes.rename(volume.uuid, body.name, options);
      }
      return volumeObject(volume);
    },
    deleteVolume: async ({ params, query }, signal) => {
      await node.volumes.delete(params.volume, callOptions(query, signal));
      return {};
    },
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
    listGrants: async ({ query }, signal) => {
      const volumes = node.volumes.list(callOptions(query, signal));
      return page(
        volumes.flatMap(grantObjects),
        query,
        (item) => `${item.tenant}/${item.volume}/${item.host}`,
      );
    },
    createGrant: async ({ body, query }, signal) => {
      const volume = await node.volumes.grant(body.volume, body.host, {
        ...callOptions(query, signal),
        access: body.access,
      });
      const grant = grantObjects(volume).find((item) => item.host === body.host);
      if (grant !== undefined) return grant;
      throw new AshlarError(
        'conflict',
        `the grant of volume '${volume.name}' to '${body.host}' was revoked at the same moment`,
      );
    },
    deleteGrant: async ({ params, query }, signal) => {
      await node.volumes.revoke(params.volume, params.host, callOptions(query, signal));
      return {};
    },
  };
}

function callOptions(
  query: { tenant?: string; repeatable?: 'true' | 'false' },
  signal: AbortSignal,
): CallOptions {
  return { signal, tenant: query.tenant, repeatable: query.repeatable === 'true' };
}

/**
 * One page of a list. The cursor is the key of the last item given, so a page starts right behind
 * it whatever was added or removed in between.
 */
function page<T>(
  all: readonly T[],
  query: { limit?: string; cursor?: string },
  keyOf: (item: T) => string,
): { items: T[]; next: string | null } {
  const limit = Number(query.limit ?? 1000);
  const sorted = all
    .map((item) => ({ key: keyOf(item), item }))
    .sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
  const after = query.cursor === undefined ? null : cursorKey(query.cursor);
  const rest = after === null ? sorted : sorted.filter(({ key }) => key > after);
  const shown = rest.slice(0, limit);
  const last = shown.at(-1);
  const next =
    rest.length > limit && last !== undefined ? Buffer.from(last.key).toString('base64url') : null;
  return { items: shown.map(({ item }) => item), next };
}

function cursorKey(cursor: string): string {
  const key = Buffer.from(cursor, 'base64url').toString('utf8');
  if (key !== '' && Buffer.from(key).toString('base64url') === cursor) return key;
  throw new AshlarError(
    'invalid-argument',
    "query: 'cursor' is not one that a page gave as `next`; start again without it",
  );
}

/** A pool as the API shows it; also for a pool file without a daemon. */
export function poolObject(
  status: PoolStatus,
  device: DeviceSpec,
  provisionedBytes: bigint | null,
): Pool {
  const chunks = (number: bigint): number => toInteger(number * status.chunkBytes);
  return {
    name: poolName(device),
    uuid: uuidText(status.uuid),
    device: { kind: device.kind, path: device.kind === 'file' ? device.path : null },
    state: status.failed ? 'failed' : 'healthy',
    problem: status.failure,
    sizeBytes: toInteger(status.sizeBytes),
    freeBytes: chunks(status.freeChunks),
    dataBytes: chunks(status.dataChunks),
    metadataBytes: chunks(status.metadataChunks),
    reclaimingBytes: chunks(status.reclaimingChunks),
    provisionedBytes: provisionedBytes === null ? null : toInteger(provisionedBytes),
    chunkBytes: toInteger(status.chunkBytes),
    layers: toInteger(status.layerCount),
    catalogRecords: toInteger(status.catalogRecords),
    journalBytes: toInteger(status.journalBytes),
    journalUsedBytes: toInteger(status.journalUsedBytes),
    journalSequence: toInteger(status.journalSequence),
    checkpointSequence: toInteger(status.checkpointSequence),
    commits: toInteger(status.commits),
    checkpoints: toInteger(status.checkpoints),
    replayedRecords: toInteger(status.replayedRecords),
    formatVersion: status.formatVersion,
    atomicWriteBytes: status.atomicWriteBytes,
  };
}

function poolName(device: DeviceSpec): string {
  return device.kind === 'memory' ? 'memory' : basename(device.path, extname(device.path));
}

function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The outcome of a check as the API shows it. */
export function poolCheckObject(report: CheckReport): PoolCheck {
  return {
    clean: report.problems.length === 0 && report.suppressed === 0n,
    problems: report.problems.map(({ where, what }) => ({ where, what })),
    suppressed: toInteger(report.suppressed),
    pagesRead: toInteger(report.pagesRead),
    layers: toInteger(report.layers),
    chunksOwned: toInteger(report.chunksOwned),
    chunksLeaked: toInteger(report.chunksLeaked),
    catalogRecords: toInteger(report.catalogRecords),
  };
}

function volumeObject(volume: VolumeDetail): Volume {
  return {
    name: volume.name,
    tenant: volume.tenant,
    uuid: volume.uuid,
    nguid: volume.nguid,
    nsid: volume.nsid,
    subnqn: volume.subnqn,
    sizeBytes: toInteger(volume.sizeBytes),
    blockBytes: volume.blockBytes,
    mappedBytes: toInteger(volume.usage.mappedBytes),
    allocatedBytes: toInteger(volume.usage.exclusiveBytes),
    anagrpid: volume.anagrpid,
    createdAt: volume.createdAt,
    grants: grantObjects(volume),
    connections: volume.connectedHosts.length,
  };
}

function grantObjects(volume: Pick<VolumeDetail, 'name' | 'tenant' | 'grants'>): Grant[] {
  return volume.grants.map(({ host, access, createdAt }) => ({
    volume: volume.name,
    tenant: volume.tenant,
    host,
    access,
    createdAt,
  }));
}

function hostObject(host: HostInfo): Host {
  return {
    nqn: host.nqn,
    tenant: host.tenant,
    createdAt: host.createdAt,
    volumes: host.volumes,
    connections: host.connections.length,
  };
}

function tenantObject(tenant: TenantInfo): Tenant {
  const { name, uuid, subnqn, volumes, hosts, createdAt } = tenant;
  return { name, uuid, subnqn, volumes, hosts, createdAt };
}

function portalObject(portal: PortalInfo): Portal {
  const { portalId, address, port, discoveryOnly } = portal;
  const ana = portal.ana.map(({ anagrpid, state }) => ({ anagrpid, state }));
  return { portalId, transport: 'tcp', address, port, discoveryOnly, ana };
}

function controllerObject(connected: ConnectedHost): Controller {
  return {
    cntlid: connected.cntlid,
    kind: connected.kind,
    subnqn: connected.subnqn,
    hostnqn: connected.hostnqn,
    hostid: connected.hostid,
    peer: connected.peer,
    portalId: connected.portalId,
    ioQueues: connected.ioQueues,
    keepAliveMs: connected.keepAliveMs,
    connectedAt: connected.connectedAt,
  };
}

function reactorObject(counters: ReactorCounters): Reactor {
  return {
    turns: toInteger(counters.turns),
    sleeps: toInteger(counters.sleeps),
    busyNs: toInteger(counters.busyNs),
    connections: counters.connections,
    commands: toInteger(counters.commands),
    readBytes: toInteger(counters.readBytes),
    writtenBytes: toInteger(counters.writtenBytes),
    buffersInUse: counters.buffersInUse,
    ioPathAllocations: toInteger(counters.ioPathAllocations),
  };
}
