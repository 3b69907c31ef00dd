/**
 * Spans of a trace, as the rest of the code sees them. Nothing of OpenTelemetry is loaded for this:
 * otlp.ts makes the spans, and only where tracing is on. Without a span under way, as always when
 * it is off, everything here just does the work.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { toAshlarError } from '../errors.js';

export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** A piece of work that takes time. Ended once; what comes after that changes nothing. */
export interface Span {
  /** In hexadecimal, for the log. */
  readonly traceId: string;
  /** A piece of this piece. */
  child(name: string, attributes: Attributes): Span;
  set(attributes: Attributes): void;
  /**
   * @param problem a code of errors.ts, when it failed.
   * @param isFault whether that is a fault here, and not of what was asked for.
   */
  end(problem?: string, isFault?: boolean): void;
}

/** Begins the spans of requests. */
export interface Tracer {
  /**
   * @param carrier `traceparent` and `tracestate` of the caller, if it has a trace of its own; what is
   * no trace context begins a new one.
   * @returns null: this trace is not sampled.
   */
  begin(
    name: string,
    carrier: Readonly<Record<string, string>>,
    attributes: Attributes,
  ): Span | null;
}

const current = new AsyncLocalStorage<Span>();

/** Does work as a part of a span; null: of none. */
export function within<R>(span: Span | null, work: () => R): R {
  return span === null ? work() : current.run(span, work);
}

/** Does work as a span of its own, when it is part of one. */
export async function inSpan<R>(
  name: string,
  attributes: Attributes,
  work: () => Promise<R>,
): Promise<R> {
  const span = childSpan(name, attributes);
  if (span === null) return work();
  try {
    const result = await current.run(span, work);
    span.end();
    return result;
  } catch (thrown) {
    span.end(toAshlarError(thrown).code);
    throw thrown;
  }
}

/** The same for work that is ended elsewhere. null: this is part of no span. */
export function childSpan(name: string, attributes: Attributes): Span | null {
  return current.getStore()?.child(name, attributes) ?? null;
}
