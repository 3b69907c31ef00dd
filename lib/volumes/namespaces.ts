/** Namespace IDs of a tenant's subsystem: volumes have one from the start, snapshots when granted. */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  nsidKey,
  snapshotKind,
  type TenantRecord,
  tenantKind,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import { maxNamespaces } from '../target/limits.js';
import { takeNsid } from '../target/nsid.js';
import type { Source } from './references.js';

/** The volume or snapshot that has an NSID; null: none. */
export function namespaceAt(catalog: Catalog, tenant: bigint, nsid: number): Source | null {
  const key = nsidKey(tenant, nsid);
  const volume = catalog.find(volumeKind, 'nsid', key);
  if (volume !== null) return { kind: 'volume', stored: volume };
  const snapshot = catalog.find(snapshotKind, 'nsid', key);
  return snapshot === null ? null : { kind: 'snapshot', stored: snapshot };
}

/**
 * The tenant's next NSID, recorded so that it is not given again. Once a transaction.
 * @throws AshlarError limit-exceeded.
 */
export function nextNsid(
  catalog: Catalog,
  transaction: Transaction,
  tenant: Stored<TenantRecord>,
): number {
  const key = String(tenant.id);
  const count =
    catalog.groupSize(volumeKind, 'tenant', key) +
    catalog.groupSize(snapshotKind, 'namespaces', key);
  if (count >= maxNamespaces) {
    throw new AshlarError(
      'limit-exceeded',
      `tenant '${tenant.value.name}' has ${count} volumes and snapshots that were granted, the ` +
        'limit; delete one or use another tenant',
    );
  }
  const taken = takeNsid(tenant.value.nextNsid, {
    has: (nsid) => namespaceAt(catalog, tenant.id, nsid) !== null,
  });
  if (taken === null) throw new RangeError('fewer namespaces than NSIDs, and yet none is free');
  transaction.put(tenantKind, tenant.id, { ...tenant.value, nextNsid: taken.next });
  return taken.nsid;
}
