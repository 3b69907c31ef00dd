/**
 * Requests to one Ashlar daemon: which of its addresses answers, with which credentials, over which
 * connection.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  ApiClient,
  type ApiClientOptions,
  type CallOptions,
  type ClientInput,
} from '../../api/client.js';
import type { Output } from '../../api/contract.js';
import type { OperationId } from '../../api/operations.js';
import { AshlarError, type ErrorCode, toAshlarError } from '../../errors.js';
import type { EndpointSettings } from '../config.js';

/** What an operation answered, with the entity tag that a later change can ask for. */
export interface Answer<K extends OperationId> {
  output: Output<K>;
  etag: string | null;
}

/** How requests get to a daemon; tests put one between that cuts them off. */
export interface ApiCaller {
  /** Host of the URL that answered last; null: a control socket, or none has answered. */
  readonly reachedBy: string | null;
  request<K extends OperationId>(
    id: K,
    input: ClientInput<K>,
    options: CallOptions,
  ): Promise<Answer<K>>;
  close(): Promise<void>;
}

/** Connections kept open without a request, as many as a list uses; a daemon takes 128 in all. */
const maxIdle = 16;

/** After these the connection is of no use any more. */
const broken: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'connection-refused',
  'connection-lost',
  'daemon-not-running',
  'timed-out',
  'cancelled',
  'protocol-error',
]);

interface Credentials {
  token: string | undefined;
  ca: Buffer | undefined;
  certificate: Buffer | undefined;
  key: Buffer | undefined;
  /** The same for the same credentials. */
  digest: string;
}

interface Open {
  client: ApiClient;
  place: string;
  digest: string;
}

/** One request has one connection, so that a slow one holds up no other. */
export class Connections implements ApiCaller {
  readonly #settings: EndpointSettings;
  readonly #places: readonly string[];
  #idle: Open[] = [];
  /** Which of the places is tried first. */
  #first = 0;
  #reached: string | null = null;
  #closed = false;

  constructor(settings: EndpointSettings) {
    this.#settings = settings;
    this.#places = settings.socket === null ? settings.urls : [settings.socket];
  }

  get reachedBy(): string | null {
    return this.#settings.socket === null && this.#reached !== null
      ? new URL(this.#reached).hostname.replace(/^\[|\]$/g, '')
      : null;
  }

  async request<K extends OperationId>(
    id: K,
    input: ClientInput<K>,
    options: CallOptions,
  ): Promise<Answer<K>> {
    const credentials = await this.#credentials();
    let failure: unknown;
    for (let tried = 0; tried < this.#places.length; tried += 1) {
      const place = this.#places[this.#first] ?? '';
      try {
        const answer = await this.#ask(place, credentials, id, input, options);
        this.#reached = place;
        return answer;
      } catch (thrown) {
        if (!hangsUp(thrown)) {
          this.#reached = place;
          throw thrown;
        }
        failure = thrown;
        this.#first = (this.#first + 1) % this.#places.length;
        if (!wasNotAsked(thrown)) break;
      }
    }
    throw failure;
  }

  async #ask<K extends OperationId>(
    place: string,
    credentials: Credentials,
    id: K,
    input: ClientInput<K>,
    options: CallOptions,
  ): Promise<Answer<K>> {
    const kept = this.#take(place, credentials.digest);
    if (kept !== null) {
      try {
        return await this.#through(kept, id, input, options);
      } catch (thrown) {
        // The daemon may have hung up long ago. All that is asked here may be asked twice.
        if (!(thrown instanceof AshlarError) || thrown.code !== 'connection-lost') throw thrown;
      }
    }
    return this.#through(this.#open(place, credentials), id, input, options);
  }

  async #through<K extends OperationId>(
    open: Open,
    id: K,
    input: ClientInput<K>,
    options: CallOptions,
  ): Promise<Answer<K>> {
    let keep = false;
    try {
      const answer = await open.client.tagged(id, input, options);
      keep = true;
      return answer;
    } catch (thrown) {
      keep = thrown instanceof AshlarError && !broken.has(thrown.code);
      throw thrown;
    } finally {
      if (keep && !this.#closed && this.#idle.length < maxIdle) this.#idle.push(open);
      else await open.client.close().catch(() => undefined);
    }
  }

  #take(place: string, digest: string): Open | null {
    const at = this.#idle.findIndex((open) => open.place === place && open.digest === digest);
    return at < 0 ? null : (this.#idle.splice(at, 1)[0] ?? null);
  }

  #open(place: string, { token, ca, certificate, key, digest }: Credentials): Open {
    const options: ApiClientOptions =
      this.#settings.socket === null
        ? { socket: { url: place, token, ca, certificate, key } }
        : { socket: place, token };
    return { client: new ApiClient(options), place, digest };
  }

  /** Read every time: a mounted Secret changes without a sign. */
  async #credentials(): Promise<Credentials> {
    const { tokenFile, ca, cert, key } = this.#settings;
    const [tokenBytes, caBytes, certificate, keyBytes] = await Promise.all(
      [tokenFile, ca, cert, key].map((file) => this.#read(file)),
    );
    const token = tokenBytes?.toString('utf8').trim();
    const hash = createHash('sha256');
    for (const part of [tokenBytes, caBytes, certificate, keyBytes]) {
      hash.update(`${part?.length ?? -1}:`).update(part ?? '');
    }
    const digest = hash.digest('base64');
    const old = this.#idle.filter((open) => open.digest !== digest);
    if (old.length > 0) {
      this.#idle = this.#idle.filter((open) => open.digest === digest);
      await Promise.allSettled(old.map(({ client }) => client.close()));
    }
    return { token, ca: caBytes, certificate, key: keyBytes, digest };
  }

  async #read(file: string | null): Promise<Buffer | undefined> {
    if (file === null) return undefined;
    try {
      return await readFile(file);
    } catch (thrown) {
      throw new AshlarError(
        'daemon-not-running',
        `'${file}' cannot be read (${toAshlarError(thrown).message}); is the Secret mounted?`,
        { cause: thrown },
      );
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const open = this.#idle.splice(0);
    await Promise.allSettled(open.map(({ client }) => client.close()));
  }
}

function hangsUp(thrown: unknown): boolean {
  return thrown instanceof AshlarError && broken.has(thrown.code) && thrown.code !== 'cancelled';
}

/** Whether nothing can have been done, so that another address may be asked instead. */
function wasNotAsked(thrown: unknown): boolean {
  if (!(thrown instanceof AshlarError)) return false;
  if (thrown.code === 'connection-refused' || thrown.code === 'daemon-not-running') return true;
  const { cause } = thrown;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT';
}
