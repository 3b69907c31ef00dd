/**
 * What the rest of the control plane (API, CLI) sees of snapshot schedules.
 *
 * Times are ISO 8601 in UTC; UUIDs lower-case text. A promise resolves when the change is durable.
 */
import type { CallOptions } from '../volumes/types.js';
import type { Retention } from './retention.js';

/**
 * - 'waiting': for its next run.
 * - 'running': a run is under way.
 * - 'disabled': makes nothing until it is enabled.
 * - 'idle': it has no volumes; it makes nothing until it is given some.
 * - 'broken': this machine cannot read its expression or time zone any more.
 */
export type ScheduleState = 'waiting' | 'running' | 'disabled' | 'idle' | 'broken';

export interface ScheduleInfo {
  name: string;
  tenant: string;
  uuid: string;
  cron: string;
  timezone: string;
  /** Names, sorted. Their snapshots are of one instant. */
  volumes: string[];
  /** What its snapshots are called: `<prefix>-2026-11-25T02-00`. */
  prefix: string;
  keep: Retention;
  enabled: boolean;
  state: ScheduleState;
  /** How many of its snapshots there are, of all volumes. */
  snapshots: number;
  /** The next planned instant; null: there is none. */
  nextRunAt: string | null;
  /** The planned instant of the last run that succeeded or was given up; null: none yet. */
  lastRunAt: string | null;
  /** Why the last run failed; null: it succeeded, or there was none. */
  lastFailure: string | null;
  createdAt: string;
}

export interface CreateSchedule {
  /** As names of volumes, 1 to 63 letters. */
  name: string;
  /** Five fields (minute, hour, day of month, month, day of week), or '@daily' and its like. */
  cron: string;
  /** An IANA name; 'UTC' when not given. */
  timezone?: string | undefined;
  /** Names or UUIDs, 1 to 64 of one tenant. */
  volumes: readonly string[];
  /** 1 to 46 letters; the name when not given. Unique in the tenant. */
  prefix?: string | undefined;
  /** At least one rule keeps at least one. Rules not given keep none. */
  keep: Partial<Retention>;
  /** True when not given. */
  enabled?: boolean | undefined;
}

/** What is not given stays. Counts of `keep` likewise, one by one. */
export interface ChangeSchedule {
  name?: string | undefined;
  cron?: string | undefined;
  timezone?: string | undefined;
  volumes?: readonly string[] | undefined;
  prefix?: string | undefined;
  keep?: Partial<Retention> | undefined;
  enabled?: boolean | undefined;
}

export interface ScheduleRun {
  schedule: ScheduleInfo;
  /** The instant that its snapshots are named by. */
  plannedAt: string;
  /** `volume@name` of each. */
  snapshots: string[];
  /** False: they were there already, and nothing was made. */
  made: boolean;
}

/** `schedule` is a name in the tenant of the options, or a UUID. */
export interface Schedules {
  /**
   * Its first run is at the first planned instant from now on.
   * @throws AshlarError invalid-argument (name, prefix, cron, time zone, counts, volumes),
   * not-found (tenant, volume), already-exists (name, prefix), limit-exceeded.
   */
  create(request: CreateSchedule, options?: CallOptions): Promise<ScheduleInfo>;
  /** By tenant and name. Without a tenant in the options: all. */
  list(options?: CallOptions): ScheduleInfo[];
  /** @throws AshlarError not-found. */
  show(schedule: string, options?: CallOptions): ScheduleInfo;
  /**
   * New times, volumes and counts hold from the next run on; what was planned by the old ones and
   * not run is not made up for. Errors as of {@link create}.
   */
  change(schedule: string, request: ChangeSchedule, options?: CallOptions): Promise<ScheduleInfo>;
  /** Waits for a run under way. Its snapshots stay. @throws AshlarError not-found. */
  delete(schedule: string, options?: CallOptions): Promise<void>;
  /**
   * Runs it now, disabled or not: snapshots named by this minute, then what its rules let go is
   * deleted. Planned runs come as if it had not been.
   * @throws AshlarError not-found, conflict (it has no volumes), and those of a snapshot.
   */
  run(schedule: string, options?: CallOptions): Promise<ScheduleRun>;
}
