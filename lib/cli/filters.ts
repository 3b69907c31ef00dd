/**
 * Filters of lists: which option of a command is which field of an operation's query. The type
 * demands one for each field that a list can be narrowed by.
 */
import type { Input } from '../api/contract.js';
import type { OperationId } from '../api/operations.js';
import { jobKinds, jobStates } from '../jobs/types.js';

/** Lists that are commands as they are; events and ranges have commands of their own kind. */
export type ListId = Exclude<Extract<OperationId, `list${string}`>, 'listEvents' | 'listRanges'>;

export interface Filter {
  flags: string;
  description: string;
  choices?: readonly string[];
}

/** null: the command has an argument for it. */
type FiltersOf<K extends ListId> = {
  readonly [F in Exclude<keyof Input<K>['query'], 'tenant' | 'limit' | 'cursor'>]: Filter | null;
};

const byName = { flags: '--name <text>', description: 'only those whose name has this in it' };
const ofHost = { flags: '--host <nqn>', description: 'only of this host' };

export const filters: { readonly [K in ListId]: FiltersOf<K> } = {
  listPools: {},
  listDevices: {},
  listTenants: { name: byName },
  listVolumeStatistics: { name: byName },
  listTenantStatistics: {},
  listPolicies: { name: byName },
  listVolumes: {
    name: byName,
    host: { flags: '--host <nqn>', description: 'only those that this host may use' },
    reserved: { flags: '--reserved', description: 'only those with room reserved' },
    cloneOf: {
      flags: '--clone-of <volume>',
      description: 'only clones of this volume or of its snapshots',
    },
    snapshots: { flags: '--snapshots', description: 'only those that have snapshots' },
  },
  listSnapshots: {
    volume: null,
    deletedVolume: { flags: '--deleted-volume', description: 'only those of deleted volumes' },
    name: byName,
  },
  listGroups: {},
  listSchedules: { name: byName },
  listImports: {},
  listHosts: { nqn: { flags: '--nqn <text>', description: 'only those whose NQN has this in it' } },
  listHostKeys: { host: ofHost },
  listPsks: { host: ofHost },
  listGrants: {
    volume: { flags: '--volume <volume>', description: 'only of this volume or its snapshots' },
    host: ofHost,
  },
  listPortals: {},
  listReservations: {},
  listAna: {},
  listReferrals: {},
  listControllers: { host: ofHost },
  listJobs: {
    state: { flags: '--state <state>', description: 'only these', choices: jobStates },
    kind: { flags: '--kind <kind>', description: 'only these', choices: jobKinds },
  },
  listTokens: {},
};

/** Options of a list: the filters are under the names of their fields. */
export interface ListOptions {
  tenant?: string;
  limit?: number;
  after?: string;
}

/** What `--no-…` of a filter without a value says. */
export const opposites: Readonly<Record<string, string>> = {
  reserved: 'only those without',
  snapshots: 'only those that have none',
  deletedVolume: 'only those whose volume is there',
};

/** The filters that were given, as a query. */
export function queryOf(id: ListId, options: object): Record<string, string> {
  const given = new Map<string, unknown>(Object.entries(options));
  const query: Record<string, string> = {};
  for (const field of Object.keys(filters[id])) {
    const value = given.get(field);
    if (value !== undefined) query[field] = String(value);
  }
  return query;
}
