/** Jobs: kept in memory, cancelled by their signals. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Catalog } from '../catalog/catalog.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { pageLimit } from '../volumes/pages.js';
import { findTenant, tenantOf } from '../volumes/state.js';
import type { CallOptions, Page } from '../volumes/types.js';
import type { JobCounts, JobFilter, JobInfo, JobState, Jobs, NewJob, OpenJob } from './types.js';

/** Jobs kept that have ended. */
export const jobsKept = 1000;
/** Jobs under way at once: each is an open export, import or check. */
export const maxRunningJobs = 256;

interface Entry {
  info: JobInfo;
  /** The tenant's record id; null: the node. */
  tenant: bigint | null;
  controller: AbortController;
  /** Resolves when it has ended. */
  ended: Promise<void>;
}

export class JobService implements Jobs {
  readonly #catalog: Catalog;
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>();
  readonly #ended: JobCounts['ended'] = {
    'pool-check': { succeeded: 0, failed: 0, cancelled: 0 },
    export: { succeeded: 0, failed: 0, cancelled: 0 },
    import: { succeeded: 0, failed: 0, cancelled: 0 },
    reclaim: { succeeded: 0, failed: 0, cancelled: 0 },
  };

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  open(job: NewJob): OpenJob {
    if (this.#running().length >= maxRunningJobs) {
      throw new AshlarError(
        'limit-exceeded',
        `${maxRunningJobs} jobs are under way, the limit; wait for one to end ("ashlar job list")`,
      );
    }
    const { tenant: name } = job;
    const tenant = name === null ? null : findTenant(this.#catalog, name).id;
    const controller = new AbortController();
    let finish: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const info: JobInfo = {
      id: randomUUID(),
      ...job,
      state: 'running',
      doneBytes: null,
      totalBytes: null,
      createdAt: new Date().toISOString(),
      endedAt: null,
      error: null,
      result: null,
    };
    this.#entries.set(info.id, { info, tenant, controller, ended });
    const end = (
      change: Pick<JobInfo, 'error' | 'result'> & { state: Exclude<JobState, 'running'> },
    ): void => {
      if (info.endedAt !== null) return;
      this.#ended[info.kind][change.state] += 1;
      Object.assign(info, change, { endedAt: new Date().toISOString() });
      this.#forgetOld();
      finish();
    };
    return {
      id: info.id,
      signal: controller.signal,
      progress: (doneBytes, totalBytes) => {
        info.doneBytes = doneBytes;
        if (totalBytes !== undefined) info.totalBytes = totalBytes;
      },
      succeed: (result) => end({ state: 'succeeded', error: null, result }),
      fail: (thrown) => {
        const { code, message } = toAshlarError(thrown);
        const state = controller.signal.aborted ? 'cancelled' : 'failed';
        end({ state, error: { code, message }, result: null });
      },
    };
  }

  start(job: NewJob, work: (job: OpenJob) => Promise<object | null>): JobInfo {
    const open = this.open(job);
    void work(open).then(
      (result) => open.succeed(result),
      (thrown: unknown) => open.fail(thrown),
    );
    return this.show(open.id);
  }

  page(options: JobFilter = {}): Page<JobInfo> {
    const limit = pageLimit(options);
    const { after, state, kind } = options;
    const all = [...this.#entries.values()].filter(this.#visible(options)).reverse();
    const start = after === undefined ? 0 : all.findIndex(({ info }) => info.id === after) + 1;
    if (after !== undefined && start === 0) {
      const message = 'the page before has been forgotten; start again without its cursor';
      throw new AshlarError('invalid-argument', message);
    }
    const found = all.slice(start).filter(({ info }) => {
      return (
        (state === undefined || info.state === state) && (kind === undefined || info.kind === kind)
      );
    });
    const items = found.slice(0, limit).map(({ info }) => ({ ...info }));
    return { items, next: found.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  counts(): JobCounts {
    return { running: this.#running().length, ended: structuredClone(this.#ended) };
  }

  show(id: string, options: CallOptions = {}): JobInfo {
    return { ...this.#find(id, options).info };
  }

  async wait(id: string, timeoutMs: number, options: CallOptions = {}): Promise<JobInfo> {
    const { ended } = this.#find(id, options);
    const over = new AbortController();
    const signal =
      options.signal === undefined ? over.signal : AbortSignal.any([over.signal, options.signal]);
    const timer = sleep(timeoutMs, undefined, { signal }).catch(() => undefined);
    await Promise.race([ended, timer]);
    over.abort();
    return this.show(id, options);
  }

  async cancel(id: string, options: CallOptions = {}): Promise<JobInfo> {
    const { info, controller, ended } = this.#find(id, options);
    if (info.state !== 'running') {
      throw new AshlarError('conflict', `job ${id} has ended already: ${info.state}`);
    }
    if (!info.cancellable) {
      throw new AshlarError('conflict', `job ${id} (${info.kind}) cannot be cancelled`);
    }
    controller.abort();
    await ended;
    return this.show(id, options);
  }

  remove(id: string, options: CallOptions = {}): void {
    const { info } = this.#find(id, options);
    if (info.state === 'running') {
      throw new AshlarError('busy', `job ${id} is under way; cancel it first`);
    }
    this.#entries.delete(id);
  }

  /** Cancels all; resolves when they have ended. */
  async close(): Promise<void> {
    const running = this.#running();
    for (const { controller } of running) controller.abort();
    await Promise.all(running.map(({ ended }) => ended));
  }

  #running(): Entry[] {
    return [...this.#entries.values()].filter(({ info }) => info.state === 'running');
  }

  #find(id: string, options: CallOptions): Entry {
    const found = this.#entries.get(id);
    if (found !== undefined && this.#visible(options)(found)) return found;
    throw new AshlarError(
      'not-found',
      `job '${id.slice(0, 80)}' does not exist; the last ${jobsKept} since the start are kept`,
    );
  }

  #visible(options: CallOptions): (entry: Entry) => boolean {
    if (options.tenant === undefined) return () => true;
    const { id } = tenantOf(this.#catalog, options);
    return ({ tenant }) => tenant === id;
  }

  #forgetOld(): void {
    let ended = this.#entries.size - this.#running().length;
    for (const [id, { info }] of this.#entries) {
      if (ended <= jobsKept) return;
      if (info.state === 'running') continue;
      this.#entries.delete(id);
      ended -= 1;
    }
  }
}
