/** Versions of the discovery page over restarts. */
import type { Catalog } from '../catalog/catalog.js';
import { discoveryGenerationKind } from '../catalog/discovery_kinds.js';
import { generationsPerStart } from '../target/discovery_views.js';

/**
 * Takes the versions of this start. They are above all of the starts before, whatever the clock
 * says: hosts compare GENCTR, and one that went back could name another page than it did.
 *
 * @returns what the first version must be above.
 */
export async function takeGenerations(catalog: Catalog): Promise<bigint> {
  return catalog.transact('begin versions of the discovery page', (transaction) => {
    const stored = catalog.find(discoveryGenerationKind, 'single', 'generation');
    const first = stored?.value.generation ?? 0n;
    const next = { generation: first + generationsPerStart };
    if (stored === null) transaction.add(discoveryGenerationKind, next);
    else transaction.put(discoveryGenerationKind, stored.id, next);
    return first;
  });
}
