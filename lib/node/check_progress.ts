/** How far a check of a pool is. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckReport, NativeAddon, PoolHandle } from '../native.js';

/** Told while a pool is checked: bytes whose owner is found and proved, of all that have one. */
export type CheckProgress = (doneBytes: number, totalBytes: number) => void;

/** Often enough for a bar. Asking costs the pool's owner a few microseconds. */
const askMs = 250;

/** Checks it, and tells how far that is. */
export async function checkTold(
  native: NativeAddon,
  pool: PoolHandle,
  told: CheckProgress | undefined,
): Promise<CheckReport> {
  const check = native.poolCheck(pool);
  if (told === undefined) return check;
  const over = new AbortController();
  const telling = tell(native, pool, told, over.signal);
  try {
    return await check;
  } finally {
    over.abort();
    await telling;
  }
}

async function tell(
  native: NativeAddon,
  pool: PoolHandle,
  told: CheckProgress,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    // Rejects when the check is over, which the loop then sees.
    await sleep(askMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    // A pool that fails, or is closed, says so by its check.
    const status = await native.poolStatus(pool).catch(() => null);
    if (status === null || status.checkChunks === 0n || signal.aborted) continue;
    const { checkedChunks, checkChunks, chunkBytes } = status;
    told(Number(checkedChunks * chunkBytes), Number(checkChunks * chunkBytes));
  }
}
