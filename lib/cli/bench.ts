/** `ashlar bench run`: opens what is to be measured, runs, writes the results. */
import { resolve } from 'node:path';
import { resultText, writeText } from '../bench/files.js';
import { LocalSubject } from '../bench/local.js';
import type { BenchResult, Scenario } from '../bench/results.js';
import { errorOf, runBench } from '../bench/run.js';
import { SelfSubject } from '../bench/self.js';
import type { Generator, OpenSubject } from '../bench/subject.js';
import { TargetSubject } from '../bench/target.js';
import { parseEndpoint } from '../config/endpoint.js';
import { AshlarError } from '../errors.js';
import { BenchLive, printResults } from './bench_live.js';
import { type SweepOptions, scenariosOf, writesOf } from './bench_sweep.js';
import { printJson, printLines } from './terminal.js';

export interface BenchOptions extends SweepOptions {
  target?: string[];
  nqn?: string[];
  nsid?: number[];
  hostnqn?: string;
  targetPid?: number;
  local?: string;
  self?: boolean;
  pool?: string;
  reactors?: number;
  targetCpus?: number[];
  busyPollUs?: number;
  overwrite?: boolean;
  rounds?: number;
  duration?: number;
  warmup?: number;
  seed?: number;
  pollUs?: number;
  cpus?: number[];
  title?: string;
  output?: string;
  json?: boolean;
}

const nvmeTcpPort = 4420;
const benchHostnqn = 'nqn.2014-08.org.nvmexpress:uuid:a5b1a4be-4c40-4000-8000-000000000001';
const defaultPollUs = 1000;

/** Rejects, after the results are written, when something failed. */
export async function runBenchCommand(options: BenchOptions): Promise<void> {
  const own =
    options.self === true || (options.target === undefined && options.local === undefined);
  checkSubjects(options, own);
  // A foreign target is filled only where its data may go; reads of it meet it as it is.
  const foreign = options.target !== undefined && options.overwrite !== true;
  const scenarios = scenariosOf(options, foreign ? 'as-is' : 'filled');
  const subjects: OpenSubject[] = [];
  let result: BenchResult;
  try {
    for (const open of openers(options, own, scenarios)) subjects.push(await open());
    result = await measure(options, scenarios, subjects);
  } finally {
    for (const subject of [...subjects].reverse()) await subject[Symbol.asyncDispose]();
  }
  await tellResult(result, options);
}

async function measure(
  options: BenchOptions,
  scenarios: readonly Scenario[],
  subjects: readonly OpenSubject[],
): Promise<BenchResult> {
  const rounds = options.rounds ?? 5;
  const live = new BenchLive(scenarios.length * rounds * subjects.length);
  const ending = endOnInterrupt();
  try {
    return await runBench({
      title: options.title ?? '',
      command: ['ashlar', ...process.argv.slice(2)].map(quoted).join(' '),
      ...{ scenarios, subjects, rounds },
      durationMs: options.duration ?? 1000,
      warmupMs: options.warmup ?? 200,
      pollUs: options.pollUs ?? defaultPollUs,
      seed: options.seed ?? 1,
      signal: ending.signal,
      tell: (event) => live.hear(event),
    });
  } finally {
    live.end();
    ending.stop();
  }
}

async function tellResult(result: BenchResult, options: BenchOptions): Promise<void> {
  const stamp = result.startedAt.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const byDefault = options.json === true ? null : `.ashlar/bench/${stamp}.json`;
  const output = options.output ?? byDefault;
  if (output !== null) await writeText(output, resultText(result));
  if (options.json === true) printJson(result);
  else {
    printResults(result.results);
    printLines(['', `Results: ${output}`, `A page of them: ashlar bench report ${output}`]);
  }
  const { failure } = result;
  if (failure !== null) {
    const error = errorOf(failure);
    const kept = output === null ? 'in the output' : `in ${output}`;
    throw new AshlarError(error.code, error.message, {
      hint: `what was measured until then is ${kept}`,
    });
  }
  if (!result.complete) throw new AshlarError('cancelled', 'the run was ended early');
}

function checkSubjects(options: BenchOptions, own: boolean): void {
  const wrong = (message: string): AshlarError => new AshlarError('usage', message);
  const targets = options.target?.length ?? 0;
  if ((options.nqn?.length ?? 0) !== targets) {
    throw wrong('--target and --nqn go in pairs: the address of a target, and its subsystem NQN');
  }
  if (targets !== 1 && (options.nsid !== undefined || options.targetPid !== undefined)) {
    throw wrong('--nsid and --target-pid go with one --target');
  }
  if (!own && (options.pool !== undefined || options.reactors !== undefined)) {
    throw wrong('--pool and --reactors are of the Ashlar that --self starts');
  }
  if (options.targetCpus !== undefined && options.targetCpus.length !== (options.reactors ?? 1)) {
    throw wrong('--target-cpus names one CPU for each of --reactors');
  }
}

/** Nothing is opened before all of the command line has been read. */
function openers(
  options: BenchOptions,
  own: boolean,
  scenarios: readonly Scenario[],
): (() => Promise<OpenSubject>)[] {
  const generator: Generator = {
    cpus: options.cpus ?? null,
    pollUs: options.pollUs ?? defaultPollUs,
  };
  const hostnqn = options.hostnqn ?? benchHostnqn;
  const overwrite = options.overwrite === true;
  const writes = writesOf(scenarios);
  const spanBytes = Math.max(...scenarios.map(({ setting }) => setting.spanBytes));
  const targets = (options.target ?? []).map((text, index) => {
    const { address, port } = parseEndpoint(text, nvmeTcpPort, '--target');
    const name = options.target?.length === 1 ? 'target' : `target${index + 1}`;
    const place = { name, address, port, subnqn: options.nqn?.[index] ?? '', hostnqn };
    const nsids = options.nsid ?? [];
    const pid = options.targetPid ?? null;
    return () => TargetSubject.open({ ...place, nsids, pid, generator, overwrite, writes });
  });
  const { local } = options;
  const locals =
    local === undefined
      ? []
      : [
          () =>
            LocalSubject.open({
              ...{ name: 'local', path: local, createBytes: spanBytes },
              ...{ generator, overwrite, writes },
            }),
        ];
  const selves = own ? [() => openSelf(options, scenarios, generator, hostnqn)] : [];
  return [...selves, ...targets, ...locals];
}

function openSelf(
  options: BenchOptions,
  scenarios: readonly Scenario[],
  generator: Generator,
  hostnqn: string,
): Promise<SelfSubject> {
  const program = process.argv[1];
  if (program === undefined) throw new AshlarError('internal', 'no program to start a daemon from');
  return SelfSubject.open({
    name: 'self',
    program: [resolve(program)],
    poolFile: options.pool ?? null,
    poolBytes: poolBytes(scenarios),
    reactors: options.reactors ?? 1,
    cpus: options.targetCpus ?? null,
    busyPollUs: options.busyPollUs ?? 0,
    hostnqn,
    generator,
  });
}

/** Room for the volumes, a copy of each by snapshots, the map and the journal; it is sparse. */
function poolBytes(scenarios: readonly Scenario[]): number {
  const mib = 1024 * 1024;
  const largest = Math.max(
    ...scenarios.map(({ setting }) => setting.volumes * setting.spanBytes * 3),
  );
  return Math.ceil(largest / mib) * mib + 1024 * mib;
}

/** The first Ctrl-C ends the run after the round under way, keeping its results; a second all. */
function endOnInterrupt(): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    process.stderr.write('\nending after this round; once more to end at once\n');
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    stop: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
