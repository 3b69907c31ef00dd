/** A bar on stderr while a stream flows: only where somebody looks, and never in the way of it. */
import { formatDurationMs, formatSizeShort } from '../config/units.js';

export interface ProgressOptions {
  /** What is done, at the front of the line. */
  title: string;
  /** Bytes at which it is done; null: not known. */
  totalBytes: number | null;
  /** No bar, whatever stderr is. */
  quiet: boolean;
}

/** Drawn at most so often. */
const redrawMs = 200;
const barCells = 20;

export class Progress {
  readonly #title: string;
  #totalBytes: number | null;
  readonly #shown: boolean;
  readonly #startedMs = performance.now();
  #drawnMs = Number.NEGATIVE_INFINITY;
  #drawn = false;

  constructor(options: ProgressOptions) {
    this.#title = options.title;
    this.#totalBytes = options.totalBytes;
    this.#shown = !options.quiet && process.stderr.isTTY;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedMs;
  }

  /**
   * @param doneBytes since the start of this process; `startBytes` were done before it.
   * @param totalBytes where it has become known since the start, or has changed.
   */
  update(doneBytes: number, startBytes = 0, totalBytes = this.#totalBytes): void {
    this.#totalBytes = totalBytes;
    if (!this.#shown || performance.now() - this.#drawnMs < redrawMs) return;
    this.#drawnMs = performance.now();
    this.#drawn = true;
    const line = progressLine({
      title: this.#title,
      doneBytes,
      startBytes,
      totalBytes: this.#totalBytes,
      elapsedMs: this.elapsedMs,
    });
    const width = process.stderr.columns > 0 ? process.stderr.columns - 1 : 79;
    process.stderr.write(`\r\x1b[K${line.slice(0, width)}`);
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#drawn) process.stderr.write('\r\x1b[K');
    this.#drawn = false;
  }
}

/** One line: what, how much, how fast, how long still. */
export function progressLine(state: {
  title: string;
  doneBytes: number;
  startBytes: number;
  totalBytes: number | null;
  elapsedMs: number;
}): string {
  const { title, doneBytes, startBytes, totalBytes, elapsedMs } = state;
  const perMs = elapsedMs > 0 ? doneBytes / elapsedMs : 0;
  const rate = `${size(perMs * 1000)}/s`;
  const reached = startBytes + doneBytes;
  if (totalBytes === null || totalBytes === 0) return `${title}  ${size(reached)}  ${rate}`;
  const share = Math.min(1, reached / totalBytes);
  const cells = Math.round(share * barCells);
  const bar = `[${'#'.repeat(cells)}${'-'.repeat(barCells - cells)}]`;
  const percent = `${Math.floor(share * 100)} %`;
  const left = Math.max(0, totalBytes - reached);
  const remaining = perMs > 0 ? `  ${formatDurationMs(left / perMs)} left` : '';
  return `${title}  ${bar} ${percent}  ${size(reached)} of ${size(totalBytes)}  ${rate}${remaining}`;
}

function size(bytes: number): string {
  return formatSizeShort(BigInt(Math.round(bytes)));
}
