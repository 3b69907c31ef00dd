/** Medians, and what can be said beyond noise. */
import type { Summary } from './results.js';

/** Of an empty list NaN. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** null: there are none. */
export function summary(values: readonly number[]): Summary | null {
  if (values.length === 0) return null;
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Numbers from 0 up to, not including, 1, that repeat by seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How much larger B is than A: the ratio of their medians and where it lies with 95 %. */
export interface Ratio {
  ratio: number;
  low: number;
  high: number;
  /** By ratios within each round, as the rounds of both ran side by side. */
  paired: boolean;
}

/** Five of five that agree by chance: 1 in 32. With fewer there is no 95 %. */
const fewestRounds = 5;
const resamples = 2000;
const tail = 0.025;

/**
 * Bootstrap: draws rounds with replacement, again and again, and looks how far the ratio swings.
 * Paired rounds are drawn as pairs, so that a slow phase of the machine, which hits both, cancels.
 * With fewer than five rounds nothing can be said with 95 %: the interval is 0 to ∞.
 *
 * @param seed the same gives the same interval.
 */
export function bootstrapRatio(
  a: readonly number[],
  b: readonly number[],
  options: { paired: boolean; seed: number },
): Ratio {
  const paired = options.paired && a.length === b.length;
  const ratios = a.map((value, i) => (b[i] ?? Number.NaN) / value);
  const ratio = paired ? median(ratios) : median(b) / median(a);
  if (Math.min(a.length, b.length) < fewestRounds)
    return { ratio, low: 0, high: Number.POSITIVE_INFINITY, paired };
  const random = randomFrom(options.seed);
  const draw = (from: readonly number[]): number[] =>
    from.map(() => from[Math.floor(random() * from.length)] ?? Number.NaN);
  const drawn = Array.from({ length: resamples }, () =>
    paired ? median(draw(ratios)) : median(draw(b)) / median(draw(a)),
  ).sort((x, y) => x - y);
  const at = (share: number): number =>
    drawn[Math.min(resamples - 1, Math.floor(share * resamples))] ?? Number.NaN;
  return { ratio, low: at(tail), high: at(1 - tail), paired };
}
