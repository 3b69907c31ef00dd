/**
 * The standard set: what `ashlar bench --set standard` runs, on pinned CPUs and with the limit of
 * plain TCP beside each round, and its report. Ten minutes at most.
 */
import path from 'node:path';
import { resultText, writeText } from '../lib/bench/files.js';
import { htmlReport } from '../lib/bench/report_html.js';
import { markdownReport } from '../lib/bench/report_markdown.js';
import type { BenchResult, Limit, Scenario } from '../lib/bench/results.js';
import { type RunEvent, runBench } from '../lib/bench/run.js';
import { defaultSweep, standardSet } from '../lib/bench/scenarios.js';
import { SelfSubject } from '../lib/bench/self.js';
import type { OpenSubject } from '../lib/bench/subject.js';
import { Loopback } from './machine.js';

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
/** CapsuleCmd; CapsuleResp, or C2HData's header: what goes with the data on the wire. */
const commandBytes = 72;
const responseBytes = 24;

/** The limit for one scenario: exchanges of plain TCP with the same sizes and as much in flight. */
export async function loopbackLimit(
  loopback: Loopback,
  { workload }: Scenario,
  durationMs: number,
): Promise<Limit | null> {
  const { readPercent, ioBytes, queues, depth, digests, ratePerSecond } = workload;
  // A rate is no attempt at the limit; of digests and mixes plain TCP knows nothing.
  if (ratePerSecond !== null || digests || (readPercent !== 0 && readPercent !== 100)) return null;
  const reads = readPercent === 100;
  const perSecond = await loopback.exchanges(
    commandBytes + (reads ? 0 : ioBytes),
    responseBytes + (reads ? ioBytes : 0),
    depth,
    queues,
    durationMs,
  );
  return { what: 'plain TCP over loopback, as many connections', perSecond };
}

export async function runStandard(options: StandardOptions): Promise<BenchResult> {
  const { root, hostCpu, targetCpu, rounds, durationMs } = options;
  const loopback = await Loopback.build(root, [hostCpu, targetCpu]);
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
  return await runBench({
    title: 'standard set',
    command: 'npm run bench standard',
    scenarios: standardSet(defaultSweep),
    subjects: [self, ...options.others],
    ...{ rounds, durationMs, warmupMs: durationMs / 5, pollUs, seed: 1 },
    limit: (scenario) => loopbackLimit(loopback, scenario, durationMs / 2),
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
