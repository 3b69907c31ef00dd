/** All the daemons, and where among them a thing is. */
import type { Group, Snapshot, Volume } from '../../api/contract.js';
import { CsiError, toCsiError } from '../errors.js';
import { isUuid } from '../names.js';
import { type Endpoint, Unreachable } from './endpoint.js';

/** A thing, and the daemon that has it. */
export interface Found<T> {
  endpoint: Endpoint;
  item: T;
}

/** Identities whose place is remembered; the oldest go first. */
const maxRemembered = 16_384;

type Read<T> = (endpoint: Endpoint, id: string, signal: AbortSignal) => Promise<T | null>;

const readVolume: Read<Volume> = (endpoint, volume, signal) =>
  endpoint.lookUp('getVolume', { params: { volume } }, signal);
const readSnapshot: Read<Snapshot> = (endpoint, snapshot, signal) =>
  endpoint.lookUp('getSnapshot', { params: { snapshot } }, signal);
const readGroup: Read<Group> = (endpoint, group, signal) =>
  endpoint.lookUp('getGroup', { params: { group } }, signal);

export class Endpoints {
  /** Where a thing was found last: a hint, asked first. */
  readonly #places = new Map<string, Endpoint>();

  constructor(readonly all: readonly Endpoint[]) {}

  /**
   * A volume by its identity; null: no daemon has it.
   *
   * @throws CsiError UNAVAILABLE when none has it and one does not answer.
   */
  volume(id: string, signal: AbortSignal): Promise<Found<Volume> | null> {
    return this.#find(id, readVolume, signal);
  }

  snapshot(id: string, signal: AbortSignal): Promise<Found<Snapshot> | null> {
    return this.#find(id, readSnapshot, signal);
  }

  group(id: string, signal: AbortSignal): Promise<Found<Group> | null> {
    return this.#find(id, readGroup, signal);
  }

  /**
   * Looks everywhere, also when it has been found before: of a thing that is about to be made.
   *
   * @param needed those where it can have been made; what the others would say is not waited for.
   * @throws CsiError UNAVAILABLE when one of those does not answer: it might have it.
   */
  volumeAnywhere(
    id: string,
    needed: readonly Endpoint[],
    signal: AbortSignal,
  ): Promise<Found<Volume> | null> {
    return this.#ask(this.all, id, readVolume, signal, needed);
  }

  snapshotAnywhere(
    id: string,
    needed: readonly Endpoint[],
    signal: AbortSignal,
  ): Promise<Found<Snapshot> | null> {
    return this.#ask(this.all, id, readSnapshot, signal, needed);
  }

  groupAnywhere(
    id: string,
    needed: readonly Endpoint[],
    signal: AbortSignal,
  ): Promise<Found<Group> | null> {
    return this.#ask(this.all, id, readGroup, signal, needed);
  }

  /** Whether another daemon than `but` has it too. @throws as {@link volumeAnywhere}. */
  async volumeBeside(
    but: Endpoint,
    id: string,
    needed: readonly Endpoint[],
    signal: AbortSignal,
  ): Promise<Endpoint | null> {
    const others = this.all.filter((endpoint) => endpoint !== but);
    return (await this.#ask(others, id, readVolume, signal, needed))?.endpoint ?? null;
  }

  remember(id: string, endpoint: Endpoint): void {
    this.#places.delete(id);
    this.#places.set(id, endpoint);
    const [oldest] = this.#places.keys();
    if (this.#places.size > maxRemembered && oldest !== undefined) this.#places.delete(oldest);
  }

  async #find<T>(id: string, read: Read<T>, signal: AbortSignal): Promise<Found<T> | null> {
    if (!isUuid(id)) return null;
    const hint = this.#places.get(id);
    if (hint !== undefined) {
      const item = await read(hint, id, signal).catch((thrown: unknown) => {
        if (thrown instanceof Unreachable) return null;
        throw thrown;
      });
      if (item !== null) return { endpoint: hint, item };
      this.#places.delete(id);
    }
    return this.#ask(this.all, id, read, signal);
  }

  async #ask<T>(
    endpoints: readonly Endpoint[],
    id: string,
    read: Read<T>,
    signal: AbortSignal,
    needed: readonly Endpoint[] = endpoints,
  ): Promise<Found<T> | null> {
    const answers = await Promise.allSettled(
      endpoints.map(async (endpoint) => ({ endpoint, item: await read(endpoint, id, signal) })),
    );
    const found: Found<T>[] = [];
    for (const answer of answers) {
      if (answer.status === 'rejected') continue;
      const { endpoint, item } = answer.value;
      if (item !== null) found.push({ endpoint, item });
    }
    const [first, second] = found;
    if (first !== undefined && second !== undefined) {
      throw new CsiError(
        'FAILED_PRECONDITION',
        `${id} is at endpoint '${first.endpoint.name}' and at '${second.endpoint.name}'; find ` +
          'out which of them holds the data and delete the other',
      );
    }
    if (first !== undefined) {
      this.remember(id, first.endpoint);
      return first;
    }
    signal.throwIfAborted();
    for (const [index, answer] of answers.entries()) {
      const endpoint = endpoints[index];
      if (answer.status === 'fulfilled' || endpoint === undefined) continue;
      if (needed.includes(endpoint)) throw toCsiError(answer.reason);
    }
    return null;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.all.map((endpoint) => endpoint.close()));
  }
}
