/**
 * Two subjects or two scenarios of one run beside each other: ratios of turns that were neighbours,
 * against what is wanted. What a machine does slowly it does to both of a pair.
 */
import type { BenchResult, Round, ScenarioResult } from '../lib/bench/results.js';
import { bootstrapRatio, median } from '../lib/bench/statistics.js';

/** One line of "Wanted and reached" in docs/performance.md. */
export interface Row {
  what: string;
  wanted: string;
  reached: string;
  fine: boolean;
}

export interface Pair {
  what: string;
  /** Of the ratio `of` / `to`. */
  wanted: { atLeast: number } | { atMost: number };
  of: ScenarioResult;
  to: ScenarioResult;
  metric: 'iops' | 'p50' | 'p999';
}

const metrics: Readonly<Record<Pair['metric'], (round: Round) => number>> = {
  iops: ({ iops }) => iops,
  p50: ({ latencyNs }) => latencyNs.p50 / 1000,
  p999: ({ latencyNs }) => latencyNs.p999 / 1000,
};
const units = { iops: 'a second', p50: 'us', p999: 'us' };

/** The median of the ratios of neighbouring turns, and where it lies with 95 %. */
export function rowOf({ what, wanted, of, to, metric }: Pair): Row {
  const value = metrics[metric];
  const [above, below] = [of.rounds.map(value), to.rounds.map(value)];
  const { ratio, low, high } = bootstrapRatio(below, above, { paired: true, seed: 1 });
  const least = 'atLeast' in wanted;
  const fine = 'atLeast' in wanted ? ratio >= wanted.atLeast : ratio <= wanted.atMost;
  const shown = (each: readonly number[]): string => median(each).toFixed(0);
  return {
    what,
    wanted: 'atLeast' in wanted ? `>= ${wanted.atLeast}` : `<= ${wanted.atMost}`,
    reached:
      `${ratio.toFixed(3)} (95 %: ${low.toFixed(3)} to ${high.toFixed(3)}, ${above.length} rounds), ` +
      `${shown(above)} against ${shown(below)} ${units[metric]}` +
      (least ? `${ofLimit(of)}${ofLimit(to)}` : ''),
    fine,
  };
}

function ofLimit({ subject, limit, shareOfLimit }: ScenarioResult): string {
  if (limit === null || shareOfLimit === null) return '';
  const share = shareOfLimit.median.toFixed(2);
  return `; ${subject} has ${share} of ${limit.what}, ${limit.perSecond.toFixed(0)}`;
}

/** @throws Error when the run failed, or has no such result. */
export function resultOf(run: BenchResult, scenario: string, subject: string): ScenarioResult {
  if (run.failure !== null) {
    const { message, subject: of } = run.failure;
    throw new Error(`${of ?? 'the run'}: ${message}`);
  }
  const found = run.results.find(
    (each) => each.scenario.name === scenario && each.subject === subject,
  );
  if (found === undefined) throw new Error(`no '${scenario}' on ${subject} was measured`);
  return found;
}
