/**
 * A store of records in memory, in place of the pool: only for tests of what the catalog itself
 * promises. Commits can be held back or made to fail.
 */
import type { CatalogStore } from '../../lib/catalog/catalog.js';
import type { CatalogRecord, PoolChange } from '../../lib/native.js';

export class FakeStore implements CatalogStore {
  readonly values = new Map<bigint, Uint8Array>();
  readonly commits: PoolChange[][] = [];
  failNext: Error | null = null;
  /** Commits wait for this. */
  gate: Promise<void> = Promise.resolve();
  #busy = false;

  async records(): Promise<CatalogRecord[]> {
    return [...this.values].map(([key, value]) => ({ key, value }));
  }

  async commit(changes: PoolChange[]): Promise<void> {
    if (this.#busy) throw new Error('two commits at once');
    this.#busy = true;
    await this.gate;
    this.#busy = false;
    const failure = this.failNext;
    this.failNext = null;
    if (failure !== null) throw failure;
    this.commits.push(changes);
    for (const change of changes) {
      if (change.kind === 'put-record') this.values.set(change.key, change.value);
      if (change.kind === 'delete-record') this.values.delete(change.key);
    }
  }
}
