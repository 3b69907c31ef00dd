/** Schedules: create, list, show, change, delete, run. */

import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  type ScheduleRecord,
  scheduleKey,
  scheduleKind,
  type TenantRecord,
  tenantKind,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError, nodeIsFull, throwIfAborted } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { compare } from '../volumes/pages.js';
import { checkName } from '../volumes/rules.js';
import { findVolume, stillThere, tenantOf } from '../volumes/state.js';
import type { CallOptions } from '../volumes/types.js';
import { randomUuidBytes, uuidText } from '../volumes/uuid.js';
import { checkCron } from './cron.js';
import { type Retention, retentionRules } from './retention.js';
import { checkKeep, checkPrefix, checkVolumeCount, maxSchedules } from './rules.js';
import { ScheduleRunner } from './runner.js';
import {
  aboutSchedule,
  findSchedule,
  lookUpSchedule,
  type ScheduleParts,
  type StoredSchedule,
  scheduleLock,
} from './state.js';
import type {
  ChangeSchedule,
  CreateSchedule,
  ScheduleInfo,
  ScheduleRun,
  ScheduleState,
  Schedules,
} from './types.js';
import { checkTimezone } from './zone.js';

const keepNothing: Retention = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0 };

export class ScheduleService implements Schedules {
  readonly #parts: ScheduleParts;
  readonly #catalog: Catalog;
  readonly #runner: ScheduleRunner;

  constructor(parts: ScheduleParts) {
    this.#parts = parts;
    this.#catalog = parts.catalog;
    this.#runner = new ScheduleRunner(parts);
  }

  /** Makes up for what was missed, and runs what comes. Volumes must be open. */
  start(): void {
    this.#runner.start();
  }

  /** Resolves when no planned run is under way. */
  idle(): Promise<void> {
    return this.#runner.idle();
  }

  /** No more runs; resolves when those under way have ended. */
  close(): Promise<void> {
    return this.#runner.close();
  }

  async create(request: CreateSchedule, options: CallOptions = {}): Promise<ScheduleInfo> {
    this.#parts.assertOpen();
    const wanted = this.#checkRequest(request);
    const tenant = tenantOf(this.#catalog, options);
    const what = `create schedule '${wanted.name}'`;
    const key = `schedule-name ${tenant.id}/${wanted.name}`;
    return this.#parts.locks.hold(key, what, options.signal, async () => {
      const before = lookUpSchedule(this.#catalog, wanted.name, { tenant: tenant.value.name });
      if (before !== null && options.repeatable === true) {
        return this.#acceptRepeat(before, wanted, tenant);
      }
      const id = await this.#catalog.transact(
        what,
        (transaction) => this.#buildCreate(transaction, tenant, wanted),
        options.signal,
      );
      const schedule = this.#current(id, wanted.name);
      this.#runner.look();
      this.#tell('schedule-created', schedule, 'created');
      return this.#info(schedule);
    });
  }

  list(options: CallOptions = {}): ScheduleInfo[] {
    this.#parts.assertOpen();
    const schedules =
      options.tenant === undefined
        ? this.#catalog.all(scheduleKind)
        : this.#catalog.group(scheduleKind, 'tenant', String(tenantOf(this.#catalog, options).id));
    return schedules
      .map((schedule) => this.#info(schedule))
      .sort((a, b) => compare(a.tenant, b.tenant) || compare(a.name, b.name));
  }

  show(schedule: string, options: CallOptions = {}): ScheduleInfo {
    this.#parts.assertOpen();
    return this.#info(findSchedule(this.#catalog, schedule, options));
  }

  async change(
    schedule: string,
    request: ChangeSchedule,
    options: CallOptions = {},
  ): Promise<ScheduleInfo> {
    this.#parts.assertOpen();
    const { id, value } = findSchedule(this.#catalog, schedule, options);
    const what = `change schedule '${value.name}'`;
    return this.#parts.locks.hold(scheduleLock(id), what, options.signal, async () => {
      const build = (transaction: Transaction): void => {
        const before = this.#current(id, schedule).value;
        const after = this.#changed(before, request);
        this.#refuseTaken(id, after);
        transaction.put(scheduleKind, id, after);
      };
      await this.#catalog.transact(what, build, options.signal);
      const changed = this.#current(id, schedule);
      this.#runner.look();
      this.#tell('schedule-changed', changed, 'changed');
      return this.#info(changed);
    });
  }

  async delete(schedule: string, options: CallOptions = {}): Promise<void> {
    this.#parts.assertOpen();
    const found = lookUpSchedule(this.#catalog, schedule, options);
    if (found === null && options.repeatable === true) return;
    const { id, value } = found ?? findSchedule(this.#catalog, schedule, options);
    const what = `delete schedule '${value.name}'`;
    await this.#parts.locks.hold(scheduleLock(id), what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      const now = this.#catalog.get(scheduleKind, id);
      if (now === null && options.repeatable === true) return;
      const there = stillThere(now, `schedule '${schedule}'`);
      await this.#catalog.transact(what, (transaction) => transaction.delete(scheduleKind, id));
      this.#runner.look();
      this.#tell('schedule-deleted', there, 'deleted; its snapshots stay');
    });
  }

  async run(schedule: string, options: CallOptions = {}): Promise<ScheduleRun> {
    this.#parts.assertOpen();
    const { id, value } = findSchedule(this.#catalog, schedule, options);
    const what = `run schedule '${value.name}'`;
    const { instantMs, snapshots, made } = await this.#runner.runNow(id, what, options.signal);
    return {
      schedule: this.#info(this.#current(id, schedule)),
      plannedAt: new Date(instantMs).toISOString(),
      snapshots: [...snapshots].sort(compare),
      made,
    };
  }

  // ---- Pieces -----------------------------------------------------------------------------------

  #checkRequest(request: CreateSchedule): WantedSchedule {
    const { name, cron, timezone = 'UTC', volumes, prefix = name, enabled = true } = request;
    checkName('schedule', name);
    checkPrefix(prefix);
    const keep = mergeKeep(keepNothing, request.keep);
    checkKeep(keep);
    checkTimezone(timezone);
    checkCron(cron, timezone, this.#parts.clock.nowMs());
    return { name, cron: cron.trim(), timezone, volumes, prefix, keep, enabled };
  }

  #buildCreate(
    transaction: Transaction,
    { id: tenant, value: { name: tenantName } }: Stored<TenantRecord>,
    wanted: WantedSchedule,
  ): bigint {
    if (this.#catalog.count(scheduleKind) >= maxSchedules) {
      throw new AshlarError(
        'limit-exceeded',
        `the node has ${maxSchedules} schedules, its limit; put several volumes into one`,
        { toTenants: nodeIsFull('schedules') },
      );
    }
    const nowMs = this.#parts.clock.nowMs();
    const record: ScheduleRecord = {
      ...wanted,
      tenant,
      uuid: randomUuidBytes(),
      volumes: this.#volumeIds(wanted.volumes, tenantName),
      armedMs: nowMs,
      lastRunMs: 0,
      lastFailure: '',
      createdMs: nowMs,
    };
    this.#refuseTaken(null, record);
    return transaction.add(scheduleKind, record);
  }

  #volumeIds(references: readonly string[], tenant: string): bigint[] {
    const found = references.map((each) => findVolume(this.#catalog, each, { tenant }).id);
    const ids = [...new Set(found)];
    checkVolumeCount(ids.length);
    return ids;
  }

  #refuseTaken(id: bigint | null, { tenant, name, prefix }: ScheduleRecord): void {
    const named = this.#catalog.find(scheduleKind, 'name', scheduleKey(tenant, name));
    if (named !== null && named.id !== id) {
      throw new AshlarError(
        'already-exists',
        `schedule '${name}' exists already (${uuidText(named.value.uuid)}); choose another name, ` +
          'or change that one',
      );
    }
    const prefixed = this.#catalog.find(scheduleKind, 'prefix', scheduleKey(tenant, prefix));
    if (prefixed !== null && prefixed.id !== id) {
      throw new AshlarError(
        'already-exists',
        `prefix '${prefix}' is that of schedule '${prefixed.value.name}'; give another one, as ` +
          'snapshots of both would have the same names',
      );
    }
  }

  /** A schedule of that name exists: is it the one that the repeated call asks for? */
  #acceptRepeat(
    before: StoredSchedule,
    wanted: WantedSchedule,
    tenant: Stored<TenantRecord>,
  ): ScheduleInfo {
    const { value } = before;
    const volumes = this.#volumeIds(wanted.volumes, tenant.value.name);
    const same =
      value.cron === wanted.cron &&
      value.timezone === wanted.timezone &&
      value.prefix === wanted.prefix &&
      value.enabled === wanted.enabled &&
      retentionRules.every((rule) => value.keep[rule] === wanted.keep[rule]) &&
      value.volumes.length === volumes.length &&
      volumes.every((id) => value.volumes.includes(id));
    if (same) return this.#info(before);
    throw new AshlarError(
      'already-exists',
      `schedule '${value.name}' exists already and is different (cron '${value.cron}', ` +
        `${value.timezone}); choose another name, or change that one`,
    );
  }

  #changed(before: ScheduleRecord, request: ChangeSchedule): ScheduleRecord {
    const { name, cron, timezone, prefix, enabled } = request;
    const after: ScheduleRecord = {
      ...before,
      name: name ?? before.name,
      cron: cron?.trim() ?? before.cron,
      timezone: timezone ?? before.timezone,
      prefix: prefix ?? before.prefix,
      enabled: enabled ?? before.enabled,
      keep: mergeKeep(before.keep, request.keep ?? {}),
    };
    checkName('schedule', after.name);
    checkPrefix(after.prefix);
    checkKeep(after.keep);
    const nowMs = this.#parts.clock.nowMs();
    const replanned = after.cron !== before.cron || after.timezone !== before.timezone;
    if (replanned) {
      checkTimezone(after.timezone);
      checkCron(after.cron, after.timezone, nowMs);
    }
    if (request.volumes !== undefined) {
      const tenant = this.#tenantName(before.tenant);
      after.volumes = this.#volumeIds(request.volumes, tenant);
    }
    // What the old plan missed, or an idle one, is nobody's loss.
    const awoken = !isActive(before) && isActive(after);
    if (replanned || awoken) after.armedMs = nowMs;
    return after;
  }

  #current(id: bigint, reference: string): StoredSchedule {
    return stillThere(this.#catalog.get(scheduleKind, id), `schedule '${reference}'`);
  }

  #tenantName(id: bigint): string {
    const tenant = this.#catalog.get(tenantKind, id);
    if (tenant === null) throw new RangeError(`no tenant ${id}, and yet it has a schedule`);
    return tenant.value.name;
  }

  #info(schedule: StoredSchedule): ScheduleInfo {
    const { value } = schedule;
    const next = isActive(value) ? this.#runner.nextOf(schedule) : null;
    return {
      name: value.name,
      tenant: this.#tenantName(value.tenant),
      uuid: uuidText(value.uuid),
      cron: value.cron,
      timezone: value.timezone,
      volumes: value.volumes.map((id) => this.#volumeName(id)).sort(compare),
      prefix: value.prefix,
      keep: value.keep,
      enabled: value.enabled,
      state: this.#stateOf(schedule, next === 'broken'),
      snapshots: this.#parts.snapshots.countOf(value.uuid),
      nextRunAt: next === null || next === 'broken' ? null : new Date(next).toISOString(),
      lastRunAt: value.lastRunMs === 0 ? null : new Date(value.lastRunMs).toISOString(),
      lastFailure: this.#runner.failureOf(schedule),
      createdAt: new Date(value.createdMs).toISOString(),
    };
  }

  #stateOf({ id, value }: StoredSchedule, broken: boolean): ScheduleState {
    if (this.#runner.isRunning(id)) return 'running';
    if (!value.enabled) return 'disabled';
    if (value.volumes.length === 0) return 'idle';
    return broken ? 'broken' : 'waiting';
  }

  #volumeName(id: bigint): string {
    const volume = this.#catalog.get(volumeKind, id);
    if (volume === null) throw new RangeError(`no volume ${id}, and yet a schedule has it`);
    return volume.value.name;
  }

  #tell(kind: EventKind, { value }: StoredSchedule, what: string): void {
    this.#parts.emit('info', kind, `schedule '${value.name}' ${what}`, aboutSchedule(value));
  }
}

interface WantedSchedule {
  name: string;
  cron: string;
  timezone: string;
  volumes: readonly string[];
  prefix: string;
  keep: Retention;
  enabled: boolean;
}

/** Whether it makes snapshots by itself. */
function isActive({ enabled, volumes }: ScheduleRecord): boolean {
  return enabled && volumes.length > 0;
}

function mergeKeep(before: Retention, given: Partial<Retention>): Retention {
  const keep = { ...before };
  for (const rule of retentionRules) keep[rule] = given[rule] ?? before[rule];
  return keep;
}
