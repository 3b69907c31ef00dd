/** What a tenant may have: refused before a transaction would take it over its quota. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import {
  snapshotKind,
  type TenantQuota,
  type TenantRecord,
  tenantKind,
  volumeKind,
} from '../catalog/kinds.js';
import { formatSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { stillThere } from './state.js';
import type { QuotaInfo, SetQuota } from './types.js';

/** Sum of the sizes of a tenant's volumes. */
export function provisionedBytes(catalog: Catalog, tenant: bigint): bigint {
  return catalog
    .group(volumeKind, 'tenant', String(tenant))
    .reduce((sum, { value }) => sum + value.sizeBytes, 0n);
}

/**
 * To be called while a transaction is built, once for all that it adds.
 *
 * @throws AshlarError limit-exceeded: which quota, and how much of it is left.
 */
export function assertQuota(
  catalog: Catalog,
  tenantId: bigint,
  more: { bytes?: bigint; volumes?: number; snapshots?: number },
): void {
  const tenant = stillThere(catalog.get(tenantKind, tenantId), 'the tenant');
  const { quota } = tenant.value;
  const { bytes = 0n, volumes = 0, snapshots = 0 } = more;
  const key = String(tenantId);
  if (volumes > 0) {
    assertCount(tenant, 'volumes', catalog.groupSize(volumeKind, 'tenant', key), volumes);
  }
  if (snapshots > 0) {
    assertCount(tenant, 'snapshots', catalog.groupSize(snapshotKind, 'tenant', key), snapshots);
  }
  if (bytes <= 0n || quota.capacityBytes === 0n) return;
  const left = quota.capacityBytes - provisionedBytes(catalog, tenantId);
  if (bytes <= left) return;
  throw new AshlarError(
    'limit-exceeded',
    `tenant '${tenant.value.name}' may have ${formatSize(quota.capacityBytes)} of volumes, and ` +
      `${left > 0n ? formatSize(left) : 'nothing'} is left of it; ${formatSize(bytes)} more were ` +
      'asked for',
  );
}

function assertCount(
  { value }: Stored<TenantRecord>,
  what: 'volumes' | 'snapshots',
  has: number,
  more: number,
): void {
  const most = value.quota[what];
  if (most === 0 || has + more <= most) return;
  throw new AshlarError(
    'limit-exceeded',
    `tenant '${value.name}' may have ${most} ${what}, and has ${has}; delete some, or ask for more`,
  );
}

/** A quota as the record has it, with what is given changed. */
export function changedQuota(quota: Readonly<TenantQuota>, change: SetQuota): TenantQuota {
  const { capacityBytes, volumes, snapshots, iops, bytesPerSecond } = change;
  const pick = <T>(given: T | null | undefined, none: T, before: T): T =>
    given === undefined ? before : (given ?? none);
  return {
    capacityBytes: pick(capacityBytes, 0n, quota.capacityBytes),
    volumes: pick(volumes, 0, quota.volumes),
    snapshots: pick(snapshots, 0, quota.snapshots),
    iops: pick(iops, 0, quota.iops),
    bytesPerSecond: pick(bytesPerSecond, 0n, quota.bytesPerSecond),
  };
}

/** A quota for people: null where the record has 0. */
export function quotaInfo(quota: Readonly<TenantQuota>): QuotaInfo {
  return {
    capacityBytes: quota.capacityBytes || null,
    volumes: quota.volumes || null,
    snapshots: quota.snapshots || null,
    iops: quota.iops || null,
    bytesPerSecond: quota.bytesPerSecond || null,
  };
}
