/** Rates and percentiles of readings, as the charts show them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Counts, percentileOf, pointOf, sumOf } from '../../lib/console/readings.js';

function counts(atMs: number, reads: number, slow = 0): Counts {
  return {
    atMs,
    reads,
    writes: 0,
    readBytes: reads * 4096,
    writtenBytes: 0,
    errors: 0,
    limitedMs: 0,
    readLatency: [
      { belowNs: 100_000, count: reads - slow },
      ...(slow === 0 ? [] : [{ belowNs: null, count: slow }]),
    ],
    writeLatency: [],
  };
}

test('readings: a rate is the difference by that of the times', () => {
  const point = pointOf(counts(1000, 100), counts(3000, 500), 7);
  assert.equal(point.at, 7);
  assert.equal(point.readIops, 200);
  assert.equal(point.readBytes, 200 * 4096);
  assert.equal(point.writeIops, 0);
  assert.equal(point.readP99, 100_000);
  assert.equal(point.writeP50, null);
});

test('readings: counters that went back are of a new start: not known', () => {
  assert.equal(pointOf(counts(1000, 100), counts(3000, 5), 0).readIops, null);
  assert.equal(pointOf(counts(3000, 5), counts(1000, 100), 0).readIops, null);
});

test('readings: a percentile is the bound of its bucket; beyond all bounds: not known', () => {
  const buckets = [
    { belowNs: 10, count: 50 },
    { belowNs: 20, count: 49 },
    { belowNs: null, count: 1 },
  ];
  assert.equal(percentileOf(buckets, 0.5), 10);
  assert.equal(percentileOf(buckets, 0.99), 20);
  assert.equal(percentileOf(buckets, 1), null);
  assert.equal(percentileOf([], 0.5), null);
});

test('readings: a sum of tenants has the counts and buckets of all', () => {
  assert.equal(sumOf([]), null);
  const sum = sumOf([counts(1, 10), counts(1, 30, 5)]);
  assert.equal(sum?.reads, 40);
  assert.deepEqual(sum?.readLatency, [
    { belowNs: 100_000, count: 35 },
    { belowNs: null, count: 5 },
  ]);
});
