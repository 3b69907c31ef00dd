/** Handles of pools and volumes: closed twice, closed under way, dropped, and by the thousand. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { AshlarError } from '../../lib/errors.js';
import {
  loadNative,
  type PoolChange,
  type PoolHandle,
  type RuntimeHandle,
  type VolumeHandle,
} from '../../lib/native.js';
import { Workspace } from '../rig/daemon.js';
import { writeReport } from '../rig/report.js';

const native = loadNative();
const soak = Number(process.env['ASHLAR_SOAK'] ?? 1);
const rounds = 10_000 * soak;
const started = performance.now();

const threads = () => readdirSync('/proc/self/task').length;
const descriptors = () => readdirSync('/proc/self/fd').length;

function openRuntime(reactors = 1): RuntimeHandle {
  const options = { reactors, cpus: null, bufferBytes: null, busyPollUs: 0 };
  return native.runtimeOpen(options, () => {});
}

function memoryPool(runtime: RuntimeHandle): Promise<PoolHandle> {
  return native.poolCreate(runtime, {
    device: { kind: 'memory', sizeBytes: 64n << 20n },
    sizeBytes: null,
    uuid: randomBytes(16),
    journalBytes: null,
    writeThrough: false,
  });
}

function newLayer(layer: Uint8Array): PoolChange {
  return {
    kind: 'create-layer',
    layer,
    parent: null,
    sizeBytes: 8n << 20n,
    blockBytes: 4096,
    volumeFrom: null,
    reserved: false,
  };
}

const open = (pool: PoolHandle, layer: Uint8Array) => native.volumeOpen(pool, layer, false);

function withCode(...codes: string[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AshlarError, String(error));
    assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
    return true;
  };
}

async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test(`volumes: ${rounds} opened and closed: no descriptor, no thread and no memory is left`, async () => {
  const runtime = openRuntime();
  const pool = await memoryPool(runtime);
  const layer = randomBytes(16);
  await native.poolCommit(pool, [newLayer(layer)]);
  const some = async (count: number) => {
    for (let i = 0; i < count; i++) await native.volumeClose(await open(pool, layer));
    await collectGarbage();
    return { threads: threads(), descriptors: descriptors() };
  };
  const before = await some(1000);
  const memory = process.memoryUsage().rss;
  assert.deepEqual(await some(rounds), before);
  // ASan keeps what was freed, to notice its use.
  const grown = process.memoryUsage().rss - memory;
  if (process.env['ASAN_OPTIONS'] === undefined) assert.ok(grown < 32 << 20, `${grown} bytes more`);
  await native.poolClose(pool);
  await native.runtimeClose(runtime);
});

test('pools: 200 made, filled with layers and closed: no descriptor and no thread is left', async () => {
  const runtime = openRuntime(2);
  await native.poolClose(await memoryPool(runtime));
  const before = { threads: threads(), descriptors: descriptors() };
  for (let i = 0; i < 200 * soak; i++) {
    const pool = await memoryPool(runtime);
    const layers = [randomBytes(16), randomBytes(16)];
    await native.poolCommit(pool, layers.map(newLayer));
    const volumes = await Promise.all(layers.map((layer) => open(pool, layer)));
    await Promise.all(volumes.map((volume) => native.volumeClose(volume)));
    await native.poolClose(pool);
  }
  assert.deepEqual({ threads: threads(), descriptors: descriptors() }, before);
  await native.runtimeClose(runtime);
});

test('handles: a second close and every later use is refused as closed', async () => {
  const runtime = openRuntime();
  const pool = await memoryPool(runtime);
  const layer = randomBytes(16);
  await native.poolCommit(pool, [newLayer(layer)]);
  const volume = await open(pool, layer);
  const closing = native.volumeClose(volume);
  await assert.rejects(native.volumeClose(volume), withCode('closed'));
  await closing;
  await assert.rejects(native.volumeClose(volume), withCode('closed'));
  const ending = native.poolClose(pool);
  await assert.rejects(native.poolClose(pool), withCode('closed'));
  await ending;
  await assert.rejects(native.poolClose(pool), withCode('closed'));
  await assert.rejects(native.poolStatus(pool), withCode('closed'));
  await assert.rejects(native.poolCatalog(pool), withCode('closed'));
  await assert.rejects(native.poolCommit(pool, [newLayer(layer)]), withCode('closed'));
  await assert.rejects(native.poolCheckpoint(pool), withCode('closed'));
  await assert.rejects(native.poolCheck(pool), withCode('closed'));
  await assert.rejects(native.layerUsage(pool, layer), withCode('closed'));
  await assert.rejects(open(pool, layer), withCode('closed'));
  await native.runtimeClose(runtime);
});

test('handles: one of another kind is refused, never believed', async () => {
  const runtime = openRuntime();
  const pool = await memoryPool(runtime);
  for (const wrong of [runtime, {}, null, 7, new Uint8Array(16)]) {
    const asPool = wrong as unknown as PoolHandle;
    const asVolume = wrong as unknown as VolumeHandle;
    await assert.rejects(native.poolClose(asPool), withCode('invalid-argument'));
    await assert.rejects(native.poolStatus(asPool), withCode('invalid-argument'));
    await assert.rejects(native.volumeClose(asVolume), withCode('invalid-argument'));
  }
  const asVolume = pool as unknown as VolumeHandle;
  await assert.rejects(native.volumeClose(asVolume), withCode('invalid-argument'));
  await native.poolClose(pool);
  await native.runtimeClose(runtime);
});

test('pools: closed with a volume open: refused as busy, and everything goes on', async () => {
  const runtime = openRuntime();
  const pool = await memoryPool(runtime);
  const layer = randomBytes(16);
  await native.poolCommit(pool, [newLayer(layer)]);
  const volume = await open(pool, layer);
  await assert.rejects(native.poolClose(pool), withCode('busy'));
  await assert.rejects(native.runtimeClose(runtime), withCode('busy'));
  assert.equal((await native.poolStatus(pool)).failed, false);
  await native.volumeClose(volume);
  await native.poolClose(pool);
  await native.runtimeClose(runtime);
});

test('pools: closed with calls under way: each is answered or refused as closed', async () => {
  const runtime = openRuntime(2);
  for (let round = 0; round < 50 * soak; round++) {
    const pool = await memoryPool(runtime);
    const calls: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++) {
      calls.push(native.poolCommit(pool, [newLayer(randomBytes(16))]));
      calls.push(native.poolStatus(pool), native.poolCheck(pool), native.poolCatalog(pool));
      if (i % 5 === 0) calls.push(native.poolCheckpoint(pool));
    }
    await native.poolClose(pool);
    for (const { status, ...outcome } of await Promise.allSettled(calls)) {
      if (status === 'rejected' && 'reason' in outcome) withCode('closed')(outcome.reason);
    }
  }
  await native.runtimeClose(runtime);
});

test('worker: pool and volumes dropped, collected and never closed: closed in order at its end', async () => {
  using workspace = new Workspace();
  const file = workspace.file('pool');
  const before = threads();
  const program = fileURLToPath(new URL('./dropping_main.js', import.meta.url));
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(program, { workerData: { file } });
    const [code] = (await once(worker, 'exit')) as [number];
    assert.equal(code, 0);
  }
  while (threads() > before) await new Promise((resolve) => setTimeout(resolve, 5));
  const runtime = openRuntime();
  const pool = await native.poolOpen(runtime, {
    device: { kind: 'file', path: file },
    writeThrough: false,
    readOnly: false,
    mapCacheBytes: null,
  });
  const status = await native.poolStatus(pool);
  // An orderly close checkpoints: nothing was left to replay. Each worker has made ten layers.
  assert.equal(status.replayedRecords, 0n);
  assert.equal(status.layerCount, 50n);
  assert.deepEqual((await native.poolCheck(pool)).problems, []);
  await native.poolClose(pool);
  await native.runtimeClose(runtime);
  writeReport({
    suite: 'addon',
    promises: ['P12'],
    counts: { 'volume handles': rounds, 'pool handles': 250 * soak },
    seconds: (performance.now() - started) / 1000,
    seed: '',
  });
});
