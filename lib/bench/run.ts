/**
 * Runs scenarios on subjects. Scenarios of one setting go round and round together, and in each
 * round every subject takes its turn at a scenario before the next begins: whatever the machine
 * does meanwhile, it does to all of them, and what is compared lies side by side.
 */
import { AshlarError, type ErrorCode, isErrorCode, toAshlarError } from '../errors.js';
import type { LoadResult } from '../native.js';
import { version } from '../node/version.js';
import { LatencyHistogram } from './histogram.js';
import type { LimitMeter } from './limits.js';
import { describeMachine, loadAverage, processCpuNs, revision } from './machine.js';
import {
  type BenchResult,
  type Failure,
  type Round,
  resultFormat,
  type Scenario,
  type ScenarioResult,
} from './results.js';
import { median, summary } from './statistics.js';
import type { OpenSubject } from './subject.js';

export interface RunOptions {
  title: string;
  /** As the user typed it. */
  command: string;
  scenarios: readonly Scenario[];
  subjects: readonly OpenSubject[];
  rounds: number;
  durationMs: number;
  warmupMs: number;
  pollUs: number;
  seed: number;
  /** What the machine allows for a scenario; asked in each round, beside the subjects. */
  limits?: LimitMeter | undefined;
  /** Ends the run after the round that is under way. */
  signal?: AbortSignal | undefined;
  /** Ends it at once: the round that is under way is left out. */
  leave?: AbortSignal | undefined;
  /** Hears everything as it happens. */
  tell?: ((event: RunEvent) => void) | undefined;
}

export type RunEvent =
  | { kind: 'preparing'; what: string }
  | { kind: 'round-begins'; scenario: string; subject: string; index: number; turn: number }
  | { kind: 'round-ends'; result: ScenarioResult; round: Round; turn: number; turns: number }
  /** All rounds of it are done. */
  | { kind: 'scenario-ends'; result: ScenarioResult };

/** A result and its histograms while rounds are added. */
interface Gathering {
  result: ScenarioResult;
  reads: LatencyHistogram;
  writes: LatencyHistogram;
}

/**
 * Measures. Resolves whatever the subjects do: the first failure ends the run, and is in the result
 * beside all that was measured until then.
 */
export async function runBench(options: RunOptions): Promise<BenchResult> {
  const { scenarios, subjects, rounds, durationMs, warmupMs, pollUs, seed } = options;
  for (const { setting } of scenarios) for (const subject of subjects) subject.check(setting);
  const startedAt = new Date().toISOString();
  const before = await describeMachine();
  const run = new Run(options);
  for (const group of bySetting(scenarios)) {
    if (!(await run.group(group))) break;
  }
  return {
    format: resultFormat,
    title: options.title,
    startedAt,
    endedAt: new Date().toISOString(),
    versions: { ashlar: version, node: process.version, revision: await revision() },
    command: options.command,
    ...{ seed, rounds, durationMs, warmupMs, pollUs },
    machine: { before, after: await describeMachine() },
    subjects: subjects.map(({ subject }) => ({
      ...subject,
      facts: { ...subject.facts, limit: options.limits?.describe(subject.name) ?? 'not measured' },
    })),
    results: run.results(),
    complete: run.failure === null && !isEnded(options),
    failure: run.failure,
  };
}

function isEnded({ signal, leave }: RunOptions): boolean {
  return signal?.aborted === true || leave?.aborted === true;
}

/** Scenarios that meet the same volumes, in the order in which those come first. */
function bySetting(scenarios: readonly Scenario[]): Scenario[][] {
  const groups = new Map<string, Scenario[]>();
  for (const scenario of scenarios) {
    const key = JSON.stringify(scenario.setting);
    groups.set(key, [...(groups.get(key) ?? []), scenario]);
  }
  return [...groups.values()];
}

class Run {
  readonly #options: RunOptions;
  readonly #turns: number;
  readonly #gatherings: Gathering[] = [];
  /** Resolves when the run is to end at once. */
  readonly #left: Promise<null>;
  #turn = 0;
  failure: BenchResult['failure'] = null;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#turns = options.scenarios.length * options.rounds * options.subjects.length;
    const { leave } = options;
    this.#left = new Promise((left) => {
      if (leave?.aborted === true) left(null);
      leave?.addEventListener('abort', () => left(null), { once: true });
    });
  }

  results(): ScenarioResult[] {
    return this.#gatherings.map(summarized).filter(({ rounds }) => rounds.length > 0);
  }

  /** All rounds of scenarios with one setting. False: the run is over. */
  async group(group: readonly Scenario[]): Promise<boolean> {
    const { subjects, rounds, tell } = this.#options;
    const [first] = group;
    if (first === undefined) return true;
    for (const subject of subjects) {
      const prepared = subject.prepare(first.setting, (what) =>
        tell?.({ kind: 'preparing', what }),
      );
      if (!(await this.#survives(prepared, first, subject))) return false;
    }
    const gatherings = group.flatMap((scenario) =>
      subjects.map((subject) => ({ subject, gathering: this.#gathering(scenario, subject) })),
    );
    for (let index = 0; index < rounds; index += 1) {
      for (const { subject, gathering } of gatherings) {
        if (isEnded(this.#options)) return false;
        if (!(await this.#round(gathering, subject, index))) return false;
      }
    }
    for (const { gathering } of gatherings) {
      tell?.({ kind: 'scenario-ends', result: summarized(gathering) });
    }
    return true;
  }

  #gathering(scenario: Scenario, subject: OpenSubject): Gathering {
    const gathering: Gathering = {
      result: emptyResult(scenario, subject.subject.name),
      reads: new LatencyHistogram(),
      writes: new LatencyHistogram(),
    };
    this.#gatherings.push(gathering);
    return gathering;
  }

  /**
   * A failure that is nobody's command: it is noted, and nothing more is measured. null also when
   * the run is to end at once; what is under way is then left to its subject's end.
   */
  async #survives<T>(
    work: Promise<T>,
    scenario: Scenario,
    subject: OpenSubject,
  ): Promise<{ value: T } | null> {
    try {
      return await Promise.race([work.then((value) => ({ value })), this.#left]);
    } catch (thrown) {
      const error = toAshlarError(thrown);
      // A wrong command line, or our own mistake, is no property of the subject.
      if (error.code === 'internal' || error.code === 'usage') throw error;
      const where = { op: null, nsid: null, lba: null, queue: null };
      const failure: Failure = { kind: 'setup', message: error.message, ...where };
      this.#fail(failure, error.code, scenario, subject);
      return null;
    }
  }

  #fail(failure: Failure, code: ErrorCode, scenario: Scenario, { subject }: OpenSubject): void {
    this.failure ??= { ...failure, code, scenario: scenario.name, subject: subject.name };
  }

  async #round(gathering: Gathering, subject: OpenSubject, index: number): Promise<boolean> {
    const { seed, warmupMs, durationMs, tell, limits } = this.#options;
    const { scenario } = gathering.result;
    const { name } = subject.subject;
    this.#turn += 1;
    const turn = this.#turn;
    tell?.({ kind: 'round-begins', scenario: scenario.name, subject: name, index, turn });
    if (!(await this.#survives(subject.beforeRound(scenario.setting), scenario, subject))) {
      return false;
    }
    const measuring = limits?.measure(scenario, name) ?? Promise.resolve(null);
    const limited = await this.#survives(measuring, scenario, subject);
    if (limited === null) return false;
    const startedAt = new Date().toISOString();
    const cpuBefore = subject.pid === null ? null : await processCpuNs(subject.pid);
    const times = { warmupMs, durationMs, seed: BigInt(seed + index) };
    const loading = subject.load(scenario.workload, scenario.setting, times);
    const done = await this.#survives(loading, scenario, subject);
    if (done === null) return false;
    const load = done.value;
    const cpuAfter = subject.pid === null ? null : await processCpuNs(subject.pid);
    const cpuNs = cpuBefore === null || cpuAfter === null ? null : cpuAfter - cpuBefore;
    // The process was watched over the warm-up too; what it did then is taken out by proportion.
    const share = durationMs / (durationMs + warmupMs);
    const round = roundOf(load, {
      ...{ index, startedAt, limit: limited.value },
      targetCpuNs: cpuNs === null ? null : Math.max(0, cpuNs * share),
    });
    gathering.result.rounds.push(round);
    if (round.failure === null) {
      gathering.reads.merge(LatencyHistogram.of(load.reads));
      gathering.writes.merge(LatencyHistogram.of(load.writes));
    } else {
      this.#fail(round.failure, codes[round.failure.kind], scenario, subject);
    }
    tell?.({ kind: 'round-ends', result: summarized(gathering), round, turn, turns: this.#turns });
    return round.failure === null;
  }
}

function roundOf(
  load: LoadResult,
  facts: Pick<Round, 'index' | 'startedAt' | 'targetCpuNs' | 'limit'>,
): Round {
  const reads = LatencyHistogram.of(load.reads);
  const writes = LatencyHistogram.of(load.writes);
  const both = LatencyHistogram.of(load.reads);
  both.merge(writes);
  const elapsedNs = Number(load.elapsedNs);
  const perSecond = (count: bigint): number =>
    elapsedNs === 0 ? 0 : (Number(count) * 1e9) / elapsedNs;
  return {
    ...facts,
    elapsedNs,
    commands: Number(load.commands),
    bytes: Number(load.bytes),
    iops: perSecond(load.commands),
    bytesPerSecond: perSecond(load.bytes),
    readLatencyNs: reads.count === 0 ? null : reads.percentiles(),
    writeLatencyNs: writes.count === 0 ? null : writes.percentiles(),
    latencyNs: both.percentiles(),
    hostCpuNs: Number(load.hostCpuNs),
    behind: Number(load.behind),
    verifiedBlocks: Number(load.verifiedBlocks),
    errors: Number(load.errors),
    failure: failureOf(load),
    loadAverage: loadAverage(),
  };
}

function failureOf(load: LoadResult): Failure | null {
  const { failure } = load;
  if (failure === null) {
    if (load.commands > 0n) return null;
    const message = 'no command was answered in the measured time; measure longer';
    return { kind: 'setup', message, op: null, nsid: null, lba: null, queue: null };
  }
  const { op, nsid, lba, queue, message } = failure;
  const kind = failure.kind === 'never-sent' ? 'lost' : failure.kind;
  return { kind, message, op, nsid, lba: Number(lba), queue };
}

function emptyResult(scenario: Scenario, subject: string): ScenarioResult {
  return {
    ...{ scenario, subject, rounds: [] },
    ...{ iops: null, bytesPerSecond: null, p50Ns: null, p99Ns: null, p999Ns: null },
    ...{ targetCpuNsPerCommand: null, hostCpuNsPerCommand: null },
    ...{ limit: null, shareOfLimit: null, readHistogram: null, writeHistogram: null },
  };
}

/** The result with the figures over its rounds. */
function summarized({ result, reads, writes }: Gathering): ScenarioResult {
  const good = result.rounds.filter(({ failure }) => failure === null);
  const over = (value: (round: Round) => number | null): ScenarioResult['iops'] =>
    summary(good.map(value).filter((each) => each !== null));
  const limits = good.map(({ limit }) => limit).filter((each) => each !== null);
  const [limit] = limits;
  return {
    ...result,
    iops: over(({ iops }) => iops),
    bytesPerSecond: over(({ bytesPerSecond }) => bytesPerSecond),
    p50Ns: over(({ latencyNs }) => latencyNs.p50),
    p99Ns: over(({ latencyNs }) => latencyNs.p99),
    p999Ns: over(({ latencyNs }) => latencyNs.p999),
    targetCpuNsPerCommand: over(({ targetCpuNs, commands }) =>
      targetCpuNs === null || commands === 0 ? null : targetCpuNs / commands,
    ),
    hostCpuNsPerCommand: over(({ hostCpuNs, commands }) =>
      commands === 0 ? null : hostCpuNs / commands,
    ),
    limit:
      limit === undefined
        ? null
        : { what: limit.what, perSecond: median(limits.map(({ perSecond }) => perSecond)) },
    shareOfLimit: over((round) =>
      round.limit === null ? null : round.iops / round.limit.perSecond,
    ),
    readHistogram: reads.count === 0 ? null : reads.encode(),
    writeHistogram: writes.count === 0 ? null : writes.encode(),
  };
}

const codes: Readonly<Record<Failure['kind'], ErrorCode>> = {
  status: 'command-failed',
  lost: 'connection-lost',
  'wrong-data': 'io-error',
  setup: 'timed-out',
};

/** The error that a failed run ends with. */
export function errorOf(failure: NonNullable<BenchResult['failure']>): AshlarError {
  const where = [failure.scenario, failure.subject].filter((each) => each !== null).join(' on ');
  const code = isErrorCode(failure.code) ? failure.code : codes[failure.kind];
  return new AshlarError(code, `${where}: ${failure.message}`);
}
