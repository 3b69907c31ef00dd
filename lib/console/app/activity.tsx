/** Jobs and events: what is under way, and what happened. */
import type { Job, NodeEvent } from '../../api/contract.js';
import { call, rights } from './api.js';
import { cli, duration, percent, size } from './format.js';
import { useLive } from './live.js';
import { cancelJob } from './node_tasks.js';
import { listState, Pager, usePaged } from './paged.js';
import {
  Badge,
  Choice,
  type Column,
  Empty,
  FilterBar,
  Head,
  Problem,
  Table,
  type Tone,
  Waiting,
  When,
} from './parts.js';
import { go, place, withQuery } from './router.js';
import { TaskButton } from './task.js';

const jobTones: Readonly<Record<Job['state'], Tone>> = {
  running: 'info',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'calm',
};

function Progress({ job }: { job: Job }) {
  const { doneBytes, totalBytes, title } = job;
  if (job.state !== 'running') return null;
  if (doneBytes === null || totalBytes === null || totalBytes === 0) {
    return <progress aria-label={title} />;
  }
  return (
    <span class="progress">
      <progress aria-label={title} value={doneBytes} max={totalBytes} />
      <span>{`${percent(doneBytes, totalBytes)} of ${size(totalBytes)}`}</span>
    </span>
  );
}

function outcome(job: Job): string {
  if (job.error !== null) return job.error.message;
  const { result } = job;
  if (result === null) return job.doneBytes === null ? '' : size(job.doneBytes);
  if ('clean' in result) {
    return result.clean ? 'clean' : `${result.problems.length + result.suppressed} problems`;
  }
  return size(job.doneBytes ?? 0);
}

const jobColumns = (may: boolean): Column<Job>[] => [
  { title: 'Job', value: ({ title }) => title },
  {
    title: 'State',
    value: (job) =>
      job.state === 'running' ? (
        <Progress job={job} />
      ) : (
        <Badge tone={jobTones[job.state]}>{job.state}</Badge>
      ),
  },
  { title: 'Outcome', value: outcome },
  { title: 'By', value: ({ owner }) => owner, minor: true },
  { title: 'Began', value: ({ createdAt }) => <When at={createdAt} /> },
  {
    title: 'Took',
    value: ({ createdAt, endedAt }) =>
      duration((endedAt === null ? Date.now() : Date.parse(endedAt)) - Date.parse(createdAt)),
    number: true,
    minor: true,
  },
  ...(may
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (job: Job) =>
            job.state === 'running' && job.cancellable ? (
              <TaskButton label={`Cancel ${job.title}`} task={() => cancelJob(job)}>
                Cancel
              </TaskButton>
            ) : null,
        } as Column<Job>,
      ]
    : []),
];

/** A few jobs on a card. */
export function JobList({ state }: { state: 'running' }) {
  const { value, error } = useLive('jobs under way', (aborter) =>
    call('listJobs', { query: { state, limit: '8' } }, aborter),
  );
  if (value === null) return <Waiting error={error} />;
  if (value.items.length === 0) return <p class="soft">Nothing is under way.</p>;
  return (
    <ul class="plain">
      {value.items.map((job) => (
        <li key={job.id}>
          <span>{job.title}</span> <Progress job={job} />
        </li>
      ))}
    </ul>
  );
}

export function Jobs() {
  const state = place.value.query.get('state') ?? '';
  const asked = isJobState(state) ? { state } : {};
  const paged = usePaged(
    state,
    (page, aborter) => call('listJobs', { query: { ...asked, ...page } }, aborter),
    2000,
  );
  return (
    <>
      <Head title="Jobs" />
      <FilterBar>
        <Choice
          label="State"
          value={state}
          options={[['', 'All'], ...Object.keys(jobTones).map((each) => [each, each] as const)]}
          onValue={(value) => go(withQuery({ state: value }), true)}
        />
      </FilterBar>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty title="No jobs." line={cli('pool check')}>
          <p>Checks, exports, imports and the giving back of space are jobs.</p>
        </Empty>,
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="Jobs"
          columns={jobColumns(rights().change)}
          rows={paged.items}
          rowKey={({ id }) => id}
          busy={paged.waiting}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="jobs" />}
    </>
  );
}

const isJobState = (word: string): word is Job['state'] => Object.hasOwn(jobTones, word);

const severities: Readonly<Record<NodeEvent['severity'], Tone>> = {
  info: 'calm',
  warning: 'warn',
  error: 'bad',
};
const isSeverity = (word: string): word is NodeEvent['severity'] => Object.hasOwn(severities, word);

/** The newest few on a card. */
export function EventList({ most }: { most: number }) {
  const { value, error } = useLive('newest events', (aborter) =>
    call('listEvents', { query: { limit: String(most) } }, aborter),
  );
  if (value === null) return <Waiting error={error} />;
  if (value.items.length === 0) return <p class="soft">Nothing happened yet.</p>;
  return (
    <ul class="plain events">
      {value.items.map(({ id, severity, message, time }) => (
        <li key={id}>
          <Badge tone={severities[severity]}>
            <span class={severity === 'info' ? 'quiet' : ''}>{severity}</span>
          </Badge>
          <span>{message}</span>
          <span class="soft">
            <When at={time} />
          </span>
        </li>
      ))}
    </ul>
  );
}

const eventColumns: readonly Column<NodeEvent>[] = [
  { title: 'When', value: ({ time }) => <When at={time} /> },
  {
    title: 'Severity',
    value: ({ severity }) => <Badge tone={severities[severity]}>{severity}</Badge>,
  },
  { title: 'What', value: ({ message }) => message, wrap: true },
  { title: 'Kind', value: ({ kind }) => <span class="mono nowrap">{kind}</span>, minor: true },
  { title: 'Tenant', value: ({ tenant }) => tenant ?? '–', minor: true },
];

export function Events() {
  const { query } = place.value;
  const severity = query.get('severity') ?? '';
  const asked = isSeverity(severity) ? { severity } : {};
  const paged = usePaged(severity, (page, aborter) =>
    call('listEvents', { query: { ...asked, ...page } }, aborter),
  );
  return (
    <>
      <Head title="Events" />
      <FilterBar>
        <Choice
          label="Severity"
          value={severity}
          options={[['', 'All'], ...Object.keys(severities).map((each) => [each, each] as const)]}
          onValue={(value) => go(withQuery({ severity: value }), true)}
        />
      </FilterBar>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty title="No events." line={cli('event list')}>
          <p>The last 1,000 are kept, also over restarts; all of them are in the log.</p>
        </Empty>,
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="Events"
          columns={eventColumns}
          rows={paged.items}
          rowKey={({ id }) => id}
          busy={paged.waiting}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="events" />}
    </>
  );
}
