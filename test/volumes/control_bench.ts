/** The services of the control plane above layers and hosts that only exist in memory. */
import assert from 'node:assert/strict';
import { Catalog } from '../../lib/catalog/catalog.js';
import { allKinds, snapshotKind, tenantKind, volumeKind } from '../../lib/catalog/kinds.js';
import type { ControllerHandle } from '../../lib/native.js';
import { Meters } from '../../lib/qos/meters.js';
import { Target, type TargetListener } from '../../lib/target/target.js';
import { Exports } from '../../lib/volumes/exports.js';
import { GrantService } from '../../lib/volumes/grants.js';
import { HostService } from '../../lib/volumes/hosts.js';
import { KeyedLocks } from '../../lib/volumes/locks.js';
import { PolicyService } from '../../lib/volumes/policies.js';
import { SnapshotService } from '../../lib/volumes/snapshots.js';
import { type ControlState, defaultTenant } from '../../lib/volumes/state.js';
import { addTenantRecord, TenantService } from '../../lib/volumes/tenants.js';
import { hexText } from '../../lib/volumes/uuid.js';
import { VolumeService } from '../../lib/volumes/volumes.js';
import { FakeNative } from '../target/fake_native.js';
import { FakeLayers } from './fake_layers.js';

export class ControlBench {
  readonly layers: FakeLayers;
  readonly native = new FakeNative();
  readonly catalog: Catalog;
  readonly state: ControlState;
  readonly exports: Exports;
  readonly volumes: VolumeService;
  readonly snapshots: SnapshotService;
  readonly grants: GrantService;
  readonly hosts: HostService;
  readonly tenants: TenantService;
  readonly policies: PolicyService;
  /** `kind: message` of every event. */
  readonly events: string[] = [];
  readonly #target: Target;

  private constructor(layers: FakeLayers, catalog: Catalog) {
    this.layers = layers;
    this.catalog = catalog;
    const listener: TargetListener = {
      connected: () => undefined,
      disconnected: () => undefined,
      refused: (_peer, _portal, { reason }) => assert.fail(reason),
      failed: (what, error) => assert.fail(`${what}: ${error.message}`),
    };
    this.#target = new Target({
      native: this.native.addon(),
      runtime: this.native.runtime,
      firmware: '0.1.0',
      discovery: {
        nqn: 'nqn.2026-01.dev.ashlar:discovery:bench',
        serial: 'd',
        firstGeneration: 0n,
      },
      writeThrough: false,
      tls: 'none',
      atomicWriteBytes: 4096,
      cntlids: { first: 1, last: 100 },
      health: async () => ({ poolFailed: false, freePercent: 50, powerOnHours: 0n }),
      listener,
    });
    const meters = new Meters(this.native.addon(), this.native.runtime);
    this.exports = new Exports(catalog, layers, this.#target, meters);
    this.state = {
      catalog,
      exports: this.exports,
      locks: new KeyedLocks(),
      assertOpen: () => undefined,
      hostsGone: () => undefined,
      emit: (kind, message) => this.events.push(`${kind}: ${message}`),
    };
    this.grants = new GrantService(this.state);
    this.volumes = new VolumeService(this.state, this.grants);
    this.snapshots = new SnapshotService(this.state, this.grants);
    this.hosts = new HostService(this.state);
    this.tenants = new TenantService(this.state);
    this.policies = new PolicyService(this.state);
  }

  /** As a node starts: on what a store holds. */
  static async open(layers = new FakeLayers()): Promise<ControlBench> {
    const catalog = await Catalog.load(layers, allKinds);
    if (catalog.find(tenantKind, 'name', defaultTenant) === null) {
      await catalog.transact('tenant', (transaction) =>
        addTenantRecord(transaction, defaultTenant),
      );
    }
    const bench = new ControlBench(layers, catalog);
    await bench.exports.openAll();
    await bench.#target.listen({ address: '127.0.0.1', port: 0, discoveryOnly: false });
    return bench;
  }

  /** Ends as a killed process does, and starts again on the same store. */
  async restart(): Promise<ControlBench> {
    await this.exports.closeAll();
    return ControlBench.open(this.layers);
  }

  /** Connects a host to the default tenant's subsystem. */
  async connect(hostnqn: string): Promise<ControllerHandle> {
    const command = Buffer.alloc(64);
    command.writeUInt8(0x7f, 0);
    command.writeUInt8(1, 4);
    command.writeUInt16LE(31, 44);
    const data = Buffer.alloc(1024);
    data.fill(hostnqn, 0, 16);
    data.writeUInt16LE(0xffff, 16);
    data.write(this.tenants.show('default').subnqn, 256);
    data.write(hostnqn, 512);
    this.#target.handle({
      type: 'connect',
      connect: this.native.connect(hostnqn),
      portalId: 1,
      peer: '10.0.0.9:50000',
      local: '127.0.0.1:4420',
      tlsIdentity: null,
      sqe: new Uint8Array(command),
      data: new Uint8Array(data),
    });
    const { controller } = await this.native.take('accept');
    return controller as ControllerHandle;
  }

  /** What the meter of a host's namespace was set to last. */
  termsOf(controller: ControllerHandle, nsid: number | null) {
    const attached = this.native.attached.get(controller)?.find((each) => each.nsid === nsid);
    const meter = attached?.meter ?? assert.fail(`namespace ${nsid} has no meter`);
    return this.native.meters.get(meter) ?? assert.fail('its meter is closed');
  }

  /** NSIDs that a host has, and whether each is read-only. */
  seenBy(controller: ControllerHandle): [number, boolean][] {
    const attached = this.native.attached.get(controller) ?? [];
    return attached
      .map(({ nsid, readOnly }): [number, boolean] => [nsid, readOnly])
      .sort(([a], [b]) => a - b);
  }

  /** Catalog and pool agree: each record has its layer, in the state it must be, and no more. */
  assertConsistent(): void {
    const left = this.layers.visibleLayers;
    for (const { value } of this.catalog.all(volumeKind)) {
      const layer = left.get(hexText(value.layer));
      assert.equal(layer?.frozen, false, `volume ${value.name} is on a layer that is not live`);
      assert.equal(layer.sizeBytes, value.sizeBytes, value.name);
      assert.equal(layer.reserved, value.reserved, value.name);
      assert.equal(this.layers.isOpen(value.layer), true, `volume ${value.name} is not open`);
      left.delete(hexText(value.layer));
    }
    for (const { value } of this.catalog.all(snapshotKind)) {
      const layer = left.get(hexText(value.layer));
      assert.equal(layer?.frozen, true, `snapshot ${value.name} is on a layer that changes`);
      assert.equal(layer.sizeBytes, value.sizeBytes, value.name);
      left.delete(hexText(value.layer));
    }
    assert.deepEqual([...left.keys()], [], 'layers that nobody knows');
  }
}
