/**
 * Layers in memory, in place of the pool: only the calls that exports and imports make. Blocks are
 * 4 KiB; a layer of a parent holds what it replaced.
 */
import type { LayerRange, LayerRanges, VolumeHandle } from '../../lib/native.js';
import type { ApplyTarget } from '../../lib/stream/apply.js';
import type { ExportSource } from '../../lib/stream/export.js';

const block = 4096;

class FakeLayer {
  /** Null: the block reads as zeroes here, whatever the parent holds. */
  readonly blocks = new Map<number, Buffer | null>();
  readonly parent: FakeLayer | null;
  readonly sizeBytes: number;

  constructor(parent: FakeLayer | null, sizeBytes: number) {
    this.parent = parent;
    this.sizeBytes = sizeBytes;
  }

  /** Nearest layer that says something of the block, down to but without `stop`. */
  find(index: number, stop: FakeLayer | null): Buffer | null | undefined {
    const own = this.blocks.get(index);
    if (own !== undefined) return own;
    if (this.parent === null || this.parent === stop) return undefined;
    return this.parent.find(index, stop);
  }
}

export class FakePool implements ExportSource, ApplyTarget {
  readonly #layers = new Map<string, FakeLayer>();
  /** Calls under way and the most there were. */
  underWay = 0;
  mostUnderWay = 0;
  flushes = 0;
  /** Called before each read, write or flush; what it throws is the outcome. */
  before: (call: string, offset: number) => void = () => undefined;
  /** What a flush made durable, by layer: a crash goes back to it. */
  readonly #durable = new Map<FakeLayer, Map<number, Buffer | null>>();

  create(layer: Uint8Array, parent: Uint8Array | null, sizeBytes: number): VolumeHandle {
    const below = parent === null ? null : this.#layer(parent);
    this.#layers.set(key(layer), new FakeLayer(below, sizeBytes));
    return this.open(layer);
  }

  open(layer: Uint8Array): VolumeHandle {
    return this.#layer(layer) as unknown as VolumeHandle;
  }

  /** Everything that a reader sees, as one buffer. */
  contents(layer: Uint8Array): Buffer {
    const found = this.#layer(layer);
    const bytes = Buffer.alloc(found.sizeBytes);
    for (let index = 0; index * block < found.sizeBytes; index += 1) {
      found.find(index, null)?.copy(bytes, index * block);
    }
    return bytes;
  }

  /** Power off and on: what was not flushed is lost. */
  crash(): void {
    for (const layer of this.#layers.values()) {
      layer.blocks.clear();
      for (const [index, bytes] of this.#durable.get(layer) ?? []) layer.blocks.set(index, bytes);
    }
  }

  async ranges(
    layer: Uint8Array,
    since: Uint8Array | null,
    offsetBytes: bigint,
    limit: number,
  ): Promise<LayerRanges> {
    const top = this.#layer(layer);
    const stop = since === null ? null : this.#layer(since);
    const ranges: LayerRange[] = [];
    const first = Number(offsetBytes) / block;
    for (let index = first; index * block < top.sizeBytes; index += 1) {
      const found = top.find(index, stop);
      if (found === undefined || (found === null && stop === null)) continue;
      if (ranges.length === limit) {
        return { ranges, nextOffsetBytes: BigInt(index * block) };
      }
      ranges.push({
        offsetBytes: BigInt(index * block),
        lengthBytes: BigInt(Math.min(block, top.sizeBytes - index * block)),
        kind: found === null ? 'zero' : 'data',
      });
    }
    return { ranges, nextOffsetBytes: null };
  }

  read(volume: VolumeHandle, offsetBytes: bigint, lengthBytes: number): Promise<Uint8Array> {
    return this.#call('read', Number(offsetBytes), () => {
      const layer = asLayer(volume);
      const bytes = Buffer.alloc(lengthBytes);
      for (let at = 0; at < lengthBytes; at += block) {
        layer.find((Number(offsetBytes) + at) / block, null)?.copy(bytes, at);
      }
      return bytes;
    });
  }

  write(volume: VolumeHandle, offsetBytes: bigint, data: Uint8Array): Promise<void> {
    return this.#call('write', Number(offsetBytes), () => {
      const layer = asLayer(volume);
      for (let at = 0; at < data.length; at += block) {
        const bytes = Buffer.from(data.subarray(at, at + block));
        layer.blocks.set((Number(offsetBytes) + at) / block, bytes);
      }
    });
  }

  deallocate(volume: VolumeHandle, offsetBytes: bigint, lengthBytes: bigint): Promise<void> {
    return this.#call('deallocate', Number(offsetBytes), () => {
      const layer = asLayer(volume);
      for (let at = 0; at < Number(lengthBytes); at += block) {
        layer.blocks.set((Number(offsetBytes) + at) / block, null);
      }
    });
  }

  flush(volume: VolumeHandle): Promise<void> {
    return this.#call('flush', 0, () => {
      this.flushes += 1;
      this.#durable.set(asLayer(volume), new Map(asLayer(volume).blocks));
    });
  }

  async #call<R>(name: string, offset: number, body: () => R): Promise<R> {
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    try {
      await new Promise((resolve) => setImmediate(resolve));
      this.before(name, offset);
      return body();
    } finally {
      this.underWay -= 1;
    }
  }

  #layer(uuid: Uint8Array): FakeLayer {
    const layer = this.#layers.get(key(uuid));
    if (layer === undefined) throw new Error(`the fake pool has no layer ${key(uuid)}`);
    return layer;
  }
}

const key = (uuid: Uint8Array): string => Buffer.from(uuid).toString('hex');
const asLayer = (volume: VolumeHandle): FakeLayer => volume as unknown as FakeLayer;
