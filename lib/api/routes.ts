/**
 * The routes, made from operations.ts. Each request is one call: checked against the contract, done
 * by {@link Calls}, and answered with its entity tag.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import type { Caller } from '../access/types.js';
import { AshlarError } from '../errors.js';
import { encodedFor, sendBytes, sendProblem } from './answers.js';
import type { CallAnswer, Calls } from './calls/calls.js';
import { etagOf, noneMatches } from './calls/etags.js';
import type { TracedRequests } from './calls/traced.js';
import { type Operation, type OperationId, operationIds, operations } from './operations.js';
import { transfers } from './transfer_names.js';

/** What the routes need of the server. */
export interface RouteParts {
  calls: Calls;
  callerOf(request: FastifyRequest): Caller;
  /** Address of the caller; null at the control socket. */
  peerOf(request: FastifyRequest): string | null;
  traced: TracedRequests;
}

/**
 * The contract and the schema library, which are a third of a quick start: loaded right after it,
 * or by the first request.
 */
export function loadChecks(): Promise<typeof import('./check.js')> {
  return import('./check.js');
}

export function addRoutes(app: FastifyInstance, parts: RouteParts): void {
  for (const id of operationIds) addRoute(app, id, parts);
  addMethodRefusals(app);
}

function addRoute<K extends OperationId>(app: FastifyInstance, id: K, parts: RouteParts): void {
  const { method, path }: Operation = operations[id];
  app.route({
    method,
    url: path,
    handler: async (request, reply) => {
      const { checkInput } = await loadChecks();
      const call = {
        id,
        input: checkInput(id, request),
        caller: parts.callerOf(request),
        peer: parts.peerOf(request),
        signal: hangUpSignal(reply),
        ifMatch: headerOf(request, 'if-match'),
        idempotencyKey: headerOf(request, 'idempotency-key'),
      };
      const answer = await parts.traced.within(request, () => parts.calls.perform(call));
      return sendAnswer(request, reply, answer);
    },
  });
}

function sendAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  { status, output, replayed }: CallAnswer,
): FastifyReply {
  if (replayed) reply.header('idempotency-replayed', 'true');
  reply.code(status);
  if (status === 204) return reply.send();
  const bytes = encodedFor(request, output);
  const etag = etagOf(output, bytes);
  reply.header('etag', etag);
  const known = headerOf(request, 'if-none-match');
  if (known !== undefined && request.method === 'GET' && noneMatches(known, etag)) {
    return reply.code(304).header('vary', 'accept').send();
  }
  return sendBytes(request, reply, bytes);
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Aborts when the caller is gone before its answer. */
export function hangUpSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
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
        return sendProblem(new AshlarError('usage', message), request, reply, { ownStatus: 405 });
      },
    });
  }
}

export function unknownRoute(request: FastifyRequest): AshlarError {
  return new AshlarError(
    'not-found',
    `${request.method} ${request.url.slice(0, 200)}: there is no such operation`,
  );
}
