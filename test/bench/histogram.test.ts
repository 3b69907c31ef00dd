import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { LatencyHistogram, lastOf } from '../../lib/bench/histogram.js';
import { randomFrom } from '../../lib/bench/statistics.js';
import { AshlarError } from '../../lib/errors.js';

function some(seed: number, count: number, most: number): LatencyHistogram {
  const random = randomFrom(seed);
  const histogram = new LatencyHistogram();
  for (let i = 0; i < count; i += 1) histogram.record(Math.floor(random() * most));
  return histogram;
}

test('percentiles are at most 0.1 % above the true value', () => {
  const histogram = new LatencyHistogram();
  for (let value = 1; value <= 100_000; value += 1) histogram.record(value * 10);
  for (const share of [0.01, 0.5, 0.9, 0.99, 0.999, 1]) {
    const truth = 1_000_000 * share;
    const found = histogram.percentile(share);
    assert.ok(found >= truth && found <= truth * 1.001 + 10, `${share}: ${found}`);
  }
  assert.equal(histogram.percentiles().mean, 500_005);
});

test('encoded and decoded: every bucket is the same', () => {
  for (const [seed, most] of [
    [1, 3000],
    [2, 1e6],
    [3, 1e12],
  ] as const) {
    const histogram = some(seed, 5000, most);
    const again = LatencyHistogram.decode(histogram.encode());
    assert.deepEqual(again.buckets(), histogram.buckets());
    assert.equal(again.count, histogram.count);
  }
  assert.deepEqual(LatencyHistogram.decode(new LatencyHistogram().encode()).buckets(), []);
});

test('the encoding is the V2 of HdrHistogram, compressed', () => {
  const histogram = new LatencyHistogram();
  histogram.record(3, 5);
  histogram.record(2048, 1);
  const bytes = Buffer.from(histogram.encode(), 'base64');
  assert.equal(bytes.readInt32BE(0), 0x1c849314);
  const inner = inflateSync(bytes.subarray(8));
  assert.equal(inner.readInt32BE(0), 0x1c849313);
  assert.equal(inner.readInt32BE(12), 3, 'significant digits');
  assert.equal(inner.readBigInt64BE(16), 1n, 'lowest');
  assert.equal(inner.readDoubleBE(32), 1, 'ratio');
  // Three empty, five in bucket 3, 2044 empty, one in bucket 2048; ZigZag, 7 bits a byte.
  assert.deepEqual([...inner.subarray(40)], [0x05, 0x0a, 0xf7, 0x1f, 0x02]);
});

test('merging two is as having recorded all in one', () => {
  const [first, second, whole] = [some(4, 1000, 1e7), some(5, 1000, 1e5), some(4, 1000, 1e7)];
  first.merge(second);
  whole.merge(LatencyHistogram.decode(second.encode()));
  assert.deepEqual(first.buckets(), whole.buckets());
});

test('what native code gives keeps its exact extremes and mean', () => {
  const histogram = LatencyHistogram.of({
    indexes: [100, 3000],
    counts: [3, 1],
    minNs: 100n,
    maxNs: 3952n,
    sumNs: 4252n,
  });
  const { min, max, mean, p50 } = histogram.percentiles();
  assert.deepEqual({ min, max, mean, p50 }, { min: 100, max: 3952, mean: 1063, p50: 100 });
  assert.equal(lastOf(3000), 3953);
});

test('damaged text is refused by name', () => {
  for (const text of ['', 'AAAA', 'HISTFAAAAAB4', some(1, 10, 100).encode().slice(0, 30)]) {
    assert.throws(
      () => LatencyHistogram.decode(text),
      (error) => error instanceof AshlarError && error.code === 'invalid-argument',
    );
  }
});
