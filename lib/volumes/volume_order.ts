/** The order of lists of volumes. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import { tenantKind, type VolumeRecord, volumeKind } from '../catalog/kinds.js';
import { volumeFilter } from './filters.js';
import { lineageFilter } from './lineage.js';
import { compare } from './pages.js';
import { tenantOf } from './state.js';
import type { CallOptions, VolumeFilter } from './types.js';

/** Volumes by tenant and name, with the keys of that order. */
export function volumesInOrder(
  catalog: Catalog,
  options: CallOptions & VolumeFilter,
): { key: string; item: Stored<VolumeRecord> }[] {
  const only = options.tenant === undefined ? null : tenantOf(catalog, options).id;
  const volumes =
    only === null ? catalog.all(volumeKind) : catalog.group(volumeKind, 'tenant', String(only));
  const tenants = new Map(catalog.all(tenantKind).map(({ id, value }) => [id, value.name]));
  return volumes
    .filter(volumeFilter(catalog, options))
    .filter(lineageFilter(catalog, options))
    .map((item) => ({ key: `${tenants.get(item.value.tenant) ?? ''}/${item.value.name}`, item }))
    .sort((a, b) => compare(a.key, b.key));
}
