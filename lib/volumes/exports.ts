/**
 * What the catalog says, made real: an open layer for each volume, a subsystem for each tenant, and
 * a namespace for each volume and each granted snapshot, with exactly the hosts that were granted
 * it.
 */
import type { Catalog, Stored } from '../catalog/catalog.js';
import {
  anyHost,
  grantKey,
  grantKind,
  hostKey,
  hostKind,
  type SnapshotRecord,
  snapshotGrantKey,
  snapshotKind,
  type TenantRecord,
  tenantKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import { type PolicyRecord, policyKind } from '../catalog/policy_kinds.js';
import { reservationKind } from '../catalog/reservation_kinds.js';
import { AshlarError, toAshlarError } from '../errors.js';
import type { LayerUsage, VolumeHandle } from '../native.js';
import type { Metered, Meters, MeterTerms } from '../qos/meters.js';
import { termsOfTenant, termsOfVolume } from '../qos/terms.js';
import type { AssociationCounts } from '../target/associations.js';
import type { HostKeys } from '../target/authentication.js';
import type { Controller } from '../target/controller.js';
import type { HostAccess, TargetNamespace } from '../target/namespace.js';
import { defaultAnaGroup } from '../target/portals.js';
import type { Subsystem } from '../target/subsystem.js';
import type { Target } from '../target/target.js';
import { importOf } from './importing.js';
import { type LayerOpener, OpenSnapshots } from './open_snapshots.js';
import { reservationsFrom, saveReservations } from './reservations.js';
import type { ConnectedHost } from './types.js';
import { hexText, uuidText } from './uuid.js';

/** The part of the pool that volumes need. */
export interface VolumePool extends LayerOpener {
  usage(layer: Uint8Array): Promise<LayerUsage>;
  /** Null for a layer that is not there; at most 4,096 at once. */
  usages(layers: Uint8Array[]): Promise<(LayerUsage | null)[]>;
}

/** A snapshot's layer, open for reading inside this process until it is disposed of. */
export interface BorrowedSnapshot extends AsyncDisposable {
  readonly handle: VolumeHandle;
}

/** What a host of a tenant has to prove itself with; null: it need not. */
export type KeysOf = (tenant: bigint, hostnqn: string) => HostKeys | null;

/** Layers opened at once at the start of a node. */
const openAtOnce = 64;

export class Exports {
  readonly #catalog: Catalog;
  readonly #pool: VolumePool;
  readonly #target: Target;
  readonly #keysOf: KeysOf;
  /** What hosts do, and may do, of each tenant, volume and snapshot. */
  readonly meters: Meters;
  /** By tenant record. */
  readonly #subsystems = new Map<bigint, Subsystem>();
  /** By volume record. */
  readonly #handles = new Map<bigint, VolumeHandle>();
  readonly #snapshots: OpenSnapshots;
  /** Snapshots that have a namespace, by record. */
  readonly #shown = new Map<bigint, VolumeHandle>();
  /** How often each snapshot is borrowed. */
  readonly #borrowed = new Map<bigint, number>();

  constructor(
    catalog: Catalog,
    pool: VolumePool,
    target: Target,
    meters: Meters,
    keysOf: KeysOf = () => null,
  ) {
    this.#catalog = catalog;
    this.#pool = pool;
    this.#target = target;
    this.#snapshots = new OpenSnapshots(pool);
    this.#keysOf = keysOf;
    this.meters = meters;
  }

  /** Opens all that the catalog has. @throws AshlarError catalog-corrupt. */
  async openAll(): Promise<void> {
    for (const tenant of this.#catalog.all(tenantKind)) this.addTenant(tenant);
    for (const { value } of this.#catalog.all(reservationKind)) {
      this.#subsystems.get(value.tenant)?.restoreReservations(value.nsid, reservationsFrom(value));
    }
    await inBatches(this.#catalog.all(volumeKind), (volume) =>
      known(`volume '${volume.value.name}'`, volume.value.uuid, this.openVolume(volume)),
    );
    const granted = [...this.#catalog.groupKeys(grantKind, 'snapshot')]
      .map((id) => this.#catalog.get(snapshotKind, BigInt(id)))
      .filter((snapshot) => snapshot !== null);
    await inBatches(granted, (snapshot) =>
      known(`snapshot '${snapshot.value.name}'`, snapshot.value.uuid, this.showSnapshot(snapshot)),
    );
  }

  addTenant(tenant: Stored<TenantRecord>): void {
    const { id, value } = tenant;
    this.meters.addTenant(id, this.#termsOfTenant(value));
    const subsystem = this.#target.addSubsystem({
      nqn: value.subnqn,
      // 20 digits of the tenant's UUID: the same on every node and after every restart.
      serial: hexText(value.uuid).slice(0, 20),
      admits: (hostnqn) => this.#catalog.find(hostKind, 'nqn', hostKey(id, hostnqn)) !== null,
      keysOf: (hostnqn) => this.#keysOf(id, hostnqn),
      saveReservations: (nsid, state) => saveReservations(this.#catalog, id, nsid, state),
    });
    this.#subsystems.set(id, subsystem);
  }

  /** What the tenant may do a second is another now, also for what is under way. */
  updateTenant({ id, value }: Stored<TenantRecord>): void {
    this.meters.setTenant(id, this.#termsOfTenant(value));
  }

  #termsOfTenant({ quota, policy }: Readonly<TenantRecord>): MeterTerms {
    return termsOfTenant(quota, this.#policy(policy));
  }

  #policy(id: bigint): Readonly<PolicyRecord> | null {
    return id === 0n ? null : (this.#catalog.get(policyKind, id)?.value ?? null);
  }

  /** What the volumes' hosts may do a second is another now, also for what is under way. */
  updateTerms(volumes: readonly Stored<VolumeRecord>[]): void {
    for (const { id, value } of volumes)
      this.meters.set(value.tenant, 'volume', id, this.#terms(id));
    const changed = new Set(volumes.map(({ id }) => id));
    for (const id of this.#shown.keys()) this.#updateSnapshotTerms(id, changed);
  }

  /** By what the catalog says now; of a volume that is gone: without limits. */
  #terms(volume: bigint): MeterTerms {
    const policy = this.#catalog.get(volumeKind, volume)?.value.policy ?? 0n;
    return termsOfVolume(this.#policy(policy));
  }

  /**
   * A granted snapshot goes by its volume's terms, counted for itself: otherwise to read there
   * would be a way around them.
   */
  #updateSnapshotTerms(id: bigint, changed: ReadonlySet<bigint>): void {
    const snapshot = this.#catalog.get(snapshotKind, id);
    if (snapshot === null || !changed.has(snapshot.value.volume)) return;
    const { tenant, volume } = snapshot.value;
    this.meters.set(tenant, 'snapshot', id, this.#terms(volume));
  }

  removeTenant(tenant: bigint): void {
    const subsystem = this.#subsystems.get(tenant);
    if (subsystem === undefined) return;
    this.#subsystems.delete(tenant);
    this.#target.removeSubsystem(subsystem);
    this.meters.removeTenant(tenant);
  }

  subsystem(tenant: bigint): Subsystem {
    const subsystem = this.#subsystems.get(tenant);
    if (subsystem === undefined) throw new RangeError(`tenant record ${tenant} has no subsystem`);
    return subsystem;
  }

  /** Opens the layer and shows the volume to its hosts. */
  async openVolume(volume: Stored<VolumeRecord>): Promise<void> {
    if (!this.#handles.has(volume.id)) {
      this.#handles.set(volume.id, await this.#pool.open(volume.value.layer, false));
      this.meters.set(volume.value.tenant, 'volume', volume.id, this.#terms(volume.id));
    }
    await this.updateVolume(volume);
  }

  /** Shows hosts what the catalog now says of the volume; nothing of one that is half imported. */
  async updateVolume(volume: Stored<VolumeRecord>): Promise<void> {
    const handle = this.#handles.get(volume.id);
    if (handle === undefined || importOf(this.#catalog, volume.id) !== null) return;
    await this.subsystem(volume.value.tenant).setNamespace(this.#namespace(volume, handle));
  }

  /** Takes the volume from its hosts and closes the layer; no command is under way afterwards. */
  async closeVolume(volume: Stored<VolumeRecord>): Promise<void> {
    const handle = this.#handles.get(volume.id);
    if (handle === undefined) return;
    await this.subsystem(volume.value.tenant).removeNamespace(volume.value.nsid);
    this.#handles.delete(volume.id);
    await this.#pool.close(handle);
  }

  /** The volume or snapshot is deleted: what hosts had reserved of it is over. */
  async forget(kind: Metered, item: Stored<VolumeRecord | SnapshotRecord>): Promise<void> {
    const { id, value } = item;
    this.meters.remove(value.tenant, kind, id);
    if (kind === 'volume') {
      for (const shown of this.#shown.keys()) this.#updateSnapshotTerms(shown, new Set([id]));
    }
    await this.#subsystems.get(value.tenant)?.forgetReservations(value.nsid);
  }

  /** Runs `body` while no host can have the volume; then hosts see what the catalog says by then. */
  async withheld<R>(volume: Stored<VolumeRecord>, body: () => Promise<R>): Promise<R> {
    try {
      await this.subsystem(volume.value.tenant).removeNamespace(volume.value.nsid);
      return await body();
    } finally {
      const now = this.#catalog.get(volumeKind, volume.id);
      if (now !== null) await this.updateVolume(now);
    }
  }

  /** The open layer of a volume, for I/O without a host; null: it is not open. */
  handleOf(volume: bigint): VolumeHandle | null {
    return this.#handles.get(volume) ?? null;
  }

  async closeAll(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    this.#shown.clear();
    await Promise.all(handles.map((handle) => this.#pool.close(handle)));
    await this.#snapshots.closeAll();
    this.meters.closeAll();
  }

  // ---- Snapshots --------------------------------------------------------------------------------

  /** Shows a snapshot to the hosts that it is granted to; granted to none, it is closed. */
  async showSnapshot(snapshot: Stored<SnapshotRecord>): Promise<void> {
    if (this.#catalog.groupSize(grantKind, 'snapshot', String(snapshot.id)) === 0) {
      return this.hideSnapshot(snapshot);
    }
    let handle = this.#shown.get(snapshot.id);
    if (handle === undefined) {
      handle = await this.#snapshots.acquire(snapshot);
      this.#shown.set(snapshot.id, handle);
      this.#updateSnapshotTerms(snapshot.id, new Set([snapshot.value.volume]));
    }
    const subsystem = this.subsystem(snapshot.value.tenant);
    await subsystem.setNamespace(this.#snapshotNamespace(snapshot, handle));
  }

  /** Takes a snapshot from its hosts; no command is under way afterwards. */
  async hideSnapshot(snapshot: Stored<SnapshotRecord>): Promise<void> {
    if (!this.#shown.has(snapshot.id)) return;
    await this.subsystem(snapshot.value.tenant).removeNamespace(snapshot.value.nsid);
    this.#shown.delete(snapshot.id);
    await this.#snapshots.release(snapshot.id);
  }

  /** Opens a snapshot for reading here, whether or not it is granted to hosts. */
  async borrowSnapshot(snapshot: Stored<SnapshotRecord>): Promise<BorrowedSnapshot> {
    const { id } = snapshot;
    this.#borrowed.set(id, this.borrowers(id) + 1);
    let returned = false;
    const giveBack = (): void => {
      returned = true;
      const left = this.borrowers(id) - 1;
      if (left > 0) this.#borrowed.set(id, left);
      else this.#borrowed.delete(id);
    };
    try {
      const handle = await this.#snapshots.acquire(snapshot);
      return {
        handle,
        [Symbol.asyncDispose]: async () => {
          if (returned) return;
          giveBack();
          await this.#snapshots.release(id);
        },
      };
    } catch (thrown) {
      giveBack();
      throw thrown;
    }
  }

  /** How many hold a snapshot by {@link borrowSnapshot}; it cannot be deleted meanwhile. */
  borrowers(snapshot: bigint): number {
    return this.#borrowed.get(snapshot) ?? 0;
  }

  // ---- Pieces -----------------------------------------------------------------------------------

  usage(volume: Stored<VolumeRecord>): Promise<LayerUsage> {
    return this.#pool.usage(volume.value.layer);
  }

  /** Of several at once; null where the layer has gone meanwhile. */
  usages(items: readonly Stored<VolumeRecord | SnapshotRecord>[]): Promise<(LayerUsage | null)[]> {
    return this.#pool.usages(items.map(({ value }) => value.layer));
  }

  #namespace(volume: Stored<VolumeRecord>, handle: VolumeHandle): TargetNamespace {
    const { nsid, uuid, nguid, sizeBytes, blockBytes, anagrpid } = volume.value;
    return {
      nsid,
      uuid,
      nguid,
      sizeBytes,
      blockBytes,
      anagrpid,
      volume: handle,
      meter: this.meters.meter(volume.value.tenant, 'volume', volume.id),
      frozen: false,
      access: (hostnqn) => this.#access((host) => grantKey(volume.id, host), hostnqn),
      // The top layer changes with every snapshot, without a new namespace.
      usedBytes: async () => {
        const now = this.#catalog.get(volumeKind, volume.id) ?? volume;
        return (await this.usage(now)).mappedBytes;
      },
    };
  }

  #snapshotNamespace(snapshot: Stored<SnapshotRecord>, handle: VolumeHandle): TargetNamespace {
    const { nsid, uuid, nguid, sizeBytes, blockBytes, layer } = snapshot.value;
    return {
      nsid,
      uuid,
      nguid,
      sizeBytes,
      blockBytes,
      anagrpid: defaultAnaGroup,
      volume: handle,
      meter: this.meters.meter(snapshot.value.tenant, 'snapshot', snapshot.id),
      frozen: true,
      access: (hostnqn) => this.#access((host) => snapshotGrantKey(snapshot.id, host), hostnqn),
      usedBytes: async () => (await this.#pool.usage(layer)).mappedBytes,
    };
  }

  /** A grant to the host itself counts before one to any host. */
  #access(keyOf: (host: string) => string, hostnqn: string): HostAccess | null {
    const find = (host: string) => this.#catalog.find(grantKind, 'host', keyOf(host));
    return (find(hostnqn) ?? find(anyHost))?.value.access ?? null;
  }

  /** Associations, of one tenant or of all; discovery belongs to no tenant. */
  connections(tenant: bigint | null): ConnectedHost[] {
    const subsystem = tenant === null ? null : this.subsystem(tenant);
    return this.#target.controllers
      .filter((controller) => subsystem === null || controller.identity.subsystem === subsystem)
      .map(connectedHost);
  }

  /** How often hosts have come and gone. */
  get associations(): AssociationCounts {
    return this.#target.associations;
  }

  /** Associations that see the volume or snapshot. */
  connectionsOf({ value }: Stored<VolumeRecord | SnapshotRecord>): ConnectedHost[] {
    if (value.nsid === 0) return [];
    return [...this.subsystem(value.tenant).controllers.values()]
      .filter(({ admission, visible }) => admission === 'open' && visible.has(value.nsid))
      .map(connectedHost);
  }

  /** Ends a host's associations with the tenant, if nothing lets it connect any more. */
  dismissHost(tenant: bigint, hostnqn: string): void {
    const subsystem = this.subsystem(tenant);
    if (!subsystem.isVisibleTo(hostnqn)) this.#target.dismiss(subsystem, hostnqn);
  }
}

/** Some at once, so that a node of many starts soon. */
async function inBatches<T>(items: readonly T[], open: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += openAtOnce) {
    await Promise.all(items.slice(at, at + openAtOnce).map(open));
  }
}

/** What the catalog knows the pool must have. @throws AshlarError catalog-corrupt. */
async function known(what: string, uuid: Uint8Array, opened: Promise<void>): Promise<void> {
  try {
    await opened;
  } catch (thrown) {
    const error = toAshlarError(thrown);
    if (error.code !== 'not-found') throw error;
    throw new AshlarError(
      'catalog-corrupt',
      `${what} (${uuidText(uuid)}) is in the catalog, but the pool does not have its layer; ` +
        'run "ashlar pool check"',
      { cause: thrown },
    );
  }
}

function connectedHost(controller: Controller): ConnectedHost {
  const { identity, ioQids, features, connectedAt } = controller;
  return {
    hostnqn: identity.hostnqn,
    hostid: uuidText(identity.hostId),
    subnqn: identity.subnqn,
    cntlid: identity.cntlid,
    portalId: identity.portalId,
    peer: identity.peer,
    kind: identity.kind,
    ioQueues: ioQids.size,
    keepAliveMs: features.keepAliveMs,
    connectedAt: connectedAt.toISOString(),
  };
}
