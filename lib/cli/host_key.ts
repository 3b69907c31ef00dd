/** `ashlar host key …`: what hosts and this node prove themselves with. */
import type { HostKey } from '../api/contract.js';
import { AshlarError } from '../errors.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { readSecret } from './secret_input.js';
import { type Column, pairs, table } from './table.js';
import { localTime, printJson, printLines } from './terminal.js';

const columns: readonly Column<HostKey>[] = [
  { title: 'host NQN', value: ({ host }) => host },
  { title: 'tenant', value: ({ tenant }) => tenant, flexible: true },
  { title: 'of', value: ({ role }) => role },
  { title: 'key', value: ({ fingerprint }) => fingerprint },
  { title: 'hash', value: ({ hash }) => hash ?? 'none' },
  { title: 'bytes', value: ({ lengthBytes }) => String(lengthBytes), align: 'right' },
  { title: 'since', value: ({ createdAt }) => localTime(createdAt) },
];

export interface SetOptions extends TenantOptions {
  controller?: boolean;
  replace?: boolean;
  ifMissing?: boolean;
}

export function listHostKeys(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listHostKeys', options, {
    lines: (keys, width) => table(keys, columns, width),
    none: 'No keys. Make a host authenticate: ashlar host key generate HOSTNQN',
  });
}

export async function showHostKey(
  host: string,
  fingerprint: string,
  options: LookOptions & TenantOptions,
): Promise<void> {
  await look(options, {
    read: (client) =>
      client.call('getHostKey', { params: { host, fingerprint }, query: tenantQuery(options) }),
    lines: (key) =>
      pairs([
        ['Host NQN', key.host],
        ['Tenant', key.tenant],
        ['Proves', `the ${key.role}`],
        ['Fingerprint', key.fingerprint],
        ['Hash', key.hash ?? 'none'],
        ['Length', `${key.lengthBytes} bytes`],
        ['Since', localTime(key.createdAt)],
      ]),
  });
}

export async function generateHostKey(
  host: string,
  options: SetOptions & { hash?: 'sha256' | 'sha384' | 'sha512' },
): Promise<void> {
  const { hash } = options;
  const made = await send(host, options, hash === undefined ? {} : { hash });
  if (options.json === true) return printJson(made);
  const option = made.key.role === 'host' ? '--dhchap-secret' : '--dhchap-ctrl-secret';
  printLines([
    made.secret ?? '',
    '',
    `That is the ${made.key.role} key ${made.key.fingerprint} of '${host}'. It is not shown again.`,
    `The host gives it with: nvme connect … ${option}=…`,
  ]);
}

export async function setHostKey(
  host: string,
  options: SetOptions & { file?: string },
): Promise<void> {
  const secret = await readSecret(options.file ?? '-', 'key');
  if (secret === '') {
    throw new AshlarError('usage', 'no key was given; it comes on standard input, or with --file');
  }
  const { key } = await send(host, options, { secret });
  if (options.json === true) return printJson(key);
  printLines([`The ${key.role} key ${key.fingerprint} of '${host}' is set.`]);
}

export async function removeHostKey(
  host: string,
  fingerprint: string,
  options: TenantOptions & { ifExists?: boolean },
): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deleteHostKey', {
      params: { host, fingerprint },
      query: {
        ...tenantQuery(options),
        ...(options.ifExists === true ? { repeatable: 'true' as const } : {}),
      },
    }),
  );
  if (options.json === true) return printJson({ removed: { host, fingerprint } });
  printLines([`Key ${fingerprint} of '${host}' is not good any more.`]);
}

async function send(
  host: string,
  options: SetOptions,
  what: { secret?: string; hash?: 'sha256' | 'sha384' | 'sha512' },
) {
  const role = options.controller === true ? ('controller' as const) : ('host' as const);
  return withDaemon(options, (client) =>
    client.call('createHostKey', {
      params: { host },
      query: {
        ...tenantQuery(options),
        ...(options.ifMissing === true ? { repeatable: 'true' } : {}),
      },
      body: { role, ...what, ...(options.replace === true ? { replace: true } : {}) },
    }),
  );
}
