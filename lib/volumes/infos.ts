/** Volumes, snapshots and grants as the control plane tells of them. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import {
  type GrantRecord,
  grantKind,
  type SnapshotRecord,
  snapshotKind,
  type TenantRecord,
  tenantKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import type { LayerUsage } from '../native.js';
import { compare } from './pages.js';
import { policyName } from './policies.js';
import { volumeNameOf } from './references.js';
import type { ControlState } from './state.js';
import type { GrantInfo, SnapshotDetail, SnapshotInfo, VolumeDetail, VolumeInfo } from './types.js';
import { snapshotUsage, volumeUsage } from './usage.js';
import { hexText, uuidText } from './uuid.js';

export function volumeInfo(catalog: Catalog, { id, value }: Stored<VolumeRecord>): VolumeInfo {
  const tenant = tenantRecord(catalog, value.tenant);
  return {
    name: value.name,
    tenant: tenant.name,
    uuid: uuidText(value.uuid),
    nguid: hexText(value.nguid),
    nsid: value.nsid,
    subnqn: tenant.subnqn,
    sizeBytes: value.sizeBytes,
    blockBytes: value.blockBytes,
    anagrpid: value.anagrpid,
    createdAt: new Date(value.createdMs).toISOString(),
    reserved: value.reserved,
    policy: policyName(catalog, value.policy),
    sourceUuid: value.source.length === 0 ? null : uuidText(value.source),
    snapshots: catalog.groupSize(snapshotKind, 'volume', String(id)),
    grants: grantInfos(catalog.group(grantKind, 'volume', String(id))),
  };
}

export function snapshotInfo(catalog: Catalog, stored: Stored<SnapshotRecord>): SnapshotInfo {
  const { id, value } = stored;
  const tenant = tenantRecord(catalog, value.tenant);
  const live = catalog.get(volumeKind, value.volume);
  const volume = volumeNameOf(catalog, value);
  return {
    name: value.name,
    volume,
    volumeUuid: live === null ? null : uuidText(live.value.uuid),
    sourceUuid: sourceUuid(value, live),
    reference: `${volume}@${value.name}`,
    tenant: tenant.name,
    uuid: uuidText(value.uuid),
    nguid: hexText(value.nguid),
    nsid: value.nsid === 0 ? null : value.nsid,
    subnqn: tenant.subnqn,
    sizeBytes: value.sizeBytes,
    blockBytes: value.blockBytes,
    groupUuid: value.group.length === 0 ? null : uuidText(value.group),
    createdAt: new Date(value.createdMs).toISOString(),
    grants: grantInfos(catalog.group(grantKind, 'snapshot', String(id))),
  };
}

function sourceUuid(value: SnapshotRecord, live: Stored<VolumeRecord> | null): string | null {
  if (live !== null) return uuidText(live.value.uuid);
  return value.volumeUuid.length === 0 ? null : uuidText(value.volumeUuid);
}

/** @throws AshlarError not-found when it is deleted at the same moment. */
export async function volumeDetail(
  state: ControlState,
  volume: Stored<VolumeRecord>,
): Promise<VolumeDetail> {
  const [detail] = await volumeDetails(state, [volume]);
  if (detail !== undefined) return detail;
  throw goneMeanwhile(`volume '${volume.value.name}'`);
}

/** Without those that are deleted at the same moment. */
export async function volumeDetails(
  state: ControlState,
  volumes: readonly Stored<VolumeRecord>[],
): Promise<VolumeDetail[]> {
  const { catalog, exports } = state;
  return (await withUsage(state, volumes, (id) => catalog.get(volumeKind, id))).map(
    ({ stored, usage }) => ({
      ...volumeInfo(catalog, stored),
      usage: volumeUsage(usage),
      connectedHosts: exports.connectionsOf(stored),
    }),
  );
}

/** @throws AshlarError not-found when it is deleted at the same moment. */
export async function snapshotDetail(
  state: ControlState,
  snapshot: Stored<SnapshotRecord>,
): Promise<SnapshotDetail> {
  const [detail] = await snapshotDetails(state, [snapshot]);
  if (detail !== undefined) return detail;
  throw goneMeanwhile(`snapshot '${snapshot.value.name}'`);
}

/** Without those that are deleted at the same moment. */
export async function snapshotDetails(
  state: ControlState,
  snapshots: readonly Stored<SnapshotRecord>[],
): Promise<SnapshotDetail[]> {
  const { catalog, exports } = state;
  return (await withUsage(state, snapshots, (id) => catalog.get(snapshotKind, id))).map(
    ({ stored, usage }) => ({
      ...snapshotInfo(catalog, stored),
      usage: snapshotUsage(usage),
      connectedHosts: exports.connectionsOf(stored),
    }),
  );
}

/** How often a volume whose top layer changes under the question is asked again. */
const usageAttempts = 5;

/**
 * Usage is asked of layers, and a snapshot or rollback may put another one on top meanwhile. Those
 * whose layer was not there are therefore asked again by what the catalog then says.
 */
async function withUsage<T extends VolumeRecord | SnapshotRecord>(
  { exports }: ControlState,
  items: readonly Stored<T>[],
  current: (id: bigint) => Stored<T> | null,
): Promise<{ stored: Stored<T>; usage: LayerUsage }[]> {
  const known = new Map<bigint, { stored: Stored<T>; usage: LayerUsage }>();
  let open = [...items];
  for (let attempt = 0; attempt < usageAttempts && open.length > 0; attempt += 1) {
    const usages = await exports.usages(open);
    for (const [index, stored] of open.entries()) {
      const usage = usages[index] ?? null;
      if (usage !== null) known.set(stored.id, { stored, usage });
    }
    open = open
      .filter(({ id }) => !known.has(id))
      .map(({ id }) => current(id))
      .filter((stored) => stored !== null);
  }
  return items.map(({ id }) => known.get(id)).filter((found) => found !== undefined);
}

function goneMeanwhile(what: string): AshlarError {
  return new AshlarError('not-found', `${what} has been deleted meanwhile`);
}

function tenantRecord(catalog: Catalog, id: bigint): Readonly<TenantRecord> {
  const tenant = catalog.get(tenantKind, id);
  if (tenant === null) throw new RangeError(`tenant record ${id} is not there`);
  return tenant.value;
}

function grantInfos(grants: readonly Stored<GrantRecord>[]): GrantInfo[] {
  return grants
    .map(({ value: { host, access, createdMs } }) => {
      return { host, access, createdAt: new Date(createdMs).toISOString() };
    })
    .sort((a, b) => compare(a.host, b.host));
}
