/** What freezes a layer: snapshots, and clones of a snapshot or of a volume as it is now. */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  type SnapshotRecord,
  snapshotKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError, nodeIsFull } from '../errors.js';
import { type Source, snapshotReference } from './references.js';
import { addVolume, checkClone, type WantedVolume } from './requests.js';
import { maxSnapshots } from './rules.js';
import { stillThere } from './state.js';
import type { CloneVolume } from './types.js';
import { randomUuidBytes } from './uuid.js';

/** For messages. */
export function sourceText(catalog: Catalog, { kind, stored }: Source): string {
  return kind === 'volume'
    ? `volume '${stored.value.name}'`
    : `snapshot '${snapshotReference(catalog, stored)}'`;
}

/** What the clone will be. @throws AshlarError invalid-argument, limit-exceeded, not-found. */
export function wantedClone(catalog: Catalog, request: CloneVolume, source: Source): WantedVolume {
  const { kind, stored } = source;
  const text = sourceText(catalog, source);
  const { value }: { value: Readonly<VolumeRecord | SnapshotRecord> } =
    kind === 'volume'
      ? stillThere(catalog.get(volumeKind, stored.id), text)
      : stillThere(catalog.get(snapshotKind, stored.id), text);
  const { uuid, sizeBytes, blockBytes } = value;
  return checkClone(request, { text, uuid, sizeBytes, blockBytes });
}

/** @returns the new volume's record id. */
export function buildClone(
  catalog: Catalog,
  transaction: Transaction,
  tenant: string,
  source: Source,
  request: CloneVolume,
  uuid: Uint8Array,
): bigint {
  // The source may have grown since the call was checked.
  const wanted = { ...wantedClone(catalog, request, source), uuid };
  const { id } = source.stored;
  const text = sourceText(catalog, source);
  const parent =
    source.kind === 'volume'
      ? freezeTop(catalog, transaction, stillThere(catalog.get(volumeKind, id), text))
      : stillThere(catalog.get(snapshotKind, id), text).value.layer;
  const layer = randomUuidBytes();
  const { sizeBytes, blockBytes, reserved } = wanted;
  transaction.layer({
    kind: 'create-layer',
    layer,
    parent,
    sizeBytes,
    blockBytes,
    volumeFrom: null,
    reserved,
  });
  // Nobody but the layers on it needs the frozen top: it goes when one of them is left.
  if (source.kind === 'volume') transaction.layer({ kind: 'delete-layer', layer: parent });
  const { policy } =
    source.kind === 'volume'
      ? source.stored.value
      : (catalog.get(volumeKind, source.stored.value.volume)?.value ?? { policy: 0n });
  return addVolume(catalog, transaction, tenant, wanted, layer, policy);
}

/**
 * Puts a new layer on the top of a volume, which goes on on it without a pause.
 * @returns the layer that is now frozen.
 */
export function freezeTop(
  catalog: Catalog,
  transaction: Transaction,
  volume: Stored<VolumeRecord>,
): Uint8Array {
  const now = stillThere(catalog.get(volumeKind, volume.id), `volume '${volume.value.name}'`);
  const { layer: frozen, sizeBytes } = now.value;
  moveTop(transaction, now, frozen, sizeBytes);
  return frozen;
}

/** Makes a new layer on `parent` the top of a volume, of the size given. */
export function moveTop(
  transaction: Transaction,
  { id, value }: Stored<VolumeRecord>,
  parent: Uint8Array,
  sizeBytes: bigint,
): void {
  const layer = randomUuidBytes();
  const { blockBytes, reserved, layer: volumeFrom } = value;
  transaction.layer({
    kind: 'create-layer',
    layer,
    parent,
    sizeBytes,
    blockBytes,
    volumeFrom,
    reserved,
  });
  transaction.put(volumeKind, id, { ...value, layer, sizeBytes });
}

/** What a new snapshot is called, and how it came about; as in its record. */
export type WantedSnapshot = Pick<
  SnapshotRecord,
  'name' | 'group' | 'origin' | 'schedule' | 'plannedMs'
> & {
  /** Random when not given. */
  uuid?: Uint8Array | undefined;
  /** Now when not given. */
  createdMs?: number | undefined;
};

/**
 * Freezes the top of a volume as a snapshot.
 * @returns the snapshot's record id.
 * @throws AshlarError limit-exceeded, not-found.
 */
export function addSnapshot(
  catalog: Catalog,
  transaction: Transaction,
  volume: Stored<VolumeRecord>,
  wanted: WantedSnapshot,
): bigint {
  const count = catalog.count(snapshotKind);
  if (count >= maxSnapshots) {
    throw new AshlarError(
      'limit-exceeded',
      `the node has ${count} snapshots, its limit; delete some with "ashlar snapshot delete"`,
      { toTenants: nodeIsFull('snapshots') },
    );
  }
  const now = stillThere(catalog.get(volumeKind, volume.id), `volume '${volume.value.name}'`);
  const { tenant, name: volumeName, uuid: volumeUuid, sizeBytes, blockBytes } = now.value;
  const layer = freezeTop(catalog, transaction, now);
  const { uuid = randomUuidBytes(), createdMs = Date.now() } = wanted;
  return transaction.add(snapshotKind, {
    ...wanted,
    tenant,
    volume: now.id,
    volumeName,
    volumeUuid,
    uuid,
    nguid: uuid,
    nsid: 0,
    layer,
    sizeBytes,
    blockBytes,
    createdMs,
  });
}
