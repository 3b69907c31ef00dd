/** How a command reaches the daemon. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  ApiClient,
  type CallOptions,
  type RemoteDaemon,
  type TraceContext,
} from '../api/client.js';
import { configDefaults } from '../config/config.js';
import { ownFolder, serviceSocket } from '../config/places.js';
import { checkSocketPath } from '../config/socket_path.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { readSecret } from './secret_input.js';

/** Options that every command of the daemon has. The last five are the program's own. */
export interface DaemonOptions {
  socket?: string;
  json?: boolean;
  server?: string;
  tokenFile?: string;
  ca?: string;
  cert?: string;
  key?: string;
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

/**
 * A daemon elsewhere: --server, else ASHLAR_SERVER unless a socket is named; null: the socket's.
 *
 * @throws AshlarError usage.
 */
export async function remoteDaemon(options: DaemonOptions): Promise<RemoteDaemon | null> {
  const { env } = process;
  if (options.server !== undefined && options.socket !== undefined) {
    throw new AshlarError('usage', '--server and --socket exclude each other: both name a daemon');
  }
  const url = options.server ?? (options.socket === undefined ? env.ASHLAR_SERVER : '') ?? '';
  if (url === '') return null;
  if (!/^https:\/\/[^/]+\/?$/.test(url) || !URL.canParse(url)) {
    const name = options.server === undefined ? 'ASHLAR_SERVER' : '--server';
    throw new AshlarError('usage', `${name} '${url}' is not of the form https://HOST:PORT`);
  }
  const [ca, certificate, key] = await Promise.all([
    pem(options.ca ?? env.ASHLAR_CA, 'CA certificate'),
    pem(options.cert ?? env.ASHLAR_CERT, 'client certificate'),
    pem(options.key ?? env.ASHLAR_KEY, 'key of the client certificate'),
  ]);
  if ((certificate === undefined) !== (key === undefined)) {
    throw new AshlarError('usage', 'a client certificate needs its key, and a key its certificate');
  }
  const token = await tokenOf(options);
  if (token === undefined && certificate === undefined) {
    throw new AshlarError(
      'usage',
      `'${url}' wants to know who calls; give --token-file FILE or ASHLAR_TOKEN_FILE, or a client ` +
        'certificate with --cert and --key',
    );
  }
  return { url: url.replace(/\/$/, ''), token, ca, certificate, key };
}

/** From a file or the environment, never from the command line, which all on a machine can read. */
async function tokenOf(options: DaemonOptions): Promise<string | undefined> {
  const file = options.tokenFile ?? process.env.ASHLAR_TOKEN_FILE ?? '';
  const token = file === '' ? process.env.ASHLAR_TOKEN?.trim() : await readSecret(file, 'token');
  if (token === '' && file !== '') throw new AshlarError('usage', `no token is in '${file}'`);
  if (token === undefined || token === '') return undefined;
  // What is no header value would be refused by the HTTP library, and shown by its message.
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new AshlarError('usage', 'the token is not one word of visible letters');
}

async function pem(file: string | undefined, what: string): Promise<Buffer | undefined> {
  if (file === undefined || file === '') return undefined;
  const bytes = await readFile(file).catch((thrown: unknown) => {
    const { message } = toAshlarError(thrown);
    throw new AshlarError('usage', `cannot read the ${what} from '${file}': ${message}`);
  });
  if (bytes.includes('-----BEGIN ')) return bytes;
  throw new AshlarError('usage', `'${file}' is not a ${what} in PEM: it has no '-----BEGIN' line`);
}

/** Opens a client for one command. `defaults`: of all its calls. */
export async function withDaemon<T>(
  options: DaemonOptions,
  work: (client: ApiClient) => Promise<T>,
  defaults: Pick<CallOptions, 'signal' | 'timeoutMs'> = {},
): Promise<T> {
  const remote = await remoteDaemon(options);
  const client = new ApiClient({
    socket: remote ?? socketOf(options),
    defaults,
    trace: traceOf(process.env),
  });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/**
 * The trace that this command is part of, as W3C Trace Context has it in the environment; what is
 * none is left out, since a header must be one.
 */
export function traceOf({ TRACEPARENT, TRACESTATE }: NodeJS.ProcessEnv): TraceContext {
  if (TRACEPARENT === undefined || !/^[0-9a-f-]{55,256}$/.test(TRACEPARENT)) return {};
  const state = TRACESTATE ?? '';
  const fits = /^[\x20-\x7e]{1,512}$/.test(state);
  return { traceparent: TRACEPARENT, ...(fits ? { tracestate: state } : {}) };
}

/** `{ tenant }` where one is named, for queries. */
export function tenantQuery(options: TenantOptions): { tenant?: string } {
  return options.tenant === undefined ? {} : { tenant: options.tenant };
}
