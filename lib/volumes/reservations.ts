/**
 * Reservations of the catalog's namespaces: shown to people, kept where the hosts asked for
 * persistence through power loss, brought back at the start of a node, and gone with the volume or
 * snapshot.
 */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  type SnapshotRecord,
  type TenantRecord,
  tenantKind,
  type VolumeRecord,
} from '../catalog/kinds.js';
import {
  type ReservationRecord,
  reservationKey,
  reservationKind,
} from '../catalog/reservation_kinds.js';
import { AshlarError, throwIfAborted } from '../errors.js';
import { holds, hostIdText, isReservationType, type Reservations } from '../target/reservations.js';
import { snapshotInfo } from './infos.js';
import { namespaceAt } from './namespaces.js';
import { compare } from './pages.js';
import { findSource } from './references.js';
import {
  type RegistrantInfo,
  type ReservationInfo,
  reservationTypeNames,
  type VolumeReservations,
} from './reservation_types.js';
import { type ControlState, stillThere, tenantOf } from './state.js';
import type { CallOptions } from './types.js';
import { uuidText } from './uuid.js';

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
    const owner = namespaceAt(catalog, tenant, nsid);
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

export class ReservationService implements VolumeReservations {
  readonly #state: ControlState;

  constructor(state: ControlState) {
    this.#state = state;
  }

  list(options: CallOptions = {}): ReservationInfo[] {
    this.#state.assertOpen();
    const { catalog } = this.#state;
    const only = options.tenant === undefined ? null : tenantOf(catalog, options).id;
    return catalog
      .all(tenantKind)
      .filter(({ id }) => only === null || id === only)
      .flatMap((tenant) => this.#ofTenant(tenant))
      .sort((a, b) => compare(keyOf(a), keyOf(b)));
  }

  show(reference: string, options: CallOptions = {}): ReservationInfo {
    this.#state.assertOpen();
    const { catalog } = this.#state;
    const { tenant, nsid } = findSource(catalog, reference, options).stored.value;
    const owner = stillThere(catalog.get(tenantKind, tenant), 'its tenant');
    const found = this.#ofTenant(owner).find((each) => each.nsid === nsid);
    if (found !== undefined) return found;
    throw new AshlarError('not-found', `no host is registered with '${reference}'`);
  }

  async clear(reference: string, options: CallOptions = {}): Promise<number> {
    this.#state.assertOpen();
    const { catalog } = this.#state;
    const { stored } = findSource(catalog, reference, options);
    const { tenant, nsid, uuid } = stored.value;
    if (nsid === 0) return 0; // A snapshot that was never granted.
    throwIfAborted(options.signal, `clear reservations of '${reference}'`);
    const registrants = await this.#state.exports.subsystem(tenant).clearReservations(nsid);
    if (registrants > 0) {
      const message = `reservations of '${reference}' cleared; ${registrants} were registered`;
      const about = { subject: uuidText(uuid), tenant };
      this.#state.emit('reservations-cleared', message, about, 'warning');
    }
    return registrants;
  }

  #ofTenant({ id, value }: Stored<TenantRecord>): ReservationInfo[] {
    const subsystem = this.#state.exports.subsystem(id);
    return [...subsystem.reservations].flatMap(([nsid, state]) => {
      const name = this.#nameOf(id, nsid);
      if (name === null || state.registrants.size === 0) return [];
      const type = reservationTypeNames[(state.held?.type ?? 0) - 1] ?? null;
      const registrants = [...state.registrants].map(([host, key]): RegistrantInfo => {
        return {
          hostid: uuidText(Buffer.from(host, 'hex')),
          hosts: subsystem.hostnqnsOf(host),
          key: key.toString(16).padStart(16, '0'),
          holds: holds(state, host),
        };
      });
      const { ptpl: persistent, generation } = state;
      return [{ tenant: value.name, ...name, nsid, type, persistent, generation, registrants }];
    });
  }

  #nameOf(tenant: bigint, nsid: number): { volume: string; snapshot: string | null } | null {
    const { catalog } = this.#state;
    const source = namespaceAt(catalog, tenant, nsid);
    if (source === null) return null;
    if (source.kind === 'volume') return { volume: source.stored.value.name, snapshot: null };
    const info = snapshotInfo(catalog, source.stored);
    return { volume: info.volume, snapshot: info.name };
  }
}

function keyOf({ tenant, volume, snapshot }: ReservationInfo): string {
  return `${tenant}/${volume}@${snapshot ?? ''}`;
}
