/** Cuts: the Nth request to a daemon fails, before or after what it does there. */
import { AshlarError } from '../../lib/errors.js';
import type { Wrap } from './controller_fixture.js';

export type CutWhen = 'before' | 'after';

export class Cutter {
  #left = 0;
  #when: CutWhen = 'before';
  #fired = false;
  /** Requests since the last {@link arm}. */
  requests = 0;

  /** From now on the `nth` request (1: the next) of all callers is cut. */
  arm(nth: number, when: CutWhen): void {
    this.#left = nth;
    this.#when = when;
    this.#fired = false;
    this.requests = 0;
  }

  /** Nothing is cut any more. @returns whether something was. */
  disarm(): boolean {
    this.#left = 0;
    return this.#fired;
  }

  readonly wrap: Wrap = (caller) => ({
    get reachedBy() {
      return caller.reachedBy;
    },
    request: async (id, input, options) => {
      this.requests += 1;
      const cut = this.#left > 0 && this.requests === this.#left;
      if (!cut) return caller.request(id, input, options);
      this.#fired = true;
      if (this.#when === 'after') await caller.request(id, input, options).catch(() => undefined);
      throw new AshlarError('connection-lost', `${id}: cut ${this.#when} its effect`);
    },
    close: () => caller.close(),
  });
}
