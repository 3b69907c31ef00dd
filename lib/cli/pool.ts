/** `ashlar pool …`: the daemon's pool, or a pool that no daemon holds. */
import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ApiClient } from '../api/client.js';
import type { Pool, PoolCheck } from '../api/contract.js';
import { poolCheckObject, poolObject } from '../api/handlers/pool_objects.js';
import { maxPoolBytes, minPoolBytes } from '../config/config.js';
import { formatSize, formatSizeShort, parseSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import type { DeviceSpec } from '../native.js';
import { refuseForeignData } from '../node/foreign_data.js';
import { type DaemonOptions, withDaemon } from './daemon.js';
import { deviceLines } from './device.js';
import type { ListOptions } from './filters.js';
import { followJob } from './job_follow.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { Progress } from './progress.js';
import { type Column, pairs, table } from './table.js';
import { plural, printJson, printLines } from './terminal.js';

interface JsonOption {
  json?: boolean;
}

export async function createPool(
  path: string,
  options: JsonOption & { size?: string },
): Promise<void> {
  const sizeBytes = await newPoolSize(path, options.size);
  const offline = await import('../node/pool_file.js');
  const device = fileDevice(path);
  const status = await offline.createPool(device, sizeBytes);
  const pool = poolObject(status, device, null);
  if (options.json === true) return printJson(pool);
  printLines([
    `Created pool ${path}: ${formatSize(BigInt(pool.sizeBytes))}, ${size(pool.freeBytes)} free.`,
    `Serve it: ashlar serve --pool ${path}`,
  ]);
}

/** The size of a pool to create; null: the device's own. */
async function newPoolSize(path: string, size: string | undefined): Promise<bigint | null> {
  const stats = await stat(path).catch(() => null);
  if (stats?.isDirectory() === true) {
    throw new AshlarError(
      'invalid-argument',
      `'${path}' is a folder; name a new file or a block device`,
    );
  }
  if (stats === null && size === undefined) {
    throw new AshlarError(
      'usage',
      `'${path}' does not exist; to make a file give its size, for example --size 64GiB`,
    );
  }
  if (stats !== null) await refuseForeignData(path);
  if (size === undefined) return null;
  const bytes = parseSize(size, '--size');
  if (bytes < minPoolBytes || bytes > maxPoolBytes) {
    throw new AshlarError('invalid-argument', `--size '${size}' is outside 16MiB to 256TiB`);
  }
  return bytes;
}

export async function openPool(path: string, options: JsonOption): Promise<void> {
  const offline = await import('../node/pool_file.js');
  const device = fileDevice(path);
  const status = await offline.recoverPool(device);
  const pool = poolObject(status, device, null);
  if (options.json === true) return printJson(pool);
  const replayed =
    pool.replayedRecords === 0
      ? 'nothing to recover'
      : `recovered, ${plural(pool.replayedRecords, 'record')} replayed`;
  printLines([`Pool ${path} opens: ${replayed}; checkpointed and closed.`]);
}

export async function showPool(path: string | undefined, options: LookOptions): Promise<void> {
  const read =
    path === undefined
      ? daemonPool
      : (): Promise<Pool> =>
          offlineOrDaemon(
            path,
            options,
            async (device) => {
              const offline = await import('../node/pool_file.js');
              return poolObject(await offline.inspectPool(device), device, null);
            },
            async (_client, held) => held,
          );
  refuseFailed(await look(options, { read, lines: poolLines }));
}

/** `ashlar pool show`: one of the daemon's, by name or UUID. */
export async function showNamedPool(pool: string, options: LookOptions): Promise<void> {
  const read = (client: ApiClient): Promise<Pool> => client.call('getPool', { params: { pool } });
  refuseFailed(await look(options, { read, lines: poolLines }));
}

function refuseFailed(pool: Pool | null): void {
  if (pool?.state !== 'failed') return;
  throw new AshlarError('pool-failed', pool.problem ?? 'the pool has failed');
}

const poolColumns: readonly Column<Pool>[] = [
  { title: 'name', value: ({ name }) => name, flexible: true },
  { title: 'state', value: ({ state }) => state },
  { title: 'size', value: ({ sizeBytes }) => size(sizeBytes), align: 'right' },
  { title: 'free', value: ({ freeBytes }) => size(freeBytes), align: 'right' },
  { title: 'devices', value: ({ devices }) => String(devices.length), align: 'right' },
  { title: 'UUID', value: ({ uuid }) => uuid },
];

export function listPools(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listPools', options, {
    lines: (pools, width) => table(pools, poolColumns, width),
    none: 'The daemon has no pool.',
  });
}

export async function checkPool(path: string | undefined, options: DaemonOptions): Promise<void> {
  const quiet = options.json === true;
  const check =
    path === undefined
      ? await withDaemon(options, async (client) =>
          checkThrough(client, await daemonPool(client), quiet),
        )
      : await offlineOrDaemon(
          path,
          options,
          async (device) => {
            const offline = await import('../node/pool_file.js');
            const progress = new Progress({ title: 'check', totalBytes: null, quiet });
            try {
              const told = (done: number, total: number): void => progress.update(done, 0, total);
              return poolCheckObject(await offline.checkPool(device, told));
            } finally {
              progress.end();
            }
          },
          (client, pool) => checkThrough(client, pool, quiet),
        );
  const name = path ?? 'the pool';
  if (options.json === true) printJson(check);
  else printLines(checkLines(check, name));
  if (!check.clean) {
    const problems = plural(check.problems.length + check.suppressed, 'problem');
    throw new AshlarError(
      'pool-corrupt',
      `${name} is damaged: ${problems}; stop writing to it and restore what is concerned`,
    );
  }
}

/** As a job, so that it shows how far it is, and goes on when nobody waits any more. */
async function checkThrough(client: ApiClient, pool: Pool, quiet: boolean): Promise<PoolCheck> {
  const { id } = await client.call('startPoolCheck', { params: { pool: pool.uuid } });
  const { error, result } = await followJob(client, id, { quiet });
  if (error !== null) throw new AshlarError(error.code, error.message);
  if (result !== null && 'pagesRead' in result) return result;
  throw new AshlarError('protocol-error', `job ${id} ended without the outcome of a check`);
}

async function daemonPool(client: ApiClient): Promise<Pool> {
  const [pool] = await client.list('listPools');
  if (pool !== undefined) return pool;
  throw new AshlarError('not-found', `the daemon at '${client.socket}' has no pool`);
}

/** Works on a pool file; when the daemon at the control socket holds it, through the daemon. */
async function offlineOrDaemon<T>(
  path: string,
  options: DaemonOptions,
  offline: (device: DeviceSpec) => Promise<T>,
  through: (client: ApiClient, pool: Pool) => Promise<T>,
): Promise<T> {
  try {
    return await offline(fileDevice(path));
  } catch (thrown) {
    if (!(thrown instanceof AshlarError) || thrown.code !== 'pool-locked') throw thrown;
    return withDaemon(options, async (client) => {
      const pool = await heldPool(client, path);
      if (pool === null) throw thrown;
      return through(client, pool);
    });
  }
}

/** The daemon's pool on this very file; null: it has none, or there is no daemon. */
async function heldPool(client: ApiClient, path: string): Promise<Pool | null> {
  let pools: Pool[];
  try {
    pools = await client.list('listPools');
  } catch (thrown) {
    if (thrown instanceof AshlarError && thrown.code === 'daemon-not-running') return null;
    throw thrown;
  }
  const file = await realpath(path);
  for (const pool of pools) {
    if (pool.device.path !== null && (await realpath(pool.device.path)) === file) return pool;
  }
  return null;
}

function fileDevice(path: string): DeviceSpec & { kind: 'file' } {
  return { kind: 'file', path: resolve(path) };
}

function size(bytes: number): string {
  return formatSizeShort(BigInt(bytes));
}

function poolLines(pool: Pool): string[] {
  const share = (bytes: number): string =>
    `${size(bytes)} (${((100 * bytes) / pool.sizeBytes).toFixed(1)} %)`;
  const entries: [string, string][] = [
    ['Pool', pool.device.path ?? 'in memory'],
    ['State', pool.problem === null ? pool.state : `${pool.state}: ${pool.problem}`],
    ['UUID', pool.uuid],
    ['Size', formatSize(BigInt(pool.sizeBytes))],
    ['Used', share(pool.sizeBytes - pool.freeBytes)],
    ['Free', share(pool.freeBytes)],
    ['Data', share(pool.dataBytes)],
    ['Metadata', share(pool.metadataBytes)],
  ];
  if (pool.reservedBytes > 0) {
    entries.push(
      ['Reserved', `${share(pool.reservedBytes)} of the free, for reserved volumes`],
      ['Available', `${share(pool.availableBytes)} to all others`],
    );
  }
  if (pool.reclaimingBytes > 0) {
    const layers = plural(pool.reclaimingLayers, 'deleted layer');
    entries.push(['Reclaiming', `${share(pool.reclaimingBytes)} of ${layers}`]);
  }
  if (pool.provisionedBytes !== null) entries.push(['Provisioned', share(pool.provisionedBytes)]);
  const hidden =
    pool.hiddenLayers === 0 ? '' : `, ${pool.hiddenLayers} of deleted ones under clones`;
  entries.push(
    ['Layers', `${pool.layers}${hidden}`],
    ['Journal', `${size(pool.journalUsedBytes)} of ${size(pool.journalBytes)} to replay`],
    ['Last open', `${plural(pool.replayedRecords, 'record')} replayed`],
    ['Format', `version ${pool.formatVersion}`],
  );
  const single = pool.devices.length <= 1 && pool.state !== 'degraded';
  return [...pairs(entries), ...(single ? [] : ['', ...deviceLines(pool.devices, null)])];
}

function checkLines(check: PoolCheck, name: string): string[] {
  const walked =
    `${plural(check.pagesRead, 'page')}, ${plural(check.layers, 'layer')}, ` +
    `${plural(check.chunksOwned, 'chunk')}, ${plural(check.catalogRecords, 'catalog record')}`;
  if (check.clean) return [`Clean: ${name} (${walked}).`];
  const lines = check.problems.map(({ where, what }) => `  ${where}: ${what}`);
  if (check.suppressed > 0) lines.push(`  and ${check.suppressed} more`);
  return [`Problems of ${name} (${walked}):`, ...lines];
}
