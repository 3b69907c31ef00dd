/** Histograms of latency, as statistics have them: what came between two, and percentiles. Pure. */

/** How many took less than `belowNs`, and not less than the bound of the bucket before. */
export interface LatencyBucket {
  /** null: more than all others. */
  belowNs: number | null;
  count: number;
}

const rank = (belowNs: number | null): number => belowNs ?? Number.POSITIVE_INFINITY;

/** The sum of both, or with `sign` -1 what `left` has more; rising. */
export function mergeBuckets(
  left: readonly LatencyBucket[],
  right: readonly LatencyBucket[],
  sign: 1 | -1,
): LatencyBucket[] {
  const counts = new Map(left.map(({ belowNs, count }) => [belowNs, count]));
  for (const { belowNs, count } of right) {
    counts.set(belowNs, (counts.get(belowNs) ?? 0) + sign * count);
  }
  return [...counts]
    .map(([belowNs, count]) => ({ belowNs, count }))
    .sort((a, b) => rank(a.belowNs) - rank(b.belowNs));
}

/** The bucket that it lies in, with the bound that it is below; null: nothing was counted. */
export function percentileBucket(
  buckets: readonly LatencyBucket[],
  share: number,
): LatencyBucket | null {
  const all = buckets.reduce((sum, { count }) => sum + count, 0);
  if (all <= 0) return null;
  let seen = 0;
  for (const bucket of buckets) {
    seen += bucket.count;
    if (seen >= all * share) return bucket;
  }
  return null;
}
