/** What the operations on jobs do; see handlers.ts. */
import type { JobInfo } from '../../jobs/types.js';
import type { Node } from '../../node/types.js';
import type { Job } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, pageOptions } from './inputs.js';

type JobOperation = Extract<keyof Handlers, `${string}Job` | `${string}Jobs`>;

export function jobOperations({ jobs }: Node): Pick<Handlers, JobOperation> {
  return {
    listJobs: async ({ query }, signal) => {
      const { state, kind } = query;
      const { items, next } = jobs.page({ ...pageOptions(query, signal), state, kind });
      return { items: items.map(jobObject), next };
    },
    getJob: async ({ params, query }, signal) => {
      const options = callOptions(query, signal);
      const { waitSeconds } = query;
      if (waitSeconds === undefined) return jobObject(jobs.show(params.job, options));
      return jobObject(await jobs.wait(params.job, Number(waitSeconds) * 1000, options));
    },
    cancelJob: async ({ params, query }, signal) =>
      jobObject(await jobs.cancel(params.job, callOptions(query, signal))),
    deleteJob: async ({ params, query }, signal) => {
      jobs.remove(params.job, callOptions(query, signal));
      return {};
    },
  };
}

/** A result is made by the operation of the job's kind, in the API's own form. */
export function jobObject(job: JobInfo): Job {
  return { ...job, result: job.result as Job['result'] };
}
