/** The results of a run on stdout. */
import { count, limitOf, percent, rate, time } from '../bench/report_data.js';
import type { BenchResult, ScenarioResult } from '../bench/results.js';
import { type Column, table } from './table.js';
import { printLines, terminalWidth } from './terminal.js';

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
  {
    title: 'limit',
    value: ({ limit }) => (limit === null ? '–' : count(limit.perSecond)),
    align: 'right',
  },
  { title: 'share', value: ({ shareOfLimit }) => of(shareOfLimit, percent), align: 'right' },
];

function of(value: ScenarioResult['iops'], show: (median: number) => string): string {
  return value === null ? '–' : show(value.median);
}

/** All results, as a table of medians, and what the limits are. */
export function printResults({ results, subjects }: BenchResult): void {
  const limited = results.some(({ shareOfLimit }) => shareOfLimit !== null);
  const cpu = results.some(({ targetCpuNsPerCommand }) => targetCpuNsPerCommand !== null);
  let shown = columns.filter(
    ({ title }) =>
      (!['limit', 'share'].includes(title) || limited) &&
      (title !== 'CPU/IO' || cpu) &&
      (title !== 'subject' || subjects.length > 1 || terminalWidth() === null),
  );
  // Two scenarios whose names are cut to the same say nothing: other columns go first.
  const width = terminalWidth() ?? Number.POSITIVE_INFINITY;
  for (const least of ['min–max', 'p99.9', 'limit', 'CPU/IO']) {
    if (Math.max(...table(results, shown, null).map((line) => line.length)) <= width) break;
    shown = shown.filter(({ title }) => title !== least);
  }
  printLines(table(results, shown, terminalWidth()));
  printLines(['', ...subjects.map((each) => `Limit of ${each.name}: ${limitOf(each)}.`)]);
}
