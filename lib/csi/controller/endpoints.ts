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

/** How long those are waited for that did not answer before, when the others have. */
const graceMs = 500;

/** What an endpoint said; `item` undefined: nothing, for the reason that is in `failure`. */
interface Said<T> {
  endpoint: Endpoint;
  item: T | null | undefined;
  failure: unknown;
}

/**
 * Asks all at once. One that is down is waited for once, for as long as a connection may take; from
 * then on only a moment, until it answers again: nobody's calls end by their deadline because of it.
 */
async function settledOf<T>(
  endpoints: readonly Endpoint[],
  read: (endpoint: Endpoint) => Promise<T | null>,
): Promise<Said<T>[]> {
  const said = endpoints.map((endpoint): Said<T> => {
    return { endpoint, item: undefined, failure: notWaitedFor(endpoint) };
  });
  const asked = said.map((one) => {
    const expected = one.endpoint.answers;
    const ended = read(one.endpoint).then(
      (item) => {
        one.item = item;
      },
      (thrown: unknown) => {
        one.failure = thrown;
      },
    );
    return { expected, ended };
  });
  await Promise.all(asked.filter(({ expected }) => expected).map(({ ended }) => ended));
  let timer: NodeJS.Timeout | undefined;
  const grace = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, graceMs);
  });
  await Promise.race([Promise.all(asked.map(({ ended }) => ended)), grace]);
  clearTimeout(timer);
  return said.map((one) => ({ ...one }));
}

function notWaitedFor({ name }: Endpoint): CsiError {
  return new CsiError('UNAVAILABLE', `endpoint '${name}' does not answer, nor did it before`);
}

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
    const answers = await settledOf(endpoints, (endpoint) => read(endpoint, id, signal));
    const found: Found<T>[] = [];
    for (const answer of answers) {
      const { endpoint, item } = answer;
      if (item !== null && item !== undefined) found.push({ endpoint, item });
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
    const missing = answers.find(
      ({ endpoint, item }) => item === undefined && needed.includes(endpoint),
    );
    if (missing !== undefined) throw toCsiError(missing.failure);
    return null;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.all.map((endpoint) => endpoint.close()));
  }
}
