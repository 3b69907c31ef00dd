/**
 * The standard set: what `ashlar bench --set standard` runs, on pinned CPUs and with the limit of
 * plain TCP beside each round, and its report. Ten minutes at most.
 */
import path from 'node:path';
import { resultText, writeText } from '../lib/bench/files.js';
import { Limits, loopbackLimit } from '../lib/bench/limits.js';
import { htmlReport } from '../lib/bench/report_html.js';
import { markdownReport } from '../lib/bench/report_markdown.js';
import type { BenchResult } from '../lib/bench/results.js';
import { type RunEvent, runBench } from '../lib/bench/run.js';
import { defaultSweep, standardSet } from '../lib/bench/scenarios.js';
import { SelfSubject } from '../lib/bench/self.js';
import type { OpenSubject } from '../lib/bench/subject.js';

export interface StandardOptions {
  root: string;
  hostCpu: number;
  targetCpu: number;
  rounds: number;
  durationMs: number;
  /** Measured beside the Ashlar of this checkout, in each round. */
  others: readonly OpenSubject[];
  tell: (event: RunEvent) => void;
}

const pollUs = 1000;
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000b47c5';
const gib = 1024 ** 3;

/** Plain TCP between the two CPUs, for each of these subjects. */
export function limitsOn(
  subjects: readonly OpenSubject[],
  cpus: readonly [number, number],
  ms: number,
): Limits {
  const [hostCpu, targetCpu] = cpus;
  const sides = {
    requester: { threads: 1, cpus: [hostCpu] },
    responder: { threads: 1, cpus: [targetCpu] },
  };
  const limits = new Limits(ms);
  for (const { subject } of subjects) {
    limits.add(subject.name, {
      description: 'plain TCP over loopback between the same two CPUs',
      sources: [({ workload }, each) => loopbackLimit(workload, sides, each)],
    });
  }
  return limits;
}

export async function runStandard(options: StandardOptions): Promise<BenchResult> {
  const { root, hostCpu, targetCpu, rounds, durationMs } = options;
  await using self = await SelfSubject.open({
    name: 'self',
    program: [path.join(root, '.build/lib/cli/main.js')],
    poolFile: null,
    poolBytes: 4 * gib,
    reactors: 1,
    cpus: [targetCpu],
    busyPollUs: 0,
    hostnqn,
    generator: { cpus: [hostCpu], pollUs },
  });
  const subjects = [self, ...options.others];
  return await runBench({
    title: 'standard set',
    command: 'npm run bench standard',
    scenarios: standardSet(defaultSweep),
    subjects,
    ...{ rounds, durationMs, warmupMs: durationMs / 5, pollUs, seed: 1 },
    limits: limitsOn(subjects, [hostCpu, targetCpu], durationMs / 2),
    tell: options.tell,
  });
}

/** JSON, page and tables in `.ashlar/bench` of the checkout; resolves to their paths. */
export async function writeReport(
  root: string,
  name: string,
  result: BenchResult,
): Promise<string[]> {
  const base = path.join(root, '.ashlar/bench', name);
  const files: [string, string][] = [
    [`${base}.json`, resultText(result)],
    [`${base}.html`, htmlReport([result], [])],
    [`${base}.md`, markdownReport([result], [])],
  ];
  for (const [file, text] of files) await writeText(file, text);
  return files.map(([file]) => file);
}
