/** `ashlar schedule …` */
import type { Schedule } from '../api/contract.js';
import { AshlarError } from '../errors.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { localTime, plural, printJson, printLines } from './terminal.js';

interface PlanOptions extends TenantOptions {
  cron?: string;
  timezone?: string;
  volume?: string[];
  prefix?: string;
  keepLast?: number;
  keepHourly?: number;
  keepDaily?: number;
  keepWeekly?: number;
  keepMonthly?: number;
}

const rules = ['last', 'hourly', 'daily', 'weekly', 'monthly'] as const;

/** The counts given. */
function keepOf(options: PlanOptions): Partial<Schedule['keep']> {
  const given = {
    last: options.keepLast,
    hourly: options.keepHourly,
    daily: options.keepDaily,
    weekly: options.keepWeekly,
    monthly: options.keepMonthly,
  };
  const keep: Partial<Schedule['keep']> = {};
  for (const rule of rules) {
    const count = given[rule];
    if (count !== undefined) keep[rule] = count;
  }
  return keep;
}

function firstRunText({ name, state, nextRunAt }: Schedule): string {
  if (nextRunAt !== null) return `First run: ${localTime(nextRunAt)}.`;
  return state === 'idle'
    ? `It waits for volumes: ashlar schedule change ${name} --volume VOLUME`
    : `It does not run yet: ashlar schedule enable ${name}`;
}

export async function createSchedule(
  name: string,
  options: PlanOptions & { disabled?: boolean; ifMissing?: boolean },
): Promise<void> {
  const { cron, timezone, volume: volumes = [], prefix } = options;
  if (cron === undefined) {
    throw new AshlarError('usage', "the times are missing; give for example --cron '0 2 * * *'");
  }
  const keep = keepOf(options);
  if (Object.keys(keep).length === 0) {
    throw new AshlarError('usage', 'what to keep is missing; give for example --keep-daily 7');
  }
  const schedule = await withDaemon(options, (client) =>
    client.call('createSchedule', {
      query: {
        ...tenantQuery(options),
        ...(options.ifMissing === true ? { repeatable: 'true' } : {}),
      },
      body: {
        name,
        cron,
        volumes,
        keep,
        enabled: options.disabled !== true,
        ...(timezone === undefined ? {} : { timezone }),
        ...(prefix === undefined ? {} : { prefix }),
      },
    }),
  );
  if (options.json === true) return printJson(schedule);
  printLines([
    `Created schedule '${schedule.name}': ${plural(schedule.volumes.length, 'volume')}, keeps ` +
      `${keptText(schedule)}.`,
    firstRunText(schedule),
  ]);
}

/** `7 daily, 4 weekly` */
function keptText({ keep }: Schedule): string {
  const counted = rules.filter((rule) => keep[rule] > 0);
  return counted.map((rule) => `${keep[rule]} ${rule}`).join(', ');
}

const columns: readonly Column<Schedule>[] = [
  { title: 'name', value: ({ name }) => name, flexible: true },
  { title: 'cron', value: ({ cron }) => cron },
  { title: 'zone', value: ({ timezone }) => timezone, flexible: true },
  { title: 'volumes', value: ({ volumes }) => volumes.join(', ') || 'none', flexible: true },
  { title: 'keeps', value: keptText, flexible: true },
  { title: 'snaps', value: ({ snapshots }) => String(snapshots), align: 'right' },
  { title: 'next run', value: nextText },
  { title: 'last run', value: ({ lastRunAt }) => timeOr(lastRunAt, 'never') },
  { title: 'result', value: resultText, flexible: true },
];
const tenantColumn: Column<Schedule> = {
  title: 'tenant',
  value: ({ tenant }) => tenant,
  flexible: true,
};

function timeOr(iso: string | null, otherwise: string): string {
  return iso === null ? otherwise : localTime(iso);
}

/** When it runs next, or why it does not. */
function nextText({ state, nextRunAt }: Schedule): string {
  switch (state) {
    case 'running':
      return 'now';
    case 'idle':
      return 'never: no volumes';
    case 'broken':
      return 'never: broken';
    case 'disabled':
      return 'disabled';
    case 'waiting':
      return timeOr(nextRunAt, 'never');
  }
}

function resultText({ lastFailure, lastRunAt }: Schedule): string {
  if (lastFailure !== null) return `failed: ${lastFailure}`;
  return lastRunAt === null ? '' : 'done';
}

export function listSchedules(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listSchedules', options, {
    lines: (schedules, width) => {
      const tenants = new Set(schedules.map(({ tenant }) => tenant));
      return table(schedules, tenants.size > 1 ? [tenantColumn, ...columns] : columns, width);
    },
    none:
      "No schedules. Create one: ashlar schedule create NAME --cron '0 2 * * *' --volume VOLUME " +
      '--keep-daily 7',
  });
}

export async function showSchedule(
  name: string,
  options: LookOptions & TenantOptions,
): Promise<void> {
  await look(options, {
    read: (client) =>
      client.call('getSchedule', { params: { schedule: name }, query: tenantQuery(options) }),
    lines: scheduleLines,
  });
}

function scheduleLines(schedule: Schedule): string[] {
  return pairs([
    ['Name', schedule.name],
    ['Tenant', schedule.tenant],
    ['Cron', `${schedule.cron} (${schedule.timezone})`],
    ['Volumes', schedule.volumes.join(', ') || 'none: give it some with "schedule change"'],
    ['Keeps', keptText(schedule)],
    ['Snapshots', `${schedule.snapshots}, called ${schedule.prefix}-YYYY-MM-DDTHH-MM (UTC)`],
    ['Next run', nextText(schedule)],
    ['Last run', timeOr(schedule.lastRunAt, 'never')],
    ['Result', resultText(schedule) || 'none yet'],
    ['UUID', schedule.uuid],
    ['Created', localTime(schedule.createdAt)],
  ]);
}

export async function changeSchedule(
  reference: string,
  options: PlanOptions & { name?: string },
): Promise<void> {
  const { name, cron, timezone, volume: volumes, prefix } = options;
  const keep = keepOf(options);
  const body = {
    ...(name === undefined ? {} : { name }),
    ...(cron === undefined ? {} : { cron }),
    ...(timezone === undefined ? {} : { timezone }),
    ...(volumes === undefined ? {} : { volumes }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(Object.keys(keep).length === 0 ? {} : { keep }),
  };
  if (Object.keys(body).length === 0) {
    throw new AshlarError('usage', 'nothing to change; give for example --keep-daily 14');
  }
  const schedule = await withDaemon(options, (client) =>
    client.call('changeSchedule', {
      params: { schedule: reference },
      query: tenantQuery(options),
      body,
    }),
  );
  if (options.json === true) return printJson(schedule);
  printLines([
    `Changed schedule '${schedule.name}'; next run: ${nextText(schedule)}. It keeps ` +
      `${keptText(schedule)}.`,
  ]);
}

export async function enableSchedule(
  name: string,
  enabled: boolean,
  options: TenantOptions,
): Promise<void> {
  const schedule = await withDaemon(options, (client) =>
    client.call('changeSchedule', {
      params: { schedule: name },
      query: tenantQuery(options),
      body: { enabled },
    }),
  );
  if (options.json === true) return printJson(schedule);
  printLines([
    enabled
      ? `Enabled schedule '${schedule.name}'; next run: ${nextText(schedule)}.`
      : `Disabled schedule '${schedule.name}'; its ${plural(schedule.snapshots, 'snapshot')} stay.`,
  ]);
}

export async function runSchedule(name: string, options: TenantOptions): Promise<void> {
  const run = await withDaemon(options, (client) =>
    client.call('runSchedule', { params: { schedule: name }, query: tenantQuery(options) }),
  );
  if (options.json === true) return printJson(run);
  const names = run.snapshots.map((reference) => `'${reference}'`).join(', ');
  const done = run.made ? 'took' : 'has of this minute already:';
  printLines([
    `Schedule '${run.schedule.name}' ${done} ${names}. It has ` +
      `${plural(run.schedule.snapshots, 'snapshot')} now.`,
  ]);
}

export async function deleteSchedule(
  name: string,
  options: TenantOptions & { ifExists?: boolean },
): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deleteSchedule', {
      params: { schedule: name },
      query: {
        ...tenantQuery(options),
        ...(options.ifExists === true ? { repeatable: 'true' } : {}),
      },
    }),
  );
  if (options.json === true) return printJson({ deleted: name });
  printLines([`Deleted schedule '${name}'. The snapshots that it made stay.`]);
}
