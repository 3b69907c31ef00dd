/** `ashlar host psk …`: with which keys hosts connect over TLS. */
import type { Psk } from '../api/contract.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { readSecret } from './secret_input.js';
import { type Column, pairs, table } from './table.js';
import { localTime, printJson, printLines } from './terminal.js';

const columns: readonly Column<Psk>[] = [
  { title: 'host NQN', value: ({ host }) => host, flexible: true },
  { title: 'PSK', value: ({ id }) => id, align: 'right' },
  { title: 'bits', value: ({ bits }) => String(bits), align: 'right' },
  { title: 'transform', value: ({ transform }) => transform },
  { title: 'tenant', value: ({ tenant }) => tenant, flexible: true },
  { title: 'since', value: ({ createdAt }) => localTime(createdAt) },
];

export function listPsks(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listPsks', options, {
    lines: (psks, width) => table(psks, columns, width),
    none: 'No PSKs. Let a host connect over TLS: ashlar host psk generate HOSTNQN',
  });
}

export async function showPsk(
  host: string,
  id: string | undefined,
  options: LookOptions & TenantOptions,
): Promise<void> {
  const query = { ...tenantQuery(options), ...(id === undefined ? {} : { id }) };
  await look(options, {
    read: (client) => client.call('getPsk', { params: { host }, query }),
    lines: (psk) =>
      pairs([
        ['Host NQN', psk.host],
        ['PSK', psk.id],
        ['Tenant', psk.tenant],
        ['Length', `${psk.bits} bits`],
        ['Transform', psk.transform],
        ['Since', localTime(psk.createdAt)],
      ]),
  });
}

export async function generatePsk(
  host: string,
  options: TenantOptions & { hash?: 'sha256' | 'sha384' },
): Promise<void> {
  const { hash = 'sha256' } = options;
  const psk = await withDaemon(options, (client) =>
    client.call('createPsk', { query: tenantQuery(options), body: { host, hash } }),
  );
  if (options.json === true) return printJson(psk);
  // The key alone goes to stdout, so that it can be piped; it is not shown again.
  printLines([psk.psk ?? '']);
}

export async function setPsk(
  host: string,
  file: string,
  options: TenantOptions & { ifMissing?: boolean },
): Promise<void> {
  const given = await readSecret(file, 'PSK');
  const query = { ...tenantQuery(options), ...(options.ifMissing === true ? again : {}) };
  const { psk: _given, ...psk } = await withDaemon(options, (client) =>
    client.call('createPsk', { query, body: { host, psk: given } }),
  );
  if (options.json === true) return printJson(psk);
  printLines([`Host '${psk.host}' may connect over TLS with PSK ${psk.id}.`]);
}

export async function removePsk(
  host: string,
  id: string | undefined,
  options: TenantOptions & { ifExists?: boolean },
): Promise<void> {
  const query = {
    ...tenantQuery(options),
    ...(options.ifExists === true ? again : {}),
    ...(id === undefined ? {} : { id }),
  };
  await withDaemon(options, (client) => client.call('deletePsk', { params: { host }, query }));
  if (options.json === true) return printJson({ removed: id ?? 'all', host });
  const what = id === undefined ? 'any PSK' : `PSK ${id}`;
  printLines([`Host '${host}' connects no more with ${what}; connections it has stay.`]);
}

const again = { repeatable: 'true' } as const;
