/**
 * The typed client of the API, over the daemon's unix socket or HTTPS. The CLI uses it, and so may
 * every other program.
 */
import type { Readable } from 'node:stream';
import { Client, type Dispatcher, errors } from 'undici';
import { AshlarError, type ErrorCode } from '../errors.js';
import { decode, type Encoding, encode, mediaTypes, msgpackTypes } from './codec.js';
import type { Input, Output } from './contract.js';
import { type Operation, type OperationId, operations } from './operations.js';
import { errorOf } from './problem.js';

/** A daemon elsewhere, by HTTPS. */
export interface RemoteDaemon {
  /** `https://address:port`. */
  url: string;
  /** Bearer token; not given: the certificate says who calls. */
  token?: string | undefined;
  /** PEM: who signed the daemon's certificate; the system's own when not given. */
  ca?: Buffer | undefined;
  /** PEM: a client certificate and its key. */
  certificate?: Buffer | undefined;
  key?: Buffer | undefined;
}

export interface ApiClientOptions {
  /** Path of the control socket, or a daemon elsewhere. */
  socket: string | RemoteDaemon;
  /** A token to call with at a control socket; not given: as its owner. */
  token?: string | undefined;
  /** How bodies travel; the results are the same. JSON when not given. */
  encoding?: Encoding | undefined;
  /** Of calls that say nothing else. */
  defaults?: Pick<CallOptions, 'signal' | 'timeoutMs'> | undefined;
  /** The trace that calls are part of. */
  trace?: TraceContext | undefined;
}

/** As W3C Trace Context has it in headers. */
export interface TraceContext {
  traceparent?: string;
  tracestate?: string;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** How long an answer may take, milliseconds; 0: for ever. 60 s when not given. */
  timeoutMs?: number | undefined;
  /** Of a change: sent again with the same key, it is done once. */
  idempotencyKey?: string | undefined;
  /** Of a change: an entity tag; refused when the object has changed since. */
  ifMatch?: string | undefined;
}

/** Parts of an input that an operation does not need may be left out. */
export type ClientInput<K extends OperationId> = {
  [P in keyof Input<K> as object extends Input<K>[P] ? never : P]: Input<K>[P];
} & {
  [P in keyof Input<K> as object extends Input<K>[P] ? P : never]?: Input<K>[P];
};

type ListOperation = Extract<OperationId, `list${string}`>;
type ItemOf<K extends ListOperation> = Output<K>['items'][number];

/** What goes into a request, whichever operation it is of. */
interface InputParts {
  params?: object;
  query?: object;
  body?: object;
}

/** See {@link ApiClient.transfer}. */
export interface TransferRequest {
  operation: Operation;
  params: object;
  query: object;
  headers?: Record<string, string>;
  body?: Readable;
}

/**
 * One connection to a daemon.
 *
 * Errors of every call: 'daemon-not-running', 'permission-denied', 'timed-out', 'cancelled',
 * 'connection-lost' (the outcome is unknown), and those of the operation itself.
 */
export class ApiClient implements AsyncDisposable {
  /** Path of the socket, or the URL. */
  readonly socket: string;
  readonly #remote: boolean;
  /** Nobody was reached the last time. */
  #refused = false;
  readonly #headers: Record<string, string>;
  readonly #encoding: Encoding;
  readonly #defaults: Pick<CallOptions, 'signal' | 'timeoutMs'>;
  readonly #client: Client;

  constructor(options: ApiClientOptions) {
    const { socket } = options;
    this.#encoding = options.encoding ?? 'json';
    this.#defaults = options.defaults ?? {};
    this.#remote = typeof socket !== 'string';
    const { traceparent, tracestate } = options.trace ?? {};
    const trace = {
      ...(traceparent === undefined ? {} : { traceparent }),
      ...(tracestate === undefined ? {} : { tracestate }),
    };
    if (typeof socket === 'string') {
      this.socket = socket;
      this.#headers = { ...bearer(options.token), ...trace };
      this.#client = new Client('http://ashlar', { socketPath: socket });
      return;
    }
    const { url, token, ca, certificate, key } = socket;
    this.socket = url;
    this.#headers = { ...bearer(token), ...trace };
    const tls = Object.fromEntries(
      Object.entries({ ca, cert: certificate, key }).filter(([, value]) => value !== undefined),
    );
    this.#client = new Client(url, { connect: tls });
  }

  /** Does one operation and gives its answer, decoded. */
  async call<K extends OperationId>(
    id: K,
    input: ClientInput<K>,
    options: CallOptions = {},
  ): Promise<Output<K>> {
    // The daemon builds its answers from the same contract; tests check every one against it.
    return (await this.#perform(id, input, options)).body as Output<K>;
  }

  /** The same, with the entity tag of the answer, which a change can be asked to fit. */
  async tagged<K extends OperationId>(
    id: K,
    input: ClientInput<K>,
    options: CallOptions = {},
  ): Promise<{ output: Output<K>; etag: string | null }> {
    const { body, etag } = await this.#perform(id, input, options);
    return { output: body as Output<K>, etag };
  }

  /** All items of a list, page by page. What changes meanwhile may or may not be in it. */
  async list<K extends ListOperation>(
    id: K,
    query?: Omit<Input<K>['query'], 'cursor'>,
    options: CallOptions = {},
  ): Promise<ItemOf<K>[]> {
    const items: ItemOf<K>[] = [];
    let cursor: string | null = null;
    do {
      const parts = { query: { ...query, ...(cursor === null ? {} : { cursor }) } };
      const page = (await this.#perform(id, parts, options)).body as Output<K>;
      items.push(...page.items);
      cursor = page.next;
    } while (cursor !== null);
    return items;
  }

  /**
   * A request whose body, or whose answer's, is a stream; errors are as of {@link call}.
   * @returns the answer, of which the caller reads all of the body or destroys it.
   */
  async transfer(
    id: string,
    request: TransferRequest,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Dispatcher.ResponseData> {
    const { operation, params, query, body, headers } = request;
    let answer: Dispatcher.ResponseData;
    try {
      answer = await this.#client.request({
        method: operation.method,
        path: pathOf(operation.path, { ...params }, { ...query }),
        headers: { ...this.#headers, accept: mediaTypes.json, ...headers },
        body: body ?? null,
        // It takes as long as the slower of both ends; a daemon that dies hangs up.
        headersTimeout: 0,
        bodyTimeout: 0,
        signal: options.signal ?? null,
      });
      if (answer.statusCode < 400) return answer;
      const bytes = await answer.body.bytes();
      throw errorOf(bytes.length === 0 ? {} : this.#decode(bytes, answer), answer.statusCode);
    } catch (thrown) {
      throw thrown instanceof AshlarError ? thrown : this.connectionError(thrown, id);
    }
  }

  async #perform(
    id: OperationId,
    parts: InputParts,
    options: CallOptions,
  ): Promise<{ body: unknown; etag: string | null }> {
    const operation: Operation = operations[id];
    const hasBody = parts.body !== undefined;
    const type = mediaTypes[this.#encoding];
    const { signal = null, timeoutMs: timeout = 60_000 } = { ...this.#defaults, ...options };
    let answer: Dispatcher.ResponseData;
    let bytes: Uint8Array;
    try {
      answer = await this.#client.request({
        method: operation.method,
        path: pathOf(operation.path, { ...parts.params }, { ...parts.query }),
        headers: {
          ...this.#headers,
          accept: type,
          ...(hasBody ? { 'content-type': type } : {}),
          ...conditions(options),
        },
        body: hasBody ? encode(parts.body, this.#encoding) : null,
        headersTimeout: timeout,
        bodyTimeout: timeout,
        signal,
      });
      bytes = await answer.body.bytes();
    } catch (thrown) {
      throw this.connectionError(thrown, id);
    }
    const body = bytes.length === 0 ? {} : this.#decode(bytes, answer);
    if (answer.statusCode >= 400) throw errorOf(body, answer.statusCode);
    const etag = answer.headers['etag'];
    return { body, etag: typeof etag === 'string' ? etag : null };
  }

  #decode(bytes: Uint8Array, answer: Dispatcher.ResponseData): unknown {
    const type = String(answer.headers['content-type'] ?? '');
    const encoding = msgpackTypes.some((name) => type.startsWith(name)) ? 'msgpack' : 'json';
    try {
      return decode(bytes, encoding);
    } catch (thrown) {
      throw new AshlarError(
        'protocol-error',
        `the answer of '${this.socket}' is not valid ${encoding}; is it an Ashlar daemon?`,
        { cause: thrown },
      );
    }
  }

  /** What broke the connection, as an error of ours. */
  connectionError(thrown: unknown, id: string): AshlarError {
    const options = { cause: thrown };
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
    if (thrown instanceof Error && thrown.name === 'AbortError') {
      return new AshlarError('cancelled', `${id}: cancelled`, options);
    }
    const never = this.#remote
      ? unreachable(this.socket, String(code ?? ''), options)
      : noSocket(this.socket, String(code ?? ''), options);
    this.#refused = never !== null;
    if (never !== null) return never;
    if (thrown instanceof errors.HeadersTimeoutError || thrown instanceof errors.BodyTimeoutError) {
      return new AshlarError(
        'timed-out',
        `the daemon at '${this.socket}' did not answer ${id} in time; the outcome is unknown`,
        options,
      );
    }
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return new AshlarError(
      'connection-lost',
      `the daemon at '${this.socket}' hung up during ${id} (${why}); the outcome is unknown`,
      options,
    );
  }

  async close(): Promise<void> {
    // After a certificate for another name undici's close() waits for ever.
    await (this.#refused ? this.#client.destroy() : this.#client.close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function bearer(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

function conditions({ idempotencyKey, ifMatch }: CallOptions): Record<string, string> {
  return {
    ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
    ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
  };
}

/** Why nobody was asked at a control socket; null: somebody may have been. */
function noSocket(socket: string, code: string, options: { cause: unknown }): AshlarError | null {
  const notRunning = (why: string): AshlarError =>
    new AshlarError(
      'daemon-not-running',
      `no daemon at the control socket '${socket}' (${why}); start one with 'ashlar serve', ` +
        'or name its socket with --socket or ASHLAR_SOCKET',
      options,
    );
  switch (code) {
    case 'ENOENT':
      return notRunning('it does not exist');
    case 'ENOTSOCK':
    case 'ECONNREFUSED':
      return notRunning('nobody listens');
    case 'EACCES':
    case 'EPERM':
      return new AshlarError(
        'permission-denied',
        `the control socket '${socket}' is its owner's alone; run this as the daemon's user`,
        options,
      );
    default:
      return null;
  }
}

/** What TLS libraries call a certificate that they do not trust, beside what begins with CERT_. */
const untrusted: ReadonlySet<string> = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'INVALID_CA',
]);

/** Why nobody was asked at a URL; null: somebody may have been. */
function unreachable(url: string, code: string, options: { cause: unknown }): AshlarError | null {
  const why = options.cause instanceof Error ? options.cause.message : code;
  const error = (of: ErrorCode, message: string): AshlarError =>
    new AshlarError(of, message, options);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return error(
      'unauthenticated',
      `the certificate of '${url}' is for another name; call the daemon by a name or address ` +
        'that its certificate has',
    );
  }
  if (untrusted.has(code) || code.startsWith('CERT_')) {
    return error(
      'unauthenticated',
      `the certificate of '${url}' is not trusted (${why}); name the PEM file of who signed it ` +
        'with --ca or ASHLAR_CA',
    );
  }
  if (code.startsWith('ERR_OSSL_')) {
    return error('usage', `the CA, client certificate or its key cannot be used (${why})`);
  }
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') {
    return error('protocol-error', `TLS with '${url}' failed (${why}); is it the HTTPS port?`);
  }
  switch (code) {
    case 'ECONNREFUSED':
      return error(
        'connection-refused',
        `nobody listens at '${url}'; is the daemon running, and is this its [api] listen?`,
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return error('connection-refused', `the name in '${url}' has no address (${code})`);
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return error('connection-refused', `there is no way to '${url}' (${code})`);
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return error('timed-out', `'${url}' did not answer in time; nothing was asked`);
    default:
      return null;
  }
}

function pathOf(
  path: string,
  params: Readonly<Record<string, unknown>>,
  query: Readonly<Record<string, unknown>>,
): string {
  const filled = path.replaceAll(/:([a-z]+)/gi, (_, name: string) =>
    encodeURIComponent(String(params[name] ?? '')),
  );
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) search.set(name, String(value));
  }
  return search.size === 0 ? filled : `${filled}?${search}`;
}
