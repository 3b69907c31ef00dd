/** One Ashlar daemon, as the controller uses it. */
import { lookup } from 'node:dns/promises';
import { setMaxListeners } from 'node:events';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import type { CallOptions, ClientInput } from '../../api/client.js';
import type { Input, Output, Portal } from '../../api/contract.js';
import { type OperationId, operations } from '../../api/operations.js';
import { AshlarError, type ErrorCode, toAshlarError } from '../../errors.js';
import type { EndpointSettings, Segments } from '../config.js';
import { CsiError } from '../errors.js';
import { Turns } from '../locks.js';
import type { Answer, ApiCaller } from './connections.js';

export type ListOperation = Extract<OperationId, `list${string}`>;
export type ItemOf<K extends ListOperation> = Output<K>['items'][number];

/** What a list is asked with, beside the page. */
export type Filter<K extends ListOperation> = Omit<Input<K>['query'], 'cursor' | 'limit'>;

/** Nobody answers there; what was asked may have been done. */
export class Unreachable extends CsiError {
  constructor(endpoint: string, cause: AshlarError) {
    super('UNAVAILABLE', `endpoint '${endpoint}' does not answer: ${cause.message}`, { cause });
  }
}

const unreachable: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'connection-refused',
  'connection-lost',
  'daemon-not-running',
  'timed-out',
  'closed',
  'protocol-error',
]);

/** The code of an error of the API, whatever it has been made into since; null: it is of none. */
export function codeOf(thrown: unknown): ErrorCode | null {
  if (thrown instanceof AshlarError) return thrown.code;
  return thrown instanceof CsiError && thrown.cause instanceof AshlarError
    ? thrown.cause.code
    : null;
}

/** How long the answer to a look may take. */
const lookMs = 10_000;

/** Ways for nodes to a daemon. */
export interface Paths {
  /** `address:port` of each. */
  portals: readonly string[];
  tls: 'none' | 'required';
}

export class Endpoint {
  readonly name: string;
  readonly topology: Segments;
  readonly #portals: readonly string[];
  readonly #caller: ApiCaller;
  readonly #log: Logger;
  readonly #turns = new Turns();
  #answers = true;

  constructor({ name, topology, portals }: EndpointSettings, caller: ApiCaller, logger: Logger) {
    this.#log = logger.child({ endpoint: name });
    this.name = name;
    this.topology = topology;
    this.#portals = portals;
    this.#caller = caller;
  }

  /** Whether the last request was answered; true until something was asked. */
  get answers(): boolean {
    return this.#answers;
  }

  /** @throws Unreachable, and AshlarError as the operation does. */
  async tagged<K extends OperationId>(
    id: K,
    input: ClientInput<K>,
    options: CallOptions,
  ): Promise<Answer<K>> {
    // A call of a list or group has many requests under way, each of which listens to its signal.
    if (options.signal !== undefined) setMaxListeners(0, options.signal);
    try {
      // A look is short. One that is not answered must not hold a call until its deadline.
      const look = operations[id].method === 'GET';
      const limits = look ? { timeoutMs: lookMs, ...options } : options;
      const answer = await this.#caller.request(id, input, limits);
      this.#tell(null);
      return answer;
    } catch (thrown) {
      const error = toAshlarError(thrown);
      const silent = unreachable.has(error.code) ? new Unreachable(this.name, error) : null;
      if (error.code !== 'cancelled') this.#tell(silent);
      throw silent ?? error;
    }
  }

  /** One line when it stops answering, and one when it answers again. */
  #tell(silent: Unreachable | null): void {
    if ((silent === null) === this.#answers) return;
    this.#answers = silent === null;
    if (silent === null) this.#log.info(`endpoint '${this.name}' answers again`);
    else this.#log.warn(silent.message);
  }

  async call<K extends OperationId>(
    id: K,
    input: ClientInput<K>,
    options: CallOptions,
  ): Promise<Output<K>> {
    return (await this.tagged(id, input, options)).output;
  }

  /** Runs `body` when all that were called before it with the same key have ended. */
  inTurn<T>(key: string, body: () => Promise<T>): Promise<T> {
    return this.#turns.run(key, body);
  }

  /** What the operation answers, or null when the thing is not there. */
  async lookUp<K extends OperationId>(
    id: K,
    input: ClientInput<K>,
    signal: AbortSignal,
  ): Promise<Output<K> | null> {
    try {
      return await this.call(id, input, { signal });
    } catch (thrown) {
      if (codeOf(thrown) === 'not-found') return null;
      throw thrown;
    }
  }

  /** All items of a list. */
  async list<K extends ListOperation>(
    id: K,
    filter: Filter<K>,
    signal: AbortSignal,
  ): Promise<ItemOf<K>[]> {
    const items: ItemOf<K>[] = [];
    let cursor: string | null = null;
    do {
      const page: { items: ItemOf<K>[]; next: string | null } = await this.page(
        id,
        filter,
        { cursor },
        signal,
      );
      items.push(...page.items);
      cursor = page.next;
    } while (cursor !== null);
    return items;
  }

  /** One page of a list, of at most `limit` (1,000 when not given). */
  async page<K extends ListOperation>(
    id: K,
    filter: Filter<K>,
    { cursor, limit }: { cursor: string | null; limit?: number },
    signal: AbortSignal,
  ): Promise<{ items: ItemOf<K>[]; next: string | null }> {
    const query = {
      ...filter,
      ...(cursor === null ? {} : { cursor }),
      ...(limit === undefined ? {} : { limit: String(limit) }),
    };
    // Every list takes and gives pages in the same form.
    return (await this.call(id, { query } as unknown as ClientInput<K>, { signal })) as {
      items: ItemOf<K>[];
      next: string | null;
    };
  }

  /** Whether nodes could come over TLS, now or when its portals listen again. */
  async takesTls(signal: AbortSignal): Promise<boolean> {
    const portals = await this.list('listPortals', {}, signal);
    return portals.some(({ discoveryOnly, tls }) => !discoveryOnly && tls !== 'none');
  }

  /**
   * How nodes reach what is here.
   *
   * @param wanted 'required': over TLS alone; 'either': over TLS only where nothing else is.
   * @param withPsk of 'either': over TLS where there is any, as the host has a PSK for it.
   * @throws CsiError UNAVAILABLE when no portal can be used now; FAILED_PRECONDITION when one has
   * to be configured.
   */
  async paths(
    wanted: 'required' | 'either',
    withPsk: boolean,
    signal: AbortSignal,
  ): Promise<Paths> {
    const { items } = await this.page('listPortals', {}, { cursor: null }, signal);
    const serving = items.filter((portal) => !portal.discoveryOnly);
    const plain = serving.some((portal) => portal.tls !== 'required');
    const secured = serving.some((portal) => portal.tls !== 'none');
    const secure = wanted === 'required' || (secured && (withPsk || !plain));
    const tls = secure ? 'required' : 'none';
    const fitting = serving.filter((portal) =>
      tls === 'required' ? portal.tls !== 'none' : portal.tls !== 'required',
    );
    if (tls === 'required' && fitting.length === 0) {
      throw new CsiError(
        'FAILED_PRECONDITION',
        `endpoint '${this.name}' has no portal that takes TLS, which the volume needs; set ` +
          "'tls' in [target] of its configuration",
      );
    }
    if (this.#portals.length > 0) return { portals: this.#portals, tls };
    const usable = fitting.filter(({ drained, problem }) => !drained && problem === null);
    if (usable.length > 0) {
      const portals = await Promise.all(usable.map((portal) => this.#reachable(portal)));
      return { portals: [...new Set(portals)], tls };
    }
    const why = fitting.map(({ endpoint, drained, problem }) => {
      return `${endpoint} ${drained ? 'is drained' : `does not listen: ${problem}`}`;
    });
    throw new CsiError(
      'UNAVAILABLE',
      `endpoint '${this.name}' has no portal that a node could use now` +
        (why.length === 0 ? '; add one with "ashlar portal add"' : `: ${why.join('; ')}`),
    );
  }

  async #reachable({ address, port, endpoint }: Portal): Promise<string> {
    if (address !== '0.0.0.0' && address !== '::') return endpoint;
    const host = this.#caller.reachedBy;
    if (host === null) {
      throw new CsiError(
        'FAILED_PRECONDITION',
        `endpoint '${this.name}' listens on every address (${endpoint}), and is known by its ` +
          `socket; set 'portals' of that endpoint in the plugin's configuration`,
      );
    }
    const found = isIP(host) === 0 ? await this.#resolve(host) : host;
    return isIP(found) === 6 ? `[${found}]:${port}` : `${found}:${port}`;
  }

  async #resolve(host: string): Promise<string> {
    try {
      return (await lookup(host)).address;
    } catch (thrown) {
      throw new CsiError(
        'UNAVAILABLE',
        `the name '${host}' of endpoint '${this.name}' has no address ` +
          `(${toAshlarError(thrown).message}); set 'portals' of that endpoint`,
        { cause: thrown },
      );
    }
  }

  close(): Promise<void> {
    return this.#caller.close();
  }
}
