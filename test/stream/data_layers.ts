/** The layers of test/volumes with data in them, and the calls of the pool that streams make. */
import type { LayerRange, LayerRanges, PoolChange, VolumeHandle } from '../../lib/native.js';
import type { StreamPool } from '../../lib/stream/streams.js';
import { hexText } from '../../lib/volumes/uuid.js';
import { FakeLayers } from '../volumes/fake_layers.js';

const block = 4096;

interface Data {
  parent: string | null;
  sizeBytes: number;
  /** Null: reads as zeroes, whatever the parent holds. */
  blocks: Map<number, Buffer | null>;
}

export class DataLayers extends FakeLayers implements StreamPool {
  readonly #data = new Map<string, Data>();
  readonly #handles = new Map<VolumeHandle, string>();
  /** Called before each read, write and flush; what it throws is the outcome. */
  before: (call: string, offset: number) => void = () => undefined;

  override async commit(changes: PoolChange[]): Promise<void> {
    await super.commit(changes);
    for (const change of changes) {
      if (change.kind === 'resize-layer') {
        this.#layer(hexText(change.layer)).sizeBytes = Number(change.sizeBytes);
      }
      if (change.kind !== 'create-layer') continue;
      const layer = hexText(change.layer);
      this.#data.set(layer, {
        parent: change.parent === null ? null : hexText(change.parent),
        sizeBytes: Number(change.sizeBytes),
        blocks: new Map(),
      });
      const from = change.volumeFrom === null ? null : hexText(change.volumeFrom);
      for (const [handle, open] of this.#handles) {
        if (open === from) this.#handles.set(handle, layer);
      }
    }
  }

  override async open(layer: Uint8Array, readOnly: boolean): Promise<VolumeHandle> {
    const handle = await super.open(layer, readOnly);
    this.#handles.set(handle, hexText(layer));
    return handle;
  }

  /** Everything that a reader of the layer sees. */
  contents(layer: Uint8Array): Buffer {
    const { sizeBytes } = this.#layer(hexText(layer));
    const bytes = Buffer.alloc(sizeBytes);
    for (let index = 0; index * block < sizeBytes; index += 1) {
      this.#find(hexText(layer), null, index)?.copy(bytes, index * block);
    }
    return bytes;
  }

  async ranges(
    layer: Uint8Array,
    since: Uint8Array | null,
    offsetBytes: bigint,
    limit: number,
  ): Promise<LayerRanges> {
    const { sizeBytes } = this.#layer(hexText(layer));
    const stop = since === null ? null : hexText(since);
    const ranges: LayerRange[] = [];
    for (let index = Number(offsetBytes) / block; index * block < sizeBytes; index += 1) {
      const found = this.#find(hexText(layer), stop, index);
      if (found === undefined || (found === null && stop === null)) continue;
      const offset = BigInt(index * block);
      if (ranges.length === limit) return { ranges, nextOffsetBytes: offset };
      const lengthBytes = BigInt(Math.min(block, sizeBytes - index * block));
      ranges.push({ offsetBytes: offset, lengthBytes, kind: found === null ? 'zero' : 'data' });
    }
    return { ranges, nextOffsetBytes: null };
  }

  async read(volume: VolumeHandle, offsetBytes: bigint, lengthBytes: number): Promise<Uint8Array> {
    await this.#step('read', offsetBytes);
    const layer = this.#open(volume);
    const bytes = Buffer.alloc(lengthBytes);
    for (let at = 0; at < lengthBytes; at += block) {
      this.#find(layer, null, (Number(offsetBytes) + at) / block)?.copy(bytes, at);
    }
    return bytes;
  }

  async write(volume: VolumeHandle, offsetBytes: bigint, data: Uint8Array): Promise<void> {
    await this.#step('write', offsetBytes);
    const { blocks } = this.#layer(this.#open(volume));
    for (let at = 0; at < data.length; at += block) {
      blocks.set((Number(offsetBytes) + at) / block, Buffer.from(data.subarray(at, at + block)));
    }
  }

  async deallocate(volume: VolumeHandle, offsetBytes: bigint, lengthBytes: bigint): Promise<void> {
    await this.#step('deallocate', offsetBytes);
    const { blocks } = this.#layer(this.#open(volume));
    for (let at = 0; at < Number(lengthBytes); at += block) {
      blocks.set((Number(offsetBytes) + at) / block, null);
    }
  }

  async flush(volume: VolumeHandle): Promise<void> {
    await this.#step('flush', 0n);
    this.#open(volume);
  }

  async #step(call: string, offset: bigint): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.before(call, Number(offset));
  }

  #open(volume: VolumeHandle): string {
    const layer = this.#handles.get(volume);
    if (layer === undefined) throw new Error('a handle that is not open');
    return layer;
  }

  #layer(uuid: string): Data {
    const layer = this.#data.get(uuid);
    if (layer === undefined) throw new Error(`no layer ${uuid}`);
    return layer;
  }

  #find(uuid: string, stop: string | null, index: number): Buffer | null | undefined {
    const layer = this.#layer(uuid);
    const own = layer.blocks.get(index);
    if (own !== undefined) return own;
    if (layer.parent === null || layer.parent === stop) return undefined;
    return this.#find(layer.parent, stop, index);
  }
}
