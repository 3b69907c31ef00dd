/** The job of giving space back: from the first deletion to when the pool has none left to give. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PoolStatus } from '../../lib/native.js';
import { Reclaiming } from '../../lib/node/reclaiming.js';
import { ApiFixture } from '../api/fixture.js';

/** What the pool says, one answer after another; then the last one again. */
type Left = readonly [layers: bigint, chunks: bigint];

test('reclaim: chunks left go down: the job says how far it is, and ends', async () => {
  await using api = await ApiFixture.open();
  const { jobs } = api.node;
  const base = (await api.node.status()).pool as unknown as PoolStatus;
  const chunkBytes = BigInt(base.chunkBytes);
  const seen: (readonly [string, number | null, number | null])[] = [];
  const script: Left[] = [
    [2n, 10n],
    [2n, 6n],
    [3n, 16n], // More is deleted meanwhile.
    [1n, 4n],
    [0n, 0n],
  ];
  let asked = 0;
  const reclaiming = new Reclaiming(jobs, async () => {
    for (const job of jobs.page({ kind: 'reclaim' }).items) {
      seen.push([job.state, job.doneBytes, job.totalBytes]);
    }
    const [reclaimingLayers, reclaimingChunks] = script[asked] ?? [0n, 0n];
    asked += 1;
    return { ...base, chunkBytes, reclaimingLayers, reclaimingChunks };
  });
  reclaiming.look();
  const job = await found(() => jobs.page({ kind: 'reclaim' }).items[0]);
  assert.equal(job.cancellable, false);
  const ended = await jobs.wait(job.id, 20_000);
  assert.deepEqual([ended.state, ended.error], ['succeeded', null]);
  const chunk = Number(chunkBytes);
  assert.deepEqual(seen, [
    ['running', 0, 10 * chunk],
    ['running', 4 * chunk, 10 * chunk],
    ['running', 0, 16 * chunk],
    ['running', 12 * chunk, 16 * chunk],
  ]);
});

test('reclaim: something is deleted as a job ends: another job follows', async () => {
  await using api = await ApiFixture.open();
  const { jobs } = api.node;
  const base = (await api.node.status()).pool as unknown as PoolStatus;
  const script: Left[] = [
    [1n, 1n],
    [0n, 0n],
    [1n, 1n],
    [0n, 0n],
  ];
  let asked = 0;
  const reclaiming: Reclaiming = new Reclaiming(jobs, async () => {
    const [reclaimingLayers, reclaimingChunks] = script[asked] ?? [0n, 0n];
    asked += 1;
    // The pool has answered that nothing is left, and its answer is still on its way.
    if (asked === 2) reclaiming.look();
    return { ...base, chunkBytes: 4096n, reclaimingLayers, reclaimingChunks };
  });
  reclaiming.look();
  await found(() => jobs.page({ kind: 'reclaim', state: 'succeeded' }).items[1]);
  assert.equal(asked, 4);
});

test('reclaim: nothing is left to give back: no job', async () => {
  await using api = await ApiFixture.open();
  const { client, node } = api;
  await client.call('createVolume', { body: { name: 'empty', sizeBytes: 2 ** 20 } });
  await client.call('deleteVolume', { params: { volume: 'empty' } });
  await client.call('getStatus', {});
  assert.deepEqual(node.jobs.page({ kind: 'reclaim' }).items, []);
});

test('reclaim: the pool fails meanwhile: the job has failed, and says why', async () => {
  await using api = await ApiFixture.open();
  const { jobs } = api.node;
  const base = (await api.node.status()).pool as unknown as PoolStatus;
  let asked = 0;
  const reclaiming = new Reclaiming(jobs, async () => {
    asked += 1;
    if (asked > 1) throw new Error('the pool failed');
    return { ...base, chunkBytes: 4096n, reclaimingLayers: 1n, reclaimingChunks: 1n };
  });
  reclaiming.look();
  const job = await found(() => jobs.page({ kind: 'reclaim' }).items[0]);
  const ended = await jobs.wait(job.id, 20_000);
  assert.deepEqual([ended.state, ended.error?.message], ['failed', 'the pool failed']);
});

/** What will be there after some turns of the loop. */
async function found<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const item = look();
    if (item !== undefined) return item;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
