import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Pair, resultOf, rowOf } from '../../bench/pairs.js';
import { sampleResult, someScenarios } from './samples.js';

const run = sampleResult({ iops: { fast: 90_000, slow: 60_000 }, noise: 0 });
const [scenario] = someScenarios;
const result = (subject: string) => resultOf(run, scenario?.name ?? '', subject);
const pair = (wanted: Pair['wanted'], metric: Pair['metric'] = 'iops'): Pair => ({
  ...{ what: 'fast against slow', wanted, metric },
  ...{ of: result('fast'), to: result('slow') },
});

test('row: a ratio of neighbouring rounds is exact however much all rounds swing', () => {
  const row = rowOf(pair({ atLeast: 1.5 }));
  assert.match(row.reached, /^1\.500 \(95 %: 1\.500 to 1\.500, 9 rounds\)/);
  assert.ok(row.fine);
});

test('row: less than the least and more than the most are both a miss', () => {
  assert.ok(!rowOf(pair({ atLeast: 1.51 })).fine);
  assert.ok(!rowOf(pair({ atMost: 1.49 })).fine);
  assert.ok(rowOf(pair({ atMost: 1.51 })).fine);
});

test('result: a run that failed has none, and says what failed', () => {
  const where = { op: null, nsid: null, lba: null, queue: null, code: 'connection-lost' };
  const failed = { kind: 'lost', message: 'the peer has gone', ...where } as const;
  const failure = { ...failed, scenario: null, subject: 'slow' };
  assert.throws(() => resultOf({ ...run, failure }, '', 'slow'), /slow: the peer has gone/);
});
