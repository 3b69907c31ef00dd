/** `ashlar token …`: who may call the API. */
import type { Token } from '../api/contract.js';
import { parseDurationMs } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { localTime, printJson, printLines } from './terminal.js';

export interface CreateOptions extends TenantOptions {
  role?: Token['role'];
  expires?: string;
  subject?: string;
}

/** From now; nothing when not given. */
function expiry(text: string | undefined): { expiresAt?: string } {
  if (text === undefined) return {};
  const ms = parseDurationMs(text, '--expires');
  return { expiresAt: new Date(Date.now() + ms).toISOString() };
}

export async function createToken(name: string, options: CreateOptions): Promise<void> {
  const { role, subject } = options;
  if (role === undefined) {
    throw new AshlarError(
      'usage',
      'the role is missing; give --role admin, tenant-admin or viewer',
    );
  }
  const made = await withDaemon(options, (client) =>
    client.call('createToken', {
      query: tenantQuery(options),
      body: { name, role, ...expiry(options.expires), ...(subject && { subject }) },
    }),
  );
  printMade(made, options);
}

export async function rotateToken(
  token: string,
  options: TenantOptions & { grace?: string; expires?: string },
): Promise<void> {
  const { grace } = options;
  const seconds = grace === undefined ? 0 : Math.ceil(parseDurationMs(grace, '--grace') / 1000);
  const made = await withDaemon(options, (client) =>
    client.call('rotateToken', {
      params: { token },
      query: tenantQuery(options),
      body: { graceSeconds: seconds, ...expiry(options.expires) },
    }),
  );
  printMade(made, options);
}

function printMade(made: { token: Token; secret: string | null }, options: TenantOptions): void {
  const { name, role, subject } = made.token;
  if (options.json === true) printJson(made);
  else if (made.secret === null) {
    printLines([`The certificate of '${subject}' is '${name}' (${role}).`]);
  } else {
    printLines([made.secret, '', `That is '${name}' (${role}). It is not shown again.`]);
  }
}

const columns: readonly Column<Token>[] = [
  { title: 'name', value: ({ name }) => name, flexible: true },
  { title: 'role', value: ({ role }) => role },
  { title: 'tenant', value: ({ tenant }) => tenant ?? '(node)', flexible: true },
  { title: 'kind', value: ({ kind, subject }) => subject ?? kind, flexible: true },
  { title: 'since', value: ({ createdAt }) => localTime(createdAt) },
  {
    title: 'expires',
    value: ({ expiresAt }) => (expiresAt === null ? 'never' : localTime(expiresAt)),
  },
];

export function listTokens(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listTokens', options, {
    lines: (tokens, width) => table(tokens, columns, width),
    none: 'No tokens. Let somebody call: ashlar token create NAME --role viewer',
  });
}

export async function showToken(
  token: string,
  options: LookOptions & TenantOptions,
): Promise<void> {
  await look(options, {
    read: (client) => client.call('getToken', { params: { token }, query: tenantQuery(options) }),
    lines: (found) =>
      pairs([
        ['Name', found.name],
        ['Role', found.role],
        ['Of', found.tenant === null ? 'the node' : `tenant '${found.tenant}'`],
        ['Known by', found.subject === null ? 'a secret' : `a certificate of '${found.subject}'`],
        ['Since', localTime(found.createdAt)],
        ['Expires', found.expiresAt === null ? 'never' : localTime(found.expiresAt)],
        ...(found.oldSecretUntil === null
          ? []
          : [['Old secret', `good until ${localTime(found.oldSecretUntil)}`] as const]),
      ]),
  });
}

/** `ashlar whoami` */
export async function showSelf(options: LookOptions): Promise<void> {
  await look(options, {
    read: (client) => client.call('getSelf', {}),
    lines: ({ name, role, tenant, via }) => [
      `'${name}' (${role} of ${tenant === null ? 'the node' : `tenant '${tenant}'`}), by ${
        via === 'socket' ? 'the control socket' : `a ${via}`
      }.`,
    ],
  });
}

export async function deleteToken(
  token: string,
  options: TenantOptions & { ifExists?: boolean },
): Promise<void> {
  const repeatable = options.ifExists === true ? { repeatable: 'true' as const } : {};
  await withDaemon(options, (client) =>
    client.call('deleteToken', {
      params: { token },
      query: { ...tenantQuery(options), ...repeatable },
    }),
  );
  if (options.json === true) return printJson({ deleted: token });
  printLines([`Deleted token '${token}'.`]);
}
