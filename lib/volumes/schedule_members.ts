/** What a deletion of a volume or tenant means for schedules, in the transaction that does it. */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import { scheduleKind, type VolumeRecord } from '../catalog/kinds.js';

/**
 * Takes a volume out of the schedules of its tenant.
 *
 * @returns the names of schedules that are left without volumes.
 */
export function leaveSchedules(
  catalog: Catalog,
  transaction: Transaction,
  volume: Stored<VolumeRecord>,
): string[] {
  const emptied: string[] = [];
  const schedules = catalog.group(scheduleKind, 'tenant', String(volume.value.tenant));
  for (const { id, value } of schedules) {
    if (!value.volumes.includes(volume.id)) continue;
    const volumes = value.volumes.filter((each) => each !== volume.id);
    transaction.put(scheduleKind, id, { ...value, volumes });
    if (volumes.length === 0) emptied.push(value.name);
  }
  return emptied;
}

/** Deletes the schedules of a tenant that is deleted: without volumes they do nothing. */
export function deleteSchedules(catalog: Catalog, transaction: Transaction, tenant: bigint): void {
  for (const { id } of catalog.group(scheduleKind, 'tenant', String(tenant))) {
    transaction.delete(scheduleKind, id);
  }
}
