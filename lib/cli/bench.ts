/** `ashlar bench run`: opens what is to be measured, runs, writes the results. */
import { resultText, writeText } from '../bench/files.js';
import type { BenchResult, Scenario } from '../bench/results.js';
import { errorOf, runBench } from '../bench/run.js';
import { AshlarError } from '../errors.js';
import { BenchLive } from './bench_live.js';
import { printResults } from './bench_results.js';
import {
  type BenchOptions,
  defaultDurationMs,
  defaultPollUs,
  OpenSubjects,
} from './bench_subjects.js';
import { scenariosOf } from './bench_sweep.js';
import { printJson, printLines, reportError } from './terminal.js';

/** What is under way when somebody wants to leave at once gets so long to end. */
const leaveMs = 3000;

/** Rejects, after the results are written, when something failed. */
export async function runBenchCommand(options: BenchOptions): Promise<void> {
  // A foreign target is filled only where its data may go; reads of it meet it as it is.
  const foreign = options.target !== undefined && options.overwrite !== true;
  const scenarios = scenariosOf(options, foreign ? 'as-is' : 'filled');
  const opened = await OpenSubjects.open(options, scenarios);
  const ending = new Ending();
  let result: BenchResult;
  try {
    result = await measure(options, scenarios, opened, ending);
    if (ending.leave.aborted) {
      // The load under way holds its subject: the results come first, its end is not waited for.
      await tellResult(result, options).catch((error) => reportError(error, options.json === true));
      setTimeout(() => process.exit(130), leaveMs).unref();
    }
  } finally {
    await opened[Symbol.asyncDispose]();
    ending.stop();
  }
  if (ending.leave.aborted) process.exit(130);
  await tellResult(result, options);
}

async function measure(
  options: BenchOptions,
  scenarios: readonly Scenario[],
  { subjects, limits }: OpenSubjects,
  ending: Ending,
): Promise<BenchResult> {
  const rounds = options.rounds ?? 5;
  const durationMs = options.duration ?? defaultDurationMs;
  const warmupMs = options.warmup ?? 200;
  const names = scenarios.map(({ name }) => name);
  const limitMs = options.limit === false ? 0 : durationMs / 2;
  const turnMs = warmupMs + durationMs + limitMs;
  const live = new BenchLive({ scenarios: names, rounds, subjects: subjects.length, turnMs });
  ending.tell = (text) => live.keep(text);
  try {
    return await runBench({
      title: options.title ?? '',
      command: ['ashlar', ...process.argv.slice(2)].map(quoted).join(' '),
      ...{ scenarios, subjects, rounds, limits, durationMs, warmupMs },
      pollUs: options.pollUs ?? defaultPollUs,
      seed: options.seed ?? 1,
      signal: ending.afterRound,
      leave: ending.leave,
      tell: (event) => live.hear(event),
    });
  } finally {
    live.end();
  }
}

async function tellResult(result: BenchResult, options: BenchOptions): Promise<void> {
  const stamp = result.startedAt.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const byDefault = options.json === true ? null : `.ashlar/bench/${stamp}.json`;
  const output = options.output ?? byDefault;
  if (output !== null) await writeText(output, resultText(result));
  if (options.json === true) printJson(result);
  else {
    printResults(result);
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

/**
 * The first Ctrl-C ends the run after the round under way, a second one at once; both keep what was
 * measured. A third ends the process.
 */
class Ending {
  readonly #afterRound = new AbortController();
  readonly #leave = new AbortController();
  readonly #onSignal = (): void => {
    if (this.#leave.signal.aborted) process.exit(130);
    if (this.#afterRound.signal.aborted) {
      this.#leave.abort();
      return;
    }
    this.#afterRound.abort();
    this.tell('ending after this round; Ctrl-C once more: at once, without it');
  };
  /** Hears what is to be said to the person. */
  tell: (text: string) => void = () => {};

  constructor() {
    process.on('SIGINT', this.#onSignal);
    process.on('SIGTERM', this.#onSignal);
  }
  get afterRound(): AbortSignal {
    return this.#afterRound.signal;
  }
  get leave(): AbortSignal {
    return this.#leave.signal;
  }
  stop(): void {
    process.off('SIGINT', this.#onSignal);
    process.off('SIGTERM', this.#onSignal);
  }
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
