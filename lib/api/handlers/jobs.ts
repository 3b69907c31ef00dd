/** What the operations on jobs do; see handlers.ts. */
import type { Caller } from '../../access/types.js';
import type { JobInfo } from '../../jobs/types.js';
import type { Node } from '../../node/types.js';
import type { Job } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, pageOptions } from './inputs.js';

type JobOperation = Extract<keyof Handlers, `${string}Job` | `${string}Jobs`>;

export function jobOperations({ jobs }: Node): Pick<Handlers, JobOperation> {
  return {
    listJobs: async ({ query }, signal, caller) => {
      const { state, kind } = query;
      const { items, next } = jobs.page({ ...pageOptions(query, signal), state, kind });
      return { items: items.map((job) => jobObject(job, caller)), next };
    },
    getJob: async ({ params, query }, signal, caller) => {
      const options = callOptions(query, signal);
      const { waitSeconds } = query;
      if (waitSeconds === undefined) return jobObject(jobs.show(params.job, options), caller);
      const job = await jobs.wait(params.job, Number(waitSeconds) * 1000, options);
      return jobObject(job, caller);
    },
    cancelJob: async ({ params, query }, signal, caller) =>
      jobObject(await jobs.cancel(params.job, callOptions(query, signal)), caller),
    deleteJob: async ({ params, query }, signal) => {
      jobs.remove(params.job, callOptions(query, signal));
      return {};
    },
  };
}

/** A result is made by the operation of the job's kind, in the API's own form. */
export function jobObject(job: JobInfo, caller: Caller): Job {
  const { code, message, toTenants } = job.error ?? {};
  const told = caller.tenant === null ? message : toTenants;
  const error = code === undefined || told === undefined ? null : { code, message: told };
  return { ...job, error, result: job.result as Job['result'] };
}
