/** What a daemon says of itself: all of it by operations that any viewer may call. */
import { text as textOf } from 'node:stream/consumers';
import type { ApiClient, ClientInput } from '../api/client.js';
import type { Output } from '../api/contract.js';
import { type OperationId, operations } from '../api/operations.js';
import { AshlarError, toAshlarError } from '../errors.js';
import type { Collection } from './collection.js';
import type { Names } from './names.js';

/** Of a list at most so many: a bundle is to be sent by mail. */
const mostItems = 10_000;

type ListId = Exclude<
  Extract<OperationId, `list${string}`>,
  // Ranges are of a snapshot; devices of a pool, whose object has them all.
  'listRanges' | 'listDevices'
>;

const lists: Readonly<Record<ListId, string>> = {
  listPools: 'pools and their devices',
  listTenants: 'tenants and quotas',
  listVolumes: 'volumes, their space and grants',
  listSnapshots: 'snapshots',
  listGroups: 'groups of snapshots',
  listSchedules: 'schedules',
  listImports: 'unfinished imports',
  listHosts: 'hosts',
  listHostKeys: 'which hosts have keys, by fingerprint',
  listPsks: 'which hosts have PSKs, by their ids',
  listGrants: 'grants',
  listPortals: 'portals',
  listAna: 'ANA states',
  listReferrals: 'referrals',
  listReservations: 'reservations, without the keys',
  listControllers: 'who is connected',
  listPolicies: 'policies',
  listJobs: 'jobs',
  listTokens: 'names and roles of tokens, without secrets',
  listEvents: 'events',
  listVolumeStatistics: 'what hosts have done with volumes',
  listTenantStatistics: 'what hosts have done with the volumes of tenants',
};
const listIds: readonly ListId[] = Object.keys(operations).filter((id): id is ListId =>
  Object.hasOwn(lists, id),
);

/** `listVolumeStatistics` → `volume-statistics`. */
function fileName(id: ListId): string {
  const words = id.slice('list'.length).replaceAll(/(?<!^)[A-Z]/g, (letter) => `-${letter}`);
  return `daemon/${words.toLowerCase()}.json`;
}

export async function takeDaemon(
  client: ApiClient,
  into: Collection,
  names: Names | null,
): Promise<void> {
  const status = await into.take('daemon/status.json', 'state, version, I/O threads', () =>
    client.call('getStatus', {}),
  );
  if (status === null) {
    const why = into.missing.at(-1)?.why ?? 'the daemon does not answer';
    into.lacks('daemon/ (all lists and metrics)', why);
    return;
  }
  await into.take('daemon/self.json', 'as whom the bundle was made', () =>
    client.call('getSelf', {}),
  );
  for (const id of listIds) {
    const found = await into.take(fileName(id), lists[id], () => itemsOf(client, id));
    if (found !== null && names !== null) noteNames(id, found.items, names);
  }
  await into.take('daemon/metrics.txt', 'all metrics, as Prometheus gets them', () =>
    metricsOf(client),
  );
}

interface Listed {
  items: object[];
  /** There are more than are here. */
  cutOff?: boolean;
}

async function itemsOf(client: ApiClient, id: ListId): Promise<Listed> {
  const items: object[] = [];
  let cursor: string | null = null;
  do {
    const query: { cursor?: string } = cursor === null ? {} : { cursor };
    const page: Output<ListId> = await client.call(id, { query } as ClientInput<ListId>);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== null && items.length < mostItems);
  return cursor === null ? { items } : { items, cutOff: true };
}

async function metricsOf(client: ApiClient): Promise<string> {
  const operation = { method: 'GET', path: '/metrics', status: 200, scope: 'node' } as const;
  const headers = { accept: 'text/plain' };
  try {
    const request = { operation, params: {}, query: {}, headers };
    return await textOf((await client.transfer('metrics', request)).body);
  } catch (thrown) {
    const error = toAshlarError(thrown);
    throw new AshlarError(error.code, `metrics: ${error.message}`, { cause: thrown });
  }
}

/** Fields that name something, and what: all that people choose, in any list. */
const naming: Partial<Record<ListId, Readonly<Record<string, string>>>> = {
  listPools: { name: 'pool' },
  listTenants: { name: 'tenant' },
  listVolumes: { name: 'volume' },
  listSnapshots: { reference: 'snapshot', name: 'snapshot-name', volume: 'volume' },
  listGroups: { name: 'snapshot-name' },
  listSchedules: { name: 'schedule', prefix: 'prefix' },
  listHosts: { nqn: 'nqn' },
  listPolicies: { name: 'policy' },
  listTokens: { name: 'token', subject: 'subject' },
  listControllers: { hostid: 'hostid' },
};

function noteNames(id: ListId, items: readonly object[], names: Names): void {
  for (const item of items) {
    for (const [field, value] of Object.entries(item)) {
      const kind = naming[id]?.[field];
      if (kind !== undefined && typeof value === 'string') names.add(kind, value);
      if (id === 'listPools') notePaths(value, names);
      if (id === 'listReservations' && field === 'registrants') noteHostids(value, names);
    }
  }
}

/** `path` of a device or a list of them. */
function notePaths(value: unknown, names: Names): void {
  for (const each of Array.isArray(value) ? value : [value]) {
    if (typeof each !== 'object' || each === null || !('path' in each)) continue;
    if (typeof each.path === 'string') names.add('path', each.path);
  }
}

function noteHostids(registrants: unknown, names: Names): void {
  for (const each of Array.isArray(registrants) ? registrants : []) {
    if (typeof each === 'object' && each !== null && 'hostid' in each) {
      names.add('hostid', String(each.hostid));
    }
  }
}
