/**
 * The runs of schedules: started when a planned instant has passed, each of them at most once.
 *
 * What keeps that promise is on disk: the instant of the last run in the schedule's record, and the
 * schedule's UUID and the planned instant in each snapshot. A run cut off between the two finds its
 * own snapshots when it is repeated, and makes nothing.
 */

import type { Transaction } from '../catalog/catalog.js';
import { type ScheduleRecord, scheduleKind } from '../catalog/kinds.js';
import { AshlarError, asTenantsSee, toAshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { type CronPlan, cronPlan } from './cron.js';
import { minuteOf, outlook, snapshotName } from './plan.js';
import { Pruner } from './prune.js';
import { aboutSchedule, type ScheduleParts, type StoredSchedule, scheduleLock } from './state.js';

/**
 * The longest sleep while a schedule waits. Timers stand still while the machine is suspended and
 * know nothing of a clock that was set, so the clock is looked at from time to time.
 */
export const longestSleepMs = 60_000;

/** A run that begins so much after its instant is told of as made up for. */
const lateMs = 2 * longestSleepMs;

/** What was found out about a schedule, valid while its record is the same and time goes on. */
interface Look {
  record: ScheduleRecord;
  /** null: the expression or the zone cannot be read. */
  plan: CronPlan | null;
  lookedMs: number;
  nextMs: number | null;
}

/** A run that was tried, recorded or not. */
interface Attempt {
  instantMs: number;
  failure: string | null;
}

/** What a run did. */
export interface RunOutcome {
  instantMs: number;
  snapshots: string[];
  /** False: its snapshots were there already. */
  made: boolean;
}

export class ScheduleRunner {
  readonly #parts: ScheduleParts;
  readonly #pruner: Pruner;
  readonly #looks = new Map<bigint, Look>();
  /** The last of each schedule: not tried again at once when its record cannot be written. */
  readonly #attempts = new Map<bigint, Attempt>();
  /** Likewise records that were to be brought back to the present. */
  readonly #rearmed = new WeakSet<ScheduleRecord>();
  readonly #running = new Map<bigint, Promise<void>>();
  readonly #closing = new AbortController();
  #started = false;
  #callOff: () => void = () => undefined;

  constructor(parts: ScheduleParts) {
    this.#parts = parts;
    this.#pruner = new Pruner(parts);
  }

  /** Makes up for what was missed, and runs what comes. */
  start(): void {
    this.#started = true;
    this.look();
  }

  /** Starts what is due and sleeps until the next. To be called when a schedule has changed. */
  look(): void {
    if (!this.#started || this.#closing.signal.aborted) return;
    this.#callOff();
    const nowMs = this.#parts.clock.nowMs();
    let sleepMs: number | null = null;
    const schedules = this.#parts.catalog.all(scheduleKind);
    for (const schedule of schedules) {
      const nextMs = this.#lookAt(schedule, nowMs);
      if (nextMs === null) continue;
      sleepMs = Math.min(sleepMs ?? longestSleepMs, Math.max(0, nextMs - nowMs));
    }
    if (this.#looks.size > schedules.length) this.#forget(schedules);
    if (sleepMs === null) return;
    this.#callOff = this.#parts.clock.wakeAfter(sleepMs, () => this.look());
  }

  /** Resolves when no run is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  /** Starts no more runs, calls off what can be, and waits for the rest. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#callOff();
    await this.idle();
  }

  isRunning(id: bigint): boolean {
    return this.#running.has(id);
  }

  /** The next planned instant; 'broken' when it cannot be known. */
  nextOf(schedule: StoredSchedule): number | null | 'broken' {
    const plan = this.#looks.get(schedule.id);
    const known = plan?.record === schedule.value ? plan.plan : readPlan(schedule.value);
    if (known === null) return 'broken';
    return outlook(known, schedule.value, this.#parts.clock.nowMs()).nextMs;
  }

  /** Why the last run failed; null: it did not. */
  failureOf({ id, value }: StoredSchedule): string | null {
    const attempt = this.#attempts.get(id);
    if (attempt !== undefined && attempt.instantMs > value.lastRunMs) return attempt.failure;
    return value.lastFailure === '' ? null : value.lastFailure;
  }

  /** A run by hand, named by this minute. Planned runs know nothing of it. */
  async runNow(id: bigint, what: string, signal: AbortSignal | undefined): Promise<RunOutcome> {
    const stop =
      signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    return this.#parts.locks.hold(scheduleLock(id), what, stop, async () => {
      const outcome = await this.#makeSnapshots(id, minuteOf(this.#parts.clock.nowMs()), stop);
      await this.#finish(id, outcome, 'by hand, ');
      return outcome;
    });
  }

  // ---- Looking ----------------------------------------------------------------------------------

  /** Begins a run if one is due. @returns when to look again; null: not for its sake. */
  #lookAt(schedule: StoredSchedule, nowMs: number): number | null {
    const { id, value } = schedule;
    if (!value.enabled || value.volumes.length === 0) return null;
    const before = this.#looks.get(id);
    const same = before?.record === value;
    const quiet = same && nowMs >= before.lookedMs;
    if (quiet && (before.nextMs === null || nowMs < before.nextMs)) return before.nextMs;
    const plan = same ? before.plan : this.#readPlan(schedule);
    if (plan === null) {
      this.#looks.set(id, { record: value, plan, lookedMs: nowMs, nextMs: null });
      return null;
    }
    // What is under way looks again when it ends.
    if (this.#running.has(id)) return null;
    const { dueMs, nextMs, aheadOfClock } = outlook(plan, value, nowMs);
    this.#looks.set(id, { record: value, plan, lookedMs: nowMs, nextMs });
    if (aheadOfClock && !this.#rearmed.has(value)) {
      this.#rearmed.add(value);
      this.#attempts.delete(id);
      this.#begin(id, () => this.#rearm(id));
    }
    if (dueMs !== null && dueMs > (this.#attempts.get(id)?.instantMs ?? 0)) {
      this.#begin(id, () => this.#runPlanned(id, dueMs));
    }
    return nextMs;
  }

  #readPlan(schedule: StoredSchedule): CronPlan | null {
    const plan = readPlan(schedule.value);
    if (plan !== null) return plan;
    const { cron, timezone } = schedule.value;
    this.#tell(
      schedule,
      'error',
      'schedule-failed',
      `cannot read cron '${cron}' in time zone '${timezone}' on this machine; change one of them`,
    );
    return null;
  }

  #forget(schedules: readonly StoredSchedule[]): void {
    const there = new Set(schedules.map(({ id }) => id));
    for (const id of this.#looks.keys()) {
      if (there.has(id)) continue;
      this.#looks.delete(id);
      this.#attempts.delete(id);
    }
  }

  #begin(id: bigint, body: () => Promise<void>): void {
    const run = body()
      .catch((thrown: unknown) => {
        const error = toAshlarError(thrown);
        if (this.#closing.signal.aborted || error.code === 'closed') return;
        const schedule = this.#parts.catalog.get(scheduleKind, id);
        if (schedule === null) return;
        this.#tell(schedule, 'error', 'schedule-failed', error.message, error);
      })
      .then(() => {
        this.#running.delete(id);
        this.look();
      });
    this.#running.set(id, run);
  }

  // ---- Running ----------------------------------------------------------------------------------

  async #runPlanned(id: bigint, dueMs: number): Promise<void> {
    const what = `run schedule ${id}`;
    const stop = this.#closing.signal;
    await this.#parts.locks.hold(scheduleLock(id), what, stop, async () => {
      const schedule = this.#parts.catalog.get(scheduleKind, id);
      // It may have been changed while this run waited for its turn.
      if (schedule === null || !isDue(schedule.value, dueMs)) return;
      this.#attempts.set(id, { instantMs: dueMs, failure: null });
      let outcome: RunOutcome;
      try {
        outcome = await this.#makeSnapshots(id, dueMs, stop);
      } catch (thrown) {
        if (!stop.aborted) await this.#giveUp(schedule, dueMs, toAshlarError(thrown));
        return;
      }
      await this.#record(id, dueMs, '');
      const late = this.#parts.clock.nowMs() - dueMs > lateMs;
      await this.#finish(id, outcome, late ? 'missed and made up for now, ' : '');
    });
  }

  /** The snapshots of one instant; those that a run before has made are found, not made again. */
  async #makeSnapshots(id: bigint, instantMs: number, signal: AbortSignal): Promise<RunOutcome> {
    const { catalog, snapshots } = this.#parts;
    for (;;) {
      const schedule = catalog.get(scheduleKind, id);
      if (schedule === null) throw new AshlarError('not-found', 'the schedule was deleted');
      const { uuid, prefix, name, volumes } = schedule.value;
      const there = snapshots.madeBy(uuid).filter((each) => each.instantMs === instantMs);
      if (there.length > 0) {
        return { instantMs, snapshots: there.map(({ reference }) => reference), made: false };
      }
      if (volumes.length === 0) {
        throw new AshlarError(
          'conflict',
          `schedule '${name}' has no volumes any more; give it some with ` +
            '"ashlar schedule change"',
        );
      }
      try {
        const snapshot = snapshotName(prefix, instantMs);
        const made = await snapshots.create(schedule, snapshot, instantMs, signal);
        return { instantMs, snapshots: made, made: true };
      } catch (thrown) {
        // A volume was deleted at this moment: the schedule has one less, and the others are due.
        const now = catalog.get(scheduleKind, id)?.value.volumes;
        const fewer = now !== undefined && now.length < volumes.length;
        if (toAshlarError(thrown).code !== 'not-found' || !fewer) throw thrown;
      }
    }
  }

  /** A failed run is not tried again: the next planned instant is. */
  async #giveUp(schedule: StoredSchedule, dueMs: number, error: AshlarError): Promise<void> {
    // Callers of the tenant read it there; the event has the whole of it.
    const failure = asTenantsSee(error).message.slice(0, 500);
    this.#attempts.set(schedule.id, { instantMs: dueMs, failure });
    const message = `the run of ${timeText(dueMs)} failed: ${error.message}`;
    this.#tell(schedule, 'error', 'schedule-failed', message, error);
    // A pool that failed takes no record; after the restart that mends it, this run is made up for.
    if (error.code === 'pool-failed' || error.code === 'closed') return;
    await this.#record(schedule.id, dueMs, failure);
    await this.#pruner.prune(schedule, this.#closing.signal);
  }

  async #record(id: bigint, lastRunMs: number, lastFailure: string): Promise<void> {
    await this.#put(id, (value) => ({ ...value, lastRunMs, lastFailure }));
  }

  /** The record was written under a clock that was ahead by more than a day. */
  async #rearm(id: bigint): Promise<void> {
    const what = `schedule ${id}`;
    await this.#parts.locks.hold(scheduleLock(id), what, this.#closing.signal, async () => {
      const schedule = this.#parts.catalog.get(scheduleKind, id);
      if (schedule === null) return;
      const ahead = Math.max(schedule.value.armedMs, schedule.value.lastRunMs);
      await this.#put(id, (value) => ({
        ...value,
        armedMs: this.#parts.clock.nowMs(),
        lastRunMs: 0,
      }));
      const message =
        `its last run is at ${timeText(ahead)}, more than a day ahead of this machine's clock, ` +
        'which was wrong then or is now; it goes on by the present clock';
      this.#tell(schedule, 'warning', 'schedule-clock', message);
    });
  }

  async #put(id: bigint, change: (value: ScheduleRecord) => ScheduleRecord): Promise<void> {
    const build = (transaction: Transaction): void => {
      const schedule = this.#parts.catalog.get(scheduleKind, id);
      if (schedule === null) return;
      transaction.put(scheduleKind, id, change(schedule.value));
    };
    await this.#parts.catalog.transact(`schedule ${id}`, build);
  }

  async #finish(id: bigint, outcome: RunOutcome, how: string): Promise<void> {
    const schedule = this.#parts.catalog.get(scheduleKind, id);
    if (schedule === null) return;
    const deleted = await this.#pruner.prune(schedule, this.#closing.signal);
    const made = outcome.made ? outcome.snapshots.length : 0;
    const message = `run of ${timeText(outcome.instantMs)}: ${how}${made} made, ${deleted} deleted`;
    this.#tell(schedule, 'info', 'schedule-run', message);
  }

  #tell(
    { value }: StoredSchedule,
    severity: 'info' | 'warning' | 'error',
    kind: EventKind,
    text: string,
    error?: AshlarError,
  ): void {
    const about = { ...aboutSchedule(value), ...(error === undefined ? {} : { error }) };
    this.#parts.emit(severity, kind, `schedule '${value.name}': ${text}`, about);
  }
}

function isDue(value: ScheduleRecord, dueMs: number): boolean {
  return (
    value.enabled && value.volumes.length > 0 && dueMs > Math.max(value.armedMs, value.lastRunMs)
  );
}

function readPlan({ cron, timezone }: ScheduleRecord): CronPlan | null {
  try {
    const plan = cronPlan(cron, timezone);
    // The library looks at the zone when it is first asked.
    plan.next(0);
    return plan;
  } catch {
    return null;
  }
}

/** `2026-11-25 02:00 UTC` */
function timeText(instantMs: number): string {
  return `${new Date(instantMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
