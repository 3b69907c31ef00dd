/**
 * Reads of a pool in a file, over loopback, beside io_uring on a file of the same file system: what
 * target and store leave of the disk. All use O_DIRECT. Who reads the file polls; so does one pool.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { LocalSubject } from '../lib/bench/local.js';
import type { BenchResult } from '../lib/bench/results.js';
import { runBench } from '../lib/bench/run.js';
import { defaultSweep, planSweep } from '../lib/bench/scenarios.js';
import type { OpenSubject } from '../lib/bench/subject.js';
import { type Row, resultOf, rowOf } from './pairs.js';
import { limitsOn } from './standard.js';
import { gib, openAshlar, type PairedOptions, pollUs } from './subjects.js';

const spanBytes = 2 * gib;
const poolBytes = 4 * gib;
const pools = [
  { name: 'asleep', busyPollUs: 0 },
  { name: 'polling', busyPollUs: pollUs },
] as const;
const raw = 'raw io_uring';
const plan = { ...defaultSweep, readPercents: [100], depths: [32, 128], spanBytes };

/** Makes its files in `folder`, on the file system to measure, and removes them at the end. */
export async function measureFilePool(
  options: PairedOptions,
  folder: string,
): Promise<{ run: BenchResult; rows: Row[] }> {
  const { rounds, durationMs, hostCpu, targetCpu, tell } = options;
  const place = await mkdtemp(path.join(folder, 'file-pool-'));
  const subjects: OpenSubject[] = [];
  try {
    for (const { name, busyPollUs } of pools) {
      const poolFile = path.join(place, name);
      subjects.push(await openAshlar(options, { name, poolFile, poolBytes, busyPollUs }));
    }
    const limits = limitsOn(subjects, [hostCpu, targetCpu], durationMs / 2);
    subjects.push(
      await LocalSubject.open({
        ...{ name: raw, path: path.join(place, 'raw'), createBytes: spanBytes },
        ...{ generator: { cpus: [targetCpu], pollUs }, overwrite: true, writes: false },
      }),
    );
    const run = await runBench({
      title: 'a pool in a file',
      command: 'npm run bench -- file-pool',
      scenarios: planSweep(plan),
      subjects,
      ...{ rounds, durationMs, warmupMs: durationMs / 5, pollUs, seed: 1, tell },
      limits,
    });
    return { run, rows: rowsOf(run) };
  } finally {
    for (const subject of subjects.reverse()) await subject[Symbol.asyncDispose]();
    await rm(place, { recursive: true, force: true });
  }
}

function rowsOf(run: BenchResult): Row[] {
  return planSweep(plan).flatMap(({ name }) =>
    pools.map((pool) =>
      rowOf({
        what: `${name}: a pool in a file, ${pool.name}, against io_uring on a file`,
        ...{ wanted: { atLeast: 0.9 }, metric: 'iops' },
        ...{ of: resultOf(run, name, pool.name), to: resultOf(run, name, raw) },
      }),
    ),
  );
}
