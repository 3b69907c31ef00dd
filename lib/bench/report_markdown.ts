/** The report as Markdown: tables, for a commit or an issue. */
import type { Comparison } from './compare.js';
import {
  count,
  histogramOf,
  limitOf,
  percent,
  rate,
  resultsOf,
  type Series,
  scenarioNames,
  seriesOf,
  time,
} from './report_data.js';
import type { BenchResult, Machine, ScenarioResult, Summary } from './results.js';

export function markdownReport(
  results: readonly BenchResult[],
  comparisons: readonly Comparison[],
): string {
  const series = seriesOf(results);
  const parts = [
    '# Benchmark',
    ...results.map((result) => machineLines(result).join('\n')),
    '## Results',
    resultTable(series).join('\n'),
    '## Latency',
    latencyTable(series).join('\n'),
    ...comparisons.map((each) => comparisonLines(each).join('\n')),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** One line about a machine at one time. */
export function machineLine(machine: Machine): string {
  const line = machine.cacheLineNs === null ? 'unknown' : `${machine.cacheLineNs.toFixed(0)} ns`;
  return (
    `load ${machine.loadAverage.toFixed(2)}, cache-line round trip ${line}, ` +
    `congestion control ${machine.congestionControl}`
  );
}

/** One line about what it is. */
export function machineName(machine: Machine): string {
  const gib = (machine.memoryBytes / 2 ** 30).toFixed(0);
  return `${machine.cpuModel}, ${machine.cpus} CPUs, ${gib} GiB, Linux ${machine.kernel}`;
}

function machineLines(result: BenchResult): string[] {
  const { before, after } = result.machine;
  const revision = result.versions.revision === null ? '' : ` (${result.versions.revision})`;
  return [
    `**${text(result.title === '' ? 'Run' : result.title)}**, ${result.startedAt}, Ashlar ` +
      `${result.versions.ashlar}${revision}: ${text(machineName(before))}`,
    '',
    `- before: ${machineLine(before)}`,
    `- after: ${machineLine(after)}`,
    `- ${result.rounds} rounds of ${result.durationMs} ms after ${result.warmupMs} ms, seed ` +
      `${result.seed}, the load generator polls for ${result.pollUs} µs`,
    ...result.subjects.map(
      (each) => `- ${text(each.name)}: ${text(each.description)}; limit: ${text(limitOf(each))}`,
    ),
    ...(result.failure === null ? [] : [`- **FAILED**: ${text(result.failure.message)}`]),
    ...(result.complete || result.failure !== null ? [] : ['- ended early']),
    `- \`${result.command.replaceAll('`', "'")}\``,
  ];
}

function resultTable(series: readonly Series[]): string[] {
  const rows = scenarioNames(series).flatMap((name) =>
    series.flatMap((each) => {
      const result = resultsOf(each).find(({ scenario }) => scenario.name === name);
      return result === undefined ? [] : [resultRow(each, result)];
    }),
  );
  return [
    '| scenario | subject | a second | min – max | bandwidth | p50 | p99 | CPU per I/O | limit | share |',
    '|---|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...rows,
  ];
}

function resultRow({ label }: Series, result: ScenarioResult): string {
  const { scenario, iops, bytesPerSecond, p50Ns, p99Ns, targetCpuNsPerCommand, limit } = result;
  const of = (value: Summary | null, show: (median: number) => string): string =>
    value === null ? '–' : show(value.median);
  const failure = result.rounds.find((round) => round.failure !== null)?.failure;
  const spread = iops === null ? '–' : `${count(iops.min)} – ${count(iops.max)}`;
  const cells = [
    ...[scenario.name, label, of(iops, count), spread, of(bytesPerSecond, rate)],
    ...[of(p50Ns, time), of(p99Ns, time), of(targetCpuNsPerCommand, time)],
    ...[limit === null ? '–' : count(limit.perSecond), of(result.shareOfLimit, percent)],
  ].map(text);
  const line = `| ${cells.join(' | ')} |`;
  return failure === undefined || failure === null ? line : `${line} **${text(failure.message)}**`;
}

function latencyTable(series: readonly Series[]): string[] {
  const shares = [0.5, 0.9, 0.99, 0.999, 0.9999, 1];
  const rows = scenarioNames(series).flatMap((name) =>
    series.flatMap((each) => {
      const result = resultsOf(each).find(({ scenario }) => scenario.name === name);
      const histogram = result === undefined ? null : histogramOf(result);
      if (histogram === null) return [];
      const cells = [name, each.label, ...shares.map((share) => time(histogram.percentile(share)))];
      return [`| ${cells.map(text).join(' | ')} |`];
    }),
  );
  return [
    '| scenario | subject | p50 | p90 | p99 | p99.9 | p99.99 | longest |',
    '|---|---|---:|---:|---:|---:|---:|---:|',
    ...rows,
  ];
}

function comparisonLines(comparison: Comparison): string[] {
  const rows = comparison.scenarios.flatMap(({ scenario, changes }) =>
    changes.map((change) => {
      const interval = `${change.low.toFixed(3)} – ${change.high.toFixed(3)}`;
      const cells = [scenario, change.figure, change.ratio.toFixed(3), interval, change.verdict];
      return `| ${cells.map(text).join(' | ')} |`;
    }),
  );
  return [
    `## ${text(comparison.b)} against ${text(comparison.a)}`,
    '',
    `Ratios of medians with bootstrap intervals of 95 % (seed ${comparison.seed}); a change counts ` +
      `beyond ${percent(comparison.threshold)}.`,
    '',
    '| scenario | figure | ratio | interval | verdict |',
    '|---|---|---:|---:|---|',
    ...rows,
  ];
}

/** What others named must not become markup. */
function text(from: string): string {
  return from.replaceAll(/[|<>\\`*_[\]]/g, (letter) => `\\${letter}`).replaceAll(/\s+/g, ' ');
}
