/** Layers to a stream and back: contents, resumes, failures and bounds, above layers in memory. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AshlarError, toAshlarError } from '../../lib/errors.js';
import { applyStream } from '../../lib/stream/apply.js';
import { exportLayer } from '../../lib/stream/export.js';
import type { StreamHeader } from '../../lib/stream/format.js';
import { layerRanges } from '../../lib/stream/ranges.js';
import { StreamReader } from '../../lib/stream/reader.js';
import { loadZstd } from '../../lib/stream/zstd.js';
import { FakePool } from './fake_pool.js';
import { headerOf, pieces, uuidOf } from './records.js';

const block = 4096;
const [sun, mon, tue, copy] = [uuidOf(1), uuidOf(2), uuidOf(3), uuidOf(4)];

/** Export `layer` since another, as one buffer. */
async function exported(
  pool: FakePool,
  layer: Uint8Array,
  since: Uint8Array | null,
  over: Partial<StreamHeader> = {},
  signal?: AbortSignal,
): Promise<Buffer> {
  const header = headerOf({
    snapshotUuid: layer,
    baseUuid: since,
    sizeBytes: BigInt(pool.contents(layer).length),
    ...over,
  });
  const zstd = await loadZstd();
  const job = { volume: pool.open(layer), layer, since, header, zstd, signal };
  const out: Uint8Array[] = [];
  for await (const bytes of exportLayer(pool, job)) out.push(bytes);
  return Buffer.concat(out);
}

interface Applying {
  appliedBytes?: bigint;
  step?: number;
  signal?: AbortSignal;
}

/** Applies a stream; where it became durable, and what it threw. */
async function applied(
  pool: FakePool,
  layer: Uint8Array,
  bytes: Buffer,
  { appliedBytes = 0n, step = 65_536, signal }: Applying = {},
): Promise<{ durable: bigint[]; error: AshlarError | null }> {
  const durable: bigint[] = [];
  try {
    const reader = await StreamReader.open(pieces(bytes, step));
    await applyStream(pool, {
      volume: pool.open(layer),
      reader,
      zstd: await loadZstd(),
      appliedBytes,
      durable: async (offset) => {
        durable.push(offset);
      },
      signal,
    });
    return { durable, error: null };
  } catch (thrown) {
    return { durable, error: toAshlarError(thrown) };
  }
}

/** Writes whole blocks of one letter. */
async function put(pool: FakePool, layer: Uint8Array, at: number, letters: string): Promise<void> {
  for (const [index, letter] of [...letters].entries()) {
    const offset = BigInt((at + index) * block);
    if (letter === '0') await pool.deallocate(pool.open(layer), offset, BigInt(block));
    else if (letter !== '.')
      await pool.write(pool.open(layer), offset, Buffer.alloc(block, letter));
  }
}

const step = fc.record({
  at: fc.integer({ min: 0, max: 60 }),
  letters: fc.stringMatching(/^[ab0.]{1,12}$/),
});

describe('transfer', () => {
  it('three snapshots, full and by difference: the copy is equal block by block', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(fc.array(step), fc.array(step), fc.array(step)),
        fc.integer({ min: 64, max: 80 }),
        async (rounds, blocks) => {
          const pool = new FakePool();
          const size = blocks * block - 512;
          const layers = [sun, mon, tue];
          pool.create(copy, null, size);
          let below: Uint8Array | null = null;
          for (const [index, steps] of rounds.entries()) {
            const layer = layers[index] ?? sun;
            pool.create(layer, below, size);
            for (const { at, letters } of steps) await put(pool, layer, at, letters);
            const over = { sizeBytes: BigInt(size), blockBytes: 512 as const };
            const { error } = await applied(pool, copy, await exported(pool, layer, below, over));
            assert.equal(error, null);
            assert.ok(pool.contents(copy).equals(pool.contents(layer)), `snapshot ${index}`);
            below = layer;
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('ranges: joined over answers, cut at the offset, whatever is asked for at once', async () => {
    const pool = new FakePool();
    pool.create(sun, null, 100 * block);
    pool.create(mon, sun, 100 * block);
    await put(pool, mon, 3, 'aaaa00a');
    const list = async (from: number, atOnce: number): Promise<string[]> => {
      const found: string[] = [];
      const query = { layer: mon, since: sun, fromOffset: BigInt(from * block) };
      for await (const range of layerRanges(pool, query, atOnce)) {
        const [at, length] = [range.offsetBytes, range.lengthBytes].map((n) => Number(n) / block);
        found.push(`${range.kind} ${at}+${length}`);
      }
      return found;
    };
    for (const atOnce of [1, 2, 3, 100]) {
      assert.deepEqual(await list(0, atOnce), ['data 3+4', 'zero 7+2', 'data 9+1']);
      assert.deepEqual(await list(5, atOnce), ['data 5+2', 'zero 7+2', 'data 9+1']);
      assert.deepEqual(await list(10, atOnce), []);
    }
  });

  it('cut at every record, then sent again or from there: equal, and nothing is lost', async () => {
    const pool = new FakePool();
    pool.create(sun, null, 32 * block);
    await put(pool, sun, 0, 'a.b.c.dd0.e.f.g0h.i.j.k.l.m.nn');
    await pool.flush(pool.open(sun));
    const whole = await exported(pool, sun, null, {});
    const reader = await StreamReader.open(pieces(whole, 100));
    const cuts: number[] = [reader.bytes];
    for await (const _ of reader.records()) cuts.push(reader.bytes);
    cuts.pop();
    let last = 0n;
    for (const [index, cut] of cuts.entries()) {
      const target = uuidOf(100 + index);
      pool.create(target, null, 32 * block);
      const first = await applied(pool, target, whole.subarray(0, cut + 7));
      assert.equal(first.error?.code, 'stream-corrupt');
      assert.match(first.error?.message ?? '', /interrupted/);
      const reached = first.durable.at(-1) ?? 0n;
      assert.ok(reached >= last, 'a later cut is not behind an earlier one');
      last = reached;
      pool.crash();
      const from = await exported(pool, sun, null, { fromOffset: reached });
      const rest = index % 2 === 0 ? whole : from;
      const second = await applied(pool, target, rest, { appliedBytes: reached });
      assert.equal(second.error, null);
      assert.ok(pool.contents(target).equals(pool.contents(sun)), `cut ${index}`);
    }
    assert.ok(last > 0n);
  });

  it('a flipped byte anywhere: what was durable before it is true, and it can go on', async () => {
    const pool = new FakePool();
    pool.create(sun, null, 16 * block);
    await put(pool, sun, 0, 'a.bc0.defg.h');
    const whole = await exported(pool, sun, null);
    for (let at = 0; at < whole.length; at += 11) {
      const target = uuidOf(100);
      pool.create(target, null, 16 * block);
      const bad = Buffer.from(whole);
      bad[at] = (bad[at] ?? 0) ^ 0x10;
      const first = await applied(pool, target, bad);
      assert.notEqual(first.error, null, `byte ${at}`);
      const reached = Number(first.durable.at(-1) ?? 0n);
      const [is, was] = [pool.contents(target), pool.contents(sun)];
      assert.ok(is.subarray(0, reached).equals(was.subarray(0, reached)), `byte ${at}`);
      assert.ok(
        is.subarray(reached).every((byte) => byte === 0),
        `byte ${at}: nothing beyond it`,
      );
      const second = await applied(pool, target, whole, { appliedBytes: BigInt(reached) });
      assert.equal(second.error, null);
      assert.ok(pool.contents(target).equals(was));
    }
  });

  it('resume points: one for every 64 MiB, durable when the import has passed them', async () => {
    const pool = new FakePool();
    const size = 160 << 20;
    pool.create(sun, null, size);
    await pool.write(pool.open(sun), 0n, Buffer.alloc(size, 'x'));
    pool.create(copy, null, size);
    const bytes = await exported(pool, sun, null);
    const { durable, error } = await applied(pool, copy, bytes);
    assert.equal(error, null);
    assert.deepEqual(durable, [64n << 20n, 128n << 20n, 160n << 20n]);
    assert.equal(pool.flushes, 3);
  });

  it('a write that fails in the middle: its error, and nothing beyond is called durable', async () => {
    const pool = new FakePool();
    pool.create(sun, null, 64 * block);
    await put(pool, sun, 0, 'a.'.repeat(30));
    pool.create(copy, null, 64 * block);
    const bytes = await exported(pool, sun, null);
    pool.before = (call, offset) => {
      if (call !== 'write' || offset < 20 * block) return;
      throw new AshlarError('no-space', 'the pool is full');
    };
    const { durable, error } = await applied(pool, copy, bytes);
    assert.equal(error?.code, 'no-space');
    assert.deepEqual(durable, []);
    assert.equal(pool.underWay, 0);
    pool.before = () => undefined;
    assert.equal((await applied(pool, copy, bytes)).error, null);
    assert.ok(pool.contents(copy).equals(pool.contents(sun)));
  });

  it('aborted while it is applied: cancelled, what came is durable, and it goes on', async () => {
    const pool = new FakePool();
    pool.create(sun, null, 256 * block);
    await put(pool, sun, 0, 'a.'.repeat(120));
    pool.create(copy, null, 256 * block);
    const bytes = await exported(pool, sun, null);
    const abort = new AbortController();
    pool.before = (call, offset) => {
      if (call === 'write' && offset === 20 * block) abort.abort();
    };
    const first = await applied(pool, copy, bytes, { signal: abort.signal, step: 40 });
    assert.equal(first.error?.code, 'cancelled');
    const reached = first.durable.at(-1) ?? 0n;
    assert.ok(reached >= BigInt(20 * block) && reached < BigInt(230 * block), `${reached}`);
    const second = await applied(pool, copy, bytes, { appliedBytes: reached });
    assert.equal(second.error, null);
    assert.ok(pool.contents(copy).equals(pool.contents(sun)));
  });

  it('a read that fails, and a reader that leaves: the export ends, no read is left over', async () => {
    const pool = new FakePool();
    pool.create(sun, null, 16 << 20);
    await pool.write(pool.open(sun), 0n, Buffer.alloc(16 << 20, 'x'));
    pool.before = (call, offset) => {
      if (call === 'read' && offset === 8 << 20) throw new AshlarError('io-error', 'bad sector');
    };
    await assert.rejects(exported(pool, sun, null), { code: 'io-error', message: 'bad sector' });
    assert.equal(pool.underWay, 0);
    pool.before = () => undefined;
    const abort = new AbortController();
    abort.abort();
    await assert.rejects(exported(pool, sun, null, {}, abort.signal), { code: 'cancelled' });
    const header = headerOf({ snapshotUuid: sun, sizeBytes: 16n << 20n });
    const job = { volume: pool.open(sun), layer: sun, since: null, header, zstd: await loadZstd() };
    const stream = exportLayer(pool, job);
    await stream.next();
    await stream.next();
    await stream.return();
    assert.equal(pool.underWay, 0);
  });

  it('memory: at most a few reads are under way, whatever the layer holds', async () => {
    const pool = new FakePool();
    pool.create(sun, null, 64 << 20);
    await pool.write(pool.open(sun), 0n, Buffer.alloc(32 << 20, 'x'));
    await put(pool, sun, (40 << 20) / block, 'a.'.repeat(1000));
    pool.mostUnderWay = 0;
    await exported(pool, sun, null);
    assert.ok(pool.mostUnderWay >= 2 && pool.mostUnderWay <= 32, `${pool.mostUnderWay} reads`);
  });
});
