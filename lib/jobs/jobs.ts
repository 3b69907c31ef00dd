/** Jobs: kept in memory, cancelled by their signals. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Catalog } from '../catalog/catalog.js';
import { AshlarError, asTenantsSee, nodeIsFull, toAshlarError } from '../errors.js';
import { childSpan, type Span, within } from '../tracing/spans.js';
import { OwnedLog } from '../volumes/owned_log.js';
import { pageLimit } from '../volumes/pages.js';
import { findTenant, tenantOf } from '../volumes/state.js';
import type { CallOptions, Page } from '../volumes/types.js';
import type { JobCounts, JobFilter, JobInfo, JobState, Jobs, NewJob, OpenJob } from './types.js';

/** Jobs kept that have ended, of the node and of each tenant. */
export const jobsKept = 1000;
export const jobsKeptOfTenant = 200;
/** Jobs under way at once, of all and of each tenant: each is an open export, import or check. */
export const maxRunningJobs = 256;
export const maxRunningJobsOfTenant = 64;

interface Entry {
  readonly id: string;
  info: JobInfo;
  /** The tenant's record id; null: the node. */
  tenant: bigint | null;
  controller: AbortController;
  /** Resolves when it has ended. */
  ended: Promise<void>;
}

export class JobService implements Jobs {
  readonly #catalog: Catalog;
  readonly #entries = new OwnedLog<Entry>({
    ofNode: jobsKept,
    ofTenant: jobsKeptOfTenant,
    mayGo: ({ info }) => info.state !== 'running',
  });
  readonly #running = new Set<Entry>();
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
    return this.#open(job).open;
  }

  #open(job: NewJob): { open: OpenJob; span: Span | null } {
    const { tenant: name } = job;
    const tenant = name === null ? null : findTenant(this.#catalog, name).id;
    this.#assertRoom(tenant);
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
    const entry = { id: info.id, info, tenant, controller, ended };
    const span = childSpan(`job ${job.kind}`, { 'ashlar.job': info.id });
    this.#running.add(entry);
    this.#entries.add(entry, tenant);
    const end = (
      change: Pick<JobInfo, 'error' | 'result'> & { state: Exclude<JobState, 'running'> },
    ): void => {
      if (info.endedAt !== null) return;
      this.#ended[info.kind][change.state] += 1;
      Object.assign(info, change, { endedAt: new Date().toISOString() });
      this.#running.delete(entry);
      this.#entries.forgetOld(tenant);
      span?.end(change.error?.code);
      finish();
    };
    const open: OpenJob = {
      id: info.id,
      signal: controller.signal,
      progress: (doneBytes, totalBytes) => {
        info.doneBytes = doneBytes;
        if (totalBytes !== undefined) info.totalBytes = totalBytes;
      },
      succeed: (result) => end({ state: 'succeeded', error: null, result }),
      fail: (thrown) => {
        const error = toAshlarError(thrown);
        const { code, message } = error;
        const state = controller.signal.aborted ? 'cancelled' : 'failed';
        const toTenants = asTenantsSee(error).message;
        end({ state, error: { code, message, toTenants }, result: null });
      },
    };
    return { open, span };
  }

  start(job: NewJob, work: (job: OpenJob) => Promise<object | null>): JobInfo {
    const { open, span } = this.#open(job);
    void within(span, () => work(open)).then(
      (result) => open.succeed(result),
      (thrown: unknown) => open.fail(thrown),
    );
    return this.show(open.id);
  }

  page(options: JobFilter = {}): Page<JobInfo> {
    const limit = pageLimit(options);
    const items: JobInfo[] = [];
    let last: string | null = null;
    for (const { key, item } of this.#entries.newestFirst(this.#owner(options), options.after)) {
      const { info } = item;
      if (options.state !== undefined && info.state !== options.state) continue;
      if (options.kind !== undefined && info.kind !== options.kind) continue;
      if (items.length === limit) return { items, next: last };
      items.push({ ...info });
      last = key;
    }
    return { items, next: null };
  }

  counts(): JobCounts {
    return { running: this.#running.size, ended: structuredClone(this.#ended) };
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
    this.#entries.remove(id);
  }

  /** Cancels all; resolves when they have ended. */
  async close(): Promise<void> {
    const running = [...this.#running];
    for (const { controller } of running) controller.abort();
    await Promise.all(running.map(({ ended }) => ended));
  }

  #assertRoom(tenant: bigint | null): void {
    const own = [...this.#running].filter((entry) => entry.tenant === tenant).length;
    if (tenant !== null && own >= maxRunningJobsOfTenant) {
      throw new AshlarError(
        'limit-exceeded',
        `the tenant has ${own} jobs under way, its limit; wait for one to end ("ashlar job list")`,
      );
    }
    if (this.#running.size < maxRunningJobs) return;
    throw new AshlarError(
      'limit-exceeded',
      `${maxRunningJobs} jobs are under way, the limit; wait for one to end ("ashlar job list")`,
      { toTenants: nodeIsFull('jobs at present') },
    );
  }

  #find(id: string, options: CallOptions): Entry {
    const owner = this.#owner(options);
    const found = this.#entries.find(id);
    if (found !== null && (owner === undefined || found.tenant === owner)) return found.item;
    throw new AshlarError(
      'not-found',
      `job '${id.slice(0, 80)}' does not exist, or ended so long ago that it is not kept`,
    );
  }

  #owner(options: CallOptions): bigint | undefined {
    return options.tenant === undefined ? undefined : tenantOf(this.#catalog, options).id;
  }
}
