/** Volumes that a stream is being imported to: withheld from hosts until it has come to its end. */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import { type ImportRecord, importKind } from '../catalog/kinds.js';

/** The unfinished import of a volume; null: none. */
export function importOf(catalog: Catalog, volume: bigint): Stored<ImportRecord> | null {
  return catalog.find(importKind, 'volume', String(volume));
}

/** Forgets it, as what was applied is gone by the same transaction. */
export function deleteImport(catalog: Catalog, transaction: Transaction, volume: bigint): void {
  const unfinished = importOf(catalog, volume);
  if (unfinished !== null) transaction.delete(importKind, unfinished.id);
}
