/**
 * The HTTP servers below the API: what each holds at most, in connections, sizes and time.
 *
 * Connections are few, so that a leak or an attack finds an end; who has said who it is keeps its
 * own, and strangers who hold all of them make room for whoever comes. So nobody without a token
 * can keep those out who have one.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { AshlarError } from '../errors.js';

/** Programs keep one or a few connections; the rest is a leak or an attack. Of each listener. */
export const maxConnections = 128;

/** How long peers may take. */
export interface ApiTimeouts {
  /** A TLS handshake, and the headers of a request. */
  headersMs: number;
  /** A request with its body, if it is no import. */
  requestMs: number;
  /** A connection without a request. */
  idleMs: number;
  /** How often headers are looked at for being late. */
  checkMs: number;
}

export const apiTimeouts: ApiTimeouts = {
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 60_000,
  checkMs: 5000,
};

/** What proves who this is; each is PEM. */
export interface CertificatePem {
  certificate: Buffer;
  key: Buffer;
  /** Clients whose certificates end there are known by their subject; null: tokens alone. */
  clientCa: Buffer | null;
}

export function plainServer(timeouts: ApiTimeouts, handler: RequestListener): Server {
  return createServer(httpOptions(timeouts), handler);
}

/** @throws AshlarError config-invalid: the files are no certificate and its key. */
export function tlsServer(
  pem: CertificatePem,
  timeouts: ApiTimeouts,
  handler: RequestListener,
): TlsServer {
  return usable(() =>
    createTlsServer(
      {
        ...httpOptions(timeouts),
        ...secureOptions(pem),
        requestCert: pem.clientCa !== null,
        handshakeTimeout: timeouts.headersMs,
        // Who has no certificate may have a token; calls/access.ts looks at both.
        rejectUnauthorized: false,
      },
      handler,
    ),
  );
}

/**
 * What comes from now on is served with these; connections that are there go on with the old ones.
 *
 * @throws AshlarError config-invalid: they are no certificate and its key; the old ones stay.
 */
export function renewCertificate(server: TlsServer, pem: CertificatePem): void {
  usable(() => server.setSecureContext(secureOptions(pem)));
}

function httpOptions(timeouts: ApiTimeouts): object {
  return {
    headersTimeout: timeouts.headersMs,
    // Of every request but an import; see boundRequests in server.ts.
    requestTimeout: 0,
    keepAliveTimeout: timeouts.idleMs,
    connectionsCheckingInterval: timeouts.checkMs,
  };
}

function secureOptions({ certificate, key, clientCa }: CertificatePem) {
  const ca = clientCa === null ? {} : { ca: clientCa };
  return { cert: certificate, key, ...ca, minVersion: 'TLSv1.2' as const };
}

function usable<T>(use: () => T): T {
  try {
    return use();
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new AshlarError(
      'config-invalid',
      `api.certificate, api.key or api.clientCa cannot be used: ${why}`,
      { cause: thrown },
    );
  }
}

// ---- Who is connected ---------------------------------------------------------------------------

/** How seldom the log says that strangers were sent away. */
const tellEveryMs = 60_000;

/** The connections of one server. */
export class Connections {
  readonly #logger: Logger;
  /** In the order in which they came. `known`: has said who it is. */
  readonly #peers = new Map<Socket | string, { socket: Socket; known: boolean }>();
  #evicted = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(server: Server, logger: Logger) {
    this.#logger = logger;
    server.on('connection', (socket: Socket) => this.#take(socket));
  }

  /** Whoever is at the other end has said who it is, and keeps its connection. */
  prove(socket: Socket): void {
    const peer = this.#peers.get(nameOf(socket));
    if (peer !== undefined) peer.known = true;
  }

  #take(socket: Socket): void {
    if (this.#peers.size >= maxConnections && !this.#makeRoom()) {
      socket.destroy();
      return;
    }
    const name = nameOf(socket);
    this.#peers.set(name, { socket, known: false });
    socket.once('close', () => {
      // The address may be another's by now.
      if (this.#peers.get(name)?.socket === socket) this.#peers.delete(name);
    });
  }

  /** Sends the oldest stranger away; false: there is none. */
  #makeRoom(): boolean {
    for (const [name, { socket, known }] of this.#peers) {
      if (known) continue;
      this.#peers.delete(name);
      socket.destroy();
      this.#evicted += 1;
      this.#tell();
      return true;
    }
    return false;
  }

  #tell(): void {
    const nowMs = performance.now();
    if (nowMs - this.#toldAtMs < tellEveryMs) return;
    this.#toldAtMs = nowMs;
    this.#logger.warn(
      { evicted: this.#evicted },
      `api: all ${maxConnections} connections of a listener are in use; the oldest whose peer ` +
        'has not said who it is are closed to make room',
    );
  }
}

/**
 * A TLS socket is not the one that the server accepted, and does not tell which that was; both have
 * the same peer. A unix socket has no address, and is itself.
 */
function nameOf(socket: Socket): Socket | string {
  const { remoteAddress, remotePort } = socket;
  return remotePort === undefined ? socket : `${remoteAddress} ${remotePort}`;
}
