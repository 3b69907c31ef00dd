/**
 * What the catalog says, made real: an open layer for each volume, a subsystem for each tenant, and
 * a namespace for each volume with exactly the hosts that were granted it.
 */
import type { Catalog, Stored } from '../catalog/catalog.js';
import {
  anyHost,
  grantKey,
  grantKind,
  hostKey,
  hostKind,
  type TenantRecord,
  tenantKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError, toAshlarError } from '../errors.js';
import type { LayerUsage, VolumeHandle } from '../native.js';
import type { Controller } from '../target/controller.js';
import type { HostAccess, TargetNamespace } from '../target/namespace.js';
import type { Subsystem } from '../target/subsystem.js';
import type { Target } from '../target/target.js';
import type { ConnectedHost } from './types.js';
import { hexText, uuidText } from './uuid.js';

/** The part of the pool that volumes need. */
export interface VolumePool {
  open(layer: Uint8Array): Promise<VolumeHandle>;
  /** Resolves when no command is under way. */
  close(volume: VolumeHandle): Promise<void>;
  usage(layer: Uint8Array): Promise<LayerUsage>;
}

/** Layers opened at once at the start of a node. */
const openAtOnce = 64;

export class Exports {
  readonly #catalog: Catalog;
  readonly #pool: VolumePool;
  readonly #target: Target;
  /** By tenant record. */
  readonly #subsystems = new Map<bigint, Subsystem>();
  /** By volume record. */
  readonly #handles = new Map<bigint, VolumeHandle>();

  constructor(catalog: Catalog, pool: VolumePool, target: Target) {
    this.#catalog = catalog;
    this.#pool = pool;
    this.#target = target;
  }

  /** Opens all that the catalog has. @throws AshlarError catalog-corrupt. */
  async openAll(): Promise<void> {
    for (const tenant of this.#catalog.all(tenantKind)) this.addTenant(tenant);
    const volumes = this.#catalog.all(volumeKind);
    for (let at = 0; at < volumes.length; at += openAtOnce) {
      await Promise.all(
        volumes.slice(at, at + openAtOnce).map((volume) => this.#openKnown(volume)),
      );
    }
  }

  async #openKnown(volume: Stored<VolumeRecord>): Promise<void> {
    try {
      await this.openVolume(volume);
    } catch (thrown) {
      const error = toAshlarError(thrown);
      if (error.code !== 'not-found') throw error;
      throw new AshlarError(
        'catalog-corrupt',
        `volume '${volume.value.name}' (${uuidText(volume.value.uuid)}) is in the catalog, but ` +
          'the pool does not have its layer; run "ashlar pool check"',
        { cause: thrown },
      );
    }
  }

  addTenant(tenant: Stored<TenantRecord>): void {
    const { id, value } = tenant;
    const subsystem = this.#target.addSubsystem({
      nqn: value.subnqn,
      // 20 digits of the tenant's UUID: the same on every node and after every restart.
      serial: hexText(value.uuid).slice(0, 20),
      admits: (hostnqn) => this.#catalog.find(hostKind, 'nqn', hostKey(id, hostnqn)) !== null,
    });
    this.#subsystems.set(id, subsystem);
  }

  removeTenant(tenant: bigint): void {
    const subsystem = this.#subsystems.get(tenant);
    if (subsystem === undefined) return;
    this.#subsystems.delete(tenant);
    this.#target.removeSubsystem(subsystem);
  }

  subsystem(tenant: bigint): Subsystem {
    const subsystem = this.#subsystems.get(tenant);
    if (subsystem === undefined) throw new RangeError(`tenant record ${tenant} has no subsystem`);
    return subsystem;
  }

  /** Opens the layer and shows the volume to its hosts. */
  async openVolume(volume: Stored<VolumeRecord>): Promise<void> {
    if (!this.#handles.has(volume.id)) {
      this.#handles.set(volume.id, await this.#pool.open(volume.value.layer));
    }
    await this.updateVolume(volume);
  }

  /** Shows hosts what the catalog now says of the volume. */
  async updateVolume(volume: Stored<VolumeRecord>): Promise<void> {
    const handle = this.#handles.get(volume.id);
    if (handle === undefined) return;
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

  async closeAll(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    await Promise.all(handles.map((handle) => this.#pool.close(handle)));
  }

  usage(volume: Stored<VolumeRecord>): Promise<LayerUsage> {
    return this.#pool.usage(volume.value.layer);
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
      access: (hostnqn) => this.#access(volume.id, hostnqn),
      usedBytes: async () => (await this.usage(volume)).allocatedBytes,
    };
  }

  /** A grant to the host itself counts before one to any host. */
  #access(volume: bigint, hostnqn: string): HostAccess | null {
    const find = (host: string) => this.#catalog.find(grantKind, 'host', grantKey(volume, host));
    return (find(hostnqn) ?? find(anyHost))?.value.access ?? null;
  }

  /** Associations, of one tenant or of all; discovery belongs to no tenant. */
  connections(tenant: bigint | null): ConnectedHost[] {
    const subsystem = tenant === null ? null : this.subsystem(tenant);
    return this.#target.controllers
      .filter((controller) => subsystem === null || controller.identity.subsystem === subsystem)
      .map(connectedHost);
  }

  /** Associations that see the volume. */
  connectionsOf(volume: Stored<VolumeRecord>): ConnectedHost[] {
    const subsystem = this.subsystem(volume.value.tenant);
    return [...subsystem.controllers.values()]
      .filter((controller) => controller.visible.has(volume.value.nsid))
      .map(connectedHost);
  }

  /** Ends a host's associations with the tenant, if nothing lets it connect any more. */
  dismissHost(tenant: bigint, hostnqn: string): void {
    const subsystem = this.subsystem(tenant);
    if (!subsystem.isVisibleTo(hostnqn)) this.#target.dismiss(subsystem, hostnqn);
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
