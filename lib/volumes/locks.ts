/** Locks by name: calls on one object run one after the other, calls on others at once. */
import { AshlarError } from '../errors.js';
import { inSpan } from '../tracing/spans.js';

export class KeyedLocks {
  readonly #tails = new Map<string, Promise<void>>();
  readonly #refusals = new Map<string, string>();

  /**
   * Runs `body` when no other holds `key`. An abort ends the waiting, never the body.
   * @throws AshlarError cancelled, busy ({@link refuse}).
   */
  async hold<R>(
    key: string,
    what: string,
    signal: AbortSignal | undefined,
    body: () => Promise<R>,
  ): Promise<R> {
    const waits = this.#tails.has(key);
    const before = this.#tails.get(key) ?? Promise.resolve();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    // Those behind wait for the one before and for this one, even if this one gives up waiting.
    const tail = before.then(() => held);
    this.#tails.set(key, tail);
    try {
      const turn = () => orAborted(before, what, signal);
      await (waits ? inSpan('wait for another call', { 'ashlar.what': what }, turn) : turn());
      const refusal = this.#refusals.get(key);
      if (refusal !== undefined) throw new AshlarError('busy', `${what}: ${refusal}`);
      return await body();
    } finally {
      release();
      if (this.#tails.get(key) === tail) {
        void tail.then(() => {
          if (this.#tails.get(key) === tail) this.#tails.delete(key);
        });
      }
    }
  }

  /** The same for several keys, each once, taken in the order given. */
  holdAll<R>(
    keys: readonly string[],
    what: string,
    signal: AbortSignal | undefined,
    body: () => Promise<R>,
  ): Promise<R> {
    const [first, ...others] = keys;
    if (first === undefined) return body();
    return this.hold(first, what, signal, () => this.holdAll(others, what, signal, body));
  }

  /**
   * For work that takes as long as its peer likes: nobody gets `key`, and nobody waits for it, until
   * the function returned is called. Done while holding it.
   *
   * @param reason what those are told who ask: one line.
   */
  refuse(key: string, reason: string): () => void {
    this.#refusals.set(key, reason);
    return () => this.#refusals.delete(key);
  }

  /** Resolves when nothing is held or waited for. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  /** Keys held or waited for. */
  get size(): number {
    return this.#tails.size;
  }
}

async function orAborted(
  turn: Promise<void>,
  what: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal === undefined) return turn;
  const cancelled = (): AshlarError =>
    new AshlarError('cancelled', `${what}: cancelled`, { cause: signal.reason });
  if (signal.aborted) throw cancelled();
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(cancelled());
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => signal.removeEventListener('abort', onAbort);
  });
  try {
    await Promise.race([turn, aborted]);
  } finally {
    stop();
  }
}
