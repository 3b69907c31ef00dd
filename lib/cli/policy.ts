/** `ashlar policy …`: how much hosts may do a second, under a name. */
import type { Policy } from '../api/contract.js';
import { formatSizeShort, parseDurationMs, parseSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { type DaemonOptions, type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { confirm, localTime, plural, printJson, printLines } from './terminal.js';

export interface PolicyOptions extends DaemonOptions {
  readIops?: string;
  writeIops?: string;
  iops?: string;
  readRate?: string;
  writeRate?: string;
  rate?: string;
  burst?: string;
  weight?: string;
  offered?: boolean;
}

const thousands: Record<string, number> = { '': 1, k: 1e3, M: 1e6 };

/** `5000`, `5k`, `1.5M`, or `none`. */
function commands(text: string, flag: string): number | null {
  if (text === 'none') return null;
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)([kM]?)$/.exec(text) ?? [];
  const value = Number(number) * (thousands[unit] ?? Number.NaN);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new AshlarError('usage', `${flag} '${text}' is not a number such as 500, 5k or 'none'`);
}

/** `100MiB`, `100MiB/s`, or `none`. */
function bytes(text: string, flag: string): number | null {
  return text === 'none' ? null : Number(parseSize(text.replace(/\/s$/, ''), flag));
}

/** `300%/30s`, or `none`. */
function burst(text: string): { burstPercent: number; burstSeconds: number } {
  if (text === 'none') return { burstPercent: 100, burstSeconds: 0 };
  const [, percent, duration] = /^(\d{3,5})%\/(.+)$/.exec(text) ?? [];
  if (percent === undefined || duration === undefined) {
    throw new AshlarError(
      'usage',
      `--burst '${text}' is not of the form PERCENT%/DURATION, such as 300%/30s, nor 'none'`,
    );
  }
  const seconds = parseDurationMs(duration, '--burst') / 1000;
  return { burstPercent: Number(percent), burstSeconds: Math.round(seconds) };
}

function weight(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new AshlarError('usage', `--weight '${text}' is not a whole number from 1 to 10000`);
}

function settingsOf(options: PolicyOptions) {
  const part = <T>(name: string, text: string | undefined, read: (text: string) => T) =>
    text === undefined ? {} : { [name]: read(text) };
  return {
    ...part('readIops', options.readIops, (text) => commands(text, '--read-iops')),
    ...part('writeIops', options.writeIops, (text) => commands(text, '--write-iops')),
    ...part('iops', options.iops, (text) => commands(text, '--iops')),
    ...part('readBytesPerSecond', options.readRate, (text) => bytes(text, '--read-rate')),
    ...part('writeBytesPerSecond', options.writeRate, (text) => bytes(text, '--write-rate')),
    ...part('bytesPerSecond', options.rate, (text) => bytes(text, '--rate')),
    ...(options.burst === undefined ? {} : burst(options.burst)),
    ...part('weight', options.weight, weight),
    ...(options.offered === undefined ? {} : { offered: options.offered }),
  };
}

export async function createPolicy(
  name: string,
  options: PolicyOptions & { ifMissing?: boolean },
): Promise<void> {
  const policy = await withDaemon(options, (client) =>
    client.call('createPolicy', {
      query: options.ifMissing === true ? { repeatable: 'true' } : {},
      body: { name, ...settingsOf(options) },
    }),
  );
  if (options.json === true) return printJson(policy);
  printLines([
    `Created policy '${policy.name}': ${limitsText(policy)}.`,
    `Give it to a volume: ashlar volume limit VOLUME --policy ${policy.name}`,
  ]);
}

export async function setPolicy(
  name: string,
  options: PolicyOptions & { name?: string },
): Promise<void> {
  const policy = await withDaemon(options, (client) =>
    client.call('changePolicy', {
      params: { policy: name },
      body: {
        ...settingsOf(options),
        ...(options.name === undefined ? {} : { name: options.name }),
      },
    }),
  );
  if (options.json === true) return printJson(policy);
  printLines([`Policy '${policy.name}' is now ${limitsText(policy)}, for ${usersText(policy)}.`]);
}

const rateText = (rate: number | null): string =>
  rate === null ? '-' : `${formatSizeShort(BigInt(rate))}/s`;
const iopsText = (rate: number | null): string => (rate === null ? '-' : String(rate));

function burstText({ burstPercent, burstSeconds }: Policy): string {
  return burstPercent === 100 || burstSeconds === 0 ? '-' : `${burstPercent}%/${burstSeconds}s`;
}

function usersText({ volumes, tenants }: Policy): string {
  const users = [];
  if (tenants > 0) users.push(plural(tenants, 'tenant'));
  if (volumes > 0 || tenants === 0) users.push(plural(volumes, 'volume'));
  return users.join(' and ');
}

/** One line of what it limits. */
function limitsText(policy: Policy): string {
  const parts: string[] = [];
  const add = (what: string, rate: string): void => {
    if (rate !== '-') parts.push(`${rate} ${what}`);
  };
  add('reads/s', iopsText(policy.readIops));
  add('writes/s', iopsText(policy.writeIops));
  add('reads and writes/s', iopsText(policy.iops));
  add('read', rateText(policy.readBytesPerSecond));
  add('written', rateText(policy.writeBytesPerSecond));
  add('read and written', rateText(policy.bytesPerSecond));
  if (parts.length === 0) parts.push('no limit');
  if (burstText(policy) !== '-') parts.push(`bursts of ${burstText(policy)}`);
  parts.push(`weight ${policy.weight}`);
  return parts.join(', ');
}

const columns: readonly Column<Policy>[] = [
  { title: 'name', value: ({ name }) => name, flexible: true },
  { title: 'reads/s', value: ({ readIops }) => iopsText(readIops), align: 'right' },
  { title: 'writes/s', value: ({ writeIops }) => iopsText(writeIops), align: 'right' },
  { title: 'both/s', value: ({ iops }) => iopsText(iops), align: 'right' },
  { title: 'read', value: (policy) => rateText(policy.readBytesPerSecond), align: 'right' },
  { title: 'write', value: (policy) => rateText(policy.writeBytesPerSecond), align: 'right' },
  { title: 'both', value: (policy) => rateText(policy.bytesPerSecond), align: 'right' },
  { title: 'burst', value: burstText, align: 'right' },
  { title: 'weight', value: (policy) => String(policy.weight), align: 'right' },
  { title: 'used by', value: usersText },
];

export function listPolicies(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listPolicies', options, {
    lines: (policies, width) => table(policies, columns, width),
    none: 'No policies. Create one: ashlar policy create gold --iops 20k',
  });
}

export async function showPolicy(name: string, options: LookOptions): Promise<void> {
  await look(options, {
    read: (client) => client.call('getPolicy', { params: { policy: name } }),
    lines: (policy) =>
      pairs([
        ['Name', policy.name],
        ['Limits', limitsText(policy)],
        ['Offered', policy.offered ? 'to the admins of tenants' : 'by admins of the node alone'],
        ['Used by', usersText(policy)],
        ['Created', localTime(policy.createdAt)],
      ]),
  });
}

export async function deletePolicy(
  policy: string,
  options: DaemonOptions & { yes?: boolean; ifExists?: boolean },
): Promise<void> {
  const query = options.ifExists === true ? { repeatable: 'true' as const } : {};
  if (options.yes !== true) await confirm(`Delete policy '${policy}'?`);
  await withDaemon(options, (client) => client.call('deletePolicy', { params: { policy }, query }));
  if (options.json === true) return printJson({ deleted: policy });
  printLines([`Deleted policy '${policy}'.`]);
}

/** `ashlar volume limit`: which policy a volume has. */
export async function limitVolume(
  name: string,
  options: TenantOptions & { policy?: string },
): Promise<void> {
  if (options.policy === undefined) {
    throw new AshlarError('usage', "which policy? give --policy NAME, or 'none'");
  }
  const policy = options.policy === 'none' ? null : options.policy;
  const volume = await withDaemon(options, (client) =>
    client.call('changeVolume', {
      params: { volume: name },
      query: tenantQuery(options),
      body: { policy },
    }),
  );
  if (options.json === true) return printJson(volume);
  printLines([
    volume.policy === null
      ? `Volume '${volume.name}' has no limits of its own.`
      : `Volume '${volume.name}' has policy '${volume.policy}', from now on.`,
  ]);
}
