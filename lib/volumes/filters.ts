/** Which volumes and snapshots a list has. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import { anyHost, grantKey, grantKind, type VolumeRecord } from '../catalog/kinds.js';
import type { VolumeFilter } from './types.js';

/** Looks at records alone, so that a list of many volumes is filtered before usage is asked for. */
export function volumeFilter(
  catalog: Catalog,
  { name, host, reserved }: VolumeFilter,
): (volume: Stored<VolumeRecord>) => boolean {
  const named = nameFilter(name);
  const granted = (id: bigint, to: string): boolean =>
    catalog.find(grantKind, 'host', grantKey(id, to)) !== null;
  return ({ id, value }) =>
    named(value.name) &&
    (reserved === undefined || value.reserved === reserved) &&
    (host === undefined || granted(id, host) || granted(id, anyHost));
}

/** Whether a name has a text in it, whatever the case; every name when none is given. */
export function nameFilter(text: string | undefined): (name: string) => boolean {
  if (text === undefined) return () => true;
  const wanted = text.toLowerCase();
  return (name) => name.toLowerCase().includes(wanted);
}
