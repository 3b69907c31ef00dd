/** How a subsystem hands out NSIDs. */
import { maxNsid } from './limits.js';

/**
 * The next NSID: one above the highest ever given, and when those are used up the lowest free one,
 * going round, so that many others have been given before one comes back.
 *
 * @param next one above the last given; 1 at first.
 */
export function takeNsid(
  next: number,
  inUse: { has(nsid: number): boolean },
): { nsid: number; next: number } | null {
  for (let step = 0; step < maxNsid; step += 1) {
    const nsid = ((next - 1 + step) % maxNsid) + 1;
    if (!inUse.has(nsid)) return { nsid, next: nsid + 1 };
  }
  return null;
}
