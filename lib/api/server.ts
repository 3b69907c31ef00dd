/**
 * The API over HTTP: fastify on a unix socket, routes made from operations.ts and contract.ts,
 * work done by handlers. It checks everything that comes in and answers every error as a problem
 * document. What it holds is bounded: connections, header and body sizes, and time.
 */
import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type HTTPMethods,
  LogController,
} from 'fastify';
import type { Logger } from 'pino';
import { AshlarError, toAshlarError } from '../errors.js';
import { version } from '../node/version.js';
import type { Streams } from '../stream/types.js';
import {
  decode,
  type Encoding,
  encode,
  encodingFor,
  mediaTypes,
  msgpackTypes,
  problemTypes,
} from './codec.js';
import type { Input, Output } from './contract.js';
import { addDocuments } from './openapi/routes.js';
import { type Operation, type OperationId, operationIds, operations } from './operations.js';
import { problemOf } from './problem.js';
import { listenAt, type SocketFinding } from './socket.js';
import { transfers } from './transfer_names.js';
import { addTransfers, isTransfer } from './transfers.js';

/** The largest object is a volume with 1,024 host NQNs of 223 bytes: 256 KiB and room. */
const maxBodyBytes = 1 << 20;
/** Programs keep one or a few connections; the rest is a leak or an attack. */
const maxConnections = 128;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
const keepAliveTimeoutMs = 60_000;
/** How long calls under way may take once the server closes; then they are hung up on. */
const closeGraceMs = 1000;

/** One function for each operation; `signal` aborts when the caller hangs up. */
export type Handlers = {
  readonly [K in OperationId]: (input: Input<K>, signal: AbortSignal) => Promise<Output<K>>;
};

export interface ServeApiOptions {
  handlers: Handlers;
  /** Exports and imports; without them, their routes are not there. */
  streams?: Streams | undefined;
  logger: Logger;
  /** Where to listen, and what `claimSocket` found there. */
  socket: string;
  found: SocketFinding;
}

/** A listening API. */
export interface ApiServer extends AsyncDisposable {
  readonly socket: string;
  /** Refuses new calls, lets those under way end for a second, removes the socket. Repeatable. */
  close(): Promise<void>;
}

/**
 * Starts to answer.
 *
 * @throws AshlarError 'daemon-running', 'permission-denied', 'io-error'.
 */
export async function serveApi(options: ServeApiOptions): Promise<ApiServer> {
  const app = buildApp(options.handlers, options.logger, options.streams);
  await app.ready();
  await listenAt(app.server, options.socket, options.found);
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= closeServer(app);
    return closing;
  };
  return { socket: options.socket, close, [Symbol.asyncDispose]: close };
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

/** The routes without a socket; tests inject requests into it. */
export function buildApp(
  handlers: Handlers,
  logger: Logger,
  streams?: Streams | undefined,
): FastifyInstance {
  const loggerInstance: FastifyBaseLogger = logger;
  const app: FastifyInstance = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
    routerOptions: { maxParamLength: 512 },
    forceCloseConnections: 'idle',
    clientErrorHandler: refuseConnection,
    // Refused before a route is found, e.g. a path that is not valid percent-encoding.
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply),
    serverFactory: (handler): Server => {
      const server = createServer(
        {
          headersTimeout: headersTimeoutMs,
          // Of every request but an import; see boundRequests.
          requestTimeout: 0,
          keepAliveTimeout: keepAliveTimeoutMs,
          connectionsCheckingInterval: 5000,
        },
        handler,
      );
      server.maxConnections = maxConnections;
      return server;
    },
  });
  app.addContentTypeParser(msgpackTypes, { parseAs: 'buffer' }, (_request, body, done) => {
    parseMsgpack(body, done);
  });
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  app.setNotFoundHandler((request, reply) => sendProblem(unknownRoute(request), request, reply));
  app.addHook('onResponse', (request, reply, done) => {
    const level = request.method === 'GET' || request.method === 'HEAD' ? 'debug' : 'info';
    const ms = Math.round(reply.elapsedTime * 10) / 10;
    logger[level](
      { method: request.method, path: request.url, status: reply.statusCode, ms },
      'api',
    );
    done();
  });
  boundRequests(app);
  for (const id of operationIds) addRoute(app, id, handlers);
  addDocuments(app, version);
  addMethodRefusals(app);
  if (streams !== undefined) {
    addTransfers(app, streams, {
      send: (request, reply, value) =>
        send(reply, value, encodingFor(request.headers.accept), mediaTypes),
      hangUpSignal,
    });
  }
  return app;
}

/**
 * The contract and the schema library, which are a third of a quick start: loaded right after it,
 * or by the first request.
 */
export function loadChecks(): Promise<typeof import('./check.js')> {
  return import('./check.js');
}

function addRoute<K extends OperationId>(app: FastifyInstance, id: K, handlers: Handlers): void {
  const operation: Operation = operations[id];
  const handler = handlers[id];
  app.route({
    method: operation.method,
    url: operation.path,
    handler: async (request, reply) => {
      const { checkInput } = await loadChecks();
      const input = checkInput(id, request);
      const output = await handler(input, hangUpSignal(reply));
      reply.code(operation.status);
      if (operation.status === 204) return reply.send();
      return send(reply, output, encodingFor(request.headers.accept), mediaTypes);
    },
  });
}

/** 405 where a path has other methods than the one asked for. */
function addMethodRefusals(app: FastifyInstance): void {
  const methods = new Map<string, string[]>();
  for (const { method, path } of Object.values<Operation>({ ...operations, ...transfers })) {
    methods.set(path, [...(methods.get(path) ?? []), method]);
  }
  for (const [path, allowed] of methods) {
    const others = allMethods.filter((method) => !allowed.includes(method));
    // fastify answers HEAD where there is a GET.
    const free = others.filter((method) => method !== 'HEAD' || !allowed.includes('GET'));
    app.route({
      method: free,
      url: path,
      exposeHeadRoute: false,
      handler: (request, reply) => {
        const message = `${request.method} ${path}: possible here: ${allowed.join(', ')}`;
        reply.header('allow', allowed.join(', '));
        return sendProblem(new AshlarError('usage', message), request, reply, 405);
      },
    });
  }
}

const allMethods: readonly HTTPMethods[] = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
];

function send(
  reply: FastifyReply,
  value: unknown,
  encoding: Encoding,
  types: Readonly<Record<Encoding, string>>,
): FastifyReply {
  return reply
    .header('content-type', types[encoding])
    .header('vary', 'accept')
    .send(encode(value, encoding));
}

/** Hangs up on a request that takes too long to arrive; an import may take as long as its pipe. */
function boundRequests(app: FastifyInstance): void {
  const timers = new WeakMap<FastifyRequest, NodeJS.Timeout>();
  app.addHook('onRequest', (request, reply, done) => {
    if (!isTransfer(request)) {
      const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
      const timer = setTimeout(() => refuseConnection(late, request.raw.socket), requestTimeoutMs);
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

/** Aborts when the caller is gone before its answer. */
function hangUpSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
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

function unknownRoute(request: FastifyRequest): AshlarError {
  return new AshlarError(
    'not-found',
    `${request.method} ${request.url.slice(0, 200)}: there is no such operation`,
  );
}

/** What is no HTTP, has too long headers, or takes too long over them: answered, then hung up. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const long = error.code === 'HPE_HEADER_OVERFLOW';
  const refusal = late
    ? new AshlarError('timed-out', 'the request took too long to arrive')
    : long
      ? new AshlarError('limit-exceeded', 'the request headers are too long')
      : new AshlarError('invalid-argument', 'this is not a valid HTTP request');
  const problem = problemOf(refusal, late ? 408 : long ? 431 : 400);
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\nconnection: close\r\n` +
      `content-type: ${problemTypes.json}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** Statuses of fastify's own refusals that say more than the code's. */
const frameworkStatuses = new Map([
  ['FST_ERR_CTP_BODY_TOO_LARGE', 413],
  ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 415],
]);

function sendProblem(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  ownStatus?: number,
): FastifyReply {
  const { error, status } = asRefusal(thrown);
  const problem = problemOf(error, ownStatus ?? status);
  if (error.code === 'internal') request.log.error({ err: thrown }, 'api: internal error');
  reply.code(problem.status);
  return send(reply, problem, encodingFor(request.headers.accept), problemTypes);
}

function asRefusal(thrown: unknown): { error: AshlarError; status: number | undefined } {
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') {
    if (thrown.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
      const message = `body: larger than ${maxBodyBytes} bytes`;
      return { error: new AshlarError('limit-exceeded', message), status: 413 };
    }
    if (thrown.code.startsWith('FST_') || thrown instanceof SyntaxError) {
      const error = new AshlarError('invalid-argument', `request: ${thrown.message}`);
      return { error, status: frameworkStatuses.get(thrown.code) };
    }
  }
  if (thrown instanceof SyntaxError) {
    const error = new AshlarError('invalid-argument', `body: not valid JSON: ${thrown.message}`);
    return { error, status: undefined };
  }
  return { error: toAshlarError(thrown), status: undefined };
}
