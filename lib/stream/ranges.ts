/** Ranges of layers as an iterator: what a layer holds, or where it differs from another. */
import { AshlarError, throwIfAborted } from '../errors.js';
import type { LayerRange, LayerRanges } from '../native.js';

/** The part of the pool that this needs; `layerRanges` of the addon. */
export interface RangeSource {
  ranges(
    layer: Uint8Array,
    since: Uint8Array | null,
    offsetBytes: bigint,
    limit: number,
  ): Promise<LayerRanges>;
}

export interface RangeQuery {
  layer: Uint8Array;
  /** null: all that the layer holds. */
  since: Uint8Array | null;
  fromOffset: bigint;
  signal?: AbortSignal | undefined;
}

/** Ranges asked for at once: a few hundred KiB of them. */
const rangesAtOnce = 4096;

/**
 * In order of offset; neighbours of one kind are joined. Holds one answer of the pool in memory.
 * @param atOnce ranges asked for at once.
 */
export async function* layerRanges(
  source: RangeSource,
  query: RangeQuery,
  atOnce = rangesAtOnce,
): AsyncGenerator<LayerRange, void, void> {
  let from: bigint | null = query.fromOffset;
  let held = null as LayerRange | null;
  while (from !== null) {
    throwIfAborted(query.signal, 'list ranges');
    const answer: LayerRanges = await source.ranges(query.layer, query.since, from, atOnce);
    for (const range of answer.ranges) {
      const cut = cutBelow(range, query.fromOffset);
      if (cut === null) continue;
      if (held !== null && touches(held, cut)) {
        held = { ...held, lengthBytes: held.lengthBytes + cut.lengthBytes };
        continue;
      }
      if (held !== null) yield held;
      held = cut;
    }
    const next = answer.nextOffsetBytes;
    if (next !== null && next <= from) {
      throw new AshlarError(
        'internal',
        `the pool listed ranges from ${from} and went on at ${next}`,
      );
    }
    from = next;
  }
  if (held !== null) yield held;
}

function touches(held: LayerRange, next: LayerRange): boolean {
  return held.kind === next.kind && held.offsetBytes + held.lengthBytes === next.offsetBytes;
}

/** The part of a range at or above an offset; null: none. */
function cutBelow(range: LayerRange, offset: bigint): LayerRange | null {
  const end = range.offsetBytes + range.lengthBytes;
  if (end <= offset) return null;
  if (range.offsetBytes >= offset) return range;
  return { ...range, offsetBytes: offset, lengthBytes: end - offset };
}
