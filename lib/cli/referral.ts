/** `ashlar referral …`: other nodes that hosts are told of. */
import type { Referral } from '../api/contract.js';
import { discoveryPort } from '../config/config.js';
import { parseEndpoint } from '../config/endpoint.js';
import { type DaemonOptions, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { localTime, printJson, printLines } from './terminal.js';

const columns: readonly Column<Referral>[] = [
  { title: 'address', value: ({ address }) => address },
  { title: 'port', value: ({ port }) => String(port), align: 'right' },
  {
    title: 'portal',
    value: ({ portalId }) => (portalId === 0 ? '' : String(portalId)),
    align: 'right',
  },
  {
    title: 'since',
    value: ({ createdAt }) => (createdAt === null ? 'configured' : localTime(createdAt)),
  },
];

export function listReferrals(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listReferrals', options, {
    lines: (referrals, width) => table(referrals, columns, width),
    none: 'No referrals. Tell hosts of another node: ashlar referral add ADDRESS',
  });
}

export async function showReferral(endpoint: string, options: LookOptions): Promise<void> {
  await look(options, {
    read: (client) => client.call('getReferral', { params: { referral: endpoint } }),
    lines: (found) =>
      pairs([
        ['Referral', found.endpoint],
        ['Portal there', found.portalId === 0 ? 'not known' : String(found.portalId)],
        ['Origin', found.configured ? 'configured' : 'added'],
        ...(found.createdAt === null ? [] : [['Since', localTime(found.createdAt)] as const]),
      ]),
  });
}

export async function addReferral(
  endpoint: string,
  options: DaemonOptions & { portalId?: number; ifMissing?: boolean },
): Promise<void> {
  const { address, port } = parseEndpoint(endpoint, discoveryPort, 'referral');
  const { portalId } = options;
  const referral = await withDaemon(options, (client) =>
    client.call('createReferral', {
      query: options.ifMissing === true ? { repeatable: 'true' } : {},
      body: { address, port, ...(portalId === undefined ? {} : { portalId }) },
    }),
  );
  if (options.json === true) return printJson(referral);
  printLines([`Hosts that ask this node are told of ${referral.endpoint}.`]);
}

export async function removeReferral(
  endpoint: string,
  options: DaemonOptions & { ifExists?: boolean },
): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deleteReferral', {
      params: { referral: endpoint },
      query: options.ifExists === true ? { repeatable: 'true' } : {},
    }),
  );
  if (options.json === true) return printJson({ removed: endpoint });
  printLines([`Hosts are not told of ${endpoint} any more.`]);
}
