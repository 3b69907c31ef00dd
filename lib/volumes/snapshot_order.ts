/** All snapshots in the order in which lists give them: by tenant, volume and age. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import { type SnapshotRecord, snapshotKind, tenantKind, volumeKind } from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import { nameFilter } from './filters.js';
import { compare, pageStart } from './pages.js';
import { volumeNameOf } from './references.js';
import { lookUpVolume, tenantOf } from './state.js';
import type { PageOptions, SnapshotFilter } from './types.js';
import { hexText, isUuidText, uuidBytes } from './uuid.js';

/** The snapshots of one volume, which may be deleted. */
interface Family {
  /** Volume record id. */
  volume: bigint;
  /** What the keys of its snapshots begin with. */
  key: string;
}

/** Wide enough for every record id, so that text sorts as the numbers do. */
const hexDigits = 14;
const padded = (id: bigint): string => id.toString(16).padStart(hexDigits, '0');

/**
 * From the page's start on. A page costs the volumes that have snapshots, not all snapshots: those
 * of volumes before the start or behind the page's end are not looked at.
 *
 * @throws AshlarError not-found for a volume that neither exists nor has left snapshots.
 */
export function orderedSnapshots(
  catalog: Catalog,
  options: PageOptions & SnapshotFilter,
): Iterable<{ key: string; item: Stored<SnapshotRecord> }> {
  const start = pageStart(options);
  const families = familiesIn(catalog, options)
    // A family that ends before the start has a smaller key than the start's own family.
    .filter(({ key }) => start === null || key >= start.slice(0, key.length))
    .sort((a, b) => compare(a.key, b.key));
  return membersOf(catalog, families, nameFilter(options.name));
}

function* membersOf(
  catalog: Catalog,
  families: readonly Family[],
  wanted: (name: string) => boolean,
): Iterable<{ key: string; item: Stored<SnapshotRecord> }> {
  for (const { volume, key } of families) {
    const members = catalog
      .group(snapshotKind, 'volume', String(volume))
      .filter(({ value }) => wanted(value.name))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    for (const item of members) yield { key: `${key}/${padded(item.id)}`, item };
  }
}

function familiesIn(catalog: Catalog, options: PageOptions & SnapshotFilter): Family[] {
  const only = options.tenant === undefined ? null : tenantOf(catalog, options).id;
  const { volume } = options;
  const byUuid = volume !== undefined && isUuidText(volume);
  const wanted = byUuid ? lookUpVolume(catalog, volume, options) : null;
  const uuid = byUuid ? hexText(uuidBytes(volume)) : '';
  const families: Family[] = [];
  for (const id of catalog.groupKeys(snapshotKind, 'volume')) {
    const member = catalog.oneOf(snapshotKind, 'volume', id);
    if (member === undefined) continue;
    const { value } = member;
    if (only !== null && value.tenant !== only) continue;
    const deleted = catalog.get(volumeKind, value.volume) === null;
    if (options.deletedVolume !== undefined && deleted !== options.deletedVolume) continue;
    const name = volumeNameOf(catalog, value);
    const same = value.volume === wanted?.id || hexText(value.volumeUuid) === uuid;
    if (byUuid ? !same : volume !== undefined && name !== volume) continue;
    const tenant = catalog.get(tenantKind, value.tenant)?.value.name ?? '';
    families.push({ volume: value.volume, key: `${tenant}/${name}/${padded(value.volume)}` });
  }
  const empty = volume !== undefined && families.length === 0;
  if (empty && wanted === null && !isVolumeName(catalog, volume, only)) {
    throw new AshlarError(
      'not-found',
      `volume '${volume}' does not exist and has left no snapshots; "ashlar volume list"`,
    );
  }
  return families;
}

function isVolumeName(catalog: Catalog, name: string, tenant: bigint | null): boolean {
  return catalog
    .all(volumeKind)
    .some(({ value }) => value.name === name && (tenant === null || value.tenant === tenant));
}
