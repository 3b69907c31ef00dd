/** Portals that wait for their address or port: each is tried again, at growing distances. */

const firstDelayMs = 250;
export const longestDelayMs = 5000;

export class Retries {
  /** Resolves to whether it listens, or needs to no more. Never rejects. */
  readonly #attempt: (portalId: number) => Promise<boolean>;
  readonly #timers = new Map<number, NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(attempt: (portalId: number) => Promise<boolean>) {
    this.#attempt = attempt;
  }

  /** Tries again later, and on until it succeeds. */
  start(portalId: number, delayMs = firstDelayMs): void {
    if (this.#closed) return;
    const timer = setTimeout(() => {
      const run = this.#run(portalId, delayMs).finally(() => this.#running.delete(run));
      this.#running.add(run);
    }, delayMs);
    timer.unref();
    this.#timers.set(portalId, timer);
  }

  async #run(portalId: number, delayMs: number): Promise<void> {
    const timer = this.#timers.get(portalId);
    const done = await this.#attempt(portalId);
    // Stopped meanwhile, or begun anew.
    if (this.#timers.get(portalId) !== timer) return;
    this.#timers.delete(portalId);
    if (!done) this.start(portalId, Math.min(delayMs * 2, longestDelayMs));
  }

  stop(portalId: number): void {
    clearTimeout(this.#timers.get(portalId));
    this.#timers.delete(portalId);
  }

  /** Resolves when no attempt is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const portalId of [...this.#timers.keys()]) this.stop(portalId);
    await Promise.all(this.#running);
  }
}
