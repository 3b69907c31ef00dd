/** How a command reaches the daemon. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ApiClient, type RemoteDaemon } from '../api/client.js';
import { configDefaults } from '../config/config.js';
import { ownFolder, serviceSocket } from '../config/places.js';
import { checkSocketPath } from '../config/socket_path.js';
import { AshlarError } from '../errors.js';

/** Options that every command of the daemon has. */
export interface DaemonOptions {
  socket?: string;
  json?: boolean;
}

/** Options of commands on things that belong to a tenant. */
export interface TenantOptions extends DaemonOptions {
  tenant?: string;
}

/**
 * The control socket: `--socket`, else ASHLAR_SOCKET, else that of the daemon of this folder, else,
 * where there is none, that of the installed service.
 */
export function socketOf(options: DaemonOptions): string {
  const named = options.socket ?? process.env.ASHLAR_SOCKET;
  const path = named === undefined || named === '' ? nearestSocket() : resolve(named);
  checkSocketPath(path, options.socket === undefined ? 'ASHLAR_SOCKET' : '--socket');
  return path;
}

function nearestSocket(): string {
  const own = resolve(ownFolder, configDefaults.socketName);
  return !existsSync(own) && existsSync(serviceSocket) ? serviceSocket : own;
}

/** A daemon elsewhere, when ASHLAR_SERVER names one and no socket is given; null: the socket's. */
async function remoteDaemon(options: DaemonOptions): Promise<RemoteDaemon | null> {
  const {
    ASHLAR_SERVER: url = '',
    ASHLAR_TOKEN_FILE,
    ASHLAR_CA,
    ASHLAR_CERT,
    ASHLAR_KEY,
  } = process.env;
  if (url === '' || options.socket !== undefined) return null;
  if (!/^https:\/\/[^/]+$/.test(url)) {
    throw new AshlarError('usage', `ASHLAR_SERVER '${url}' is not of the form https://HOST:PORT`);
  }
  const file = (path: string | undefined): Promise<Buffer | undefined> =>
    path === undefined || path === '' ? Promise.resolve(undefined) : readFile(path);
  const [token, ca, certificate, key] = await Promise.all(
    [ASHLAR_TOKEN_FILE, ASHLAR_CA, ASHLAR_CERT, ASHLAR_KEY].map(file),
  );
  return { url, token: token?.toString('utf8').trim(), ca, certificate, key };
}

/** Opens a client for one command. */
export async function withDaemon<T>(
  options: DaemonOptions,
  work: (client: ApiClient) => Promise<T>,
): Promise<T> {
  const remote = await remoteDaemon(options);
  const client = new ApiClient({ socket: remote ?? socketOf(options) });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** `{ tenant }` where one is named, for queries. */
export function tenantQuery(options: TenantOptions): { tenant?: string } {
  return options.tenant === undefined ? {} : { tenant: options.tenant };
}
