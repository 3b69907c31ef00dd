/** Deleting what a schedule's rules let go, and leaving alone what somebody uses. */
import { type AshlarError, toAshlarError } from '../errors.js';
import { expired } from './retention.js';
import {
  aboutSchedule,
  type ScheduledSnapshot,
  type ScheduleParts,
  type StoredSchedule,
} from './state.js';

export class Pruner {
  readonly #parts: ScheduleParts;
  /** Snapshots in use that were told of, by UUID, so that each is told of once. */
  readonly #told = new Set<string>();

  constructor(parts: ScheduleParts) {
    this.#parts = parts;
  }

  /**
   * Deletes what no rule keeps, oldest first. What hosts may read, or is being read, stays until a
   * later run finds it free. Never rejects: what goes wrong is an event, and the next run's matter.
   *
   * @returns how many were deleted.
   */
  async prune(schedule: StoredSchedule, signal: AbortSignal): Promise<number> {
    const { snapshots, clock } = this.#parts;
    const { uuid, keep, timezone } = schedule.value;
    let deleted = 0;
    try {
      for (const snapshot of expired(snapshots.madeBy(uuid), keep, timezone, clock.nowMs())) {
        if (signal.aborted) break;
        if (await this.#delete(schedule, snapshot, signal)) deleted += 1;
      }
    } catch (thrown) {
      const error = toAshlarError(thrown);
      const text = `old snapshots stay: ${error.message}`;
      if (!signal.aborted) this.#tell(schedule, 'error', text, error);
    }
    return deleted;
  }

  async #delete(
    schedule: StoredSchedule,
    snapshot: ScheduledSnapshot,
    signal: AbortSignal,
  ): Promise<boolean> {
    const [host] = snapshot.hosts;
    if (host !== undefined) {
      const who = host === '*' ? 'any host' : host;
      this.#keep(schedule, snapshot, `it is granted to ${who}`);
      return false;
    }
    try {
      await this.#parts.snapshots.delete(snapshot.uuid, signal);
      this.#told.delete(snapshot.uuid);
      return true;
    } catch (thrown) {
      const { code, message } = toAshlarError(thrown);
      if (code === 'not-found') return false;
      if (code !== 'busy' && code !== 'conflict') throw thrown;
      this.#keep(schedule, snapshot, message);
      return false;
    }
  }

  #keep(schedule: StoredSchedule, snapshot: ScheduledSnapshot, why: string): void {
    if (this.#told.has(snapshot.uuid)) return;
    this.#told.add(snapshot.uuid);
    const text = `snapshot '${snapshot.reference}' is due to go and stays for now: ${why}`;
    this.#tell(schedule, 'warning', text);
  }

  #tell(
    { value }: StoredSchedule,
    severity: 'warning' | 'error',
    text: string,
    error?: AshlarError,
  ): void {
    const message = `schedule '${value.name}': ${text}`;
    const about = { ...aboutSchedule(value), ...(error === undefined ? {} : { error }) };
    this.#parts.emit(severity, 'schedule-kept', message, about);
  }
}
