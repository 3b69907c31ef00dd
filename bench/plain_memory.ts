/**
 * A thin volume of a pool in memory beside a flat piece of memory, both namespaces of one target on
 * one reactor (bench/plain): what the map costs, and nothing else. In time, by turns over loopback,
 * and in instructions, which repeat.
 */
import type { BenchResult } from '../lib/bench/results.js';
import { runBench } from '../lib/bench/run.js';
import { defaultSweep, planSweep } from '../lib/bench/scenarios.js';
import { TargetSubject } from '../lib/bench/target.js';
import { countInstructions } from './instructions.js';
import { type Row, resultOf, rowOf } from './pairs.js';
import { PlainTarget, plainNqn } from './plain_target.js';
import { limitsOn } from './standard.js';
import { type PairedOptions, pollUs } from './subjects.js';

const plan = { ...defaultSweep, depths: [32] };
const spanBytes = defaultSweep.spanBytes;
const wanted = 0.95;
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000b47c8';
const kinds = ['thin', 'plain'] as const;

function open(target: PlainTarget, hostCpu: number, nsid: number): Promise<TargetSubject> {
  return TargetSubject.open({
    ...{ name: kinds[nsid - 1] ?? '', address: '127.0.0.1', subnqn: plainNqn },
    ...{ port: target.port, pid: target.pid, hostnqn, nsids: [nsid] },
    ...{ generator: { cpus: [hostCpu], pollUs }, overwrite: true, writes: true },
  });
}

export async function measurePlainMemory(
  options: PairedOptions,
): Promise<{ run: BenchResult; rows: Row[] }> {
  const { root, rounds, durationMs, hostCpu, targetCpu, tell } = options;
  const instructions = await instructionRows(root);
  await using target = await PlainTarget.start({
    ...{ root, name: 'plain', busyPollUs: pollUs, cpus: [targetCpu], volumeBytes: spanBytes },
  });
  const subjects = [await open(target, hostCpu, 1), await open(target, hostCpu, 2)];
  const run = await runBench({
    title: 'thin against plain memory',
    command: 'npm run bench -- plain-memory',
    scenarios: planSweep(plan),
    subjects,
    ...{ rounds, durationMs, warmupMs: durationMs / 5, pollUs, seed: 1, tell },
    limits: limitsOn(subjects, [hostCpu, targetCpu], durationMs / 2),
  });
  const timed = planSweep(plan).map(({ name }) =>
    rowOf({
      what: `${name}: a thin volume against plain memory`,
      ...{ wanted: { atLeast: wanted }, metric: 'iops' },
      ...{ of: resultOf(run, name, 'thin'), to: resultOf(run, name, 'plain') },
    }),
  );
  return { run, rows: [...timed, ...instructions] };
}

/** Of the target's and the store's code alone: the kernel's share of an I/O is not in them. */
async function instructionRows(root: string): Promise<Row[]> {
  const { rows } = await countInstructions(root, { scenes: ['depths', 'plain'] });
  const count = (name: string): number =>
    rows.find(({ row }) => row === name)?.instructions ?? Number.NaN;
  return ['read', 'write'].map((op) => {
    const name = `${op} 4 KiB, depth 32`;
    const [thin, plain] = [count(name), count(`${name}, plain memory`)];
    return {
      what: `${name}: instructions that the map takes`,
      wanted: '-',
      reached: `${(thin - plain).toFixed(0)} of ${thin.toFixed(0)}`,
      fine: true,
    };
  });
}
