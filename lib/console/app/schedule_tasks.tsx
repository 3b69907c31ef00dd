/** What can be done with schedules. */
import type { Schedule } from '../../api/contract.js';
import { maxKeptSnapshots, maxScheduleVolumes } from '../../api/limits.js';
import { AshlarError } from '../../errors.js';
import { call, read } from './api.js';
import { cli, plural, tenantFlag, word } from './format.js';
import { checkName, linesOf, nameHint, of, wholeNumber, wholeOf } from './input.js';
import type { Field, Task, Values } from './task.js';

const rules = [
  ['last', 'The newest'],
  ['hourly', 'Hours, one of each'],
  ['daily', 'Days'],
  ['weekly', 'Weeks'],
  ['monthly', 'Months'],
] as const;
const checkKept = wholeNumber(0, maxKeptSnapshots);

function checkTimezone(zone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
  } catch {
    throw new AshlarError('invalid-argument', "Give an IANA name such as 'Europe/Berlin'.");
  }
}

function checkCron(text: string): void {
  if (text.startsWith('@') || text.split(/\s+/).length === 5) return;
  throw new AshlarError('invalid-argument', 'Give five fields, or a word such as @daily.');
}

type Plan = Pick<Schedule, 'name' | 'cron' | 'timezone' | 'volumes' | 'keep'>;

function planFields({ name, cron, timezone, volumes, keep }: Plan): Field[] {
  return [
    { name: 'name', label: 'Name', initial: name, hint: nameHint, check: checkName },
    {
      name: 'cron',
      label: 'When',
      initial: cron,
      check: checkCron,
      hint: 'Minute, hour, day, month, weekday; or @hourly, @daily, @weekly.',
      half: true,
    },
    { name: 'timezone', label: 'Time zone', initial: timezone, check: checkTimezone, half: true },
    {
      name: 'volumes',
      label: 'Volumes',
      kind: 'lines',
      initial: volumes.join('\n'),
      hint: `One a line, up to ${maxScheduleVolumes}; all are taken at one instant.`,
    },
    ...rules.map(
      ([rule, label]): Field => ({
        name: `keep.${rule}`,
        label,
        initial: keep[rule] === 0 ? '' : String(keep[rule]),
        optional: true,
        check: checkKept,
        half: true,
        group: 'How many snapshots it keeps',
      }),
    ),
  ];
}

const keptOf = (values: Values, rule: string): number =>
  of(values, `keep.${rule}`) === '' ? 0 : wholeOf(of(values, `keep.${rule}`), 0, maxKeptSnapshots);

function planOf(values: Values) {
  return {
    name: of(values, 'name'),
    cron: of(values, 'cron'),
    timezone: of(values, 'timezone'),
    volumes: linesOf(of(values, 'volumes')),
    keep: {
      last: keptOf(values, 'last'),
      hourly: keptOf(values, 'hourly'),
      daily: keptOf(values, 'daily'),
      weekly: keptOf(values, 'weekly'),
      monthly: keptOf(values, 'monthly'),
    },
  };
}

/** Flags of what differs from `fields`, or of all where there are none. */
function flagsOf(values: Values, fields: readonly Field[]): string {
  const initial = (name: string) => fields.find((each) => each.name === name)?.initial ?? '';
  const differs = (name: string): boolean => of(values, name) !== initial(name);
  return [
    ...(differs('cron') ? [`--cron ${word(of(values, 'cron'))}`] : []),
    ...(differs('timezone') ? [`--timezone ${word(of(values, 'timezone'))}`] : []),
    ...(differs('volumes')
      ? linesOf(of(values, 'volumes')).map((volume) => `--volume ${word(volume)}`)
      : []),
    ...rules.flatMap(([rule]) =>
      differs(`keep.${rule}`)
        ? [`--keep-${rule} ${word(of(values, `keep.${rule}`).replaceAll(',', '') || '0')}`]
        : [],
    ),
  ].join(' ');
}

const first: Plan = {
  name: '',
  cron: '0 2 * * *',
  timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  volumes: [],
  keep: { last: 0, hourly: 0, daily: 7, weekly: 4, monthly: 0 },
};

export function createSchedule(tenants: readonly string[], tenant: string): Task {
  const tenantOf = (values: Values): string => of(values, 'tenant') || tenant;
  const options = tenants.map((name): [string, string] => [name, name]);
  return {
    title: 'Create a schedule',
    verb: 'Create',
    about: <p>A snapshot stays while any rule keeps it.</p>,
    fields: [
      ...(tenants.length < 2
        ? []
        : [
            {
              name: 'tenant',
              label: 'Tenant',
              kind: 'choice',
              initial: tenant,
              options,
            } satisfies Field,
          ]),
      ...planFields(first),
    ],
    cli: (values) =>
      cli(
        'schedule create',
        word(of(values, 'name') || 'NAME'),
        flagsOf(values, []),
        tenantFlag(tenantOf(values)),
      ),
    run: async (values) => {
      const query = { tenant: tenantOf(values) };
      const { name } = await call('createSchedule', { query, body: planOf(values) });
      return `Schedule '${name}' created.`;
    },
  };
}

export async function changeSchedule({ uuid, tenant }: Schedule): Promise<Task> {
  const target = { params: { schedule: uuid }, query: { tenant } };
  const { value, tag } = await read('getSchedule', target);
  const { name } = value;
  const prefix: Field = {
    name: 'prefix',
    label: 'Its snapshots are called',
    initial: value.prefix,
    hint: 'With the time after it.',
    check: checkName,
  };
  const fields = [...planFields(value), prefix];
  return {
    title: `Change schedule '${name}'`,
    verb: 'Change',
    about: <p>From its next run on. What no rule keeps any more is deleted then.</p>,
    fields,
    cli: (values) =>
      cli(
        'schedule change',
        word(name),
        flagsOf(values, fields),
        of(values, 'prefix') !== value.prefix && `--prefix ${word(of(values, 'prefix'))}`,
        of(values, 'name') !== name && `--name ${word(of(values, 'name'))}`,
        tenantFlag(tenant),
      ),
    run: async (values) => {
      const body = { ...planOf(values), prefix: of(values, 'prefix') };
      const now = await call('changeSchedule', { ...target, body }, undefined, tag);
      return `Schedule '${now.name}' is changed, from its next run on.`;
    },
  };
}

export function runSchedule({ name, tenant }: Schedule): Task {
  return {
    title: `Run '${name}' now`,
    verb: 'Run',
    about: <p>Makes its snapshots, and deletes those that no rule keeps.</p>,
    cli: () => cli('schedule run', word(name), tenantFlag(tenant)),
    run: async () => {
      const { snapshots, made } = await call('runSchedule', {
        params: { schedule: name },
        query: { tenant },
      });
      return made ? `Taken: ${snapshots.join(', ')}.` : 'They were there already.';
    },
  };
}

export function enableSchedule({ name, tenant, enabled }: Schedule): Task {
  const to = enabled ? 'off' : 'on';
  return {
    title: `Switch '${name}' ${to}`,
    verb: `Switch ${to}`,
    about: (
      <p>
        {enabled ? 'It runs no more by itself; its snapshots stay.' : 'It runs by itself again.'}
      </p>
    ),
    cli: () =>
      cli(enabled ? 'schedule disable' : 'schedule enable', word(name), tenantFlag(tenant)),
    run: async () => {
      await call('changeSchedule', {
        params: { schedule: name },
        query: { tenant },
        body: { enabled: !enabled },
      });
      return `Schedule '${name}' is ${to}.`;
    },
  };
}

export function deleteSchedule({ name, tenant, snapshots }: Schedule): Task {
  return {
    title: `Delete schedule '${name}'`,
    verb: 'Delete',
    loses: (
      <p>No more snapshots are made or deleted by it. Its {plural(snapshots, 'snapshot')} stay.</p>
    ),
    cli: () => cli('schedule delete', word(name), tenantFlag(tenant)),
    run: async () => {
      await call('deleteSchedule', { params: { schedule: name }, query: { tenant } });
      return `Schedule '${name}' deleted.`;
    },
  };
}
