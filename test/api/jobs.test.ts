/** Jobs: ended, cancelled, waited for, forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiClient } from '../../lib/api/client.js';
import { jobsKept, maxRunningJobs } from '../../lib/jobs/jobs.js';
import { ApiFixture } from './fixture.js';

const wanted = {
  kind: 'export',
  title: 'x',
  tenant: null,
  owner: 'test',
  cancellable: true,
} as const;

test('jobs: progress, failure, cancellation and a wait, as a caller sees them', async () => {
  await using api = await ApiFixture.open();
  const { client, node } = api;
  const job = node.jobs.open(wanted);
  job.progress(5, 10);
  const params = { job: job.id };
  const running = await client.call('getJob', { params });
  assert.deepEqual([running.state, running.doneBytes, running.totalBytes], ['running', 5, 10]);
  await assert.rejects(client.call('deleteJob', { params }), { code: 'busy' });
  await using other = new ApiClient({ socket: api.socket });
  const waiting = other.call('getJob', { params, query: { waitSeconds: '50' } });
  job.signal.addEventListener('abort', () => job.fail(new Error('stopped')));
  assert.equal((await client.call('cancelJob', { params })).state, 'cancelled');
  assert.equal((await waiting).state, 'cancelled');
  const failed = node.jobs.start(wanted, async () => Promise.reject(new Error('broken')));
  const ended = await node.jobs.wait(failed.id, 10_000);
  assert.deepEqual([ended.state, ended.error?.message], ['failed', 'broken']);
  const firm = node.jobs.open({ ...wanted, cancellable: false });
  await assert.rejects(node.jobs.cancel(firm.id), { code: 'conflict' });
  firm.succeed(null);
});

test('jobs: those that ended are kept up to a bound; those under way have one too', async () => {
  await using api = await ApiFixture.open();
  const { jobs } = api.node;
  for (let count = 0; count < jobsKept + 20; count += 1) jobs.open(wanted).succeed(null);
  assert.equal((await api.client.list('listJobs', { limit: '300' })).length, jobsKept);
  const open = Array.from({ length: maxRunningJobs }, () => jobs.open(wanted));
  assert.throws(() => jobs.open(wanted), { code: 'limit-exceeded' });
  for (const job of open) job.succeed(null);
});

test('jobs: the node closes: those under way are told, and have ended', async () => {
  const api = await ApiFixture.open();
  const job = api.node.jobs.open(wanted);
  let told = false;
  job.signal.addEventListener('abort', () => {
    told = true;
    job.fail(new Error('closing'));
  });
  await api[Symbol.asyncDispose]();
  assert.equal(told, true);
});
