/** Names of objects for completion: the daemon's, in the time that a TAB may take. */
import type { ApiClient } from '../api/client.js';
import type { NameKind, Names } from './completion.js';
import { withDaemon } from './daemon.js';

/** A daemon that does not answer within this long has no names. */
const patienceMs = 700;
/** More are of no help to who types. */
const most = 1000;

type Lister = (client: ApiClient, query: { tenant?: string }) => Promise<string[]>;

const listers: Readonly<Record<NameKind, Lister>> = {
  volume: async (client, query) =>
    (await client.call('listVolumes', { query: { ...query, limit: String(most) } })).items.map(
      ({ name }) => name,
    ),
  snapshot: async (client, query) =>
    (await client.call('listSnapshots', { query: { ...query, limit: String(most) } })).items.map(
      ({ reference }) => reference,
    ),
  tenant: async (client) => (await client.list('listTenants')).map(({ name }) => name),
  policy: async (client) => (await client.list('listPolicies')).map(({ name }) => name),
  schedule: async (client, query) =>
    (await client.list('listSchedules', query)).map(({ name }) => name),
  host: async (client, query) => (await client.list('listHosts', query)).map(({ nqn }) => nqn),
  portal: async (client) => (await client.list('listPortals')).map(({ endpoint }) => endpoint),
  token: async (client, query) => (await client.list('listTokens', query)).map(({ name }) => name),
  group: async (client, query) => (await client.list('listGroups', query)).map(({ uuid }) => uuid),
  pool: async (client) => (await client.list('listPools')).map(({ name }) => name),
  job: async (client) => (await client.call('listJobs', {})).items.map(({ id }) => id),
};

export const daemonNames: Names = async (kind, tenant) => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string[]>((resolve) => {
    timer = setTimeout(() => resolve([]), patienceMs);
  });
  const asked = withDaemon({}, (client) =>
    listers[kind](client, tenant === null ? {} : { tenant }),
  ).catch(() => []);
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
};
