/** `ashlar snapshot …`, and `ashlar volume clone`. */
import type { Snapshot } from '../api/contract.js';
import { formatSize, formatSizeShort } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { confirm, localTime, plural, printJson, printLines } from './terminal.js';
import { apiSize } from './volume.js';

interface Repeatable {
  ifMissing?: boolean;
}

export async function createSnapshots(
  references: readonly string[],
  options: TenantOptions & Repeatable & { uuid?: string[]; groupUuid?: string },
): Promise<void> {
  const { volumes, name } = oneInstant(references);
  const { uuid: uuids, groupUuid } = options;
  const { items } = await withDaemon(options, (client) =>
    client.call('createSnapshots', {
      query: {
        ...tenantQuery(options),
        ...(options.ifMissing === true ? { repeatable: 'true' } : {}),
      },
      body: {
        volumes,
        name,
        ...(uuids === undefined ? {} : { uuids }),
        ...(groupUuid === undefined ? {} : { groupUuid }),
      },
    }),
  );
  if (options.json === true) return printJson(items);
  const names = items.map(({ reference }) => `'${reference}'`).join(', ');
  const [first] = items;
  if (items.length === 1 && first !== undefined) {
    const size = formatSizeShort(BigInt(first.mappedBytes));
    return printLines([`Created snapshot ${names}: ${size} of data.`]);
  }
  printLines([`Created ${plural(items.length, 'snapshot')} of one instant: ${names}.`]);
}

/** `a@mon b@mon`: volumes, and the name that all their snapshots get. */
function oneInstant(references: readonly string[]): { volumes: string[]; name: string } {
  const parts = references.map(partsOf);
  const [first] = parts;
  if (first === undefined) throw new AshlarError('usage', 'name a snapshot: VOLUME@NAME');
  const other = parts.find(({ name }) => name !== first.name);
  if (other !== undefined) {
    throw new AshlarError(
      'usage',
      `snapshots of one instant have one name, not '${first.name}' and '${other.name}'; to take ` +
        'them one after the other, call this for each',
    );
  }
  return { volumes: parts.map(({ volume }) => volume), name: first.name };
}

function partsOf(reference: string): { volume: string; name: string } {
  const at = reference.indexOf('@');
  const [volume, name] = [reference.slice(0, at), reference.slice(at + 1)];
  if (at > 0 && name !== '') return { volume, name };
  throw new AshlarError('usage', `'${reference}' is not VOLUME@NAME, e.g. web@monday`);
}

const columns: readonly Column<Snapshot>[] = [
  { title: 'snapshot', value: ({ reference }) => reference, flexible: true },
  { title: 'size', value: ({ sizeBytes }) => formatSizeShort(BigInt(sizeBytes)), align: 'right' },
  {
    title: 'written',
    value: ({ mappedBytes }) => formatSizeShort(BigInt(mappedBytes)),
    align: 'right',
  },
  {
    title: 'frees',
    value: ({ freesBytes }) => formatSizeShort(BigInt(freesBytes)),
    align: 'right',
  },
  { title: 'conns', value: ({ connections }) => String(connections), align: 'right' },
  { title: 'taken', value: ({ createdAt }) => localTime(createdAt) },
  { title: 'volume', value: ({ volumeUuid }) => (volumeUuid === null ? 'deleted' : 'there') },
];
const tenantColumn: Column<Snapshot> = {
  title: 'tenant',
  value: ({ tenant }) => tenant,
  flexible: true,
};

export function listSnapshots(
  volume: string | undefined,
  options: LookOptions & ListOptions,
): Promise<void> {
  const named = volume === undefined ? options : { ...options, volume };
  return lookAtList('listSnapshots', named, {
    lines: (items, width) => {
      const tenants = new Set(items.map(({ tenant }) => tenant));
      return table(items, tenants.size > 1 ? [tenantColumn, ...columns] : columns, width);
    },
    none: 'No snapshots. Take one: ashlar snapshot create VOLUME@NAME',
  });
}

export async function showSnapshot(
  reference: string,
  options: LookOptions & TenantOptions,
): Promise<void> {
  await look(options, {
    read: (client) =>
      client.call('getSnapshot', { params: { snapshot: reference }, query: tenantQuery(options) }),
    lines: snapshotLines,
  });
}

function snapshotLines(snapshot: Snapshot): string[] {
  const size = (bytes: number): string => formatSizeShort(BigInt(bytes));
  const { nsid, subnqn, groupUuid, volumeUuid } = snapshot;
  const entries: [string, string][] = [
    ['Snapshot', snapshot.reference],
    ['Tenant', snapshot.tenant],
    ['Volume', volumeUuid === null ? `${snapshot.volume} (deleted)` : snapshot.volume],
    ['Taken', localTime(snapshot.createdAt)],
    ['Size', `${formatSize(BigInt(snapshot.sizeBytes))} (${snapshot.sizeBytes} bytes)`],
    ['Block size', `${snapshot.blockBytes} bytes`],
    ['Written', size(snapshot.mappedBytes)],
    ['Pool space', `${size(snapshot.exclusiveBytes)} of its own`],
    ['Shared', `${size(snapshot.sharedBytes)} of the written with older snapshots`],
    ['Frees', `${size(snapshot.freesBytes)} when deleted now`],
    ['UUID', snapshot.uuid],
    ['NGUID', snapshot.nguid],
    ['Namespace', nsid === null ? 'none yet, it was never granted' : `${nsid} of ${subnqn}`],
  ];
  if (groupUuid !== null) entries.push(['Group', `${groupUuid} (of one instant)`]);
  entries.push(
    ['Connections', String(snapshot.connections)],
    ['Hosts', snapshot.grants.length === 0 ? 'none may read it' : ''],
  );
  return [
    ...pairs(entries),
    ...snapshot.grants.map(
      ({ host, createdAt }) =>
        `  ${host === '*' ? '* (any host)' : host}, read-only, since ${localTime(createdAt)}`,
    ),
  ];
}

export async function rollbackSnapshot(
  reference: string,
  options: TenantOptions & { yes?: boolean; force?: boolean },
): Promise<void> {
  const volume = await withDaemon(options, async (client) => {
    const params = { snapshot: reference };
    if (options.yes !== true) {
      const snapshot = await client.call('getSnapshot', { params, query: tenantQuery(options) });
      await confirm(
        `Roll volume '${snapshot.volume}' back to '${snapshot.name}' of ` +
          `${localTime(snapshot.createdAt)}, and lose what was written since?`,
      );
    }
    return client.call('rollbackSnapshot', {
      params,
      query: { ...tenantQuery(options), ...(options.force === true ? { force: 'true' } : {}) },
    });
  });
  if (options.json === true) return printJson(volume);
  const under =
    volume.connections === 0
      ? []
      : ['Hosts were connected: they may still hold in memory what was there before.'];
  printLines([`Volume '${volume.name}' is back at '${reference}'.`, ...under]);
}

export async function deleteSnapshot(
  reference: string,
  options: TenantOptions & { yes?: boolean; ifExists?: boolean; force?: boolean },
): Promise<void> {
  const params = { snapshot: reference };
  await withDaemon(options, async (client) => {
    if (options.yes !== true) {
      const snapshot = await client.call('getSnapshot', { params, query: tenantQuery(options) });
      const frees = formatSizeShort(BigInt(snapshot.freesBytes));
      await confirm(`Delete snapshot '${snapshot.reference}', which frees ${frees}, for good?`);
    }
    await client.call('deleteSnapshot', {
      params,
      query: {
        ...tenantQuery(options),
        ...(options.ifExists === true ? { repeatable: 'true' } : {}),
        ...(options.force === true ? { force: 'true' } : {}),
      },
    });
  });
  if (options.json === true) return printJson({ deleted: reference });
  printLines([`Deleted snapshot '${reference}'.`]);
}

export interface CloneOptions extends TenantOptions, Repeatable {
  size?: string;
  host?: string[];
  reserved?: boolean;
  policy?: string;
  uuid?: string;
}

export async function cloneVolume(
  source: string,
  name: string,
  options: CloneOptions,
): Promise<void> {
  const sizeBytes = options.size === undefined ? null : apiSize(options.size);
  const volume = await withDaemon(options, (client) =>
    client.call('cloneVolume', {
      query: {
        ...tenantQuery(options),
        ...(options.ifMissing === true ? { repeatable: 'true' } : {}),
      },
      body: {
        source,
        name,
        ...(sizeBytes === null ? {} : { sizeBytes }),
        ...(options.host === undefined ? {} : { hosts: options.host }),
        ...(options.reserved === true ? { reserved: true } : {}),
        ...(options.policy === undefined ? {} : { policy: options.policy }),
        ...(options.uuid === undefined ? {} : { uuid: options.uuid }),
      },
    }),
  );
  if (options.json === true) return printJson(volume);
  const hosts = volume.grants.map(({ host }) => (host === '*' ? 'any host' : host));
  printLines([
    `Cloned '${source}' as volume '${volume.name}': ${formatSize(BigInt(volume.sizeBytes))}, ` +
      `namespace ${volume.nsid}.`,
    hosts.length === 0
      ? `No host may use it yet: ashlar grant add ${volume.name} HOSTNQN`
      : `Granted to ${hosts.join(', ')}.`,
  ]);
}
