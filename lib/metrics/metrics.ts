/**
 * The metrics of a node, for Prometheus: read when they are asked for, and costing nothing until
 * then. Scrapes of the same scope that come at once share one reading.
 */
import type { Node } from '../node/types.js';
import { LatencyBuckets } from './latency.js';
import { EventLoopLag } from './process.js';
import { Reader } from './reading.js';
import type { Exposition, ReadRegistry } from './registry.js';

export type { Exposition } from './registry.js';

export interface MetricsOptions {
  node: Node;
  /** Volumes with series of their own, the oldest; the others are summed. */
  volumes: number;
}

interface Scope {
  reader: Reader;
  registry: ReadRegistry;
  under: Promise<Exposition> | null;
}

export class Metrics implements Disposable {
  readonly #options: MetricsOptions;
  readonly #lag = new EventLoopLag();
  readonly #buckets: LatencyBuckets;
  /** By tenant; null: the node. */
  readonly #scopes = new Map<string | null, Scope>();

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#buckets = new LatencyBuckets(options.node.statistics.latencyBoundsNs);
  }

  /**
   * All metrics of the node; or those of the volumes of one tenant, and of it, and nothing else.
   *
   * @throws AshlarError not-found (the tenant), closed.
   */
  async scrape(tenant: string | null): Promise<Exposition> {
    // Loaded by the first scrape: a start has no use for it.
    const { ReadRegistry } = await import('./registry.js');
    let scope = this.#scopes.get(tenant);
    if (scope === undefined) {
      this.#forget();
      const { node, volumes } = this.#options;
      const parts = { buckets: this.#buckets, lag: this.#lag };
      const reader = new Reader(node, tenant, { volumes }, parts);
      const registry = new ReadRegistry(tenant === null ? 'node' : 'tenant');
      scope = { reader, registry, under: null };
      this.#scopes.set(tenant, scope);
    }
    const { reader, registry } = scope;
    const found = scope;
    found.under ??= reader
      .read()
      .then((reading) => registry.write(reading))
      .finally(() => {
        found.under = null;
      });
    return found.under;
  }

  [Symbol.dispose](): void {
    this.#lag.close();
  }

  /** Scopes of tenants that are gone. */
  #forget(): void {
    const names = new Set(this.#options.node.tenants.list().map(({ name }) => name));
    for (const tenant of this.#scopes.keys()) {
      if (tenant !== null && !names.has(tenant)) this.#scopes.delete(tenant);
    }
  }
}
