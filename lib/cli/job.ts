/** `ashlar job …` and `ashlar event list`: what the daemon does, and what happened. */
import type { Job, NodeEvent } from '../api/contract.js';
import { nearest } from '../config/nearest.js';
import { formatSizeShort } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { type EventKind, eventKinds } from '../events/kinds.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { followJob } from './job_follow.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { momentMs } from './moments.js';
import { type Column, pairs, table } from './table.js';
import { localTime, printJson, printLines } from './terminal.js';

const jobColumns: readonly Column<Job>[] = [
  { title: 'id', value: ({ id }) => id },
  { title: 'state', value: ({ state }) => state },
  { title: 'done', value: doneText, align: 'right' },
  { title: 'began', value: ({ createdAt }) => localTime(createdAt) },
  { title: 'what', value: ({ title, error }) => error?.message ?? title, flexible: true },
];

function doneText({ doneBytes, totalBytes }: Job): string {
  if (doneBytes === null) return '';
  const done = formatSizeShort(BigInt(doneBytes));
  return totalBytes === null ? done : `${done} of ${formatSizeShort(BigInt(totalBytes))}`;
}

export function listJobs(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listJobs', options, {
    lines: (jobs, width) => table(jobs, jobColumns, width),
    none: 'No jobs since the start of the daemon.',
  });
}

export async function showJob(job: string, options: LookOptions & TenantOptions): Promise<void> {
  await look(options, {
    read: (client) => client.call('getJob', { params: { job }, query: tenantQuery(options) }),
    lines: jobLines,
  });
}

function jobLines(job: Job): string[] {
  const entries: [string, string][] = [
    ['Job', job.id],
    ['What', job.title],
    ['State', job.state],
  ];
  if (job.doneBytes !== null) entries.push(['Done', doneText(job)]);
  entries.push(
    ['Started by', job.owner],
    ['Of', job.tenant === null ? 'the node' : `tenant '${job.tenant}'`],
    ['Began', localTime(job.createdAt)],
  );
  if (job.endedAt !== null) entries.push(['Ended', localTime(job.endedAt)]);
  if (job.error !== null) entries.push(['Error', `${job.error.message} (${job.error.code})`]);
  return pairs(entries);
}

export async function waitJob(id: string, options: TenantOptions): Promise<void> {
  const quiet = options.json === true;
  const job = await withDaemon(options, (client) =>
    followJob(client, id, { quiet, query: tenantQuery(options) }),
  );
  if (options.json === true) printJson(job);
  else if (job.state === 'succeeded') printLines([`Done: ${job.title}.`]);
  if (job.error !== null) throw new AshlarError(job.error.code, job.error.message);
}

export async function cancelJob(job: string, options: TenantOptions): Promise<void> {
  const ended = await withDaemon(options, (client) =>
    client.call('cancelJob', { params: { job }, query: tenantQuery(options) }),
  );
  if (options.json === true) return printJson(ended);
  printLines([`Job ${ended.id} has ended: ${ended.state}.`]);
}

export async function deleteJob(job: string, options: TenantOptions): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deleteJob', { params: { job }, query: tenantQuery(options) }),
  );
  if (options.json === true) return printJson({ deleted: job });
  printLines([`Job ${job} is forgotten.`]);
}

const eventColumns: readonly Column<NodeEvent>[] = [
  { title: 'time', value: ({ time }) => localTime(time) },
  { title: 'severity', value: ({ severity }) => severity },
  { title: 'kind', value: ({ kind }) => kind },
  { title: 'what', value: ({ message }) => message, flexible: true },
];

export interface EventOptions extends LookOptions, TenantOptions {
  severity?: NodeEvent['severity'];
  kind?: string;
  subject?: string;
  since?: string;
  until?: string;
  limit?: number;
  after?: string;
}

export async function listEvents(options: EventOptions): Promise<void> {
  const paged = options.limit !== undefined || options.after !== undefined;
  // Checked before anything is asked.
  eventQuery(options);
  await look(options, {
    read: (client) => client.call('listEvents', { query: eventQuery(options) }),
    lines: ({ items, next }, width) => [
      ...(items.length === 0 ? ['No such event is kept.'] : table(items, eventColumns, width)),
      ...(paged && next !== null ? [`There are more: give --after ${next}`] : []),
    ],
    json: (page) => (paged ? page : page.items),
  });
}

/** Made anew for each reading, as moments may be so long ago. */
function eventQuery(options: EventOptions) {
  const { severity, subject, limit = 50, after } = options;
  const now = Date.now();
  const moment = (name: 'since' | 'until') => {
    const text = options[name];
    return text === undefined
      ? {}
      : { [name]: new Date(momentMs(text, `--${name}`, now)).toISOString() };
  };
  return {
    ...tenantQuery(options),
    ...(severity && { severity }),
    ...(options.kind !== undefined && { kind: kindNamed(options.kind) }),
    ...(subject !== undefined && { subject }),
    ...moment('since'),
    ...moment('until'),
    limit: String(limit),
    ...(after !== undefined && { cursor: after }),
  };
}

/** @throws AshlarError usage. */
function kindNamed(text: string): EventKind {
  const found = eventKinds.find((kind) => kind === text);
  if (found !== undefined) return found;
  const best = nearest(text, eventKinds);
  const hint = best === null ? 'TAB completes them (ashlar completion)' : `did you mean '${best}'?`;
  throw new AshlarError('usage', `there are no events of kind '${text}'; ${hint}`);
}
