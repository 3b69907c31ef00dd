/**
 * Reservations of the catalog's namespaces: kept where the hosts asked for persistence through
 * power loss, brought back at the start of a node, and gone with the volume or snapshot.
 */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  nsidKey,
  type SnapshotRecord,
  snapshotKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import {
  type ReservationRecord,
  reservationKey,
  reservationKind,
} from '../catalog/reservation_kinds.js';
import { AshlarError } from '../errors.js';
import { hostIdText, isReservationType, type Reservations } from '../target/reservations.js';

/**
 * Writes what a namespace's reservations are now, or deletes them with `ptpl` false. Durable when
 * it resolves; nothing has changed when it rejects.
 *
 * @throws AshlarError not-found: the volume or snapshot is gone.
 */
export function saveReservations(
  catalog: Catalog,
  tenant: bigint,
  nsid: number,
  state: Reservations,
): Promise<void> {
  return catalog.transact(`keep reservations of NSID ${nsid}`, (transaction) => {
    const key = nsidKey(tenant, nsid);
    const owner = catalog.find(volumeKind, 'nsid', key) ?? catalog.find(snapshotKind, 'nsid', key);
    if (owner === null) throw new AshlarError('not-found', `NSID ${nsid} is not there any more`);
    const before = catalog.find(reservationKind, 'nsid', reservationKey(tenant, nsid));
    const next = recordOf(tenant, nsid, state);
    if (next === null) {
      if (before !== null) transaction.delete(reservationKind, before.id);
    } else if (before === null) {
      transaction.add(reservationKind, next);
    } else {
      transaction.put(reservationKind, before.id, next);
    }
  });
}

/** Of a volume or snapshot that is deleted in the same transaction. */
export function deleteReservations(
  catalog: Catalog,
  transaction: Transaction,
  { value }: Stored<VolumeRecord | SnapshotRecord>,
): void {
  const key = reservationKey(value.tenant, value.nsid);
  const kept = catalog.find(reservationKind, 'nsid', key);
  if (kept !== null) transaction.delete(reservationKind, kept.id);
}

function recordOf(tenant: bigint, nsid: number, state: Reservations): ReservationRecord | null {
  if (!state.ptpl) return null;
  const { generation, registrants, held } = state;
  const holder = held?.holder ?? null;
  return {
    tenant,
    nsid,
    generation,
    type: held?.type ?? 0,
    holder: holder === null ? new Uint8Array(0) : new Uint8Array(Buffer.from(holder, 'hex')),
    hosts: [...registrants.keys()].map((host) => new Uint8Array(Buffer.from(host, 'hex'))),
    keys: [...registrants.values()],
  };
}

export function reservationsFrom(record: Readonly<ReservationRecord>): Reservations {
  const { generation, type, holder, hosts, keys } = record;
  const registrants = new Map(hosts.map((host, index) => [hostIdText(host), keys[index] ?? 0n]));
  const holds = holder.length === 0 ? null : hostIdText(holder);
  const held = isReservationType(type) ? { type, holder: holds } : null;
  return { generation, ptpl: true, registrants, held };
}
