/** Warns while a pool fills, before writes that need space fail. */
import type { PoolStatus } from '../native.js';

/** Percent of chunks in use or promised to reserved volumes. */
export const watermarks = [80, 90, 95, 99] as const;
/** A mark counts as left only this far below it, so that usage at a mark does not chatter. */
const hysteresisPercent = 2;

export interface Watermark {
  percent: number;
  direction: 'above' | 'below';
}

/** Remembers which marks the pool is above; says when one is passed. */
export class WatermarkWatch {
  #above = 0;

  /** The mark that has been passed since the last look; null: none. */
  look(
    status: Pick<PoolStatus, 'totalChunks' | 'freeChunks' | 'reservedChunks'>,
  ): Watermark | null {
    if (status.totalChunks === 0n) return null;
    const used = status.totalChunks - (status.freeChunks - status.reservedChunks);
    const percent = Number((used * 1000n) / status.totalChunks) / 10;
    const reached = watermarks.filter((mark) => percent >= mark).at(-1) ?? 0;
    if (reached > this.#above) {
      this.#above = reached;
      return { percent: reached, direction: 'above' };
    }
    if (this.#above > 0 && percent < this.#above - hysteresisPercent) {
      const left = this.#above;
      this.#above = reached;
      return { percent: left, direction: 'below' };
    }
    return null;
  }
}
