/** `ashlar job …` and `ashlar event list`: what the daemon does, and what happened. */
import type { ApiClient } from '../api/client.js';
import type { Job, NodeEvent } from '../api/contract.js';
import { nearest } from '../config/nearest.js';
import { formatSizeShort } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { type EventKind, eventKinds } from '../events/kinds.js';
import { type DaemonOptions, type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import { momentMs } from './moments.js';
import { Progress } from './progress.js';
import { type Column, table } from './table.js';
import { localTime, printJson, printLines, terminalWidth } from './terminal.js';

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

export async function listJobs(options: DaemonOptions): Promise<void> {
  const jobs = await withDaemon(options, (client) => client.list('listJobs'));
  if (options.json === true) return printJson(jobs);
  if (jobs.length === 0) return printLines(['No jobs since the start of the daemon.']);
  printLines(table(jobs, jobColumns, terminalWidth()));
}

export async function waitJob(id: string, options: DaemonOptions): Promise<void> {
  const job = await withDaemon(options, (client) => followJob(client, id, options.json === true));
  if (options.json === true) printJson(job);
  else if (job.state === 'succeeded') printLines([`Done: ${job.title}.`]);
  if (job.error !== null) throw new AshlarError(job.error.code, job.error.message);
}

/** Waits for the end of a job with a bar on stderr, where somebody looks. */
async function followJob(client: ApiClient, job: string, quiet: boolean): Promise<Job> {
  let progress: Progress | null = null;
  try {
    for (;;) {
      const query = { waitSeconds: '1' };
      const now = await client.call('getJob', { params: { job }, query });
      if (now.state !== 'running') return now;
      progress ??= new Progress({ title: now.title, totalBytes: now.totalBytes, quiet });
      progress.update(now.doneBytes ?? 0);
    }
  } finally {
    progress?.end();
  }
}

export async function cancelJob(job: string, options: DaemonOptions): Promise<void> {
  const ended = await withDaemon(options, (client) =>
    client.call('cancelJob', { params: { job } }),
  );
  if (options.json === true) return printJson(ended);
  printLines([`Job ${ended.id} has ended: ${ended.state}.`]);
}

const eventColumns: readonly Column<NodeEvent>[] = [
  { title: 'time', value: ({ time }) => localTime(time) },
  { title: 'severity', value: ({ severity }) => severity },
  { title: 'kind', value: ({ kind }) => kind },
  { title: 'what', value: ({ message }) => message, flexible: true },
];

export interface EventOptions extends TenantOptions {
  severity?: NodeEvent['severity'];
  kind?: string;
  subject?: string;
  since?: string;
  until?: string;
  limit?: number;
}

export async function listEvents(options: EventOptions): Promise<void> {
  const { severity, subject, limit = 50 } = options;
  const now = Date.now();
  const moment = (name: 'since' | 'until') => {
    const text = options[name];
    return text === undefined
      ? {}
      : { [name]: new Date(momentMs(text, `--${name}`, now)).toISOString() };
  };
  const query = {
    ...tenantQuery(options),
    ...(severity && { severity }),
    ...(options.kind !== undefined && { kind: kindNamed(options.kind) }),
    ...(subject !== undefined && { subject }),
    ...moment('since'),
    ...moment('until'),
    limit: String(limit),
  };
  const { items } = await withDaemon(options, (client) => client.call('listEvents', { query }));
  if (options.json === true) return printJson(items);
  if (items.length === 0) return printLines(['No such event is kept.']);
  printLines(table(items, eventColumns, terminalWidth()));
}

/** @throws AshlarError usage. */
function kindNamed(text: string): EventKind {
  const found = eventKinds.find((kind) => kind === text);
  if (found !== undefined) return found;
  const best = nearest(text, eventKinds);
  const hint = best === null ? 'TAB completes them (ashlar completion)' : `did you mean '${best}'?`;
  throw new AshlarError('usage', `there are no events of kind '${text}'; ${hint}`);
}
