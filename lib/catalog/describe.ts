/** Catalog records for people who debug: decoded as far as they can be, secrets left out. */
import { Unpackr } from 'msgpackr';
import type { CatalogRecord } from '../native.js';
import { splitKey } from './catalog.js';
import type { RecordKind } from './codec.js';
import { allKinds } from './kinds.js';

/** A record without the rules of its kind, so that a wrong one can be shown too. */
export interface DescribedRecord {
  /** Name of the kind; `kind 9` for one that this version does not know. */
  kind: string;
  id: bigint;
  /**
   * As MessagePack has them; null when it is none, or when the kind is unknown: what a newer
   * version wrote may be secret.
   */
  fields: Record<string, unknown> | null;
  /** Why there are no fields; null: there are. */
  problem: string | null;
}

/** What stands in place of a secret. */
export const hiddenValue = '(hidden)';

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'bigint' });

/** What a description needs to know of a kind. */
type KnownKind = Pick<RecordKind<unknown>, 'kind' | 'name' | 'secretFields'>;

export function describeRecord(
  { key, value }: CatalogRecord,
  kinds: readonly KnownKind[] = allKinds,
): DescribedRecord {
  const { kind: number, id } = splitKey(key);
  const kind = kinds.find((each) => each.kind === number);
  if (kind === undefined) {
    const problem = `${value.length} bytes of a kind that this version does not know`;
    return { kind: `kind ${number}`, id, fields: null, problem };
  }
  const secret = kind.secretFields ?? [];
  try {
    const decoded: unknown = unpackr.unpack(value);
    if (typeof decoded !== 'object' || decoded === null || Array.isArray(decoded)) {
      return { kind: kind.name, id, fields: null, problem: 'it is not a map' };
    }
    const fields = Object.entries(decoded).map(([name, field]): [string, unknown] => [
      name,
      secret.includes(name) ? hiddenValue : field,
    ]);
    return { kind: kind.name, id, fields: Object.fromEntries(fields), problem: null };
  } catch {
    return { kind: kind.name, id, fields: null, problem: 'it is not MessagePack' };
  }
}

/**
 * What the layers of a pool are to users: names such as `volume 'web' of tenant 'default'` by the
 * layer's UUID in hexadecimal. Any kind whose records name a layer counts.
 */
export function layerNames(records: readonly CatalogRecord[]): Map<string, string> {
  const described = records.map((record) => describeRecord(record));
  const byId = new Map(described.map((each) => [`${each.kind} ${each.id}`, each.fields]));
  const names = new Map<string, string>();
  for (const { kind, id, fields } of described) {
    if (!(fields?.['layer'] instanceof Uint8Array)) continue;
    const { name, volume, volumeName, tenant } = fields;
    let text = typeof name === 'string' ? `${kind} '${name}'` : `${kind} ${id}`;
    const ofVolume = byId.get(`volume ${volume}`)?.['name'] ?? volumeName;
    if (typeof ofVolume === 'string') text += ` of volume '${ofVolume}'`;
    const tenantName = byId.get(`tenant ${tenant}`)?.['name'];
    if (typeof tenantName === 'string') text += ` of tenant '${tenantName}'`;
    names.set(Buffer.from(fields['layer']).toString('hex'), text);
  }
  return names;
}
