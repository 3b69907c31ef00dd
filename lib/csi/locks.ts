/**
 * One operation at a time for each object, and turns for what goes on inside of one. CSI wants a
 * second call for the same volume answered with ABORTED at once, not made to wait: its caller comes
 * again later, and a queue here would only hold calls whose callers have long gone.
 */
import { CsiError } from './errors.js';

export class OperationLocks {
  readonly #held = new Map<string, string>();

  /** How many objects are being worked on; for tests. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * Runs `body` while nothing else runs for any of `keys`.
   *
   * @param what the operation, for the message that the other one gets.
   * @throws CsiError ABORTED when one of them is taken; nothing was done then.
   */
  async hold<T>(keys: readonly string[], what: string, body: () => Promise<T>): Promise<T> {
    const wanted = [...new Set(keys)];
    for (const key of wanted) {
      const other = this.#held.get(key);
      if (other !== undefined) {
        throw new CsiError(
          'ABORTED',
          `${what}: ${other} of ${key} is still under way; call again when it has ended`,
        );
      }
    }
    for (const key of wanted) this.#held.set(key, what);
    try {
      return await body();
    } finally {
      for (const key of wanted) this.#held.delete(key);
    }
  }
}

/** For short work behind the calls: who comes later waits, in order, for each key apart. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `body` when all that were called before it with the same key have ended. */
  async run<T>(key: string, body: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(key) ?? Promise.resolve()).then(body);
    const ended = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, ended);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === ended) this.#last.delete(key);
    }
  }
}
