/** The space of deleted layers, as a job that is there while the background gives it back. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Jobs, OpenJob } from '../jobs/types.js';
import type { PoolStatus } from '../native.js';

/** How often the pool is asked. */
const lookMs = 250;

export class Reclaiming {
  readonly #jobs: Jobs;
  readonly #status: () => Promise<PoolStatus>;
  #job: Promise<unknown> | null = null;
  /** Something was deleted since the job last asked the pool. */
  #more = false;

  constructor(jobs: Jobs, status: () => Promise<PoolStatus>) {
    this.#jobs = jobs;
    this.#status = status;
  }

  /** To be called when something was deleted. */
  look(): void {
    this.#more = true;
    this.#job ??= this.#beginAll().finally(() => {
      this.#job = null;
    });
  }

  async #beginAll(): Promise<void> {
    while (this.#more) {
      this.#more = false;
      await this.#begin();
    }
  }

  async #begin(): Promise<void> {
    try {
      const first = await this.#status();
      if (first.reclaimingLayers === 0n) return;
      const job = this.#jobs.open({
        kind: 'reclaim',
        title: 'give back the space of what was deleted',
        tenant: null,
        owner: 'node',
        cancellable: false,
      });
      await this.#follow(job, first).then(
        () => job.succeed(null),
        (thrown: unknown) => job.fail(thrown),
      );
    } catch {
      // The node is closing, or the pool failed, which has its own event.
    }
  }

  /** The total is the most there was: more may be deleted meanwhile. */
  async #follow(job: OpenJob, first: PoolStatus): Promise<void> {
    let most = 0n;
    let status = first;
    while (status.reclaimingLayers > 0n) {
      const left = status.reclaimingChunks * status.chunkBytes;
      if (left > most) most = left;
      job.progress(Number(most - left), Number(most));
      await sleep(lookMs, undefined, { signal: job.signal });
      status = await this.#status();
    }
  }
}
