/** Waiting for a job's end, with a bar on stderr where somebody looks. */
import type { ApiClient } from '../api/client.js';
import type { Job } from '../api/contract.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { Progress } from './progress.js';

export interface FollowOptions {
  /** No bar, whatever stderr is. */
  quiet: boolean;
  query?: { tenant?: string };
}

/**
 * Ctrl-C ends the waiting and not the job, which is the daemon's.
 *
 * @throws AshlarError cancelled: somebody has ended the waiting; and those of getJob.
 */
export async function followJob(
  client: ApiClient,
  job: string,
  { quiet, query = {} }: FollowOptions,
): Promise<Job> {
  const ended = new AbortController();
  const onSignal = (): void => ended.abort();
  process.once('SIGINT', onSignal);
  let progress: Progress | null = null;
  let last: Job | null = null;
  let before: number | null = null;
  try {
    for (;;) {
      const now: Job = await client.call(
        'getJob',
        // At once at first: what there is to do is known from then on.
        { params: { job }, query: { ...query, waitSeconds: last === null ? '0' : '1' } },
        { signal: ended.signal },
      );
      last = now;
      if (now.state !== 'running') return now;
      const done = now.doneBytes ?? 0;
      // How fast it is counts from now: when the job began says little of it.
      before ??= done;
      progress ??= new Progress({ title: now.title, totalBytes: now.totalBytes, quiet });
      progress.update(done - before, before, now.totalBytes);
    }
  } catch (thrown) {
    if (!ended.signal.aborted) throw thrown;
    throw new AshlarError('cancelled', leftText(job, last), { cause: toAshlarError(thrown) });
  } finally {
    progress?.end();
    process.off('SIGINT', onSignal);
  }
}

/** What becomes of a job that nobody waits for any more. */
function leftText(job: string, last: Job | null): string {
  const cancel = last?.cancellable === false ? '' : `, 'ashlar job cancel ${job}' ends it`;
  return `no longer waiting; the job goes on: 'ashlar job watch ${job}' shows it${cancel}`;
}
