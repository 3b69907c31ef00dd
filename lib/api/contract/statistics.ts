/** What goes into and comes out of the operations on statistics; see contract.ts. */
import Type from 'typebox';
import {
  bytes,
  count,
  exact,
  named,
  none,
  ofTenant,
  pageOf,
  paging,
  target,
  text,
  uuid,
  volumeParams,
} from './schemas.js';

const latency = (what: string) =>
  Type.Array(
    Type.Object(
      {
        belowNs: Type.Union([Type.Integer(), Type.Null()], {
          description: 'Nanoseconds that they took less than; null: 17 s or more.',
        }),
        count: count('How many.'),
      },
      exact,
    ),
    { description: `Answered ${what} by latency, buckets without any left out, rising.` },
  );

const counters = {
  atMs: Type.Number({
    description:
      'When it was read, milliseconds of a clock that runs evenly: a rate is the difference of ' +
      'two readings by that of their times.',
  }),
  reads: count('Reads answered, Compare and Verify included.'),
  writes: count('Writes answered.'),
  others: count('Other commands that change data: Write Zeroes, Dataset Management, Copy.'),
  flushes: count('Flushes answered.'),
  readBytes: bytes('Bytes read.'),
  writtenBytes: bytes('Bytes written.'),
  errors: count('Of all these, those that failed.'),
  underWay: count('Commands taken from hosts and not yet answered, now.'),
  limitedCommands: count('Commands that waited for a limit.'),
  limitedMs: Type.Number({ description: 'How long they did, in sum, milliseconds.' }),
  readLatency: latency('reads'),
  writeLatency: latency('writes'),
};

export const volumeStatisticsSchema = Type.Object(
  {
    volume: text('Name of the volume.'),
    uuid: uuid('Its identity.'),
    tenant: text('Who owns it.'),
    ...counters,
  },
  { ...exact, description: 'What hosts have done with a volume since the node has started.' },
);

export const tenantStatisticsSchema = Type.Object(
  { tenant: text('Name of the tenant.'), uuid: uuid('Its identity.'), ...counters },
  {
    ...exact,
    description:
      'What hosts have done with all volumes of a tenant since the node has started, its snapshots ' +
      'and those that are deleted included.',
  },
);

export const statisticsContract = {
  listVolumeStatistics: {
    summary: 'What hosts have done with volumes, by tenant and name',
    params: none,
    query: Type.Object({ ...ofTenant, ...named, ...paging }, exact),
    body: none,
    response: pageOf(volumeStatisticsSchema),
  },
  getVolumeStatistics: {
    summary: 'What hosts have done with one volume',
    params: volumeParams,
    query: target,
    body: none,
    response: volumeStatisticsSchema,
  },
  listTenantStatistics: {
    summary: 'What hosts have done with all volumes of each tenant',
    params: none,
    query: Type.Object({ ...ofTenant, ...paging }, exact),
    body: none,
    response: pageOf(tenantStatisticsSchema),
  },
} as const;
