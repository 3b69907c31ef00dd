/**
 * A worker that opens a pool and volumes, drops every handle and has them collected, and ends
 * without a word. Run by handles.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { workerData } from 'node:worker_threads';
import {
  type DeviceSpec,
  loadNative,
  type PoolChange,
  type PoolHandle,
  type RuntimeHandle,
} from '../../lib/native.js';

const { file } = workerData as { file: string };
const native = loadNative();

async function openPool(runtime: RuntimeHandle): Promise<PoolHandle> {
  const device: DeviceSpec = { kind: 'file', path: file };
  const writeThrough = false;
  if (existsSync(file)) {
    return native.poolOpen(runtime, { device, writeThrough, readOnly: false, mapCacheBytes: null });
  }
  return native.poolCreate(runtime, {
    device,
    writeThrough,
    sizeBytes: 64n << 20n,
    uuid: randomBytes(16),
    journalBytes: null,
  });
}

async function useAndDrop(): Promise<void> {
  const options = { reactors: 2, cpus: null, bufferBytes: null, busyPollUs: 0 };
  const pool = await openPool(native.runtimeOpen(options, () => {}));
  for (let i = 0; i < 10; i++) {
    const layer = randomBytes(16);
    const create: PoolChange = {
      kind: 'create-layer',
      layer,
      parent: null,
      sizeBytes: 4n << 20n,
      blockBytes: 4096,
      volumeFrom: null,
      reserved: false,
    };
    await native.poolCommit(pool, [create]);
    await native.volumeOpen(pool, layer, false);
  }
}

await useAndDrop();
setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;
for (let i = 0; i < 3; i++) {
  gc();
  await new Promise((resolve) => setImmediate(resolve));
}
