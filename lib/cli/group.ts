/** `ashlar snapshot group …`: the snapshots of several volumes, taken at one instant. */
import type { Group } from '../api/contract.js';
import { formatSizeShort } from '../config/units.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { confirm, localTime, plural, printJson, printLines } from './terminal.js';

const size = ({ sizeBytes }: Group): string => formatSizeShort(BigInt(sizeBytes));

const columns: readonly Column<Group>[] = [
  { title: 'group', value: ({ uuid }) => uuid },
  { title: 'name', value: ({ name }) => name, flexible: true },
  { title: 'tenant', value: ({ tenant }) => tenant, flexible: true },
  { title: 'size', value: size, align: 'right' },
  { title: 'taken', value: ({ createdAt }) => localTime(createdAt) },
  { title: 'snapshots', value: ({ snapshots }) => snapshots.join(', '), flexible: true },
];

export function listGroups(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listGroups', options, {
    lines: (groups, width) => table(groups, columns, width),
    none: 'No groups. Take several at one instant: ashlar snapshot create A@NAME B@NAME',
  });
}

export async function showGroup(
  group: string,
  options: LookOptions & TenantOptions,
): Promise<void> {
  await look(options, {
    read: (client) => client.call('getGroup', { params: { group }, query: tenantQuery(options) }),
    lines: (found) => [
      ...pairs([
        ['Group', found.uuid],
        ['Name', found.name],
        ['Tenant', found.tenant],
        ['Taken', localTime(found.createdAt)],
        ['Size', size(found)],
        ['Snapshots', ''],
      ]),
      ...found.snapshots.map((reference) => `  ${reference}`),
    ],
  });
}

export async function deleteGroup(
  group: string,
  options: TenantOptions & { yes?: boolean; ifExists?: boolean; force?: boolean },
): Promise<void> {
  const params = { group };
  await withDaemon(options, async (client) => {
    if (options.yes !== true) {
      const found = await client.call('getGroup', { params, query: tenantQuery(options) });
      const all = plural(found.snapshots.length, 'snapshot');
      await confirm(`Delete the ${all} of group '${found.name}', for good?`);
    }
    await client.call('deleteGroup', {
      params,
      query: {
        ...tenantQuery(options),
        ...(options.ifExists === true ? { repeatable: 'true' } : {}),
        ...(options.force === true ? { force: 'true' } : {}),
      },
    });
  });
  if (options.json === true) return printJson({ deleted: group });
  printLines([`Deleted the snapshots of group ${group}.`]);
}
