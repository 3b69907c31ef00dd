/** Opening the pool of a node, and creating it on the first run. */
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AshlarError, toAshlarError } from '../errors.js';
import type { DeviceSpec, NativeAddon, PoolHandle, RuntimeHandle } from '../native.js';
import { randomUuidBytes } from '../volumes/uuid.js';
import type { NodeConfig } from './types.js';

export interface OpenedPool {
  handle: PoolHandle;
  created: boolean;
}

/**
 * Opens the pool, or creates it when the configuration says so and there is no file yet. What
 * exists and is not a pool is never overwritten: that takes `ashlar pool create`.
 *
 * @throws AshlarError not-found, pool-not-a-pool, pool-locked, pool-newer-format, pool-truncated,
 * pool-corrupt, no-space, permission-denied.
 */
export async function openOrCreatePool(
  native: NativeAddon,
  runtime: RuntimeHandle,
  config: NodeConfig['pool'],
): Promise<OpenedPool> {
  const { device, create, writeThrough, mapCacheBytes } = config;
  if (device.kind === 'memory') {
    return { handle: await createOn(native, runtime, device, config), created: true };
  }
  const missing = await isMissing(device.path);
  if (missing && create === null) {
    throw new AshlarError(
      'not-found',
      `pool file '${device.path}' does not exist; make one with "ashlar pool create"`,
    );
  }
  if (missing) await createFile(native, runtime, device.path, config);
  const options = { device, writeThrough, readOnly: false, mapCacheBytes };
  return { handle: await native.poolOpen(runtime, options), created: missing };
}

/**
 * Makes a pool file under another name and renames it once it is whole, so that a crash in between
 * leaves no half-made pool where the next start looks for one.
 */
export async function createFile(
  native: NativeAddon,
  runtime: RuntimeHandle,
  path: string,
  config: NodeConfig['pool'],
): Promise<void> {
  const draft = `${path}.creating`;
  const device: DeviceSpec = { kind: 'file', path: draft };
  let handle: PoolHandle;
  try {
    handle = await createOn(native, runtime, device, config);
  } catch (thrown) {
    // A draft that was never renamed, whole or not; one that is being made would be locked.
    const { code } = toAshlarError(thrown);
    if (code !== 'pool-exists' && code !== 'already-exists') throw thrown;
    await rm(draft, { force: true });
    handle = await createOn(native, runtime, device, config);
  }
  try {
    await native.poolClose(handle);
    await rename(draft, path);
    await syncFolder(dirname(path));
  } catch (thrown) {
    await rm(draft, { force: true });
    throw thrown;
  }
}

function createOn(
  native: NativeAddon,
  runtime: RuntimeHandle,
  device: DeviceSpec,
  config: NodeConfig['pool'],
): Promise<PoolHandle> {
  return native.poolCreate(runtime, {
    device,
    sizeBytes: config.create?.sizeBytes ?? null,
    uuid: randomUuidBytes(),
    journalBytes: config.create?.journalBytes ?? null,
    writeThrough: config.writeThrough,
  });
}

export async function isMissing(path: string): Promise<boolean> {
  try {
    await stat(path);
    return false;
  } catch (thrown) {
    const error = toAshlarError(thrown);
    if (error.code === 'not-found') return true;
    throw error;
  }
}

/** The new name is durable once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
