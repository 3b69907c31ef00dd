/** Random choices that a failed run can repeat: `ASHLAR_SEED=… npm test -- --only …`. */
import { randomInt } from 'node:crypto';

/** The seed of this run, from ASHLAR_SEED or new. Print it. */
export function seedOfRun(): number {
  const given = process.env['ASHLAR_SEED'];
  return given === undefined ? randomInt(2 ** 32) : Number(given) >>> 0;
}

/** mulberry32: small, and the same everywhere. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 (inclusive) to 1 (exclusive). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to `bound` − 1. */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)];
  }
}
