/** Digests on beside off, 4 KiB at depth 32, in many short rounds: single ones vary by half. */
import type { BenchResult } from '../lib/bench/results.js';
import { runBench } from '../lib/bench/run.js';
import { defaultSweep, planSweep } from '../lib/bench/scenarios.js';
import { type Row, resultOf, rowOf } from './pairs.js';
import { limitsOn } from './standard.js';
import { gib, openAshlar, type PairedOptions, pollUs } from './subjects.js';

const plan = { ...defaultSweep, depths: [32] };
const [off, on] = [planSweep(plan), planSweep({ ...plan, digests: true })];

/** A pool in memory whose reactor polls. On and off follow each other in every round. */
export async function measureDigests(
  options: PairedOptions,
): Promise<{ run: BenchResult; rows: Row[] }> {
  const { rounds, durationMs, hostCpu, targetCpu, tell } = options;
  const memory = { poolFile: null, poolBytes: 2 * gib, busyPollUs: pollUs };
  await using self = await openAshlar(options, { name: 'ashlar', ...memory });
  const run = await runBench({
    title: 'digests',
    command: 'npm run bench -- digests',
    scenarios: off.flatMap((scenario, at) => [scenario, ...on.slice(at, at + 1)]),
    subjects: [self],
    ...{ rounds, durationMs, warmupMs: durationMs / 5, pollUs, seed: 1, tell },
    limits: limitsOn([self], [hostCpu, targetCpu], durationMs / 2),
  });
  const rows = off.map(({ name }, at) =>
    rowOf({
      what: `${name}: digests on against off`,
      ...{ wanted: { atLeast: 0.9 }, metric: 'iops' },
      ...{ of: resultOf(run, on[at]?.name ?? '', 'ashlar'), to: resultOf(run, name, 'ashlar') },
    }),
  );
  return { run, rows };
}
