/** `ashlar volume …` */
import type { Volume } from '../api/contract.js';
import { formatSize, formatSizeShort, parseSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { confirm, localTime, plural, printJson, printLines } from './terminal.js';

export interface CreateOptions extends TenantOptions {
  size?: string;
  blockSize?: string;
  host?: string[];
  reserved?: boolean;
  policy?: string;
  uuid?: string;
  ifMissing?: boolean;
}

export async function createVolume(name: string, options: CreateOptions): Promise<void> {
  const blockBytes = options.blockSize === undefined ? null : blockSize(options.blockSize);
  const sizeBytes = apiSize(options.size);
  await withDaemon(options, async (client) => {
    const volume = await client.call('createVolume', {
      query: {
        ...tenantQuery(options),
        ...(options.ifMissing === true ? { repeatable: 'true' } : {}),
      },
      body: {
        name,
        sizeBytes,
        ...(blockBytes === null ? {} : { blockBytes }),
        ...(options.host === undefined ? {} : { hosts: options.host }),
        ...(options.reserved === true ? { reserved: true } : {}),
        ...(options.policy === undefined ? {} : { policy: options.policy }),
        ...(options.uuid === undefined ? {} : { uuid: options.uuid }),
      },
    });
    if (options.json === true) return printJson(volume);
    const hosts = volume.grants.map(({ host }) => (host === '*' ? 'any host' : host));
    printLines([
      `Created volume '${volume.name}': ${formatSize(BigInt(volume.sizeBytes))}, ` +
        `${volume.blockBytes}-byte blocks, namespace ${volume.nsid}` +
        `${volume.reserved ? ', its room reserved' : ''}.`,
      hosts.length === 0
        ? `No host may use it yet: ashlar grant add ${volume.name} HOSTNQN`
        : `Granted to ${hosts.join(', ')}.`,
    ]);
  });
}

function blockSize(text: string): 512 | 4096 {
  const bytes = parseSize(text, '--block-size');
  if (bytes === 512n) return 512;
  if (bytes === 4096n) return 4096;
  throw new AshlarError('usage', `--block-size '${text}' is not one of 512 and 4096`);
}

/** A size as the API takes it; one beyond its integers is far beyond every limit. */
export function apiSize(text: string | undefined): number {
  if (text === undefined) {
    throw new AshlarError('usage', 'the size is missing; give for example --size 10GiB');
  }
  const bytes = parseSize(text, '--size');
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new AshlarError('limit-exceeded', `--size '${text}' is above the largest volume, 64TiB`);
  }
  return Number(bytes);
}

const columns: readonly Column<Volume>[] = [
  { title: 'name', value: (volume) => volume.name, flexible: true },
  {
    title: 'size',
    value: (volume) => formatSizeShort(BigInt(volume.sizeBytes)),
    align: 'right',
  },
  {
    title: 'written',
    value: (volume) => formatSizeShort(BigInt(volume.mappedBytes)),
    align: 'right',
  },
  {
    title: 'own',
    value: (volume) => formatSizeShort(BigInt(volume.exclusiveBytes)),
    align: 'right',
  },
  { title: 'snaps', value: (volume) => String(volume.snapshots), align: 'right' },
  { title: 'block', value: (volume) => String(volume.blockBytes), align: 'right' },
  { title: 'nsid', value: (volume) => String(volume.nsid), align: 'right' },
  { title: 'conns', value: (volume) => String(volume.connections), align: 'right' },
  { title: 'hosts', value: hostsOf, flexible: true },
];
const tenantColumn: Column<Volume> = {
  title: 'tenant',
  value: (volume) => volume.tenant,
  flexible: true,
};

function hostsOf(volume: Volume): string {
  if (volume.grants.length === 0) return 'none';
  return volume.grants
    .map(({ host, access }) => (access === 'read-only' ? `${nameOf(host)} (ro)` : nameOf(host)))
    .join(', ');
}

function nameOf(host: string): string {
  return host === '*' ? 'any' : host;
}

export function listVolumes(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listVolumes', options, {
    lines: (volumes, width) => {
      const tenants = new Set(volumes.map(({ tenant }) => tenant));
      return table(volumes, tenants.size > 1 ? [tenantColumn, ...columns] : columns, width);
    },
    none: 'No volumes. Create one: ashlar volume create NAME --size 10GiB',
  });
}

export async function showVolume(
  name: string,
  options: LookOptions & TenantOptions,
): Promise<void> {
  await look(options, {
    read: (client) =>
      client.call('getVolume', { params: { volume: name }, query: tenantQuery(options) }),
    lines: volumeLines,
  });
}

function volumeLines(volume: Volume): string[] {
  const size = (bytes: number): string => formatSizeShort(BigInt(bytes));
  const entries: [string, string][] = [
    ['Name', volume.name],
    ['Tenant', volume.tenant],
    ['Size', `${formatSize(BigInt(volume.sizeBytes))} (${volume.sizeBytes} bytes)`],
    ['Block size', `${volume.blockBytes} bytes`],
    ['Written', size(volume.mappedBytes)],
    ['Pool space', `${size(volume.exclusiveBytes)} of its own`],
  ];
  if (volume.sharedBytes > 0) {
    entries.push(['Shared', `${size(volume.sharedBytes)} of the written with snapshots or clones`]);
  }
  if (volume.reserved) entries.push(['Reserved', `${size(volume.reservedBytes)} more`]);
  if (volume.policy !== null) entries.push(['Policy', volume.policy]);
  if (volume.sourceUuid !== null) entries.push(['Cloned from', volume.sourceUuid]);
  entries.push(
    ['Snapshots', String(volume.snapshots)],
    ['UUID', volume.uuid],
    ['NGUID', volume.nguid],
    ['Namespace', `${volume.nsid} of ${volume.subnqn}`],
    ['ANA group', String(volume.anagrpid)],
    ['Created', localTime(volume.createdAt)],
    ['Connections', String(volume.connections)],
    ['Hosts', volume.grants.length === 0 ? 'none may use it' : ''],
  );
  return [
    ...pairs(entries),
    ...volume.grants.map(
      ({ host, access, createdAt }) =>
        `  ${host === '*' ? '* (any host)' : host}, ${access}, since ${localTime(createdAt)}`,
    ),
  ];
}

export async function resizeVolume(
  name: string,
  options: TenantOptions & { size?: string; shrink?: boolean },
): Promise<void> {
  const sizeBytes = apiSize(options.size);
  const volume = await withDaemon(options, (client) =>
    client.call('changeVolume', {
      params: { volume: name },
      query: tenantQuery(options),
      body: { sizeBytes, ...(options.shrink === true ? { shrink: true } : {}) },
    }),
  );
  if (options.json === true) return printJson(volume);
  printLines([
    `Volume '${volume.name}' is now ${formatSize(BigInt(volume.sizeBytes))}; ` +
      'connected hosts see the new size.',
  ]);
}

export async function reserveVolume(
  name: string,
  options: TenantOptions & { off?: boolean },
): Promise<void> {
  const volume = await withDaemon(options, (client) =>
    client.call('changeVolume', {
      params: { volume: name },
      query: tenantQuery(options),
      body: { reserved: options.off !== true },
    }),
  );
  if (options.json === true) return printJson(volume);
  const more = formatSizeShort(BigInt(volume.reservedBytes));
  printLines([
    volume.reserved
      ? `Volume '${volume.name}' has all its room: ${more} of the pool are kept for it.`
      : `Volume '${volume.name}' has no room reserved.`,
  ]);
}

export async function renameVolume(
  name: string,
  newName: string,
  options: TenantOptions,
): Promise<void> {
  const volume = await withDaemon(options, (client) =>
    client.call('changeVolume', {
      params: { volume: name },
      query: tenantQuery(options),
      body: { name: newName },
    }),
  );
  if (options.json === true) return printJson(volume);
  printLines([`Volume '${name}' is now '${volume.name}'.`]);
}

export async function deleteVolume(
  name: string,
  options: TenantOptions & { yes?: boolean; ifExists?: boolean; force?: boolean },
): Promise<void> {
  const force = options.force === true ? { force: 'true' as const } : {};
  const repeatable = options.ifExists === true ? { repeatable: 'true' as const } : {};
  await withDaemon(options, async (client) => {
    if (options.yes !== true) {
      const volume = await client.call('getVolume', {
        params: { volume: name },
        query: tenantQuery(options),
      });
      const data = formatSizeShort(BigInt(volume.mappedBytes));
      const use =
        volume.connections === 0 ? '' : `, in use by ${plural(volume.connections, 'connection')}`;
      await confirm(`Delete volume '${volume.name}' with ${data} of data${use}, for good?`);
    }
    await client.call('deleteVolume', {
      params: { volume: name },
      query: { ...tenantQuery(options), ...repeatable, ...force },
    });
  });
  if (options.json === true) return printJson({ deleted: name });
  printLines([`Deleted volume '${name}'.`]);
}
