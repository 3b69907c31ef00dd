/** Time and snapshots for tests of schedules: a year passes at once, and disasters on demand. */
import { Catalog } from '../../lib/catalog/catalog.js';
import { allKinds, tenantKind, type VolumeRecord, volumeKind } from '../../lib/catalog/kinds.js';
import { AshlarError } from '../../lib/errors.js';
import type { Clock } from '../../lib/schedules/clock.js';
import { ScheduleService } from '../../lib/schedules/schedules.js';
import type { ScheduledSnapshot, SnapshotPort, StoredSchedule } from '../../lib/schedules/state.js';
import { KeyedLocks } from '../../lib/volumes/locks.js';
import { leaveSchedules } from '../../lib/volumes/schedule_members.js';
import { addTenantRecord } from '../../lib/volumes/tenants.js';
import { hexText, randomUuidBytes, uuidText } from '../../lib/volumes/uuid.js';
import { FakeStore } from '../catalog/fake_store.js';

interface Timer {
  dueMs: number;
  wake: () => void;
}

/** A clock that stands still but for {@link advanceTo} and {@link jumpTo}. */
export class SimulatedClock implements Clock {
  readonly #timers = new Set<Timer>();
  /** What timers go by; the clock on the wall can be set apart from it. */
  #monotonicMs = 0;
  #wallMs: number;
  wakeUps = 0;

  constructor(nowMs: number) {
    this.#wallMs = nowMs;
  }

  nowMs(): number {
    return this.#wallMs;
  }

  wakeAfter(delayMs: number, wake: () => void): () => void {
    const timer = { dueMs: this.#monotonicMs + delayMs, wake };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers waiting. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Lets time pass, timer by timer; `settle` lets each have its consequences. */
  async advanceTo(wallMs: number, settle: () => Promise<void>): Promise<void> {
    const endMs = this.#monotonicMs + (wallMs - this.#wallMs);
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#timers.delete(next);
      this.#pass(Math.max(0, next.dueMs - this.#monotonicMs));
      this.wakeUps += 1;
      next.wake();
      await settle();
    }
    this.#pass(endMs - this.#monotonicMs);
  }

  /** The clock is set, or the machine slept: timers have not moved. */
  jumpTo(wallMs: number): void {
    this.#wallMs = wallMs;
  }

  #pass(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
  }
}

interface Made extends ScheduledSnapshot {
  schedule: string;
  volume: bigint;
  madeMs: number;
}

/** Snapshots in memory, which outlive the service as those in a pool do. */
export class SimulatedSnapshots implements SnapshotPort {
  readonly all = new Map<string, Made>();
  readonly #clock: SimulatedClock;
  /** Thrown by every creation while it is set. */
  failure: AshlarError | null = null;
  /** Called in the middle of each creation. */
  meanwhile: () => Promise<void> = () => Promise.resolve();
  /** UUIDs that are being read. */
  readonly busy = new Set<string>();
  /** Attempts, and those that succeeded. */
  creations = 0;
  readonly log: { name: string; madeMs: number }[] = [];

  constructor(clock: SimulatedClock) {
    this.#clock = clock;
  }

  async create({ value }: StoredSchedule, name: string, plannedMs: number): Promise<string[]> {
    this.creations += 1;
    await this.meanwhile();
    if (this.failure !== null) throw this.failure;
    const schedule = hexText(value.uuid);
    this.log.push({ name, madeMs: this.#clock.nowMs() });
    return value.volumes.map((volume) => {
      const reference = `${volume}@${name}`;
      for (const other of this.all.values()) {
        if (other.reference !== reference) continue;
        throw new AshlarError('already-exists', `snapshot '${reference}' exists already`);
      }
      const uuid = uuidText(randomUuidBytes());
      const madeMs = this.#clock.nowMs();
      const made = { uuid, reference, instantMs: plannedMs, hosts: [], schedule, volume, madeMs };
      this.all.set(uuid, made);
      return reference;
    });
  }

  madeBy(schedule: Uint8Array): Made[] {
    const wanted = hexText(schedule);
    return [...this.all.values()].filter((made) => made.schedule === wanted);
  }

  countOf(schedule: Uint8Array): number {
    return this.madeBy(schedule).length;
  }

  async delete(uuid: string): Promise<void> {
    const made = this.all.get(uuid);
    if (made === undefined) throw new AshlarError('not-found', `no snapshot ${uuid}`);
    if (this.busy.has(uuid)) {
      throw new AshlarError('busy', `'${made.reference}' is being read by an export`);
    }
    this.all.delete(uuid);
  }
}

export interface SimulatedEvent {
  atMs: number;
  severity: string;
  kind: string;
  message: string;
}

/** A pool with volumes, and the service over it, which can be ended and begun anew. */
export class Simulation {
  readonly clock: SimulatedClock;
  readonly snapshots: SimulatedSnapshots;
  readonly store = new FakeStore();
  readonly events: SimulatedEvent[] = [];
  #catalog: Catalog | null = null;
  #service: ScheduleService | null = null;

  private constructor(startMs: number) {
    this.clock = new SimulatedClock(startMs);
    this.snapshots = new SimulatedSnapshots(this.clock);
  }

  /** With volumes of these names in the default tenant. */
  static async open(startMs: number, volumes: readonly string[]): Promise<Simulation> {
    const simulation = new Simulation(startMs);
    const catalog = await Catalog.load(simulation.store, allKinds);
    await catalog.transact('volumes', (transaction) => {
      const tenant = addTenantRecord(transaction, 'default');
      for (const [index, name] of volumes.entries()) {
        transaction.add(volumeKind, volumeRecord(tenant, name, index + 1));
      }
    });
    await simulation.up();
    return simulation;
  }

  get catalog(): Catalog {
    if (this.#catalog === null) throw new Error('the daemon is down');
    return this.#catalog;
  }

  get service(): ScheduleService {
    if (this.#service === null) throw new Error('the daemon is down');
    return this.#service;
  }

  /** The daemon starts: the catalog from the store, and a service that knows nothing else. */
  async up(): Promise<void> {
    this.#catalog = await Catalog.load(this.store, allKinds);
    this.#service = new ScheduleService({
      catalog: this.#catalog,
      snapshots: this.snapshots,
      locks: new KeyedLocks(),
      clock: this.clock,
      assertOpen: () => undefined,
      emit: (severity, kind, message) => {
        this.events.push({ atMs: this.clock.nowMs(), severity, kind, message });
      },
    });
    this.#service.start();
    await this.#service.idle();
  }

  async down(): Promise<void> {
    await this.#service?.close();
    this.#service = null;
    this.#catalog = null;
  }

  /** Time passes, whether the daemon is up or not. */
  async passTo(wallMs: number): Promise<void> {
    await this.clock.advanceTo(wallMs, async () => {
      await this.#service?.idle();
    });
  }

  async deleteVolume(name: string): Promise<void> {
    const volume = this.catalog.all(volumeKind).find(({ value }) => value.name === name);
    if (volume === undefined) throw new Error(`no volume ${name}`);
    await this.catalog.transact('delete', (transaction) => {
      transaction.delete(volumeKind, volume.id);
      leaveSchedules(this.catalog, transaction, volume);
    });
  }

  tenants(): number {
    return this.catalog.count(tenantKind);
  }

  /** Names of what there is, sorted; `volume@…` in front is cut off. */
  names(): string[] {
    return [...this.snapshots.all.values()]
      .map(({ reference }) => reference.slice(reference.indexOf('@') + 1))
      .sort();
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }
}

function volumeRecord(tenant: bigint, name: string, nsid: number): VolumeRecord {
  const uuid = randomUuidBytes();
  return {
    tenant,
    name,
    uuid,
    nguid: uuid,
    nsid,
    layer: uuid,
    sizeBytes: 4096n,
    blockBytes: 4096,
    anagrpid: 1,
    createdMs: 1,
    reserved: false,
    source: new Uint8Array(0),
    policy: 0n,
  };
}
