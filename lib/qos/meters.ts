/**
 * The meters of a node: one a tenant, and below it one for each of its volumes and granted
 * snapshots. Native code counts and limits by them (native/target/meter.h); here is which there
 * are.
 * A meter is there as long as its volume, so that its counts go on when a layer is opened anew.
 */
import type {
  MeterCounters,
  MeterHandle,
  MeterLimits,
  NativeAddon,
  RuntimeHandle,
} from '../native.js';

/** What limits a meter, and its share of what several want at once. */
export interface MeterTerms {
  /** Null: none. */
  limits: MeterLimits | null;
  /** 1 to 10,000. */
  weight: number;
}

export const defaultTerms: MeterTerms = { limits: null, weight: 100 };

export type Metered = 'volume' | 'snapshot';

interface TenantMeter {
  handle: MeterHandle;
  volumes: Map<bigint, MeterHandle>;
  snapshots: Map<bigint, MeterHandle>;
}

/** How many native code reads in one call. */
const readAtOnce = 4096;

export class Meters {
  readonly #native: NativeAddon;
  readonly #runtime: RuntimeHandle;
  /** By tenant record. */
  readonly #tenants = new Map<bigint, TenantMeter>();

  /** Asked for once, as they never change. */
  readonly latencyBoundsNs: readonly bigint[];

  constructor(native: NativeAddon, runtime: RuntimeHandle) {
    this.latencyBoundsNs = native.latencyBoundsNs();
    this.#native = native;
    this.#runtime = runtime;
  }

  addTenant(tenant: bigint, terms: MeterTerms): void {
    const handle = this.#native.meterCreate(this.#runtime, null);
    this.#tenants.set(tenant, { handle, volumes: new Map(), snapshots: new Map() });
    this.setTenant(tenant, terms);
  }

  /** For what is under way too. */
  setTenant(tenant: bigint, { limits, weight }: MeterTerms): void {
    this.#native.meterSet(this.#of(tenant).handle, limits, weight);
  }

  removeTenant(tenant: bigint): void {
    const found = this.#tenants.get(tenant);
    if (found === undefined) return;
    for (const meter of [...found.volumes.values(), ...found.snapshots.values()]) {
      this.#native.meterClose(meter);
    }
    this.#native.meterClose(found.handle);
    this.#tenants.delete(tenant);
  }

  /** The meter of a volume or snapshot, by its record; made when it is first asked for. */
  meter(tenant: bigint, kind: Metered, id: bigint): MeterHandle {
    const parent = this.#of(tenant);
    const of = kind === 'volume' ? parent.volumes : parent.snapshots;
    let meter = of.get(id);
    if (meter === undefined) {
      meter = this.#native.meterCreate(this.#runtime, parent.handle);
      of.set(id, meter);
    }
    return meter;
  }

  /** For what is under way too. */
  set(tenant: bigint, kind: Metered, id: bigint, { limits, weight }: MeterTerms): void {
    this.#native.meterSet(this.meter(tenant, kind, id), limits, weight);
  }

  /** It is deleted: its tenant keeps what it has counted. */
  remove(tenant: bigint, kind: Metered, id: bigint): void {
    const parent = this.#tenants.get(tenant);
    const of = kind === 'volume' ? parent?.volumes : parent?.snapshots;
    const meter = of?.get(id);
    if (meter === undefined) return;
    of?.delete(id);
    this.#native.meterClose(meter);
  }

  /** All that the tenant's volumes and snapshots have done, the deleted ones' too. */
  readTenant(tenant: bigint): MeterCounters {
    return this.#read([this.#of(tenant).handle])[0] as MeterCounters;
  }

  /** In the order of the ids; null: it has no meter, as it was never shown to a host. */
  read(tenant: bigint, kind: Metered, ids: readonly bigint[]): (MeterCounters | null)[] {
    const parent = this.#of(tenant);
    const of = kind === 'volume' ? parent.volumes : parent.snapshots;
    const found = ids.map((id) => of.get(id));
    const counters = this.#read(found.filter((meter) => meter !== undefined))[Symbol.iterator]();
    return found.map((meter) =>
      meter === undefined ? null : ((counters.next().value as MeterCounters | undefined) ?? null),
    );
  }

  closeAll(): void {
    for (const tenant of [...this.#tenants.keys()]) this.removeTenant(tenant);
  }

  #read(meters: readonly MeterHandle[]): MeterCounters[] {
    const counters: MeterCounters[] = [];
    for (let at = 0; at < meters.length; at += readAtOnce) {
      counters.push(...this.#native.meterRead(meters.slice(at, at + readAtOnce)));
    }
    return counters;
  }

  #of(tenant: bigint): TenantMeter {
    const found = this.#tenants.get(tenant);
    if (found === undefined) throw new RangeError(`tenant record ${tenant} has no meter`);
    return found;
  }
}
