/** Long work: under way or ended, with its progress, while the daemon runs. */
import type { ErrorCode } from '../errors.js';
import type { CallOptions, Page, PageOptions } from '../volumes/types.js';

export const jobKinds = ['pool-check', 'export', 'import', 'reclaim'] as const;
export type JobKind = (typeof jobKinds)[number];
export const jobStates = ['running', 'succeeded', 'failed', 'cancelled'] as const;
export type JobState = (typeof jobStates)[number];

export interface JobInfo {
  id: string;
  kind: JobKind;
  state: JobState;
  /** One line: what it does. */
  title: string;
  /** Tenant of its objects; null: the node's. */
  tenant: string | null;
  /** Who started it. */
  owner: string;
  /** Whether it can be cancelled; what it has done by then stays. */
  cancellable: boolean;
  doneBytes: number | null;
  /** null: not known. */
  totalBytes: number | null;
  createdAt: string;
  endedAt: string | null;
  /** `toTenants`: the message for callers of its tenant. */
  error: { code: ErrorCode; message: string; toTenants: string } | null;
  /** What it found out, as the operation of its kind says. */
  result: object | null;
}

export interface JobFilter extends PageOptions {
  state?: JobState | undefined;
  kind?: JobKind | undefined;
}

export interface NewJob {
  kind: JobKind;
  title: string;
  /** Name of the tenant; null: the node. */
  tenant: string | null;
  owner: string;
  cancellable: boolean;
}

/** A job in the hands of who does it. */
export interface OpenJob {
  readonly id: string;
  /** Aborts when the job is cancelled, or the node closes. */
  readonly signal: AbortSignal;
  progress(doneBytes: number, totalBytes?: number | null): void;
  /** Ends it. */
  succeed(result: object | null): void;
  /** Ends it; as cancelled when its signal was aborted. */
  fail(thrown: unknown): void;
}

/** How many there are under way, and have ended since the start. */
export interface JobCounts {
  running: number;
  /** By kind, then by how they ended. */
  ended: Record<JobKind, Record<Exclude<JobState, 'running'>, number>>;
}

/**
 * The last 1,000 of the node and 200 of each tenant that ended are kept. With a tenant in the
 * options: that tenant's alone.
 */
export interface Jobs {
  open(job: NewJob): OpenJob;
  /** Does the work in the background. */
  start(job: NewJob, work: (job: OpenJob) => Promise<object | null>): JobInfo;
  /** Newest first. */
  page(options?: JobFilter): Page<JobInfo>;
  counts(): JobCounts;
  /** @throws AshlarError not-found. */
  show(id: string, options?: CallOptions): JobInfo;
  /** Resolves when it has ended, or after `timeoutMs`. @throws AshlarError not-found. */
  wait(id: string, timeoutMs: number, options?: CallOptions): Promise<JobInfo>;
  /** @throws AshlarError not-found, conflict (it has ended, or cannot be cancelled). */
  cancel(id: string, options?: CallOptions): Promise<JobInfo>;
  /** Forgets one that has ended. @throws AshlarError not-found, busy. */
  remove(id: string, options?: CallOptions): void;
}
