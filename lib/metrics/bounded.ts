/**
 * Which of many have series of their own. The first have, up to a limit; the others are summed.
 * Who is where does not change while it is there, and what a summed one has done stays in the sum
 * when it goes: otherwise counters would go backwards, and rates would have spikes.
 */
import { add, type Counts, noCounts } from './counts.js';

/** Name of the sum. */
export const others = '(others)';

interface Summed {
  group: string;
  counts: Counts;
}

export class BoundedSeries {
  readonly #limit: number;
  readonly #own = new Set<string>();
  readonly #summed = new Map<string, Summed>();
  /** By group: what those have done that are gone. */
  readonly #gone = new Map<string, Counts>();
  #seen = new Set<string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many are summed. */
  get summed(): number {
    return this.#summed.size;
  }

  /** @returns whether it has series of its own; otherwise it is in the sum of the group. */
  take(key: string, group: string, counts: Counts): boolean {
    this.#seen.add(key);
    if (this.#own.has(key)) return true;
    const summed = this.#summed.get(key);
    if (summed !== undefined) {
      summed.counts = counts;
      return false;
    }
    if (this.#own.size < this.#limit) {
      this.#own.add(key);
      return true;
    }
    this.#summed.set(key, { group, counts });
    return false;
  }

  /** All there are were taken: the sums by group. @param groups those that there are. */
  end(groups: ReadonlySet<string>): Map<string, Counts> {
    const seen = this.#seen;
    this.#seen = new Set();
    for (const key of this.#own) if (!seen.has(key)) this.#own.delete(key);
    for (const [key, { group, counts }] of this.#summed) {
      if (seen.has(key)) continue;
      this.#summed.delete(key);
      add(sumOf(this.#gone, group), { ...counts, underWay: 0 });
    }
    for (const group of this.#gone.keys()) if (!groups.has(group)) this.#gone.delete(group);
    const sums = new Map<string, Counts>();
    for (const [group, counts] of this.#gone) add(sumOf(sums, group), counts);
    for (const { group, counts } of this.#summed.values()) add(sumOf(sums, group), counts);
    return sums;
  }
}

function sumOf(sums: Map<string, Counts>, group: string): Counts {
  let sum = sums.get(group);
  if (sum === undefined) {
    sum = noCounts();
    sums.set(group, sum);
  }
  return sum;
}
