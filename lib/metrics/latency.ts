/**
 * From the buckets of native code, four an octave, to the few of a scrape. Every bound here is one
 * of the native ones, so that no count is guessed; the sum is, from the middle of each native
 * bucket, and is at most an eighth off.
 */

/** Exponents of two, in nanoseconds: 16 µs to 17 s, closer where most commands are. */
const exponents = [14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 28, 30, 34] as const;

/** Upper bounds, seconds. */
export const bucketBounds: readonly number[] = exponents.map((exponent) => 2 ** exponent / 1e9);

/** Counts of {@link bucketBounds} one by one, then of all above, then the sum in seconds. */
export const latencyCells = bucketBounds.length + 2;

export class LatencyBuckets {
  /** By native bucket: its place in a scrape, and its middle in seconds. */
  readonly #places: Uint8Array;
  readonly #middles: Float64Array;

  /** @param boundsNs the native ones. */
  constructor(boundsNs: readonly bigint[]) {
    const bounds = boundsNs.map(Number);
    this.#places = new Uint8Array(bounds.length + 1);
    this.#middles = new Float64Array(bounds.length + 1);
    for (let at = 0; at <= bounds.length; at += 1) {
      const low = bounds[at - 1] ?? 0;
      const high = bounds[at] ?? low * 2;
      const place = exponents.findIndex((exponent) => 2 ** exponent >= high);
      this.#places[at] = at < bounds.length && place >= 0 ? place : exponents.length;
      this.#middles[at] = (low + high) / 2 / 1e9;
    }
  }

  /** Writes {@link latencyCells} numbers from `to` on. */
  condense(counts: BigUint64Array, cells: Float64Array, to: number): void {
    // Halves of a number each: a bigint for each of 200 buckets of 10,000 volumes takes long.
    const halves = new Uint32Array(counts.buffer, counts.byteOffset, counts.length * 2);
    let sum = 0;
    for (let at = 0; at < counts.length; at += 1) {
      const count = (halves[2 * at] ?? 0) + (halves[2 * at + 1] ?? 0) * 2 ** 32;
      if (count === 0) continue;
      const place = to + (this.#places[at] ?? 0);
      cells[place] = (cells[place] ?? 0) + count;
      sum += count * (this.#middles[at] ?? 0);
    }
    cells[to + latencyCells - 1] = sum;
  }
}
