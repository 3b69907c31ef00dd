/**
 * The layers of a pool in memory, by the rules of the contract in lib/native.ts: for tests of what
 * the control plane asks of them, with commits that fail or wait where a real pool cannot be made
 * to. What layers do with data is tested on the real pool (test/node).
 */
import assert from 'node:assert/strict';
import type { CatalogStore } from '../../lib/catalog/catalog.js';
import { AshlarError } from '../../lib/errors.js';
import type { CatalogRecord, LayerUsage, PoolChange, VolumeHandle } from '../../lib/native.js';
import type { VolumePool } from '../../lib/volumes/exports.js';
import { hexText } from '../../lib/volumes/uuid.js';

interface Layer {
  parent: string | null;
  sizeBytes: bigint;
  blockBytes: number;
  frozen: boolean;
  /** Deleted, and there because layers stand on it. */
  hidden: boolean;
  reserved: boolean;
}

interface State {
  layers: Map<string, Layer>;
  /** Layers by the handle that they are open by. */
  open: Map<VolumeHandle, string>;
  records: Map<bigint, Uint8Array>;
}

type Create = Extract<PoolChange, { kind: 'create-layer' }>;

export class FakeLayers implements CatalogStore, VolumePool {
  #state: State = { layers: new Map(), open: new Map(), records: new Map() };
  commits = 0;
  /** The commits that are still to be made before one fails; null: none fails. */
  failAfter: number | null = null;
  /** Waited for by each commit, open and close, as devices take their time. */
  pause: () => Promise<void> = async () => undefined;
  #busy = false;

  async records(): Promise<CatalogRecord[]> {
    return [...this.#state.records].map(([key, value]) => ({ key, value }));
  }

  async commit(changes: PoolChange[]): Promise<void> {
    assert.equal(this.#busy, false, 'two commits at once');
    this.#busy = true;
    await this.pause();
    this.#busy = false;
    if (this.failAfter === 0) throw new AshlarError('no-space', 'this commit was to fail');
    if (this.failAfter !== null) this.failAfter -= 1;
    const { layers, open, records } = this.#state;
    const next: State = {
      layers: new Map([...layers].map(([uuid, layer]) => [uuid, { ...layer }])),
      open: new Map(open),
      records: new Map(records),
    };
    for (const change of changes) apply(next, change);
    this.#state = next;
    this.commits += 1;
  }

  async open(layer: Uint8Array, readOnly: boolean): Promise<VolumeHandle> {
    const uuid = hexText(layer);
    const found = visible(this.#state, uuid);
    if ([...this.#state.open.values()].includes(uuid)) throw busy(`layer ${uuid} is open`);
    if (found.frozen && !readOnly) throw busy(`layer ${uuid} is frozen`);
    const handle = { open: uuid } as unknown as VolumeHandle;
    this.#state.open.set(handle, uuid);
    await this.pause();
    return handle;
  }

  async close(volume: VolumeHandle): Promise<void> {
    await this.pause();
    assert.ok(this.#state.open.delete(volume), 'closed twice');
  }

  async usage(layer: Uint8Array): Promise<LayerUsage> {
    const [usage] = await this.usages([layer]);
    return usage ?? assert.fail(`layer ${hexText(layer)} is not there`);
  }

  async usages(layers: Uint8Array[]): Promise<(LayerUsage | null)[]> {
    assert.ok(layers.length <= 4096);
    return layers.map((layer) => {
      const found = this.#state.layers.get(hexText(layer));
      if (found === undefined || found.hidden) return null;
      const { sizeBytes, blockBytes, frozen, reserved } = found;
      return {
        sizeBytes,
        blockBytes,
        mappedBytes: 12_288n,
        ownBytes: 4096n,
        allocatedBytes: 65_536n,
        freesBytes: 131_072n,
        reservedBytes: reserved ? sizeBytes : 0n,
        children: childrenOf(this.#state, hexText(layer)),
        state: frozen ? 'frozen' : 'live',
      };
    });
  }

  /** Layers that somebody must know, by UUID. */
  get visibleLayers(): Map<string, Layer> {
    return new Map([...this.#state.layers].filter(([, { hidden }]) => !hidden));
  }

  get layerCount(): number {
    return this.#state.layers.size;
  }

  isOpen(layer: Uint8Array): boolean {
    return [...this.#state.open.values()].includes(hexText(layer));
  }

  get openCount(): number {
    return this.#state.open.size;
  }
}

function apply(state: State, change: PoolChange): void {
  switch (change.kind) {
    case 'put-record':
      state.records.set(change.key, change.value);
      return;
    case 'delete-record':
      assert.ok(state.records.delete(change.key), 'a record deleted twice');
      return;
    case 'create-layer':
      create(state, change);
      return;
    case 'delete-layer':
      remove(state, hexText(change.layer));
      return;
    case 'resize-layer': {
      const layer = live(state, hexText(change.layer));
      const open = [...state.open.values()].includes(hexText(change.layer));
      if (change.sizeBytes < layer.sizeBytes && open) throw busy('shrunk while open');
      layer.sizeBytes = change.sizeBytes;
      return;
    }
    case 'reserve-layer':
      live(state, hexText(change.layer)).reserved = change.reserved;
  }
}

function create(state: State, change: Create): void {
  const uuid = hexText(change.layer);
  assert.equal(state.layers.has(uuid), false, 'a layer made twice');
  const parent = change.parent === null ? null : hexText(change.parent);
  const { sizeBytes, blockBytes, reserved, volumeFrom } = change;
  if (parent !== null) {
    const below = visible(state, parent);
    assert.ok(sizeBytes >= below.sizeBytes, 'smaller than its parent');
    assert.equal(blockBytes, below.blockBytes);
    below.frozen = true;
  }
  const layer = { parent, sizeBytes, blockBytes, frozen: false, hidden: false, reserved };
  state.layers.set(uuid, layer);
  if (volumeFrom === null) return;
  const from = state.layers.get(hexText(volumeFrom)) ?? assert.fail('no layer to serve from');
  // Freezing it as the parent of the same step is what a snapshot does.
  assert.ok(!from.frozen || parent === hexText(volumeFrom), 'served from a frozen layer');
  from.frozen = true;
  for (const [handle, open] of state.open) {
    if (open === hexText(volumeFrom)) state.open.set(handle, uuid);
  }
}

function remove(state: State, uuid: string): void {
  const layer = visible(state, uuid);
  if ([...state.open.values()].includes(uuid)) throw busy(`layer ${uuid} is open`);
  layer.hidden = true;
  // Layers that nobody can see or stand on go; what a real pool merges stays here.
  let next: string | null = uuid;
  while (next !== null) {
    const gone: Layer | undefined = state.layers.get(next);
    if (gone?.hidden !== true || childrenOf(state, next) > 0) return;
    state.layers.delete(next);
    next = gone.parent;
  }
}

function visible(state: State, uuid: string): Layer {
  const layer = state.layers.get(uuid);
  if (layer !== undefined && !layer.hidden) return layer;
  throw new AshlarError('not-found', `layer ${uuid} does not exist`);
}

function live(state: State, uuid: string): Layer {
  const layer = visible(state, uuid);
  if (!layer.frozen) return layer;
  throw busy(`layer ${uuid} is frozen`);
}

function childrenOf(state: State, uuid: string): number {
  return [...state.layers.values()].filter(({ parent }) => parent === uuid).length;
}

function busy(message: string): AshlarError {
  return new AshlarError('busy', message);
}
