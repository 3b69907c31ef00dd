/** Everything that a scrape tells, read at one time: for the node, or for one tenant. */
import { setImmediate as turn } from 'node:timers/promises';
import type { JobCounts } from '../jobs/types.js';
import type { Node, NodeStatus } from '../node/types.js';
import type { CountedHost } from '../volumes/statistics.js';
import { BoundedSeries, others } from './bounded.js';
import { type Counts, countsOf } from './counts.js';
import type { LatencyBuckets } from './latency.js';
import { type EventLoopLag, type Lag, type ProcessReading, readProcess } from './process.js';

/** What was counted of one volume or tenant, or of all others together. */
export interface Counted<Labels> {
  labels: Labels;
  counts: Counts;
}

/** Of the node: no tenant sees these. */
export interface NodeReading {
  status: NodeStatus;
  jobs: JobCounts;
  hosts: CountedHost[];
  refused: number;
  process: ProcessReading;
  lag: Lag | null;
  /** Volumes without series of their own. */
  summedVolumes: number;
}

export interface Reading {
  volumes: Counted<{ tenant: string; volume: string }>[];
  tenants: Counted<{ tenant: string }>[];
  /** Null: the scrape is a tenant's. */
  node: NodeReading | null;
}

/** Tenants with series of their own. */
export const maxTenants = 1000;

/** Volumes read before the event loop has a turn: about 2 ms. */
const readAtOnce = 250;

/** Reads for one tenant, or for the node; remembers who has series of its own. */
export class Reader {
  readonly #node: Node;
  readonly #tenant: string | null;
  readonly #buckets: LatencyBuckets;
  readonly #lag: EventLoopLag;
  readonly #volumes: BoundedSeries;
  readonly #tenants = new BoundedSeries(maxTenants);

  constructor(
    node: Node,
    tenant: string | null,
    limits: { volumes: number },
    parts: { buckets: LatencyBuckets; lag: EventLoopLag },
  ) {
    this.#node = node;
    this.#tenant = tenant;
    this.#buckets = parts.buckets;
    this.#lag = parts.lag;
    this.#volumes = new BoundedSeries(limits.volumes);
  }

  /** @throws AshlarError not-found (the tenant), closed. */
  async read(): Promise<Reading> {
    const { tenants, own } = this.#readTenants();
    const volumes = await this.#readVolumes(own);
    if (this.#tenant !== null) return { volumes, tenants, node: null };
    const { statistics, jobs } = this.#node;
    const { items: hosts, refused } = statistics.hosts();
    const node: NodeReading = {
      status: await this.#node.status(),
      jobs: jobs.counts(),
      hosts,
      refused,
      process: readProcess(),
      lag: this.#lag.read(),
      summedVolumes: this.#volumes.summed,
    };
    return { volumes, tenants, node };
  }

  get #options(): { tenant?: string } {
    return this.#tenant === null ? {} : { tenant: this.#tenant };
  }

  #readTenants(): { tenants: Reading['tenants']; own: Set<string> } {
    const tenants: Reading['tenants'] = [];
    const own = new Set<string>();
    for (const { tenant, uuid, counters } of this.#node.statistics.tenants(this.#options).items) {
      const counts = countsOf(counters, this.#buckets);
      if (!this.#tenants.take(uuid, others, counts)) continue;
      own.add(tenant);
      tenants.push({ labels: { tenant }, counts });
    }
    for (const [tenant, counts] of this.#tenants.end(new Set([others]))) {
      tenants.push({ labels: { tenant }, counts });
    }
    return { tenants, own };
  }

  /** @param tenants those with series of their own. */
  async #readVolumes(tenants: ReadonlySet<string>): Promise<Reading['volumes']> {
    const volumes: Reading['volumes'] = [];
    let after: bigint | null = 0n;
    while (after !== null) {
      const page = this.#node.statistics.volumes(after, readAtOnce, this.#options);
      for (const { volume, uuid, tenant, counters } of page.items) {
        const counts = countsOf(counters, this.#buckets);
        const group = tenants.has(tenant) ? tenant : others;
        if (this.#volumes.take(uuid, group, counts)) {
          volumes.push({ labels: { tenant, volume }, counts });
        }
      }
      after = page.next;
      if (after !== null) await turn();
    }
    for (const [tenant, counts] of this.#volumes.end(new Set([...tenants, others]))) {
      volumes.push({ labels: { tenant, volume: others }, counts });
    }
    return volumes;
  }
}
