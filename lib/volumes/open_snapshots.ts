/**
 * Frozen layers open for reading. A layer has one handle, so those who want it at the same time,
 * its hosts and an export, share it: it is opened for the first and closed after the last.
 */
import type { Stored } from '../catalog/catalog.js';
import type { SnapshotRecord } from '../catalog/kinds.js';
import type { VolumeHandle } from '../native.js';
import { KeyedLocks } from './locks.js';

interface OpenLayer {
  handle: VolumeHandle;
  users: number;
}

/** The part of the pool that this needs. */
export interface LayerOpener {
  open(layer: Uint8Array, readOnly: boolean): Promise<VolumeHandle>;
  close(volume: VolumeHandle): Promise<void>;
}

export class OpenSnapshots {
  readonly #pool: LayerOpener;
  /** By snapshot record. */
  readonly #open = new Map<bigint, OpenLayer>();
  readonly #locks = new KeyedLocks();

  constructor(pool: LayerOpener) {
    this.#pool = pool;
  }

  /** Each call is to be matched by one of {@link release}. */
  acquire({ id, value }: Stored<SnapshotRecord>): Promise<VolumeHandle> {
    return this.#locks.hold(String(id), `open snapshot ${id}`, undefined, async () => {
      const open = this.#open.get(id);
      if (open !== undefined) {
        open.users += 1;
        return open.handle;
      }
      const handle = await this.#pool.open(value.layer, true);
      this.#open.set(id, { handle, users: 1 });
      return handle;
    });
  }

  release(id: bigint): Promise<void> {
    return this.#locks.hold(String(id), `close snapshot ${id}`, undefined, async () => {
      const open = this.#open.get(id);
      if (open === undefined) return;
      open.users -= 1;
      if (open.users > 0) return;
      this.#open.delete(id);
      await this.#pool.close(open.handle);
    });
  }

  users(id: bigint): number {
    return this.#open.get(id)?.users ?? 0;
  }

  /** Whoever still uses one has been told to stop. */
  async closeAll(): Promise<void> {
    await this.#locks.idle();
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(open.map(({ handle }) => this.#pool.close(handle)));
  }
}
