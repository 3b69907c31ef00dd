/** How snapshots are found: `volume@name`, or a UUID; and what can be cloned or granted. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import {
  type SnapshotRecord,
  snapshotKey,
  snapshotKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import { findVolume, lookUpVolume, tenantOf } from './state.js';
import type { CallOptions } from './types.js';
import { hexText, isUuidText, uuidBytes, uuidText } from './uuid.js';

/** What a reference to either can mean. */
export type Source =
  | { kind: 'volume'; stored: Stored<VolumeRecord> }
  | { kind: 'snapshot'; stored: Stored<SnapshotRecord> };

/** Whether a reference can only be a snapshot's: no volume has an '@' in its name. */
export function isSnapshotReference(reference: string): boolean {
  return reference.includes('@');
}

/** `volume@name` of a snapshot, with the name that its volume has now or had last. */
export function snapshotReference(catalog: Catalog, { value }: Stored<SnapshotRecord>): string {
  return `${volumeNameOf(catalog, value)}@${value.name}`;
}

/** The name of a snapshot's volume; a live volume may have been renamed since. */
export function volumeNameOf(catalog: Catalog, snapshot: Readonly<SnapshotRecord>): string {
  return catalog.get(volumeKind, snapshot.volume)?.value.name ?? snapshot.volumeName;
}

/**
 * A snapshot of the volume that has that name; else one whose volume is deleted and was called so.
 *
 * @throws AshlarError conflict when several deleted volumes left one of that name.
 */
export function lookUpSnapshot(
  catalog: Catalog,
  reference: string,
  options: CallOptions,
): Stored<SnapshotRecord> | null {
  if (isUuidText(reference)) {
    const found = catalog.find(snapshotKind, 'uuid', hexText(uuidBytes(reference)));
    if (found === null || options.tenant === undefined) return found;
    return found.value.tenant === tenantOf(catalog, options).id ? found : null;
  }
  const at = reference.indexOf('@');
  if (at < 0) return null;
  const [volumeReference, name] = [reference.slice(0, at), reference.slice(at + 1)];
  const volume = lookUpVolume(catalog, volumeReference, options);
  if (volume !== null) {
    const found = catalog.find(snapshotKind, 'name', snapshotKey(volume.id, name));
    if (found !== null) return found;
  }
  return onlyOrphan(catalog, tenantOf(catalog, options).id, volumeReference, name);
}

/**
 * The snapshot of that name that a deleted volume left. Rarely asked for, so there is no index of
 * it: one look at each volume that has snapshots.
 */
function onlyOrphan(
  catalog: Catalog,
  tenant: bigint,
  volumeName: string,
  name: string,
): Stored<SnapshotRecord> | null {
  const orphans: Stored<SnapshotRecord>[] = [];
  for (const key of catalog.groupKeys(snapshotKind, 'volume')) {
    const one = catalog.oneOf(snapshotKind, 'volume', key);
    if (one?.value.volumeName !== volumeName || one.value.tenant !== tenant) continue;
    const { volume } = one.value;
    if (catalog.get(volumeKind, volume) !== null) continue;
    const found = catalog.find(snapshotKind, 'name', snapshotKey(volume, name));
    if (found !== null) orphans.push(found);
  }
  if (orphans.length <= 1) return orphans[0] ?? null;
  const uuids = orphans.map(({ value }) => uuidText(value.uuid));
  throw new AshlarError(
    'conflict',
    `'${volumeName}@${name}' names ${orphans.length} snapshots of deleted volumes; give the UUID of one: ` +
      uuids.join(', '),
  );
}

/** @throws AshlarError not-found, conflict. */
export function findSnapshot(
  catalog: Catalog,
  reference: string,
  options: CallOptions,
): Stored<SnapshotRecord> {
  const snapshot = lookUpSnapshot(catalog, reference, options);
  if (snapshot !== null) return snapshot;
  if (!isUuidText(reference) && !isSnapshotReference(reference)) {
    throw new AshlarError(
      'invalid-argument',
      `'${reference}' is not a snapshot: give VOLUME@NAME or a UUID`,
    );
  }
  const where = options.tenant === undefined ? '' : ` of tenant '${options.tenant}'`;
  throw new AshlarError(
    'not-found',
    `snapshot '${reference}'${where} does not exist; "ashlar snapshot list" shows those that do`,
  );
}

/** What the reference names, a volume or a snapshot. @throws AshlarError not-found, conflict. */
export function findSource(catalog: Catalog, reference: string, options: CallOptions): Source {
  const snapshot = lookUpSnapshot(catalog, reference, options);
  if (snapshot !== null) return { kind: 'snapshot', stored: snapshot };
  if (isSnapshotReference(reference)) {
    return { kind: 'snapshot', stored: findSnapshot(catalog, reference, options) };
  }
  return { kind: 'volume', stored: findVolume(catalog, reference, options) };
}
