import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare, type Side } from '../../lib/bench/compare.js';
import { bootstrapRatio, median, randomFrom } from '../../lib/bench/statistics.js';
import { AshlarError } from '../../lib/errors.js';
import { sampleResult } from './samples.js';

const options = { seed: 7, threshold: 0.03 };
const side = (result: Side['result'], subject: string | null = null, label = 'x'): Side => ({
  ...{ label, result, subject },
});

test('median: of odd, even and no numbers', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test('bootstrap: the same seed gives the same interval, and it holds the truth', () => {
  const random = randomFrom(11);
  let held = 0;
  for (let i = 0; i < 40; i += 1) {
    const a = Array.from({ length: 9 }, () => 100 + 10 * random());
    const b = Array.from({ length: 9 }, () => 1.1 * (100 + 10 * random()));
    const ratio = bootstrapRatio(a, b, { paired: false, seed: i });
    assert.deepEqual(bootstrapRatio(a, b, { paired: false, seed: i }), ratio);
    held += ratio.low <= 1.1 && ratio.high >= 1.1 ? 1 : 0;
  }
  assert.ok(held >= 34, `${held} of 40`);
});

test('bootstrap: four rounds say nothing, however well they agree', () => {
  const [a, b] = [Array(4).fill(100), Array(4).fill(200)];
  const { low, high } = bootstrapRatio(a, b, { paired: true, seed: 1 });
  assert.deepEqual([low, high], [0, Number.POSITIVE_INFINITY]);
});

test('pairs of one run: a tenth less is worse, though the machine swings by half', () => {
  const result = sampleResult({ iops: { before: 100_000, after: 90_000 } });
  const found = compare(side(result, 'before'), side(result, 'after'), options);
  const throughput = found.scenarios.flatMap(({ changes }) =>
    changes.filter(({ figure }) => figure === 'throughput'),
  );
  assert.deepEqual(new Set(throughput.map(({ verdict }) => verdict)), new Set(['worse']));
  assert.ok(throughput.every(({ paired }) => paired));
  assert.ok(found.regressions > 0);
});

test('pairs of one run: the same is the same, more is better', () => {
  const same = sampleResult({ iops: { a: 100_000, b: 100_100 } });
  const equal = compare(side(same, 'a'), side(same, 'b'), options);
  assert.deepEqual([equal.regressions, equal.improvements], [0, 0]);
  assert.ok(equal.scenarios.every(({ changes }) => changes[0]?.verdict === 'same'));
  const more = sampleResult({ iops: { a: 100_000, b: 150_000 } });
  const better = compare(side(more, 'a'), side(more, 'b'), options);
  assert.equal(better.regressions, 0);
  assert.ok(better.improvements > 0);
});

test('two runs: noise as large as the machine swings is no verdict', () => {
  const a = sampleResult({ iops: { self: 100_000 }, seed: 1 });
  const b = sampleResult({ iops: { self: 98_000 }, seed: 2, startedAt: '2026-11-29T00:00:00Z' });
  const found = compare(side(a), side(b), options);
  assert.equal(found.regressions, 0);
  assert.ok(found.scenarios.every(({ changes }) => changes.every(({ paired }) => !paired)));
});

test('two runs with limits: a slow machine is no regression, a smaller share of its limit is', () => {
  const a = sampleResult({ iops: { self: 100_000 }, limit: 120_000 });
  const at = '2026-11-29T00:00:00Z';
  const slow = sampleResult({ iops: { self: 50_000 }, limit: 60_000, seed: 2, startedAt: at });
  const share = (result: Side['result']) =>
    compare(side(a), side(result), options).scenarios.map(({ changes }) => changes[0]);
  assert.ok(share(slow).every((change) => change?.figure === 'throughput / limit'));
  assert.ok(share(slow).every((change) => change?.verdict === 'same'));
  const worse = sampleResult({ iops: { self: 80_000 }, limit: 120_000, seed: 2, startedAt: at });
  assert.ok(share(worse).every((change) => change?.verdict === 'worse'));
});

test('no scenario in common, or no such subject: refused by name', () => {
  const a = sampleResult({ iops: { self: 1000 } });
  const b = sampleResult({ iops: { self: 1000 }, scenarios: [] });
  const code = (wanted: string) => (error: unknown) =>
    error instanceof AshlarError && error.code === wanted;
  assert.throws(() => compare(side(a), side(b), options), code('not-found'));
  assert.throws(() => compare(side(a, 'spdk'), side(a), options), code('not-found'));
});
