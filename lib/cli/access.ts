/** `ashlar host …` and `ashlar grant …`: who may use what. */
import type { Grant, Host } from '../api/contract.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import { type Column, table } from './table.js';
import { localTime, printJson, printLines, terminalWidth } from './terminal.js';

const hostColumns: readonly Column<Host>[] = [
  { title: 'host NQN', value: (host) => host.nqn },
  { title: 'tenant', value: (host) => host.tenant, flexible: true },
  { title: 'conns', value: (host) => String(host.connections), align: 'right' },
  { title: 'volumes', value: (host) => host.volumes.join(', ') || 'none', flexible: true },
];

export async function listHosts(options: TenantOptions): Promise<void> {
  const hosts = await withDaemon(options, (client) =>
    client.list('listHosts', tenantQuery(options)),
  );
  if (options.json === true) return printJson(hosts);
  if (hosts.length === 0) {
    return printLines(['No hosts. Let one use a volume: ashlar grant add VOLUME HOSTNQN']);
  }
  printLines(table(hosts, hostColumns, terminalWidth()));
}

export async function addHost(nqn: string, options: TenantOptions): Promise<void> {
  const host = await withDaemon(options, (client) =>
    client.call('createHost', { query: tenantQuery(options), body: { nqn } }),
  );
  if (options.json === true) return printJson(host);
  printLines([`Host '${host.nqn}' may connect; it sees the volumes it is granted.`]);
}

export async function removeHost(nqn: string, options: TenantOptions): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deleteHost', { params: { host: nqn }, query: tenantQuery(options) }),
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

export async function listGrants(options: TenantOptions): Promise<void> {
  const grants = await withDaemon(options, (client) =>
    client.list('listGrants', tenantQuery(options)),
  );
  if (options.json === true) return printJson(grants);
  if (grants.length === 0) {
    return printLines(['No grants. Let a host use a volume: ashlar grant add VOLUME HOSTNQN']);
  }
  printLines(table(grants, grantColumns, terminalWidth()));
}

export async function addGrant(
  volume: string,
  host: string,
  options: TenantOptions & { readOnly?: boolean },
): Promise<void> {
  // Of a snapshot there is only one access; the daemon knows which of the two is named.
  const access = options.readOnly === true ? { access: 'read-only' as const } : {};
  const grant = await withDaemon(options, (client) =>
    client.call('createGrant', { query: tenantQuery(options), body: { volume, host, ...access } }),
  );
  if (options.json === true) return printJson(grant);
  const who = grant.host === '*' ? 'Any host' : `Host '${grant.host}'`;
  const what = grant.snapshot === null ? 'use volume' : 'read snapshot';
  printLines([`${who} may ${what} '${grantedName(grant)}' (${grant.access}).`]);
}

export async function removeGrant(
  volume: string,
  host: string,
  options: TenantOptions,
): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deleteGrant', { params: { volume, host }, query: tenantQuery(options) }),
  );
  if (options.json === true) return printJson({ revoked: { volume, host } });
  const what = volume.includes('@') ? 'Snapshot' : 'Volume';
  printLines([`${what} '${volume}' is taken away from '${host}'.`]);
}
