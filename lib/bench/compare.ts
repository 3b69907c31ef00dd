/**
 * What changed between two sets of results, beyond noise.
 *
 * Each figure of each scenario is the ratio of B to A with a bootstrap interval of 95 %. "Better"
 * and "worse" need the whole interval beyond the least change that counts, so that neither noise nor
 * a hair's breadth is news. Rounds of one run are compared in pairs; those of two runs are not
 * pairs, so where both runs have a limit beside each round, shares of it are compared: a machine
 * that was slower as a whole is then no regression.
 */
import { AshlarError } from '../errors.js';
import type { BenchResult, Round, ScenarioResult } from './results.js';
import { bootstrapRatio, median, type Ratio } from './statistics.js';

export type Verdict = 'better' | 'worse' | 'same' | 'unclear';

/** One figure of one scenario. */
export interface Change extends Ratio {
  figure: 'throughput' | 'throughput / limit' | 'p50' | 'p99' | 'CPU per I/O';
  /** Medians. */
  a: number;
  b: number;
  unit: 'per second' | 'share' | 'ns';
  /** 'unclear': the interval is wider than the change that is looked for. */
  verdict: Verdict;
}

export interface ScenarioComparison {
  scenario: string;
  subjectA: string;
  subjectB: string;
  changes: Change[];
}

export interface Comparison {
  a: string;
  b: string;
  seed: number;
  /** The least relative change that counts. */
  threshold: number;
  scenarios: ScenarioComparison[];
  /** Names of scenarios that only one side has. */
  onlyA: string[];
  onlyB: string[];
  regressions: number;
  improvements: number;
}

/** A result file, and optionally which of its subjects. */
export interface Side {
  label: string;
  result: BenchResult;
  subject: string | null;
}

export interface CompareOptions {
  seed: number;
  /** 0.03: three percent. */
  threshold: number;
}

/** @throws AshlarError 'not-found' when the sides have no scenario in common. */
export function compare(a: Side, b: Side, options: CompareOptions): Comparison {
  const oneRun = a.result.startedAt === b.result.startedAt;
  const ofA = pick(a);
  const ofB = pick(b);
  const scenarios: ScenarioComparison[] = [];
  for (const [name, first] of ofA) {
    const second = ofB.get(name);
    if (second === undefined) continue;
    scenarios.push({
      scenario: name,
      subjectA: first.subject,
      subjectB: second.subject,
      changes: changesOf(first, second, oneRun, options),
    });
  }
  if (scenarios.length === 0) {
    throw new AshlarError('not-found', `${a.label} and ${b.label} have no scenario in common`);
  }
  const all = scenarios.flatMap(({ changes }) => changes);
  return {
    ...{ a: a.label, b: b.label, scenarios, ...options },
    onlyA: [...ofA.keys()].filter((name) => !ofB.has(name)),
    onlyB: [...ofB.keys()].filter((name) => !ofA.has(name)),
    regressions: all.filter(({ verdict }) => verdict === 'worse').length,
    improvements: all.filter(({ verdict }) => verdict === 'better').length,
  };
}

function pick({ result, subject, label }: Side): Map<string, ScenarioResult> {
  const names = result.subjects.map(({ name }) => name);
  const wanted = subject ?? names[0] ?? '';
  if (!names.includes(wanted)) {
    throw new AshlarError(
      'not-found',
      `${label} has no subject '${wanted}'; it has: ${names.join(', ')}`,
    );
  }
  const measured = result.results.filter(
    (each) => each.subject === wanted && each.rounds.some(({ failure }) => failure === null),
  );
  return new Map(measured.map((each) => [each.scenario.name, each]));
}

function changesOf(
  a: ScenarioResult,
  b: ScenarioResult,
  oneRun: boolean,
  options: CompareOptions,
): Change[] {
  const good = (result: ScenarioResult): Round[] =>
    result.rounds.filter(({ failure }) => failure === null);
  const [roundsA, roundsB] = matched(good(a), good(b), oneRun);
  const change = (
    figure: Change['figure'],
    unit: Change['unit'],
    better: 'more' | 'less',
    value: (round: Round) => number | null,
  ): Change | null => {
    const valuesA = roundsA.map(value).filter((each) => each !== null);
    const valuesB = roundsB.map(value).filter((each) => each !== null);
    if (valuesA.length !== roundsA.length || valuesB.length !== roundsB.length) return null;
    if (valuesA.length === 0 || valuesA.some((each) => !(each > 0))) return null;
    const ratio = bootstrapRatio(valuesA, valuesB, { paired: oneRun, seed: options.seed });
    const verdict = verdictOf(ratio, better, options.threshold);
    return { figure, unit, a: median(valuesA), b: median(valuesB), ...ratio, verdict };
  };
  // Of a given rate the share moves with the limit alone.
  const rated = a.scenario.workload.ratePerSecond !== null;
  const share = change('throughput / limit', 'share', 'more', ({ iops, limit }) =>
    limit === null || rated ? null : iops / limit.perSecond,
  );
  return [
    // Between two runs a share of the limit says more than the figure itself.
    oneRun || share === null
      ? change('throughput', 'per second', 'more', ({ iops }) => iops)
      : share,
    change('p50', 'ns', 'less', ({ latencyNs }) => latencyNs.p50),
    change('p99', 'ns', 'less', ({ latencyNs }) => latencyNs.p99),
    change('CPU per I/O', 'ns', 'less', ({ targetCpuNs, commands }) =>
      targetCpuNs === null || commands === 0 ? null : targetCpuNs / commands,
    ),
  ].filter((each) => each !== null);
}

/** Of one run: the rounds that both have, side by side. */
function matched(a: Round[], b: Round[], oneRun: boolean): [Round[], Round[]] {
  if (!oneRun) return [a, b];
  const indexes = new Set(b.map(({ index }) => index));
  const both = a.filter(({ index }) => indexes.has(index));
  return [both, both.map(({ index }) => b.find((each) => each.index === index)).filter(isRound)];
}

function isRound(round: Round | undefined): round is Round {
  return round !== undefined;
}

function verdictOf({ low, high }: Ratio, better: 'more' | 'less', threshold: number): Verdict {
  const above = low > 1 + threshold;
  const below = high < 1 - threshold;
  if (above) return better === 'more' ? 'better' : 'worse';
  if (below) return better === 'more' ? 'worse' : 'better';
  return low >= 1 - threshold && high <= 1 + threshold ? 'same' : 'unclear';
}
