/** The control plane's objects as the API shows them. */
import type { ReactorCounters } from '../../native.js';
import type {
  ConnectedHost,
  GrantEntry,
  HostInfo,
  SnapshotDetail,
  TenantInfo,
  VolumeDetail,
} from '../../volumes/types.js';
import { toInteger } from '../codec.js';
import type { Controller, Grant, Host, Reactor, Snapshot, Tenant, Volume } from '../contract.js';

export function volumeObject(volume: VolumeDetail): Volume {
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
    exclusiveBytes: toInteger(volume.usage.exclusiveBytes),
    sharedBytes: toInteger(volume.usage.sharedBytes),
    reserved: volume.reserved,
    policy: volume.policy,
    reservedBytes: toInteger(volume.usage.reservedBytes),
    sourceUuid: volume.sourceUuid,
    snapshots: volume.snapshots,
    anagrpid: volume.anagrpid,
    createdAt: volume.createdAt,
    grants: volume.grants.map((grant) =>
      grantObject({ ...grant, tenant: volume.tenant, volume: volume.name, snapshot: null }),
    ),
    connections: volume.connectedHosts.length,
  };
}

export function snapshotObject(snapshot: SnapshotDetail): Snapshot {
  const { name, volume, tenant } = snapshot;
  return {
    name,
    volume,
    volumeUuid: snapshot.volumeUuid,
    sourceUuid: snapshot.sourceUuid,
    reference: snapshot.reference,
    tenant,
    uuid: snapshot.uuid,
    nguid: snapshot.nguid,
    nsid: snapshot.nsid,
    subnqn: snapshot.subnqn,
    sizeBytes: toInteger(snapshot.sizeBytes),
    blockBytes: snapshot.blockBytes,
    mappedBytes: toInteger(snapshot.usage.mappedBytes),
    exclusiveBytes: toInteger(snapshot.usage.exclusiveBytes),
    sharedBytes: toInteger(snapshot.usage.sharedBytes),
    freesBytes: toInteger(snapshot.usage.freesBytes),
    groupUuid: snapshot.groupUuid,
    createdAt: snapshot.createdAt,
    grants: snapshot.grants.map((grant) =>
      grantObject({ ...grant, tenant, volume, snapshot: name }),
    ),
    connections: snapshot.connectedHosts.length,
  };
}

export function grantObject(grant: GrantEntry): Grant {
  const { volume, snapshot, tenant, host, access, createdAt } = grant;
  return { volume, snapshot, tenant, host, access, createdAt };
}

export function hostObject(host: HostInfo): Host {
  return {
    nqn: host.nqn,
    tenant: host.tenant,
    createdAt: host.createdAt,
    volumes: host.volumes,
    connections: host.connections.length,
  };
}

export function tenantObject(tenant: TenantInfo): Tenant {
  const { quota, provisionedBytes } = tenant;
  const limit = (bytes: bigint | null): number | null => (bytes === null ? null : toInteger(bytes));
  return {
    ...tenant,
    provisionedBytes: toInteger(provisionedBytes),
    quota: {
      ...quota,
      capacityBytes: limit(quota.capacityBytes),
      bytesPerSecond: limit(quota.bytesPerSecond),
    },
  };
}

export function controllerObject(connected: ConnectedHost): Controller {
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

export function reactorObject(counters: ReactorCounters): Reactor {
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
