/** What can be done with a pool that no daemon serves: create it, look at it, prove it. */
import { AshlarError } from '../errors.js';
import type {
  CatalogRecord,
  CheckReport,
  DeviceSpec,
  InspectHandle,
  NativeAddon,
  PoolHandle,
  PoolStatus,
  RepairReport,
  RuntimeHandle,
} from '../native.js';
import { randomUuidBytes } from '../volumes/uuid.js';
import { type CheckProgress, checkTold } from './check_progress.js';
import { dumpRows, inspecting, withRuntime } from './pool_dump.js';
import { withNames } from './pool_lost.js';
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

/**
 * Opens a pool read-only and proves every structure. One that is too damaged to be opened is walked
 * as it lies on the device. Errors as {@link inspectPool}, but for 'pool-corrupt' only where there
 * is no superblock to begin at.
 */
export async function checkPool(device: DeviceSpec, told?: CheckProgress): Promise<CheckReport> {
  return withRuntime(async (native, runtime) => {
    let pool: PoolHandle;
    try {
      pool = await openReadOnly(native, runtime, device);
    } catch (thrown) {
      const damaged = thrown instanceof AshlarError && thrown.code === 'pool-corrupt';
      if (!damaged || device.kind !== 'file') throw thrown;
      return checkUnopened(native, runtime, device.path, thrown.message);
    }
    return closing(native, pool, async () =>
      withNames(await checkTold(native, pool, told), () => native.poolCatalog(pool)),
    );
  });
}

async function checkUnopened(
  native: NativeAddon,
  runtime: RuntimeHandle,
  path: string,
  refusal: string,
): Promise<CheckReport> {
  return inspecting(native, runtime, { path, readOnly: true }, async (inspect) => {
    const { found } = await native.inspectRepair(inspect, { dryRun: true });
    const named = await withNames(found, () => dumpedCatalog(native, inspect));
    if (named.problems.length > 0) return named;
    // The image is sound, what has to be replayed onto it is not.
    const problem = { where: 'opening it', what: refusal, repairable: false, lost: null };
    return { ...named, problems: [problem] };
  });
}

/**
 * Mends a pool that nobody has open, or with `dryRun` tells what would be mended, and proves it
 * again: by a walk over the device, and by opening it. Nothing is changed when anything is damaged
 * that cannot be mended.
 *
 * @throws AshlarError as {@link inspectPool}, and io-error.
 */
export async function repairPool(path: string, dryRun: boolean): Promise<RepairReport> {
  return withRuntime(async (native, runtime) => {
    const options = { path, readOnly: dryRun };
    const report = await inspecting(native, runtime, options, async (inspect) => {
      const repaired = await native.inspectRepair(inspect, { dryRun });
      const records = (): Promise<CatalogRecord[]> => dumpedCatalog(native, inspect);
      return { ...repaired, found: await withNames(repaired.found, records) };
    });
    if (!report.changed) return report;
    const pool = await openReadOnly(native, runtime, { kind: 'file', path });
    return closing(native, pool, async () => ({
      ...report,
      checked: await native.poolCheck(pool),
    }));
  });
}

/** Catalog records as far as their pages can be believed. */
async function dumpedCatalog(
  native: NativeAddon,
  inspect: InspectHandle,
): Promise<CatalogRecord[]> {
  const records: CatalogRecord[] = [];
  for await (const { key, value } of dumpRows(native, inspect, 'catalog', null)) {
    if (typeof key === 'bigint' && value instanceof Uint8Array) records.push({ key, value });
  }
  return records;
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
