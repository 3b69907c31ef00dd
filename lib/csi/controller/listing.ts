/** Lists that go over all daemons, a page at a time. */
import { createHash } from 'node:crypto';
import { CsiError } from '../errors.js';
import { codeOf, type Endpoint, type Filter, type ItemOf, type ListOperation } from './endpoint.js';
import type { Found } from './endpoints.js';

/** Entries of one answer when the caller wants all: about 2 MiB of the 4 that gRPC takes. */
const maxEntries = 4096;
/** Of one request to a daemon. */
const maxPage = 1000;
/** Pages whose beginning is remembered; the oldest go first. */
const maxTokens = 4096;

/** Where a page begins. */
interface Place {
  /** Name of the endpoint. */
  endpoint: string;
  /** Null: at its first item. */
  cursor: string | null;
}

export interface Paging {
  maxEntries: number;
  startingToken: string;
}

export interface PageOf<T> {
  items: Found<T>[];
  /** '': this was the last. */
  nextToken: string;
}

/**
 * A daemon's cursor is longer than a token may be (128 bytes), so what is given out is a name for
 * it. It is good as long as this process lives; CSI lets a caller begin again at any time.
 */
export class Listing {
  readonly #endpoints: readonly Endpoint[];
  readonly #places = new Map<string, Place>();

  constructor(endpoints: readonly Endpoint[]) {
    this.#endpoints = endpoints;
  }

  /**
   * @param filter of the list, which has to be the same for all pages.
   * @throws CsiError INVALID_ARGUMENT, ABORTED for a token that is none, UNAVAILABLE.
   */
  async page<K extends ListOperation>(
    id: K,
    filter: Filter<K>,
    { maxEntries: asked, startingToken }: Paging,
    signal: AbortSignal,
  ): Promise<PageOf<ItemOf<K>>> {
    if (asked < 0) {
      throw new CsiError('INVALID_ARGUMENT', `max_entries is ${asked}; it cannot be negative`);
    }
    const most = asked === 0 ? maxEntries : Math.min(asked, maxEntries);
    const list = `${id} ${JSON.stringify(filter)}`;
    let place: Place | null = this.#open(list, startingToken);
    const items: Found<ItemOf<K>>[] = [];
    while (place !== null && items.length < most) {
      const endpoint = this.#named(place.endpoint);
      const limit = Math.min(most - items.length, maxPage);
      const page = await this.#read(endpoint, id, filter, place.cursor, limit, signal);
      items.push(...page.items.map((item) => ({ endpoint, item })));
      place = page.next === null ? this.#after(endpoint) : { ...place, cursor: page.next };
    }
    return { items, nextToken: place === null ? '' : this.#tokenOf(list, place) };
  }

  async #read<K extends ListOperation>(
    endpoint: Endpoint,
    id: K,
    filter: Filter<K>,
    cursor: string | null,
    limit: number,
    signal: AbortSignal,
  ): Promise<{ items: ItemOf<K>[]; next: string | null }> {
    try {
      return await endpoint.page(id, filter, { cursor, limit }, signal);
    } catch (thrown) {
      const code = codeOf(thrown);
      // What the list is to be of is not there.
      if (code === 'not-found') return { items: [], next: null };
      // The daemon was started again since, and does not know where that was.
      if (code === 'invalid-argument' && cursor !== null) throw invalidToken();
      throw thrown;
    }
  }

  #named(name: string): Endpoint {
    const endpoint = this.#endpoints.find((each) => each.name === name);
    if (endpoint === undefined) throw invalidToken();
    return endpoint;
  }

  #after(endpoint: Endpoint): Place | null {
    const next = this.#endpoints[this.#endpoints.indexOf(endpoint) + 1];
    return next === undefined ? null : { endpoint: next.name, cursor: null };
  }

  #open(list: string, token: string): Place | null {
    if (token === '') {
      const [first] = this.#endpoints;
      return first === undefined ? null : { endpoint: first.name, cursor: null };
    }
    const place = this.#places.get(`${list} ${token}`);
    if (place === undefined) throw invalidToken();
    return place;
  }

  /** The same for the same place, so that who lists again and again needs no more room. */
  #tokenOf(list: string, place: Place): string {
    const text = JSON.stringify([list, place.endpoint, place.cursor]);
    const token = createHash('sha256').update(text).digest('base64url').slice(0, 22);
    const key = `${list} ${token}`;
    this.#places.delete(key);
    this.#places.set(key, place);
    const [oldest] = this.#places.keys();
    if (this.#places.size > maxTokens && oldest !== undefined) this.#places.delete(oldest);
    return token;
  }
}

function invalidToken(): CsiError {
  return new CsiError(
    'ABORTED',
    'starting_token is not, or no more, where a page of this list began; begin without one',
  );
}
