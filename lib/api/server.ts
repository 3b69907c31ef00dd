/**
 * The API over HTTP: fastify on a unix socket, and where that is configured on an address over TLS
 * and within this machine over plain HTTP.
 * It checks everything that comes in and answers every error as a problem document. What it holds
 * is bounded: connections, header and body sizes, and time.
 */
import type { RequestListener, Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  LogController,
} from 'fastify';
import type { Logger } from 'pino';
import { type Caller, localCaller, type Sessions, stranger, type Tokens } from '../access/types.js';
import type { AuditLog } from '../audit/log.js';
import { AshlarError } from '../errors.js';
import type { Jobs } from '../jobs/types.js';
import type { Metrics } from '../metrics/metrics.js';
import { version } from '../node/version.js';
import type { Streams } from '../stream/types.js';
import type { Tracer } from '../tracing/spans.js';
import { codeOf, maxBodyBytes, refuseConnection, sendProblem } from './answers.js';
import { assertOwnPage, authenticate, type Transport } from './calls/access.js';
import { AuditTrail } from './calls/audit_trail.js';
import { Calls } from './calls/calls.js';
import { SealedCursors } from './calls/cursors.js';
import { TracedRequests } from './calls/traced.js';
import { decode, msgpackTypes } from './codec.js';
import type { Input, Output } from './contract.js';
import {
  type ApiTimeouts,
  apiTimeouts,
  type CertificatePem,
  Connections,
  plainServer,
  renewCertificate,
  tlsServer,
} from './listeners.js';
import { addMetrics } from './metrics.js';
import { addDocuments, isDocument } from './openapi/routes.js';
import { type Operation, type OperationId, operations } from './operations.js';
import { addRoutes, unknownRoute } from './routes.js';
import { listenAt, listenOn, type SocketFinding } from './socket.js';
import { addTransfers, isTransfer } from './transfers.js';

export { loadChecks } from './routes.js';

/** How long calls under way may take once the server closes; then they are hung up on. */
const closeGraceMs = 1000;

/** One function for each operation; `signal` aborts when the caller hangs up. */
export type Handlers = {
  readonly [K in OperationId]: (
    input: Input<K>,
    signal: AbortSignal,
    caller: Caller,
  ) => Promise<Output<K>>;
};

/** Where and how HTTPS is served. */
export interface HttpsOptions extends CertificatePem {
  address: string;
  /** 0: any free port. */
  port: number;
}

/** Pages that need no token. */
export interface Pages {
  /** Their paths, as routes. */
  readonly routes: ReadonlySet<string>;
  add(app: FastifyInstance): void;
}

/** Where plain HTTP is served, within this machine. */
export interface LoopbackOptions {
  /** One of loopback. */
  address: string;
  /** 0: any free port. */
  port: number;
  /** Whether to do without when the port is taken, with a warning. */
  optional: boolean;
}

/** What is served. */
export interface ApiParts {
  handlers: Handlers;
  /** Exports and imports; without them, their routes are not there. */
  streams?: Streams | undefined;
  /** Without them, only the control socket is served, without tokens. */
  tokens?: Tokens | undefined;
  /** Of browsers; without them, nobody has one. */
  sessions?: Sessions | undefined;
  /** Adds pages for people, which hold nothing of this node, to all but the control socket. */
  pages?: Pages | undefined;
  /** Where exports and imports are told of. */
  jobs?: Jobs | undefined;
  audit?: AuditLog | undefined;
  /** Seals cursors of the list of events over restarts; null or not given: they end with each. */
  eventCursorKey?: Uint8Array | null | undefined;
  /** Without them, `GET /metrics` is not there. */
  metrics?: Metrics | undefined;
  /** Without it, requests have no spans. */
  tracer?: Tracer | undefined;
  logger: Logger;
}

export interface ServeApiOptions extends ApiParts {
  /** Where to listen, and what `claimSocket` found there. */
  socket: string;
  found: SocketFinding;
  https?: HttpsOptions | undefined;
  loopback?: LoopbackOptions | undefined;
  timeouts?: ApiTimeouts | undefined;
}

/** A listening API. */
export interface ApiServer extends AsyncDisposable {
  readonly socket: string;
  /** Port of HTTPS; null: it is not served. */
  readonly port: number | null;
  /** Port of plain HTTP on loopback; null: it is not served. */
  readonly loopbackPort: number | null;
  /**
   * What connects over HTTPS from now on meets this certificate.
   *
   * @throws AshlarError config-invalid: it is none, or not that of the key; the old one stays.
   */
  renewCertificate(pem: CertificatePem): void;
  /** Refuses new calls, lets those under way end for a second, removes the socket. Repeatable. */
  close(): Promise<void>;
}

/**
 * Starts to answer.
 *
 * @throws AshlarError 'daemon-running', 'permission-denied', 'io-error'; of HTTPS also
 * 'config-invalid', 'address-in-use', 'address-unavailable'.
 */
export async function serveApi(options: ServeApiOptions): Promise<ApiServer> {
  const { https, loopback, timeouts = apiTimeouts } = options;
  const calls = new Calls(
    options.handlers,
    new AuditTrail(options.audit ?? null),
    new SealedCursors({ listEvents: options.eventCursorKey ?? null }),
  );
  const state = { closing: false };
  const apps: FastifyInstance[] = [];
  const app = async (transport: Transport, serverOf: ServerOf): Promise<FastifyInstance> => {
    const made = buildApp(options, { calls, transport, serverOf, timeouts, state });
    apps.push(made);
    await made.ready();
    return made;
  };
  const plain: ServerOf = (handler) => plainServer(timeouts, handler);
  const closeAll = async (): Promise<void> => {
    state.closing = true;
    await Promise.all(apps.map(closeServer));
  };
  let tls: TlsServer | null = null;
  let port: number | null = null;
  let loopbackPort: number | null = null;
  try {
    if (https !== undefined) {
      const { server } = await app('https', (handler) => {
        tls = tlsServer(https, timeouts, handler);
        return tls;
      });
      port = await listenOn(server, 'api.listen', https.address, https.port);
    }
    if (loopback !== undefined) {
      const { server } = await app('loopback', plain);
      loopbackPort = await listenOnLoopback(server, loopback, options.logger);
    }
    const { server } = await app('socket', plain);
    await listenAt(server, options.socket, options.found);
  } catch (thrown) {
    await closeAll();
    throw thrown;
  }
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= closeAll();
    return closing;
  };
  const renew = (pem: CertificatePem): void => {
    if (tls !== null) renewCertificate(tls, pem);
  };
  return {
    ...{ socket: options.socket, port, loopbackPort, renewCertificate: renew },
    ...{ close, [Symbol.asyncDispose]: close },
  };
}

async function listenOnLoopback(
  server: Server,
  { address, port, optional }: LoopbackOptions,
  logger: Logger,
): Promise<number | null> {
  try {
    return await listenOn(server, 'api.console', address, port);
  } catch (thrown) {
    if (!optional || !(thrown instanceof AshlarError)) throw thrown;
    logger.warn(`${thrown.message}; no console there: set api.console or --console`);
    return null;
  }
}

async function closeServer(app: FastifyInstance): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    app.server.close(() => resolve());
  });
  app.server.closeIdleConnections();
  const cut = setTimeout(() => app.server.closeAllConnections(), closeGraceMs);
  await Promise.all([ended, app.close()]);
  clearTimeout(cut);
}

/** What strangers may call. */
const openRoutes: ReadonlySet<string> = new Set(
  Object.values<Operation>(operations)
    .filter(({ open }) => open === true)
    .map(({ method, path }) => `${method} ${path}`),
);

type ServerOf = (handler: RequestListener) => Server;

/** What the servers of all transports have in common, and what one has of its own. */
interface AppParts {
  calls: Calls;
  transport: Transport;
  serverOf: ServerOf;
  timeouts: ApiTimeouts;
  /** What comes on a connection that is still there while the server closes is refused. */
  state: { readonly closing: boolean };
}

/** The routes on a server of one transport. */
function buildApp(
  { tokens, sessions, streams, jobs, pages, metrics, tracer, logger }: ApiParts,
  { calls, transport, serverOf, timeouts, state }: AppParts,
): FastifyInstance {
  const loggerInstance: FastifyBaseLogger = logger;
  const app: FastifyInstance = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
    routerOptions: { maxParamLength: 512 },
    forceCloseConnections: 'idle',
    return503OnClosing: false, // In words of its own; ours are below.
    clientErrorHandler: refuseConnection,
    // Refused before a route is found, e.g. a path that is not valid percent-encoding.
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply),
    serverFactory: (handler) => serverOf(handler),
  });
  app.addContentTypeParser(msgpackTypes, { parseAs: 'buffer' }, (_request, body, done) => {
    parseMsgpack(body, done);
  });
  const traced = new TracedRequests(tracer ?? null);
  const callers = new WeakMap<FastifyRequest, Caller>();
  const callerOf = (request: FastifyRequest): Caller => callers.get(request) ?? localCaller;
  app.setErrorHandler((error, request, reply) => {
    traced.problem(request, codeOf(error));
    return sendProblem(error, request, reply, { caller: callerOf(request) });
  });
  app.setNotFoundHandler((request, reply) => sendProblem(unknownRoute(request), request, reply));
  app.addHook('onResponse', (request, reply, done) => {
    const level = request.method === 'GET' || request.method === 'HEAD' ? 'debug' : 'info';
    const ms = Math.round(reply.elapsedTime * 10) / 10;
    const { method, url: path } = request;
    const traceId = traced.traceIdOf(request);
    logger[level]({ method, path, status: reply.statusCode, ms, traceId }, 'api');
    done();
  });
  traced.addTo(app);
  boundRequests(app, timeouts.requestMs);
  const connections = new Connections(app.server, logger);
  // Before anything of the body is read.
  app.addHook('onRequest', async (request) => {
    if (state.closing) {
      throw new AshlarError('closed', 'the daemon is ending; ask again when it has started anew');
    }
    assertOwnPage(request.headers, transport);
    const { url = '' } = request.routeOptions;
    if (isDocument(request) || pages?.routes.has(url) === true) return;
    const caller = openRoutes.has(`${request.method} ${url}`)
      ? stranger
      : authenticate(request, transport, { tokens: tokens ?? null, sessions: sessions ?? null });
    callers.set(request, caller);
    traced.ofCaller(request, caller);
    if (caller !== stranger) connections.prove(request.raw.socket);
  });
  const peerOf = (request: FastifyRequest): string | null =>
    transport === 'socket' ? null : request.ip;
  const routes = { calls, callerOf, peerOf, traced };
  addRoutes(app, routes);
  addDocuments(app, version);
  if (transport !== 'socket') pages?.add(app);
  if (metrics !== undefined) addMetrics(app, metrics, callerOf);
  if (streams !== undefined) addTransfers(app, streams, routes, jobs);
  return app;
}

/** Hangs up on a request that takes too long to arrive; an import may take as long as its pipe. */
function boundRequests(app: FastifyInstance, timeoutMs: number): void {
  const timers = new WeakMap<FastifyRequest, NodeJS.Timeout>();
  app.addHook('onRequest', (request, reply, done) => {
    if (!isTransfer(request)) {
      const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
      const timer = setTimeout(() => refuseConnection(late, request.raw.socket), timeoutMs);
      timers.set(request, timer);
      reply.raw.once('close', () => clearTimeout(timer));
    }
    done();
  });
  // The body is there by now.
  app.addHook('preValidation', (request, _reply, done) => {
    clearTimeout(timers.get(request));
    done();
  });
}

function parseMsgpack(
  body: string | Buffer,
  done: (error: Error | null, body?: unknown) => void,
): void {
  let value: unknown;
  try {
    value = decode(Buffer.from(body), 'msgpack');
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    done(new AshlarError('invalid-argument', `body: not valid MessagePack: ${why}`));
    return;
  }
  done(null, value);
}
