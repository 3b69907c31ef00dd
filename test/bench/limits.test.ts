/** The programs that say what the machine allows: that they measure, and what they refuse. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Limits, messagesOf } from '../../bench/limits.js';
import { loopbackLimit } from '../../lib/bench/limits.js';

const root = process.cwd();
const kib = 1024;
const oneCpu = availableParallelism() < 2;
let limits: Limits;
let folder: string;

before(async () => {
  limits = await Limits.build(root, oneCpu ? [0, 0] : [0, 1]);
  // Beside the checkout's other files: /tmp may be one where O_DIRECT is not to be had.
  await mkdir(join(root, '.cache'), { recursive: true });
  folder = await mkdtemp(join(root, '.cache/limits-'));
});
after(() => rm(folder, { recursive: true, force: true }));

describe('limits tcp', () => {
  const ms = 50;
  for (const [connections, depth] of [
    [1, 1],
    [1, 32],
    [3, 7],
  ] as const) {
    test(`${connections} connections of depth ${depth}: every way exchanges messages`, async () => {
      const limit = await limits.tcp({ ...messagesOf('read', 4096), connections, depth, ms });
      const measured = limit.ways.filter(({ leftOut }) => leftOut === null);
      assert.ok(measured.length >= (oneCpu ? 1 : 3), measured.map(({ way }) => way).join());
      assert.ok(measured.every(({ perSecond }) => perSecond > 0));
      assert.equal(limit.perSecond, Math.max(...measured.map((each) => each.perSecond)));
      const one = connections === 1 && depth === 1;
      assert.ok(measured.every(({ latencyNs }) => (latencyNs !== null) === one));
    });
  }

  test('large messages both ways: nobody waits for itself', async () => {
    const bytes = 512 * kib;
    const sizes = { requestBytes: bytes, responseBytes: bytes };
    const limit = await limits.tcp({ ...sizes, connections: 2, depth: 4, ms });
    assert.equal(limit.ways[0]?.leftOut, 'it could wait for itself');
    assert.ok(limit.perSecond > 0);
  });

  test('touched memory: exchanged as well', async () => {
    const touchBytes = 8 * kib * kib;
    const messages = messagesOf('write', 128 * kib);
    const limit = await limits.tcp({ ...messages, connections: 1, depth: 4, ms, touchBytes });
    assert.ok(limit.perSecond > 0);
  });

  test('a depth of none: refused with its bounds', async () => {
    const exchange = { ...messagesOf('read', 512), connections: 1, depth: 0, ms };
    await assert.rejects(limits.tcp(exchange), /a depth of 0 is not 1 to 65536/);
  });

  test('a CPU that is not there: refused by number', async () => {
    const elsewhere = await Limits.build(root, [0, 1000]);
    const exchange = { ...messagesOf('read', 512), connections: 1, depth: 1, ms };
    await assert.rejects(
      elsewhere.tcp(exchange),
      /responder: this process may not run on CPU 1000/,
    );
  });

  test('the limit of a scenario: a mix with digests, several threads on each side', async () => {
    const workload = {
      ...{ pattern: 'random' as const, zipfTheta: null, readPercent: 70, ioBytes: 4096 },
      ...{ queues: 4, depth: 8, ratePerSecond: null, verify: false, digests: true },
    };
    const threads = { threads: 2, cpus: null };
    const sides = { requester: threads, responder: threads };
    const { perSecond } = await loopbackLimit(workload, sides, 4 * ms);
    assert.ok(perSecond > 0);
  });
});

describe('limits device', () => {
  const ms = 50;
  const load = { bytes: 4096, depth: 4, ms } as const;

  test('a file: reads are measured, and writes where they may destroy', async () => {
    const path = join(folder, 'full');
    await writeFile(path, new Uint8Array(1024 * kib).fill(1));
    const read = await limits.device({ ...load, path, op: 'read' });
    assert.ok(read.result.perSecond > 0 && read.result.latencyNs !== null);
    await assert.rejects(limits.device({ ...load, path, op: 'write' }), /say --overwrite/);
    assert.ok((await readFile(path)).every((byte) => byte === 1));
    const write = await limits.device({ ...load, path, op: 'write', overwrite: true });
    assert.ok(write.result.perSecond > 0);
  });

  test('a file with holes, no file, what is no device: refused, with what to do', async () => {
    const path = join(folder, 'holes');
    await writeFile(path, '');
    await truncate(path, 1024 * kib);
    await assert.rejects(
      limits.device({ ...load, path, op: 'read' }),
      /has holes.*write all of it/,
    );
    const nowhere = join(folder, 'nowhere');
    await assert.rejects(limits.device({ ...load, path: nowhere, op: 'read' }), /No such file/);
    await assert.rejects(
      limits.device({ ...load, path: folder, op: 'read' }),
      /neither a file nor/,
    );
  });
});
