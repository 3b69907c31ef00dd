/** What the services of volumes, hosts and tenants share, and how names are looked up. */

import type { Catalog, Stored } from '../catalog/catalog.js';
import {
  type TenantRecord,
  tenantKind,
  type VolumeRecord,
  volumeKey,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import type { Exports } from './exports.js';
import type { KeyedLocks } from './locks.js';
import type { CallOptions } from './types.js';
import { hexText, isUuidText, uuidBytes } from './uuid.js';

/** The tenant of those who name none; made when the pool is. */
export const defaultTenant = 'default';

/** What an event is about, and whose it is: nobody else's tokens see it. */
export interface EventSubject {
  /** A UUID or an NQN; null: the node. */
  subject: string | null;
  /** The tenant's record id; null: the node's own. */
  tenant: bigint | null;
  /** Whose message is part of the event's: its tenant reads it as tenants do. */
  error?: AshlarError;
}

export interface ControlState {
  catalog: Catalog;
  exports: Exports;
  locks: KeyedLocks;
  /** Throws 'closed' once the node is closing. */
  assertOpen(): void;
  /** Hosts were removed, and their secrets with them. */
  hostsGone(): void;
  /** Tells the node's event log. 'info' when no severity is given. */
  emit(kind: EventKind, message: string, about: EventSubject, severity?: 'info' | 'warning'): void;
}

/** @throws AshlarError not-found. */
export function findTenant(catalog: Catalog, name: string): Stored<TenantRecord> {
  const tenant = catalog.find(tenantKind, 'name', name);
  if (tenant !== null) return tenant;
  throw new AshlarError('not-found', `tenant '${name}' does not exist; "ashlar tenant list"`);
}

/** The tenant that a call works in. */
export function tenantOf(catalog: Catalog, options: CallOptions): Stored<TenantRecord> {
  return findTenant(catalog, options.tenant ?? defaultTenant);
}

/** By name, or by UUID within the tenant given (any, when none is given). */
export function lookUpVolume(
  catalog: Catalog,
  reference: string,
  options: CallOptions,
): Stored<VolumeRecord> | null {
  if (isUuidText(reference)) {
    const found = catalog.find(volumeKind, 'uuid', hexText(uuidBytes(reference)));
    if (found === null || options.tenant === undefined) return found;
    return found.value.tenant === tenantOf(catalog, options).id ? found : null;
  }
  const tenant = tenantOf(catalog, options);
  return catalog.find(volumeKind, 'name', volumeKey(tenant.id, reference));
}

/** @throws AshlarError not-found. */
export function findVolume(
  catalog: Catalog,
  reference: string,
  options: CallOptions,
): Stored<VolumeRecord> {
  const volume = lookUpVolume(catalog, reference, options);
  if (volume !== null) return volume;
  const where = options.tenant === undefined ? '' : ` of tenant '${options.tenant}'`;
  throw new AshlarError(
    'not-found',
    `volume '${reference}'${where} does not exist; "ashlar volume list" shows those that do`,
  );
}

/** A record as it is now; the call raced with a deletion when it is gone. */
export function stillThere<T>(record: Stored<T> | null, what: string): Stored<T> {
  if (record !== null) return record;
  throw new AshlarError('not-found', `${what} has been deleted meanwhile`);
}
