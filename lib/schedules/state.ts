/** What the parts of schedules share, and how schedules are looked up. */

import type { Catalog, Stored } from '../catalog/catalog.js';
import { type ScheduleRecord, scheduleKey, scheduleKind } from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import type { KeyedLocks } from '../volumes/locks.js';
import { type EventSubject, tenantOf } from '../volumes/state.js';
import type { CallOptions } from '../volumes/types.js';
import { hexText, isUuidText, uuidBytes, uuidText } from '../volumes/uuid.js';
import type { Clock } from './clock.js';

export type StoredSchedule = Stored<ScheduleRecord>;

/** A snapshot that a schedule made. */
export interface ScheduledSnapshot {
  uuid: string;
  /** `volume@name`. */
  reference: string;
  /** The instant that it was planned for. */
  instantMs: number;
  /** Hosts that may read it. */
  hosts: readonly string[];
}

/** What schedules need of snapshots. */
export interface SnapshotPort {
  /**
   * Makes one of each volume, at one instant, all or none, marked as the schedule's.
   * @returns their references.
   */
  create(
    schedule: StoredSchedule,
    name: string,
    plannedMs: number,
    signal: AbortSignal | undefined,
  ): Promise<string[]>;
  /** Those that carry the schedule's UUID, in no order. */
  madeBy(schedule: Uint8Array): ScheduledSnapshot[];
  /** How many. */
  countOf(schedule: Uint8Array): number;
  /** @throws AshlarError busy (in use), not-found. */
  delete(uuid: string, signal: AbortSignal | undefined): Promise<void>;
}

export interface ScheduleParts {
  catalog: Catalog;
  snapshots: SnapshotPort;
  locks: KeyedLocks;
  clock: Clock;
  /** Throws 'closed' once the node is closing. */
  assertOpen(): void;
  /** Tells the node's event log. */
  emit(
    severity: 'info' | 'warning' | 'error',
    kind: EventKind,
    message: string,
    about: EventSubject,
  ): void;
}

/** By name, or by UUID within the tenant given (any, when none is given). */
export function lookUpSchedule(
  catalog: Catalog,
  reference: string,
  options: CallOptions,
): StoredSchedule | null {
  if (isUuidText(reference)) {
    const found = catalog.find(scheduleKind, 'uuid', hexText(uuidBytes(reference)));
    if (found === null || options.tenant === undefined) return found;
    return found.value.tenant === tenantOf(catalog, options).id ? found : null;
  }
  const tenant = tenantOf(catalog, options);
  return catalog.find(scheduleKind, 'name', scheduleKey(tenant.id, reference));
}

/** @throws AshlarError not-found. */
export function findSchedule(
  catalog: Catalog,
  reference: string,
  options: CallOptions,
): StoredSchedule {
  const schedule = lookUpSchedule(catalog, reference, options);
  if (schedule !== null) return schedule;
  const where = options.tenant === undefined ? '' : ` of tenant '${options.tenant}'`;
  throw new AshlarError(
    'not-found',
    `schedule '${reference}'${where} does not exist; "ashlar schedule list" shows those that do`,
  );
}

/** The lock of everything that runs or changes a schedule. */
export const scheduleLock = (id: bigint): string => `schedule ${id}`;

/** Whose an event of a schedule is. */
export function aboutSchedule({ uuid, tenant }: Readonly<ScheduleRecord>): EventSubject {
  return { subject: uuidText(uuid), tenant };
}
