/** Snapshots by the clock. */
import type { Schedule } from '../../api/contract.js';
import { call, may } from './api.js';
import { cli, count } from './format.js';
import { listState, Pager, usePaged } from './paged.js';
import {
  Badge,
  type Column,
  Empty,
  Head,
  Problem,
  Table,
  type Tone,
  Waiting,
  When,
} from './parts.js';
import {
  changeSchedule,
  createSchedule,
  deleteSchedule,
  enableSchedule,
  runSchedule,
} from './schedule_tasks.js';
import { TaskButton } from './task.js';
import { homeTenant, useTenants } from './tenants.js';

const tones: Readonly<Record<Schedule['state'], Tone>> = {
  waiting: 'good',
  running: 'info',
  disabled: 'calm',
  idle: 'warn',
  broken: 'bad',
};

function kept({ keep }: Schedule): string {
  const rules = Object.entries(keep).filter(([, number]) => number > 0);
  return rules.map(([rule, number]) => `${number} ${rule}`).join(', ') || 'none';
}

function LastRun({ schedule: { lastRunAt, lastFailure } }: { schedule: Schedule }) {
  if (lastFailure !== null) {
    return (
      <span class="failed">
        <Badge tone="bad">{`failed: ${lastFailure}`}</Badge>
      </span>
    );
  }
  if (lastRunAt === null) return <span class="soft nowrap">none yet</span>;
  return (
    <Badge tone="good">
      <When at={lastRunAt} />
    </Badge>
  );
}

const columns = (several: boolean, change: boolean): Column<Schedule>[] => [
  { title: 'Name', value: ({ name }) => name },
  ...(several
    ? [
        {
          title: 'Tenant',
          value: ({ tenant }: Schedule) => tenant,
          minor: true,
        } as Column<Schedule>,
      ]
    : []),
  {
    title: 'State',
    value: ({ state }) => <Badge tone={tones[state]}>{state}</Badge>,
  },
  {
    title: 'When',
    value: ({ cron, timezone }) => (
      <span>
        <code class="nowrap">{cron}</code> <span class="soft">{timezone}</span>
      </span>
    ),
  },
  { title: 'Volumes', value: ({ volumes }) => volumes.join(', ') || '–' },
  {
    title: 'Keeps',
    value: (schedule) => (
      <span>
        {kept(schedule)} <span class="soft">{`(${count(schedule.snapshots)} now)`}</span>
      </span>
    ),
    minor: true,
    wrap: true,
  },
  { title: 'Next run', value: ({ nextRunAt }) => <When at={nextRunAt} /> },
  { title: 'Last run', value: (schedule) => <LastRun schedule={schedule} /> },
  ...(change
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (schedule: Schedule) => (
            <span class="row-actions">
              <TaskButton
                label={`Change schedule ${schedule.name}`}
                task={() => changeSchedule(schedule)}
              >
                Change
              </TaskButton>
              <TaskButton label={`Run now: ${schedule.name}`} task={() => runSchedule(schedule)}>
                Run now
              </TaskButton>
              <TaskButton
                label={`Switch ${schedule.name} ${schedule.enabled ? 'off' : 'on'}`}
                task={() => enableSchedule(schedule)}
              >
                {schedule.enabled ? 'Off' : 'On'}
              </TaskButton>
              <TaskButton
                kind="danger"
                label={`Delete schedule ${schedule.name}`}
                task={() => deleteSchedule(schedule)}
              >
                Delete
              </TaskButton>
            </span>
          ),
        } as Column<Schedule>,
      ]
    : []),
];

export function Schedules() {
  const tenants = useTenants();
  const paged = usePaged('', (page, aborter) => call('listSchedules', { query: page }, aborter));
  return (
    <>
      <Head title="Schedules">
        {may('createSchedule') && (
          <TaskButton kind="primary" task={() => createSchedule(tenants, homeTenant(tenants))}>
            Create schedule
          </TaskButton>
        )}
      </Head>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty
          title="No schedules."
          line={cli("schedule create nightly --cron '0 2 * * *' --volume web --keep-daily 7")}
        >
          <p>A schedule takes snapshots by the clock, and deletes old ones of its own.</p>
        </Empty>,
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="Schedules"
          columns={columns(tenants.length > 1, may('changeSchedule'))}
          rows={paged.items}
          rowKey={({ uuid }) => uuid}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="schedules" />}
    </>
  );
}
