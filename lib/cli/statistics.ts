/** `ashlar volume statistics` and `ashlar tenant statistics`: what hosts have done so far. */
import type { TenantStatistics, VolumeStatistics } from '../api/contract.js';
import { formatSizeShort } from '../config/units.js';
import { type TenantOptions, tenantQuery } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, table } from './table.js';

type Counters = Omit<TenantStatistics, 'uuid'>;

const size = (bytes: number): string => formatSizeShort(BigInt(bytes));

const counterColumns: readonly Column<Counters>[] = [
  { title: 'tenant', value: ({ tenant }) => tenant, flexible: true },
  { title: 'reads', value: ({ reads }) => String(reads), align: 'right' },
  { title: 'read', value: ({ readBytes }) => size(readBytes), align: 'right' },
  { title: 'writes', value: ({ writes }) => String(writes), align: 'right' },
  { title: 'written', value: ({ writtenBytes }) => size(writtenBytes), align: 'right' },
  { title: 'others', value: ({ others }) => String(others), align: 'right' },
  { title: 'flushes', value: ({ flushes }) => String(flushes), align: 'right' },
  { title: 'errors', value: ({ errors }) => String(errors), align: 'right' },
  { title: 'now', value: ({ underWay }) => String(underWay), align: 'right' },
  { title: 'limited', value: ({ limitedCommands }) => String(limitedCommands), align: 'right' },
];
const volumeColumns: readonly Column<VolumeStatistics>[] = [
  { title: 'volume', value: ({ volume }) => volume, flexible: true },
  ...counterColumns,
];

/** All volumes, or with a name the one. */
export async function volumeStatistics(
  volume: string | undefined,
  options: LookOptions & ListOptions & TenantOptions,
): Promise<void> {
  if (volume === undefined) {
    return lookAtList('listVolumeStatistics', options, {
      lines: (found, width) => table(found, volumeColumns, width),
      none: 'No volumes. Create one: ashlar volume create NAME --size 10GiB',
    });
  }
  await look(options, {
    read: (client) =>
      client.call('getVolumeStatistics', { params: { volume }, query: tenantQuery(options) }),
    lines: (found, width) => table([found], volumeColumns, width),
  });
}

export function tenantStatistics(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listTenantStatistics', options, {
    lines: (found, width) => table(found, counterColumns, width),
    none: 'No tenants. Add one: ashlar tenant create NAME',
  });
}
