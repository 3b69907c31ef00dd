/** How a command reaches the daemon. */
import { resolve } from 'node:path';
import { ApiClient } from '../api/client.js';
import { checkSocketPath } from '../config/socket_path.js';

/** Options that every command of the daemon has. */
export interface DaemonOptions {
  socket?: string;
  json?: boolean;
}

/** Options of commands on things that belong to a tenant. */
export interface TenantOptions extends DaemonOptions {
  tenant?: string;
}

/** The control socket: `--socket`, else ASHLAR_SOCKET, else the one in this folder. */
export function socketOf(options: DaemonOptions): string {
  const named = options.socket ?? process.env.ASHLAR_SOCKET;
  const path = resolve(named === undefined || named === '' ? '.ashlar/ashlar.sock' : named);
  checkSocketPath(path, options.socket === undefined ? 'ASHLAR_SOCKET' : '--socket');
  return path;
}

/** Opens a client for one command. */
export async function withDaemon<T>(
  options: DaemonOptions,
  work: (client: ApiClient) => Promise<T>,
): Promise<T> {
  const client = new ApiClient({ socket: socketOf(options) });
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
