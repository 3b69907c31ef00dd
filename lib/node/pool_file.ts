/** What can be done with a pool that no daemon serves: create it, look at it, prove it. */
import { AshlarError } from '../errors.js';
import {
  type CheckReport,
  type DeviceSpec,
  loadNative,
  type NativeAddon,
  type PoolHandle,
  type PoolStatus,
  type RuntimeHandle,
} from '../native.js';
import { randomUuidBytes } from '../volumes/uuid.js';
import { createFile, isMissing } from './pool_open.js';

/**
 * Creates an empty pool; on failure nothing is left behind.
 *
 * @param sizeBytes of a file that does not exist yet; null: the device's own size.
 * @throws AshlarError pool-exists, already-exists (a file that is there), no-space,
 * invalid-argument (size), permission-denied, io-uring-*.
 */
export async function createPool(
  device: DeviceSpec,
  sizeBytes: bigint | null,
): Promise<PoolStatus> {
  return withRuntime(async (native, runtime) => {
    const create = { sizeBytes, journalBytes: null };
    const config = { device, create, writeThrough: false, mapCacheBytes: null };
    if (device.kind === 'file' && (await isMissing(device.path))) {
      await createFile(native, runtime, device.path, config);
      return readStatus(native, runtime, device);
    }
    const uuid = randomUuidBytes();
    const options = { device, sizeBytes, uuid, journalBytes: null, writeThrough: false };
    const pool = await native.poolCreate(runtime, options);
    return closing(native, pool, () => native.poolStatus(pool));
  });
}

/**
 * Opens a pool read-only and says what it is; nothing is written.
 * @throws AshlarError not-found, pool-not-a-pool, pool-locked, pool-newer-format, pool-truncated,
 * pool-corrupt.
 */
export async function inspectPool(device: DeviceSpec): Promise<PoolStatus> {
  return withRuntime((native, runtime) => readStatus(native, runtime, device));
}

/**
 * Opens a pool, which recovers what a crash left, makes a checkpoint, and closes it, so that the
 * next start replays nothing. Errors as {@link inspectPool}, and no-space, io-error.
 */
export async function recoverPool(device: DeviceSpec): Promise<PoolStatus> {
  return withRuntime(async (native, runtime) => {
    if (device.kind === 'file' && (await isMissing(device.path))) {
      throw new AshlarError('not-found', `pool '${device.path}' does not exist`);
    }
    const options = { device, writeThrough: false, readOnly: false, mapCacheBytes: null };
    const pool = await native.poolOpen(runtime, options);
    return closing(native, pool, async () => {
      await native.poolCheckpoint(pool);
      return native.poolStatus(pool);
    });
  });
}

/** Opens a pool read-only and proves every structure. Errors as {@link inspectPool}. */
export async function checkPool(device: DeviceSpec): Promise<CheckReport> {
  return withRuntime(async (native, runtime) => {
    const pool = await openReadOnly(native, runtime, device);
    return closing(native, pool, () => native.poolCheck(pool));
  });
}

async function readStatus(
  native: NativeAddon,
  runtime: RuntimeHandle,
  device: DeviceSpec,
): Promise<PoolStatus> {
  const pool = await openReadOnly(native, runtime, device);
  return closing(native, pool, () => native.poolStatus(pool));
}

async function openReadOnly(
  native: NativeAddon,
  runtime: RuntimeHandle,
  device: DeviceSpec,
): Promise<PoolHandle> {
  if (device.kind === 'file' && (await isMissing(device.path))) {
    throw new AshlarError('not-found', `pool '${device.path}' does not exist`);
  }
  const options = { device, writeThrough: false, readOnly: true, mapCacheBytes: null };
  return native.poolOpen(runtime, options);
}

async function closing<T>(
  native: NativeAddon,
  pool: PoolHandle,
  body: () => Promise<T>,
): Promise<T> {
  try {
    return await body();
  } finally {
    await native.poolClose(pool);
  }
}

async function withRuntime<T>(
  body: (native: NativeAddon, runtime: RuntimeHandle) => Promise<T>,
): Promise<T> {
  const native = loadNative();
  const options = { reactors: 1, cpus: null, bufferBytes: null, busyPollUs: 0 };
  const runtime = native.runtimeOpen(options, () => undefined);
  try {
    return await body(native, runtime);
  } finally {
    await native.runtimeClose(runtime);
  }
}
