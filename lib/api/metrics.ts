/**
 * `GET /metrics`, as Prometheus asks for it: at the API, where whoever may look may scrape, and at
 * a plain HTTP address where the configuration names one. A tenant's caller gets what hosts do with
 * its tenant's volumes, and nothing of the node.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Caller } from '../access/types.js';
import { toAshlarError } from '../errors.js';
import type { Metrics } from '../metrics/metrics.js';
import { problemOf } from './problem.js';
import { listenOn } from './socket.js';

const path = '/metrics';
/** A scraper or two, and somebody with a browser. */
const maxConnections = 16;
const closeGraceMs = 1000;

export function addMetrics(
  app: FastifyInstance,
  metrics: Metrics,
  callerOf: (request: FastifyRequest) => Caller,
): void {
  app.get(path, async (request, reply): Promise<FastifyReply> => {
    const { contentType, body } = await metrics.scrape(callerOf(request).tenant);
    return reply.header('content-type', contentType).send(body);
  });
}

/** Answers without asking who it is: the address says who can reach it. */
export interface MetricsServer extends AsyncDisposable {
  readonly port: number;
  /** Lets scrapes under way end for a second. Repeatable. */
  close(): Promise<void>;
}

/** @throws AshlarError address-in-use, address-unavailable, permission-denied. */
export async function serveMetrics(
  metrics: Metrics,
  { address, port }: { address: string; port: number },
  logger: Logger,
): Promise<MetricsServer> {
  const timeouts = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 120_000 };
  const server = createServer(timeouts, (request, response) => {
    void answer(metrics, request, response, logger);
  });
  server.maxConnections = maxConnections;
  const bound = await listenOn(server, 'metrics.listen', address, port);
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= closeServer(server);
    return closing;
  };
  return { port: bound, close, [Symbol.asyncDispose]: close };
}

async function answer(
  metrics: Metrics,
  { url, method }: IncomingMessage,
  response: ServerResponse,
  logger: Logger,
): Promise<void> {
  const say = (status: number, text: string): void => {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
  };
  if (url?.split('?')[0] !== path) return say(404, `only ${path} is here`);
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return say(405, `${path} is for GET`);
  }
  try {
    const { contentType, body } = await metrics.scrape(null);
    response.writeHead(200, { 'content-type': contentType, 'content-length': body.length });
    response.end(method === 'HEAD' ? undefined : body);
  } catch (thrown) {
    const error = toAshlarError(thrown);
    logger.warn({ err: error }, 'a scrape failed');
    say(problemOf(error).status, error.message);
  }
}

async function closeServer(server: Server): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), closeGraceMs);
  await ended;
  clearTimeout(cut);
}
