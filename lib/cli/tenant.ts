/** `ashlar tenant …`: who owns volumes, and how much of them. */
import type { Tenant } from '../api/contract.js';
import { formatSizeShort, parseSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { type DaemonOptions, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { localTime, printJson, printLines } from './terminal.js';

export interface QuotaOptions extends DaemonOptions {
  capacity?: string;
  volumes?: string;
  snapshots?: string;
  iops?: string;
  rate?: string;
  policy?: string;
}

/** What was given of a policy; null: none. */
function policyOf({ policy }: QuotaOptions): { policy?: string | null } {
  return policy === undefined ? {} : { policy: policy === 'none' ? null : policy };
}

/** What was given of a quota; null: no limit. */
function quotaOf(options: QuotaOptions) {
  const part = (name: string, text: string | undefined, read: (text: string) => number) =>
    text === undefined ? {} : { [name]: text === 'none' ? null : read(text) };
  const bytes = (flag: string) => (text: string) => Number(parseSize(text, flag));
  return {
    ...part('capacityBytes', options.capacity, bytes('--capacity')),
    ...part('volumes', options.volumes, wholeCount),
    ...part('snapshots', options.snapshots, wholeCount),
    ...part('iops', options.iops, wholeCount),
    ...part('bytesPerSecond', options.rate, bytes('--rate')),
  };
}

function wholeCount(text: string): number {
  if (/^[1-9]\d{0,11}$/.test(text)) return Number(text);
  throw new AshlarError('usage', `'${text}' is not a whole number of at least 1, nor 'none'`);
}

export async function createTenant(
  name: string,
  options: QuotaOptions & { ifMissing?: boolean },
): Promise<void> {
  const quota = quotaOf(options);
  const tenant = await withDaemon(options, (client) =>
    client.call('createTenant', {
      query: options.ifMissing === true ? { repeatable: 'true' } : {},
      body: {
        name,
        ...policyOf(options),
        ...(Object.keys(quota).length === 0 ? {} : { quota }),
      },
    }),
  );
  if (options.json === true) return printJson(tenant);
  printLines([`Created tenant '${tenant.name}', subsystem ${tenant.subnqn}.`]);
}

export async function setTenant(
  tenant: string,
  options: QuotaOptions & { name?: string },
): Promise<void> {
  const quota = quotaOf(options);
  const { name } = options;
  const changed = await withDaemon(options, (client) =>
    client.call('changeTenant', {
      params: { tenant },
      body: {
        ...(name === undefined ? {} : { name }),
        ...policyOf(options),
        ...(Object.keys(quota).length === 0 ? {} : { quota }),
      },
    }),
  );
  if (options.json === true) return printJson(changed);
  printLines([`Tenant '${changed.name}' is set.`]);
}

const of = (used: string, most: string | null): string => `${used} of ${most ?? 'any'}`;
const size = (bytes: number): string => formatSizeShort(BigInt(bytes));
const limit = (number: number | null): string | null => (number === null ? null : String(number));

const columns: readonly Column<Tenant>[] = [
  { title: 'name', value: ({ name }) => name, flexible: true },
  {
    title: 'used',
    value: ({ provisionedBytes, quota: { capacityBytes: most } }) =>
      of(size(provisionedBytes), most === null ? null : size(most)),
  },
  { title: 'volumes', value: ({ volumes, quota }) => of(String(volumes), limit(quota.volumes)) },
  {
    title: 'snapshots',
    value: ({ snapshots, quota }) => of(String(snapshots), limit(quota.snapshots)),
  },
  { title: 'hosts', value: ({ hosts }) => String(hosts), align: 'right' },
  { title: 'subsystem', value: ({ subnqn }) => subnqn, flexible: true },
];

export function listTenants(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listTenants', options, {
    lines: (tenants, width) => table(tenants, columns, width),
    none: 'No tenants. Add one: ashlar tenant create NAME',
  });
}

export async function showTenant(tenant: string, options: LookOptions): Promise<void> {
  await look(options, {
    read: (client) => client.call('getTenant', { params: { tenant } }),
    lines: tenantLines,
  });
}

function tenantLines(tenant: Tenant): string[] {
  const { quota } = tenant;
  const most = quota.capacityBytes === null ? null : size(quota.capacityBytes);
  const rate = quota.bytesPerSecond === null ? null : `${size(quota.bytesPerSecond)}/s`;
  const together = (text: string | null): string =>
    text === null ? 'any' : `${text}, of all volumes together`;
  return pairs([
    ['Name', tenant.name],
    ['Volumes', of(String(tenant.volumes), limit(quota.volumes))],
    ['Capacity', `${of(size(tenant.provisionedBytes), most)}, by the sizes of its volumes`],
    ['Snapshots', of(String(tenant.snapshots), limit(quota.snapshots))],
    ['Hosts', String(tenant.hosts)],
    ['Reads, writes/s', together(limit(quota.iops))],
    ['Bytes/s', together(rate)],
    ['Policy', tenant.policy ?? 'none'],
    ['Subsystem', tenant.subnqn],
    ['UUID', tenant.uuid],
    ['Created', localTime(tenant.createdAt)],
  ]);
}

export async function deleteTenant(
  tenant: string,
  options: DaemonOptions & { ifExists?: boolean },
): Promise<void> {
  const query = options.ifExists === true ? { repeatable: 'true' as const } : {};
  await withDaemon(options, (client) => client.call('deleteTenant', { params: { tenant }, query }));
  if (options.json === true) return printJson({ deleted: tenant });
  printLines([`Deleted tenant '${tenant}'.`]);
}
