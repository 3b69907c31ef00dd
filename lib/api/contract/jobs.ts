/** What goes into and comes out of the operations on jobs; see contract.ts. */
import Type from 'typebox';
import { errorCodes } from '../../errors.js';
import { jobKinds, jobStates } from '../../jobs/types.js';
import { poolCheckSchema, poolParams } from './pools.js';
import {
  count,
  exact,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  text,
  time,
  uuid,
} from './schemas.js';
import { importResultSchema } from './streams.js';

const kind = Type.Enum([...jobKinds], { description: 'What it does.' });
const state = Type.Enum([...jobStates], {
  description: 'Whether it is under way, or how it ended.',
});

export const jobSchema = Type.Object(
  {
    id: uuid('Names the job.'),
    kind,
    state,
    title: text('One line: what it does.'),
    tenant: orNull(text("Tenant of its objects; null: the node's.")),
    owner: text('Who started it.'),
    cancellable: Type.Boolean({ description: 'Whether it can be cancelled.' }),
    doneBytes: orNull(count('How much is done; null: not known.')),
    totalBytes: orNull(count('How much there is to do; null: not known.')),
    createdAt: time('When it began.'),
    endedAt: orNull(time('When it ended; null: it is under way.')),
    error: orNull(
      Type.Object(
        {
          code: Type.Enum([...errorCodes], { description: 'What kind of error.' }),
          message: text('What went wrong.'),
        },
        exact,
      ),
    ),
    result: Type.Union([poolCheckSchema, importResultSchema, Type.Null()], {
      description: 'What it found out: of a pool check, or of an import; null: nothing.',
    }),
  },
  {
    ...exact,
    description:
      'Long work. Kept while the daemon runs, of those that ended 1,000 of the node and 200 of ' +
      'each tenant.',
  },
);

const params = Type.Object({ job: uuid('Names the job.') }, exact);

export const jobContract = {
  startPoolCheck: {
    summary: 'Walk and prove every structure of a pool, as a job',
    params: poolParams,
    query: none,
    body: none,
    response: jobSchema,
  },
  listJobs: {
    summary: 'Jobs, the newest first',
    params: none,
    query: Type.Object(
      { ...ofTenant, state: Type.Optional(state), kind: Type.Optional(kind), ...paging },
      exact,
    ),
    body: none,
    response: pageOf(jobSchema),
  },
  getJob: {
    summary: 'One job; with `waitSeconds` answered when it has ended, or after that time',
    params,
    query: Type.Object(
      {
        ...ofTenant,
        waitSeconds: Type.Optional(
          Type.String({
            pattern: '^([0-9]|[1-4][0-9]|50)$',
            description: 'How long to wait for its end, at most 50 s.',
            expected: 'a whole number of seconds, at most 50',
          }),
        ),
      },
      exact,
    ),
    body: none,
    response: jobSchema,
  },
  cancelJob: {
    summary: 'Cancel a job; it has ended when answered, and what it had done stays',
    params,
    query: Type.Object({ ...ofTenant }, exact),
    body: none,
    response: jobSchema,
  },
  deleteJob: {
    summary: 'Forget a job that has ended',
    params,
    query: Type.Object({ ...ofTenant }, exact),
    body: none,
    response: none,
  },
} as const;
