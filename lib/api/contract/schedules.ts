/** What goes into and comes out of the operations on snapshot schedules; see contract.ts. */
import Type from 'typebox';
import { maxKeptSnapshots } from '../limits.js';
import {
  change,
  count,
  exact,
  named,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  target,
  text,
  time,
  uuid,
  volumeName,
  volumeRef,
} from './schemas.js';

const kept = (description: string) =>
  Type.Integer({
    minimum: 0,
    maximum: maxKeptSnapshots,
    description,
    expected: 'a number up to 10,000',
  });
const rules = {
  last: kept('The newest, whenever they were made.'),
  hourly: kept('The newest of each of so many hours that have one.'),
  daily: kept('Likewise of days.'),
  weekly: kept('Likewise of ISO weeks.'),
  monthly: kept('Likewise of months.'),
};

/** A snapshot stays if any rule keeps it. */
const keep = Type.Object(rules, {
  ...exact,
  description: 'How many snapshots each rule keeps, by the calendar of the time zone.',
});
const someKeep = Type.Object(
  {
    last: Type.Optional(rules.last),
    hourly: Type.Optional(rules.hourly),
    daily: Type.Optional(rules.daily),
    weekly: Type.Optional(rules.weekly),
    monthly: Type.Optional(rules.monthly),
  },
  { ...exact, description: 'How many snapshots each rule keeps.' },
);
const cron = Type.String({
  minLength: 1,
  maxLength: 1024,
  description:
    'Minute, hour, day of month, month and day of week, or @hourly, @daily, @weekly, @monthly, ' +
    '@yearly.',
  expected: "a cron expression such as '0 2 * * *'",
});
const timezone = Type.String({
  minLength: 1,
  maxLength: 255,
  description: "IANA name of the time zone; 'UTC' when not given.",
});
const volumes = Type.Array(volumeRef, {
  maxItems: 1024,
  description: 'Up to 64 of one tenant; their snapshots are of one instant. None: it waits.',
});
const prefix = Type.String({
  minLength: 1,
  maxLength: 255,
  description: 'What its snapshots are called before the time; its name when not given.',
});
const enabled = Type.Boolean({ description: 'Whether it runs by itself.' });

export const scheduleSchema = Type.Object(
  {
    name: text('Name, unique in its tenant.'),
    tenant: text('Who owns it.'),
    uuid: uuid('Identity, for life; its snapshots carry it.'),
    cron: text('When it runs.'),
    timezone: text('Time zone of `cron` and `keep`.'),
    volumes: Type.Array(Type.String(), { description: 'Names of its volumes.' }),
    prefix: text('What its snapshots are called before the time.'),
    keep,
    enabled,
    state: Type.Enum(['waiting', 'running', 'disabled', 'idle', 'broken'], {
      description:
        '"idle": it has no volumes. "broken": this machine cannot read its expression ' +
        'or time zone.',
    }),
    snapshots: count('How many of its snapshots there are.'),
    nextRunAt: orNull(time('The next planned instant.')),
    lastRunAt: orNull(time('The planned instant of the last run.')),
    lastFailure: orNull(text('Why the last run failed; null: it did not.')),
    createdAt: time('When it was created.'),
  },
  { ...exact, description: 'Makes snapshots by the clock, and deletes old ones of its own.' },
);

const createScheduleSchema = Type.Object(
  {
    name: volumeName,
    cron,
    timezone: Type.Optional(timezone),
    volumes,
    prefix: Type.Optional(prefix),
    keep: someKeep,
    enabled: Type.Optional(enabled),
  },
  { ...exact, description: 'A schedule to create.' },
);

const changeScheduleSchema = Type.Object(
  {
    name: Type.Optional(volumeName),
    cron: Type.Optional(cron),
    timezone: Type.Optional(timezone),
    volumes: Type.Optional(volumes),
    prefix: Type.Optional(prefix),
    keep: Type.Optional(someKeep),
    enabled: Type.Optional(enabled),
  },
  { ...exact, minProperties: 1, description: 'What to change; the rest stays.' },
);

const scheduleRunSchema = Type.Object(
  {
    schedule: scheduleSchema,
    plannedAt: time('The minute that the snapshots are named by.'),
    snapshots: Type.Array(Type.String(), { description: '`volume@name` of each.' }),
    made: Type.Boolean({ description: 'False: they were there already.' }),
  },
  { ...exact, description: 'What a run did.' },
);

const params = Type.Object(
  { schedule: Type.String({ minLength: 1, description: "A schedule's name or UUID." }) },
  exact,
);

export const scheduleContract = {
  listSchedules: {
    summary: 'Snapshot schedules, by tenant and name',
    params: none,
    query: Type.Object({ ...ofTenant, ...named, ...paging }, exact),
    body: none,
    response: pageOf(scheduleSchema),
  },
  createSchedule: {
    summary: 'Create a schedule; its first run is at the next planned instant',
    params: none,
    query: change,
    body: createScheduleSchema,
    response: scheduleSchema,
  },
  getSchedule: {
    summary: 'One schedule',
    params,
    query: target,
    body: none,
    response: scheduleSchema,
  },
  changeSchedule: {
    summary: 'Change a schedule from its next run on',
    params,
    query: target,
    body: changeScheduleSchema,
    response: scheduleSchema,
  },
  deleteSchedule: {
    summary: 'Delete a schedule; its snapshots stay',
    params,
    query: change,
    body: none,
    response: none,
  },
  runSchedule: {
    summary: 'Make its snapshots now, and delete what its rules let go',
    params,
    query: target,
    body: none,
    response: scheduleRunSchema,
  },
} as const;
