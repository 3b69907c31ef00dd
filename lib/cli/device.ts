/** `ashlar pool device …`: what the daemon's pool lies on. */
import { resolve } from 'node:path';
import type { ApiClient } from '../api/client.js';
import type { Device } from '../api/contract.js';
import { maxPoolBytes, minPoolBytes } from '../config/config.js';
import { formatSize, formatSizeShort, parseSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { type DaemonOptions, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { printJson, printLines } from './terminal.js';

export async function addDevice(
  path: string,
  options: DaemonOptions & { size?: string; ifMissing?: boolean },
): Promise<void> {
  const sizeBytes = options.size === undefined ? null : deviceSize(options.size);
  const device = await withDaemon(options, async (client) =>
    client.call('addDevice', {
      params: { pool: await onlyPool(client) },
      query: options.ifMissing === true ? { repeatable: 'true' } : {},
      body: { path: resolve(path), ...(sizeBytes === null ? {} : { sizeBytes }) },
    }),
  );
  if (options.json === true) return printJson(device);
  const size = formatSize(BigInt(device.sizeBytes));
  printLines([`Added device ${device.path ?? path}: ${size}, in use from now on.`]);
}

function deviceSize(text: string): number {
  const bytes = parseSize(text, '--size');
  if (bytes >= minPoolBytes && bytes <= maxPoolBytes) return Number(bytes);
  throw new AshlarError('invalid-argument', `--size '${text}' is outside 16MiB to 256TiB`);
}

export async function attachDevice(
  path: string,
  options: DaemonOptions & { ifMissing?: boolean },
): Promise<void> {
  const device = await withDaemon(options, async (client) =>
    client.call('attachDevice', {
      params: { pool: await onlyPool(client) },
      query: options.ifMissing === true ? { repeatable: 'true' } : {},
      body: { path: resolve(path) },
    }),
  );
  if (options.json === true) return printJson(device);
  printLines([`Device ${device.path ?? path} is back in the pool.`]);
}

export function listDevices(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listDevices', options, {
    lines: deviceLines,
    none: 'The pool has no devices.',
    params: async (client) => ({ pool: await onlyPool(client) }),
  });
}

export async function showDevice(device: string, options: LookOptions): Promise<void> {
  await look(options, {
    read: async (client) =>
      client.call('getDevice', { params: { pool: await onlyPool(client), device } }),
    lines: (found) =>
      pairs([
        ['Device', found.path ?? 'none'],
        ['State', found.state],
        ['Index', found.index === 0 ? '0, which holds all metadata' : String(found.index)],
        ['Size', formatSize(BigInt(found.sizeBytes))],
        ['Free', formatSizeShort(BigInt(found.freeBytes))],
        ['Errors', `${found.readErrors} of reads, ${found.writeErrors} of writes`],
        ['UUID', found.uuid],
      ]),
  });
}

const columns: readonly Column<Device>[] = [
  { title: 'index', value: ({ index }) => String(index), align: 'right' },
  { title: 'path', value: ({ path }) => path ?? 'none', flexible: true },
  { title: 'state', value: ({ state }) => state },
  { title: 'size', value: ({ sizeBytes }) => formatSizeShort(BigInt(sizeBytes)), align: 'right' },
  { title: 'free', value: ({ freeBytes }) => formatSizeShort(BigInt(freeBytes)), align: 'right' },
  {
    title: 'errors',
    value: ({ readErrors, writeErrors }) => `${readErrors} read, ${writeErrors} write`,
  },
  { title: 'UUID', value: ({ uuid }) => uuid },
];

export function deviceLines(devices: readonly Device[], width: number | null): string[] {
  return table(devices, columns, width);
}

async function onlyPool(client: ApiClient): Promise<string> {
  const [pool] = await client.list('listPools');
  if (pool !== undefined) return pool.uuid;
  throw new AshlarError('not-found', `the daemon at '${client.socket}' has no pool`);
}
