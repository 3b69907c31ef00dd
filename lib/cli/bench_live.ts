/** What a person sees while a benchmark runs: a line that moves on stderr, results on stdout. */
import { count, percent, rate, time } from '../bench/report_data.js';
import type { ScenarioResult } from '../bench/results.js';
import type { RunEvent } from '../bench/run.js';
import { formatDurationMs } from '../config/units.js';
import { type Column, table } from './table.js';
import { printLines, terminalWidth } from './terminal.js';

const barCells = 20;

export class BenchLive {
  readonly #shown: boolean;
  readonly #turns: number;
  readonly #startedMs = performance.now();
  #now = '';
  #drawn = false;

  constructor(turns: number) {
    this.#turns = turns;
    this.#shown = process.stderr.isTTY;
  }

  hear(event: RunEvent): void {
    switch (event.kind) {
      case 'preparing':
        this.#draw(`${event.what} …`);
        return;
      case 'round-begins':
        this.#now = `round ${event.index + 1}  ${event.scenario}  ${event.subject}`;
        this.#draw(benchProgress(event.turn - 1, this.#turns, this.#elapsedMs, this.#now));
        return;
      case 'round-ends': {
        const { iops, latencyNs } = event.round;
        const figures = `${count(iops)}/s  p99 ${time(latencyNs.p99)}`;
        const what = `${figures}  ${this.#now}`;
        this.#draw(benchProgress(event.turn, this.#turns, this.#elapsedMs, what));
        return;
      }
      case 'scenario-ends':
        return;
    }
  }

  get #elapsedMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** Takes the line away. */
  end(): void {
    if (this.#drawn) process.stderr.write('\r\x1b[K');
    this.#drawn = false;
  }

  #draw(line: string): void {
    if (!this.#shown) return;
    this.#drawn = true;
    const width = process.stderr.columns > 0 ? process.stderr.columns - 1 : 79;
    process.stderr.write(
      `\r\x1b[K${[...line.replaceAll(/\p{Cc}/gu, '?')].slice(0, width).join('')}`,
    );
  }
}

/** How far it is, how long still, and what is measured. */
export function benchProgress(
  done: number,
  turns: number,
  elapsedMs: number,
  what: string,
): string {
  const share = turns === 0 ? 1 : done / turns;
  const cells = Math.floor(share * barCells);
  const bar = `[${'#'.repeat(cells)}${'-'.repeat(barCells - cells)}]`;
  const left = done === 0 ? '' : `  ${formatDurationMs((elapsedMs / done) * (turns - done))} left`;
  return `${bar} ${Math.floor(100 * share)} %${left}  ${what}`;
}

const columns: readonly Column<ScenarioResult>[] = [
  { title: 'scenario', value: ({ scenario }) => scenario.name, flexible: true },
  { title: 'subject', value: ({ subject }) => subject, flexible: true },
  { title: 'a second', value: ({ iops }) => of(iops, count), align: 'right' },
  {
    title: 'min–max',
    value: ({ iops }) => (iops === null ? '–' : `${count(iops.min)}–${count(iops.max)}`),
    align: 'right',
  },
  { title: 'bandwidth', value: ({ bytesPerSecond }) => of(bytesPerSecond, rate), align: 'right' },
  { title: 'p50', value: ({ p50Ns }) => of(p50Ns, time), align: 'right' },
  { title: 'p99', value: ({ p99Ns }) => of(p99Ns, time), align: 'right' },
  { title: 'p99.9', value: ({ p999Ns }) => of(p999Ns, time), align: 'right' },
  {
    title: 'CPU/IO',
    value: ({ targetCpuNsPerCommand }) => of(targetCpuNsPerCommand, time),
    align: 'right',
  },
  { title: 'limit', value: ({ shareOfLimit }) => of(shareOfLimit, percent), align: 'right' },
];

function of(value: ScenarioResult['iops'], show: (median: number) => string): string {
  return value === null ? '–' : show(value.median);
}

/** All results, as a table of medians. */
export function printResults(results: readonly ScenarioResult[]): void {
  const limited = results.some(({ shareOfLimit }) => shareOfLimit !== null);
  const cpu = results.some(({ targetCpuNsPerCommand }) => targetCpuNsPerCommand !== null);
  const shown = columns.filter(
    ({ title }) => (title !== 'limit' || limited) && (title !== 'CPU/IO' || cpu),
  );
  printLines(table(results, shown, terminalWidth()));
}
