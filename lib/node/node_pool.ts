/** The pool of a running node: its state, its proof, and its devices. */

import { isAbsolute } from 'node:path';
import type { Catalog } from '../catalog/catalog.js';
import { deviceKind } from '../catalog/kinds.js';
import { formatSize } from '../config/units.js';
import { AshlarError, throwIfAborted, toAshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import type {
  CheckReport,
  NativeAddon,
  PoolDeviceStatus,
  PoolHandle,
  PoolStatus,
} from '../native.js';
import type { KeyedLocks } from '../volumes/locks.js';
import type { CallOptions } from '../volumes/types.js';
import { hexText, uuidText } from '../volumes/uuid.js';
import { checkTold } from './check_progress.js';
import type { EventLog } from './event_log.js';
import { refuseForeignData } from './foreign_data.js';
import { withNames } from './pool_lost.js';
import { isMissing } from './pool_open.js';
import type { CheckOptions, NodePool } from './types.js';

export interface PoolParts {
  native: NativeAddon;
  handle: PoolHandle;
  catalog: Catalog;
  locks: KeyedLocks;
  events: EventLog;
  /** Throws 'closed' once the node is closing. */
  assertOpen(): void;
}

export class PoolService implements NodePool {
  readonly #parts: PoolParts;

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  async status(): Promise<PoolStatus> {
    this.#parts.assertOpen();
    return this.#parts.native.poolStatus(this.#parts.handle);
  }

  async check(options: CheckOptions = {}): Promise<CheckReport> {
    throwIfAborted(options.signal, 'check the pool');
    this.#parts.assertOpen();
    const { native, handle } = this.#parts;
    const report = await checkTold(native, handle, options.progress);
    return withNames(report, () => native.poolCatalog(handle));
  }

  async checkpoint(): Promise<void> {
    this.#parts.assertOpen();
    await this.#parts.native.poolCheckpoint(this.#parts.handle);
  }

  async addDevice(
    path: string,
    sizeBytes: bigint | null,
    options: CallOptions = {},
  ): Promise<PoolDeviceStatus> {
    return this.#devices(`add device '${path}'`, path, options, async () => {
      const before = await this.#deviceAt(path);
      if (before !== null) {
        // A call that was cut off after the store had it left only the record to be written.
        await this.#note(before, path);
        if (options.repeatable === true) return before;
        throw new AshlarError('already-exists', `'${path}' is a device of the pool already`);
      }
      const missing = await isMissing(path);
      if (missing && sizeBytes === null) {
        throw new AshlarError(
          'invalid-argument',
          `'${path}' does not exist; to make a file give its size, for example --size 64GiB`,
        );
      }
      if (!missing) await refuseForeignData(path);
      const added = await this.#add(path, sizeBytes);
      await this.#note(added, path);
      const size = formatSize(added.sizeBytes);
      this.#told('device-added', `device '${path}' of ${size} added to the pool`, added);
      return added;
    });
  }

  async #add(path: string, sizeBytes: bigint | null): Promise<PoolDeviceStatus> {
    const { native, handle } = this.#parts;
    try {
      return await native.poolAddDevice(handle, { kind: 'file', path }, sizeBytes);
    } catch (thrown) {
      const error = toAshlarError(thrown);
      if (error.code !== 'pool-exists') throw error;
      throw new AshlarError(error.code, error.message, {
        cause: thrown,
        hint: 'A device of this very pool that is missing comes back by "ashlar pool device attach"',
      });
    }
  }

  async attachDevice(path: string, options: CallOptions = {}): Promise<PoolDeviceStatus> {
    return this.#devices(`attach device '${path}'`, path, options, async () => {
      const before = await this.#deviceAt(path);
      if (before !== null && options.repeatable === true) return before;
      const { native, handle } = this.#parts;
      const attached = await native.poolAttachDevice(handle, { kind: 'file', path });
      await this.#note(attached, path);
      this.#told('device-attached', `device '${path}' is back in the pool`, attached);
      return attached;
    });
  }

  /** Changes of devices run one after the other. */
  #devices<R>(
    what: string,
    path: string,
    options: CallOptions,
    body: () => Promise<R>,
  ): Promise<R> {
    this.#parts.assertOpen();
    if (!isAbsolute(path)) {
      throw new AshlarError('invalid-argument', `device path '${path}' is not absolute`);
    }
    return this.#parts.locks.hold('devices', what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      return body();
    });
  }

  async #deviceAt(path: string): Promise<PoolDeviceStatus | null> {
    const { devices } = await this.status();
    return devices.find((device) => device.path === path) ?? null;
  }

  /** Remembers where a device is, so that the next start finds it. The first is not remembered. */
  async #note({ uuid, index }: PoolDeviceStatus, path: string): Promise<void> {
    const { catalog } = this.#parts;
    if (index === 0) return;
    await catalog.transact(`remember device '${path}'`, (transaction) => {
      const known = catalog.find(deviceKind, 'uuid', hexText(uuid));
      if (known === null) transaction.add(deviceKind, { uuid, path });
      else if (known.value.path !== path) transaction.put(deviceKind, known.id, { uuid, path });
    });
  }

  #told(kind: EventKind, message: string, { uuid }: PoolDeviceStatus): void {
    this.#parts.events.add('info', kind, message, uuidText(uuid));
  }
}

/**
 * Brings back the further devices that the catalog knows. One that cannot be attached makes media
 * errors of what lies on it, and an event; the pool serves the rest.
 */
export async function attachDevices(
  native: NativeAddon,
  pool: PoolHandle,
  catalog: Catalog,
  events: EventLog,
): Promise<void> {
  for (const { value } of catalog.all(deviceKind)) {
    const { uuid, path } = value;
    try {
      const found = await native.poolAttachDevice(pool, { kind: 'file', path });
      if (hexText(found.uuid) === hexText(uuid)) continue;
      const other = uuidText(found.uuid);
      events.add('warning', 'device-moved', `'${path}' is device ${other} now`, uuidText(uuid));
    } catch (thrown) {
      const { message } = toAshlarError(thrown);
      events.add(
        'error',
        'device-missing',
        `device '${path}' is missing, its blocks cannot be read: ${message}. Bring it back and ` +
          'attach it with "ashlar pool device attach"',
        uuidText(uuid),
      );
    }
  }
}
