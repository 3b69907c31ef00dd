/** `ashlar host …` and `ashlar grant …`: who may use what. */
import type { Grant, Host } from '../api/contract.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { localTime, printJson, printLines } from './terminal.js';

const hostColumns: readonly Column<Host>[] = [
  { title: 'host NQN', value: (host) => host.nqn },
  { title: 'tenant', value: (host) => host.tenant, flexible: true },
  { title: 'conns', value: (host) => String(host.connections), align: 'right' },
  { title: 'volumes', value: (host) => host.volumes.join(', ') || 'none', flexible: true },
];

export function listHosts(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listHosts', options, {
    lines: (hosts, width) => table(hosts, hostColumns, width),
    none: 'No hosts. Let one use a volume: ashlar grant add VOLUME HOSTNQN',
  });
}

export async function showHost(nqn: string, options: LookOptions & TenantOptions): Promise<void> {
  await look(options, {
    read: (client) =>
      client.call('getHost', { params: { host: nqn }, query: tenantQuery(options) }),
    lines: (host) =>
      pairs([
        ['Host NQN', host.nqn],
        ['Tenant', host.tenant],
        ['Volumes', host.volumes.join(', ') || 'none by its own name'],
        ['Connections', String(host.connections)],
        ['Added', localTime(host.createdAt)],
      ]),
  });
}

export async function addHost(
  nqn: string,
  options: TenantOptions & { ifMissing?: boolean },
): Promise<void> {
  const host = await withDaemon(options, (client) =>
    client.call('createHost', {
      query: { ...tenantQuery(options), ...(options.ifMissing === true ? again : {}) },
      body: { nqn },
    }),
  );
  if (options.json === true) return printJson(host);
  printLines([`Host '${host.nqn}' may connect; it sees the volumes it is granted.`]);
}

export async function removeHost(
  nqn: string,
  options: TenantOptions & { ifExists?: boolean },
): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deleteHost', {
      params: { host: nqn },
      query: { ...tenantQuery(options), ...(options.ifExists === true ? again : {}) },
    }),
  );
  if (options.json === true) return printJson({ removed: nqn });
  printLines([`Removed host '${nqn}' and its grants.`]);
}

const grantColumns: readonly Column<Grant>[] = [
  { title: 'volume', value: grantedName, flexible: true },
  { title: 'tenant', value: (grant) => grant.tenant, flexible: true },
  { title: 'host', value: (grant) => (grant.host === '*' ? '* (any)' : grant.host) },
  { title: 'access', value: (grant) => grant.access },
  { title: 'since', value: (grant) => localTime(grant.createdAt) },
];

function grantedName({ volume, snapshot }: Grant): string {
  return snapshot === null ? volume : `${volume}@${snapshot}`;
}

export function listGrants(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listGrants', options, {
    lines: (grants, width) => table(grants, grantColumns, width),
    none: 'No grants. Let a host use a volume: ashlar grant add VOLUME HOSTNQN',
  });
}

export async function showGrant(
  volume: string,
  host: string,
  options: LookOptions & TenantOptions,
): Promise<void> {
  await look(options, {
    read: (client) =>
      client.call('getGrant', { params: { volume, host }, query: tenantQuery(options) }),
    lines: (grant) =>
      pairs([
        [grant.snapshot === null ? 'Volume' : 'Snapshot', grantedName(grant)],
        ['Tenant', grant.tenant],
        ['Host', grant.host === '*' ? '* (any)' : grant.host],
        ['Access', grant.access],
        ['Since', localTime(grant.createdAt)],
      ]),
  });
}

export async function addGrant(
  volume: string,
  host: string,
  options: TenantOptions & { readOnly?: boolean; alone?: 'host' | 'writer'; ifMissing?: boolean },
): Promise<void> {
  // Of a snapshot there is only one access; the daemon knows which of the two is named.
  const access = options.readOnly === true ? { access: 'read-only' as const } : {};
  const alone = options.alone === undefined ? {} : { alone: options.alone };
  const grant = await withDaemon(options, (client) =>
    client.call('createGrant', {
      query: { ...tenantQuery(options), ...(options.ifMissing === true ? again : {}) },
      body: { volume, host, ...access, ...alone },
    }),
  );
  if (options.json === true) return printJson(grant);
  const who = grant.host === '*' ? 'Any host' : `Host '${grant.host}'`;
  const what = grant.snapshot === null ? 'use volume' : 'read snapshot';
  printLines([`${who} may ${what} '${grantedName(grant)}' (${grant.access}).`]);
}

export async function removeGrant(
  volume: string,
  host: string,
  options: TenantOptions & { ifExists?: boolean },
): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deleteGrant', {
      params: { volume, host },
      query: { ...tenantQuery(options), ...(options.ifExists === true ? again : {}) },
    }),
  );
  if (options.json === true) return printJson({ revoked: { volume, host } });
  const what = volume.includes('@') ? 'Snapshot' : 'Volume';
  printLines([`${what} '${volume}' is taken away from '${host}'.`]);
}

const again = { repeatable: 'true' } as const;
