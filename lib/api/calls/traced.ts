/** The span of each request: its operation, whose it is, and how it ended. No body, no secret. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../../access/types.js';
import { type Span, type Tracer, within } from '../../tracing/spans.js';
import { type Operation, operations } from '../operations.js';
import { transfers } from '../transfer_names.js';

const names: ReadonlyMap<string, string> = new Map(
  Object.entries<Operation>({ ...operations, ...transfers }).map(([id, { method, path }]) => [
    `${method} ${path}`,
    id,
  ]),
);

export class TracedRequests {
  readonly #tracer: Tracer | null;
  readonly #spans = new WeakMap<FastifyRequest, Span>();
  readonly #problems = new WeakMap<FastifyRequest, string>();

  constructor(tracer: Tracer | null) {
    this.#tracer = tracer;
  }

  /** To be called before other hooks, so that refusals have a span too. */
  addTo(app: FastifyInstance): void {
    const tracer = this.#tracer;
    if (tracer === null) return;
    app.addHook('onRequest', (request, reply, done) => {
      this.#begin(tracer, request, reply);
      done();
    });
  }

  #begin(tracer: Tracer, request: FastifyRequest, reply: FastifyReply): void {
    const { url: route = '' } = request.routeOptions;
    const operation = names.get(`${request.method} ${route}`);
    // Documents, pages, metrics, and what is no operation, are no control-plane calls.
    if (operation === undefined) return;
    const { traceparent, tracestate } = request.headers;
    const carrier = {
      ...(typeof traceparent === 'string' ? { traceparent } : {}),
      ...(typeof tracestate === 'string' ? { tracestate } : {}),
    };
    const span = tracer.begin(operation, carrier, {
      'ashlar.operation': operation,
      'http.request.method': request.method,
      'http.route': route,
    });
    if (span === null) return;
    this.#spans.set(request, span);
    reply.raw.once('close', () => {
      const answered = reply.raw.writableFinished;
      const code = this.#problems.get(request) ?? (answered ? undefined : 'cancelled');
      if (answered) span.set({ 'http.response.status_code': reply.statusCode });
      // As OpenTelemetry's conventions for servers have it: what callers ask wrongly is no fault here.
      span.end(code, answered && reply.statusCode >= 500);
    });
  }

  /** Who calls, once that is known. */
  ofCaller(request: FastifyRequest, caller: Caller): void {
    const span = this.#spans.get(request);
    if (span === undefined) return;
    const asked = [request.params, request.query].map((part) =>
      typeof part === 'object' && part !== null && 'tenant' in part ? part.tenant : undefined,
    );
    const tenant = [caller.tenant, ...asked].find(
      (each) => typeof each === 'string' && each !== '',
    );
    span.set({
      'ashlar.caller.role': caller.role,
      ...(typeof tenant === 'string' ? { 'ashlar.tenant': tenant.slice(0, 64) } : {}),
    });
  }

  /** It is refused, or failed. @param code of errors.ts. */
  problem(request: FastifyRequest, code: string): void {
    if (this.#spans.has(request)) this.#problems.set(request, code);
  }

  traceIdOf(request: FastifyRequest): string | undefined {
    return this.#spans.get(request)?.traceId;
  }

  /** Does the work of a request as a part of its span. */
  within<R>(request: FastifyRequest, work: () => R): R {
    return within(this.#spans.get(request) ?? null, work);
  }
}
