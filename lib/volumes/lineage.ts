/** Which volumes a list has by what they come from, and what came from them. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import { snapshotKind, type VolumeRecord } from '../catalog/kinds.js';
import { orderedSnapshots } from './snapshot_order.js';
import { lookUpVolume } from './state.js';
import type { CallOptions, VolumeFilter } from './types.js';
import { hexText } from './uuid.js';

/** @throws AshlarError not-found: `cloneOf` neither exists nor has left snapshots. */
export function lineageFilter(
  catalog: Catalog,
  options: CallOptions & VolumeFilter,
): (volume: Stored<VolumeRecord>) => boolean {
  const { cloneOf, snapshots } = options;
  const sources = cloneOf === undefined ? null : sourcesIn(catalog, cloneOf, options);
  const hasSnapshots = (id: bigint): boolean =>
    catalog.groupSize(snapshotKind, 'volume', String(id)) > 0;
  return ({ id, value }) =>
    (sources === null || sources.has(hexText(value.source))) &&
    (snapshots === undefined || hasSnapshots(id) === snapshots);
}

/** A volume and its snapshots, by UUID: what its clones were made of. */
function sourcesIn(catalog: Catalog, volume: string, options: CallOptions): ReadonlySet<string> {
  const { tenant } = options;
  const own = orderedSnapshots(catalog, { tenant, volume });
  const sources = new Set<string>();
  for (const { item } of own) sources.add(hexText(item.value.uuid));
  const itself = lookUpVolume(catalog, volume, options);
  if (itself !== null) sources.add(hexText(itself.value.uuid));
  return sources;
}
