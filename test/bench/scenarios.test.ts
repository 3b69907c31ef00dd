import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fioJobs } from '../../lib/bench/fio.js';
import { defaultSweep, planSweep, quickSet, standardSet } from '../../lib/bench/scenarios.js';
import { AshlarError } from '../../lib/errors.js';

test('sweep: every combination once, those of one setting side by side', () => {
  const scenarios = planSweep({
    ...defaultSweep,
    ...{ depths: [1, 32], queues: [1, 8], ioBytes: [4096, 131_072], readPercents: [100, 70] },
    volumes: [1, 4],
  });
  assert.equal(scenarios.length, 2 * 2 * 2 * 2 * 2);
  assert.equal(new Set(scenarios.map(({ name }) => name)).size, scenarios.length);
  const volumes = scenarios.map(({ setting }) => setting.volumes);
  assert.deepEqual(volumes, [...Array(16).fill(1), ...Array(16).fill(4)]);
  assert.equal(scenarios[0]?.name, '4 KiB random read, depth 1');
  assert.equal(scenarios.at(-1)?.name, '128 KiB random 70 % read, depth 32, 8 queues, 4 volumes');
});

test('sweep: names say what differs from the usual', () => {
  const [scenario] = planSweep({
    ...defaultSweep,
    ...{ patterns: ['zipf'], readPercents: [0], depths: [64], rates: [5000] },
    ...{ digests: true, snapshots: [10], state: 'fresh-snapshot' },
  });
  assert.equal(
    scenario?.name,
    '4 KiB zipf 1.2 write, depth 64, 5000 a second, digests, 10 snapshots, after a snapshot',
  );
});

test('sweep: more than anybody waits for is refused', () => {
  const many = Array.from({ length: 40 }, (_, i) => i + 1);
  assert.throws(
    () => planSweep({ ...defaultSweep, depths: many, queues: many }),
    (error) => error instanceof AshlarError && error.code === 'limit-exceeded',
  );
});

test('sets: names are unique, and the quick one is part of the standard one', () => {
  const standard = standardSet(defaultSweep).map(({ name }) => name);
  assert.equal(new Set(standard).size, standard.length);
  for (const { name } of quickSet(defaultSweep)) assert.ok(standard.includes(name), name);
});

test('fio: one job for each workload, with fio’s words for it', () => {
  const jobs = fioJobs(
    planSweep({
      ...{ ...defaultSweep, patterns: ['zipf', 'sequential'], readPercents: [70] },
      ...{ queues: [4], depths: [32], rates: [8000], volumes: [1, 1] },
    }),
    { filename: '/dev/nvme9n1', seconds: 5, warmupSeconds: 1, seed: 3 },
  );
  const sections = jobs.split(/\n\n/);
  assert.equal(sections.length, 3, 'global and two jobs; doubles are left out');
  assert.match(jobs, /filename=\/dev\/nvme9n1\n/);
  assert.match(sections[1] ?? '', /^rw=randrw$/m);
  assert.match(sections[1] ?? '', /^random_distribution=zipf:1\.2$/m);
  assert.match(sections[1] ?? '', /^rate_iops=2000$/m);
  assert.match(sections[2] ?? '', /^rw=rw$/m);
  assert.match(sections[2] ?? '', /^size=134217728\noffset_increment=134217728$/m);
});
