/** What hosts have done with volumes and tenants, as counts that only grow. */
import { performance } from 'node:perf_hooks';
import type { Stored } from '../catalog/catalog.js';
import { type TenantRecord, tenantKind, type VolumeRecord, volumeKind } from '../catalog/kinds.js';
import type { MeterCounters } from '../native.js';
import type { HostCounts } from '../target/associations.js';
import { takePage } from './pages.js';
import type { ControlState } from './state.js';
import { findVolume, tenantOf } from './state.js';
import type { CallOptions, PageOptions, VolumeFilter } from './types.js';
import { uuidText } from './uuid.js';
import { volumesInOrder } from './volume_order.js';

/** Of a volume since its node has started; of a tenant with its snapshots and deleted volumes. */
export interface CountedVolume {
  volume: string;
  uuid: string;
  tenant: string;
  counters: MeterCounters;
}

export interface CountedTenant {
  tenant: string;
  uuid: string;
  counters: MeterCounters;
}

/** A host's I/O associations, with all tenants, since its node has started. */
export interface CountedHost extends HostCounts {
  /** '(others)': all that came once there were 1,000 others. */
  hostnqn: string;
  /** Queue pairs that are connected now: each is a connection. */
  queues: number;
}

/** Rates are differences of two readings by their `atMs`, which no change of the clock moves. */
export interface Reading<T> {
  /** Milliseconds of a clock that runs evenly, from an arbitrary start. */
  atMs: number;
  items: T[];
}

export interface Statistics {
  /**
   * The volumes created after the one with this record id (0: from the first), oldest first: an
   * order that no later volume changes. `next`: the record to go on after; null: that was all.
   */
  volumes(
    after: bigint,
    limit: number,
    options?: CallOptions,
  ): Reading<CountedVolume> & { next: bigint | null };
  /** By tenant and name, a page at a time. */
  page(options?: PageOptions & Pick<VolumeFilter, 'name'>): Reading<CountedVolume> & {
    next: string | null;
  };
  /** Upper bounds of the buckets of latency, as {@link NativeAddon.latencyBoundsNs} has them. */
  readonly latencyBoundsNs: readonly bigint[];
  /** @throws AshlarError not-found. */
  volume(volume: string, options?: CallOptions): Reading<CountedVolume>;
  tenants(options?: CallOptions): Reading<CountedTenant>;
  /** In the order in which they first came, of all tenants; and how many Connects were refused. */
  hosts(): Reading<CountedHost> & { refused: number };
}

export class StatisticsService implements Statistics {
  readonly #state: ControlState;

  constructor(state: ControlState) {
    this.#state = state;
  }

  volumes(after: bigint, limit: number, options: CallOptions = {}) {
    this.#state.assertOpen();
    const { catalog } = this.#state;
    const of =
      options.tenant === undefined
        ? catalog.all(volumeKind)
        : catalog.group(volumeKind, 'tenant', String(tenantOf(catalog, options).id));
    const later = of
      .filter(({ id }) => id > after)
      .sort((a, b) => Number(a.id - b.id))
      .slice(0, limit + 1);
    const page = later.slice(0, limit);
    const next = later.length > limit ? (page.at(-1)?.id ?? null) : null;
    return { ...this.#reading(page), next };
  }

  get latencyBoundsNs(): readonly bigint[] {
    return this.#state.exports.meters.latencyBoundsNs;
  }

  page(options: PageOptions & Pick<VolumeFilter, 'name'> = {}) {
    this.#state.assertOpen();
    const { items, next } = takePage(volumesInOrder(this.#state.catalog, options), options);
    return { ...this.#reading(items), next };
  }

  volume(volume: string, options: CallOptions = {}): Reading<CountedVolume> {
    this.#state.assertOpen();
    return this.#reading([findVolume(this.#state.catalog, volume, options)]);
  }

  tenants(options: CallOptions = {}): Reading<CountedTenant> {
    this.#state.assertOpen();
    const { catalog, exports } = this.#state;
    const tenants: Stored<TenantRecord>[] =
      options.tenant === undefined ? catalog.all(tenantKind) : [tenantOf(catalog, options)];
    return {
      atMs: performance.now(),
      items: tenants.map(({ id, value }) => ({
        tenant: value.name,
        uuid: uuidText(value.uuid),
        counters: exports.meters.readTenant(id),
      })),
    };
  }

  hosts(): Reading<CountedHost> & { refused: number } {
    this.#state.assertOpen();
    const { exports } = this.#state;
    const { associations } = exports;
    const queues = new Map<string, number>();
    for (const { kind, hostnqn, ioQueues } of exports.connections(null)) {
      if (kind !== 'io') continue;
      const name = associations.nameOf(hostnqn);
      queues.set(name, (queues.get(name) ?? 0) + 1 + ioQueues);
    }
    const items = associations.entries().map(([hostnqn, { begun, ended }]) => {
      return { hostnqn, begun, ended: { ...ended }, queues: queues.get(hostnqn) ?? 0 };
    });
    return { atMs: performance.now(), items, refused: associations.refused };
  }

  #reading(volumes: readonly Stored<VolumeRecord>[]): Reading<CountedVolume> {
    const { catalog, exports } = this.#state;
    // Those of one tenant in one call of native code.
    const byTenant = new Map<bigint, bigint[]>();
    for (const { id, value } of volumes) {
      const ids = byTenant.get(value.tenant) ?? [];
      byTenant.set(value.tenant, ids);
      ids.push(id);
    }
    const counters = new Map<bigint, MeterCounters>();
    for (const [tenant, ids] of byTenant) {
      for (const [at, counted] of exports.meters.read(tenant, 'volume', ids).entries()) {
        const id = ids[at];
        if (id !== undefined && counted !== null) counters.set(id, counted);
      }
    }
    const items: CountedVolume[] = [];
    for (const { id, value } of volumes) {
      const counted = counters.get(id);
      // One that is half imported was never shown to a host.
      if (counted === undefined) continue;
      items.push({
        volume: value.name,
        uuid: uuidText(value.uuid),
        tenant: catalog.get(tenantKind, value.tenant)?.value.name ?? '',
        counters: counted,
      });
    }
    return { atMs: performance.now(), items };
  }
}
