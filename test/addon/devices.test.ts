import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import { loadNative, type PoolHandle, type RuntimeHandle } from '../../lib/native.js';

const native = loadNative();
const MiB = 1024n * 1024n;

function withCode(code: string, words: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AshlarError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, words);
    return true;
  };
}

function uuid(): Uint8Array {
  return Buffer.from(randomUUID().replaceAll('-', ''), 'hex');
}

/** Two reactors and a directory, which go away with the test. */
function bench(t: TestContext): { runtime: RuntimeHandle; file: (name: string) => string } {
  const directory = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'ashlar-devices-'));
  const options = { reactors: 2, cpus: null, bufferBytes: null, busyPollUs: 0 };
  const runtime = native.runtimeOpen(options, () => {});
  t.after(async () => {
    await native.runtimeClose(runtime);
    rmSync(directory, { recursive: true });
  });
  return { runtime, file: (name) => join(directory, name) };
}

function create(runtime: RuntimeHandle, path: string): Promise<PoolHandle> {
  const device = { kind: 'file' as const, path };
  return native.poolCreate(runtime, {
    device,
    sizeBytes: 16n * MiB,
    uuid: uuid(),
    journalBytes: null,
    writeThrough: false,
  });
}

function open(runtime: RuntimeHandle, path: string): Promise<PoolHandle> {
  const device = { kind: 'file' as const, path };
  return native.poolOpen(runtime, {
    device,
    writeThrough: false,
    readOnly: false,
    mapCacheBytes: null,
  });
}

test('devices: added, listed, missing after open, attached again', async (t) => {
  const { runtime, file } = bench(t);
  const pool = await create(runtime, file('first'));
  const second = { kind: 'file' as const, path: file('second') };
  const added = await native.poolAddDevice(pool, second, 32n * MiB);
  assert.equal(added.index, 1);
  assert.equal(added.path, second.path);
  assert.equal(added.state, 'online');
  assert.equal(added.sizeBytes, 32n * MiB);
  assert.equal(added.totalChunks, 512n);
  assert.equal(added.freeChunks, 511n);
  const memory = await native.poolAddDevice(pool, { kind: 'memory', sizeBytes: 16n * MiB }, null);
  assert.equal(memory.path, 'memory');
  const status = await native.poolStatus(pool);
  assert.equal(status.sizeBytes, 64n * MiB);
  assert.deepEqual(
    status.devices.map((device) => [device.index, device.path, device.state]),
    [
      [0, file('first'), 'online'],
      [1, second.path, 'online'],
      [2, 'memory', 'online'],
    ],
  );
  assert.deepEqual((await native.poolCheck(pool)).problems, []);
  await native.poolClose(pool);

  const again = await open(runtime, file('first'));
  const before = await native.poolStatus(again);
  assert.deepEqual(
    before.devices.map((device) => [device.path, device.state]),
    [
      [file('first'), 'online'],
      [null, 'missing'],
      [null, 'missing'],
    ],
  );
  const attached = await native.poolAttachDevice(again, second);
  assert.deepEqual(attached.uuid, added.uuid);
  assert.equal(attached.state, 'online');
  // A file is one process's and one pool's at a time.
  await assert.rejects(native.poolAttachDevice(again, second), withCode('pool-locked', /second/));
  const fresh = { kind: 'memory' as const, sizeBytes: 16n * MiB };
  await assert.rejects(native.poolAttachDevice(again, fresh), withCode('not-found', /label/));
  await native.poolClose(again);
});

test('devices: what cannot be added leaves no file behind and takes none away', async (t) => {
  const { runtime, file } = bench(t);
  const pool = await create(runtime, file('first'));
  const device = (name: string) => ({ kind: 'file' as const, path: file(name) });
  const small = native.poolAddDevice(pool, device('small'), MiB);
  await assert.rejects(small, withCode('invalid-argument', /small: a size of 1048576 bytes/));
  assert.ok(!existsSync(file('small')));
  const sizeless = native.poolAddDevice(pool, device('sizeless'), null);
  await assert.rejects(sizeless, withCode('invalid-argument', /size must be given/));
  const own = native.poolAddDevice(pool, device('first'), null);
  await assert.rejects(own, withCode('pool-locked', /first/));
  const other = await create(runtime, file('other'));
  await native.poolClose(other);
  const taken = native.poolAddDevice(pool, device('other'), null);
  await assert.rejects(taken, withCode('pool-exists', /other: there is a pool already/));
  assert.ok(existsSync(file('other')));
  // Refused and let go of: the file can be opened again.
  await native.poolClose(await open(runtime, file('other')));
  writeFileSync(file('raw'), '');
  truncateSync(file('raw'), Number(20n * MiB));
  const raw = await native.poolAddDevice(pool, device('raw'), null);
  assert.equal(raw.totalChunks, 320n);
  assert.equal((await native.poolStatus(pool)).devices.length, 2);
  await native.poolClose(pool);
  const closed = () => native.poolAddDevice(pool, device('late'), 16n * MiB);
  await assert.rejects(async () => closed(), withCode('closed', /closed/));
  assert.ok(!existsSync(file('late')));
});
