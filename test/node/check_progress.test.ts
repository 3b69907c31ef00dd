/** How far a check of a pool is, by asking the pool while it goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckReport, NativeAddon, PoolHandle, PoolStatus } from '../../lib/native.js';
import { checkTold } from '../../lib/node/check_progress.js';

const pool = {} as PoolHandle;
const report = { problems: [] } as unknown as CheckReport;

test('check: told in bytes while it is under way, and no more when it has ended', async () => {
  let finish: (found: CheckReport) => void = () => undefined;
  let asked = 0;
  const native = {
    poolCheck: () => new Promise<CheckReport>((resolve) => (finish = resolve)),
    poolStatus: async () => {
      asked += 1;
      // The first time it has not begun: a checkpoint comes before it.
      const checkChunks = asked === 1 ? 0n : 8n;
      return { checkedChunks: BigInt(asked), checkChunks, chunkBytes: 65536n } as PoolStatus;
    },
  } as unknown as NativeAddon;
  const told: [number, number][] = [];
  const found = await checkTold(native, pool, (done, total) => {
    told.push([done, total]);
    if (told.length === 2) finish(report);
  });
  assert.equal(found, report);
  assert.deepEqual(told, [
    [2 * 65536, 8 * 65536],
    [3 * 65536, 8 * 65536],
  ]);
});

test('check: one that fails rejects as it does without', async () => {
  const native = {
    poolCheck: () => Promise.reject(new Error('the pool has failed')),
    poolStatus: () => Promise.reject(new Error('closed')),
  } as unknown as NativeAddon;
  await assert.rejects(
    checkTold(native, pool, () => undefined),
    /the pool has failed/,
  );
});
