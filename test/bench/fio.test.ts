/** The job files that `ashlar bench fio` prints, read and run by fio itself. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { fioJobs } from '../../lib/bench/fio.js';
import type { Scenario } from '../../lib/bench/results.js';
import { defaultSweep, planSweep, standardSet, unique } from '../../lib/bench/scenarios.js';

const run = promisify(execFile);
const mib = 2 ** 20;
const base = { ...defaultSweep, spanBytes: 8 * mib };
let folder: string;

before(async () => {
  // Beside the checkout's other files: /tmp may be one where O_DIRECT is not to be had.
  await mkdir('.cache', { recursive: true });
  folder = resolve(await mkdtemp('.cache/fio-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Resolves to what fio said; rejects when it refused or failed. */
async function fio(scenarios: readonly Scenario[], words: readonly string[]): Promise<string> {
  const filename = join(folder, 'disk');
  const jobs = join(folder, 'jobs.fio');
  const options = { filename, seconds: 1, warmupSeconds: 0, seed: 1 };
  await writeFile(jobs, fioJobs(scenarios, options));
  const { stdout, stderr } = await run('fio', [...words, jobs], { cwd: folder });
  return stdout + stderr;
}

test('fio: every job of the standard set, and every kind of sweep, is understood', async () => {
  const odd = planSweep({
    ...{ ...base, patterns: ['random', 'sequential', 'zipf'], zipfTheta: 1 },
    ...{ readPercents: [0, 37, 100], ioBytes: [512, 131_072], queues: [1, 3], rates: [null, 1] },
  });
  const said = await fio(unique([...standardSet(base), ...odd]), ['--parse-only']);
  assert.equal(said.trim(), '');
});

interface FioJob {
  jobname: string;
  error: number;
  read: { total_ios: number };
  write: { total_ios: number };
}

test('fio: jobs run, and those that verify read all that they wrote', async () => {
  const small = { ...base, depths: [8], queues: [2] };
  const scenarios = [
    ...planSweep({ ...small, patterns: ['sequential'], readPercents: [100] }),
    ...planSweep({ ...small, readPercents: [70], rates: [500] }),
    ...planSweep({ ...small, patterns: ['random', 'zipf'], readPercents: [0], verify: true }),
  ];
  const said = await fio(scenarios, ['--output-format=json']);
  const { jobs } = JSON.parse(said.slice(said.indexOf('\n{'))) as { jobs: FioJob[] };
  assert.deepEqual(
    jobs.map(({ jobname, error }) => [jobname, error]),
    [
      ['sequential-r100-4096b-q2-d8', 0],
      ['random-r70-4096b-q2-d8-rate500', 0],
      ['random-r0-4096b-q2-d8-verify', 0],
    ],
  );
  const blocks = base.spanBytes / 4096;
  // Skew it cannot verify, so the last two are one.
  const last = jobs.at(-1);
  assert.deepEqual([last?.read.total_ios, last?.write.total_ios], [blocks, blocks]);
  assert.deepEqual((await readdir(folder)).sort(), ['disk', 'jobs.fio'], 'it leaves nothing else');
});
