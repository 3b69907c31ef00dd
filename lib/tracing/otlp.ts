/**
 * Spans by OpenTelemetry, sent by OTLP over HTTP. Loaded only where tracing is on. Nothing is
 * registered globally: an embedder may have an OpenTelemetry of its own.
 */
import { hostname } from 'node:os';
import {
  type Context,
  defaultTextMapGetter,
  type Span as OtelSpan,
  type Tracer as OtelTracer,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';
import type { Attributes, Span, Tracer } from './spans.js';

export interface OtlpOptions {
  /** URL to which spans are posted. */
  endpoint: string;
  /** Of the traces that callers have not decided about, 0 to 1. */
  sample: number;
  service: string;
  version: string;
  /** Sent with each post; secrets. */
  headers: Readonly<Record<string, string>>;
}

/** Spans that wait to be sent; more are dropped. About 1 KiB each. */
const maxWaiting = 2048;
const sendEveryMs = 2000;
/** A receiver that takes longer gets nothing of that post. */
const sendTimeoutMs = 5000;
/** How long the end of the daemon waits for what is to be sent. */
const closeMs = 1000;

export class OtlpTracer implements Tracer, AsyncDisposable {
  readonly #provider: TracerProvider;
  readonly #tracer: OtelTracer;
  readonly #propagator = new W3CTraceContextPropagator();

  constructor(options: OtlpOptions, logger: Logger) {
    const { endpoint: url, headers, service, version, sample } = options;
    const exporter = new OTLPTraceExporter({
      url,
      headers: { ...headers },
      timeoutMillis: sendTimeoutMs,
      concurrencyLimit: 1,
    });
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({
        'service.name': service,
        'service.version': version,
        'host.name': hostname(),
        'process.pid': process.pid,
      }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sample) }),
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: telling(exporter, url, logger),
          maxQueueSize: maxWaiting,
          scheduledDelayMillis: sendEveryMs,
          exportTimeoutMillis: sendTimeoutMs,
        }),
      ],
    });
    this.#tracer = this.#provider.getTracer('ashlar', version);
  }

  begin(
    name: string,
    carrier: Readonly<Record<string, string>>,
    attributes: Attributes,
  ): Span | null {
    const parent = this.#propagator.extract(ROOT_CONTEXT, carrier, defaultTextMapGetter);
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    return span.isRecording() ? new OtlpSpan(this.#tracer, span, parent) : null;
  }

  /** Sends what waits, if somebody takes it in a second. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeMs);
    });
    await Promise.race([this.#provider.shutdown().catch(() => undefined), late]);
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

class OtlpSpan implements Span {
  readonly #tracer: OtelTracer;
  readonly #span: OtelSpan;
  readonly #context: Context;

  constructor(tracer: OtelTracer, span: OtelSpan, parent: Context) {
    this.#tracer = tracer;
    this.#span = span;
    this.#context = trace.setSpan(parent, span);
  }

  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  child(name: string, attributes: Attributes): Span {
    const span = this.#tracer.startSpan(name, { attributes }, this.#context);
    return new OtlpSpan(this.#tracer, span, this.#context);
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  end(problem?: string, isFault = true): void {
    if (!this.#span.isRecording()) return;
    if (problem !== undefined) {
      this.#span.setAttribute('error.type', problem);
      if (isFault) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: problem });
    }
    this.#span.end();
  }
}

/** An exporter whose failures are a warning, once until it succeeds, and nobody else's affair. */
function telling(exporter: SpanExporter, url: string, logger: Logger): SpanExporter {
  let failing = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, ({ code, error }) => {
        const failed = code !== ExportResultCode.SUCCESS;
        if (failed && !failing) {
          const why = error?.message ?? 'no reason given';
          logger.warn(
            `traces cannot be sent to '${url}' (${why}); they are dropped until they can`,
          );
        }
        failing = failed;
        done({ code: ExportResultCode.SUCCESS });
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}
