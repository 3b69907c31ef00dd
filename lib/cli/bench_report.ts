/** `ashlar bench report`, `compare` and `fio`: what is made of results, and of scenarios. */
import { join } from 'node:path';
import { type Comparison, compare, type Side } from '../bench/compare.js';
import { readResult, writeText } from '../bench/files.js';
import { fioJobs } from '../bench/fio.js';
import { count, percent, time } from '../bench/report_data.js';
import { htmlReport } from '../bench/report_html.js';
import { markdownReport } from '../bench/report_markdown.js';
import { pictures } from '../bench/report_svg.js';
import type { BenchResult } from '../bench/results.js';
import { type SweepOptions, scenariosOf } from './bench_sweep.js';
import { type Column, table } from './table.js';
import { plural, printJson, printLines, terminalWidth } from './terminal.js';

const defaultThreshold = 0.03;

export interface ReportOptions {
  html?: string;
  markdown?: string;
  /** Folder; absent: none. */
  charts?: string;
  seed?: number;
  json?: boolean;
}

export async function reportBench(files: readonly string[], options: ReportOptions): Promise<void> {
  const results: BenchResult[] = [];
  for (const file of files) results.push(await readResult(file));
  const compared = { seed: options.seed ?? 1, threshold: defaultThreshold };
  const comparisons = pairsOf(files, results).map(([a, b]) => compare(a, b, compared));
  const base = (files[0] ?? 'bench').replace(/\.json$/, '');
  const html = options.html ?? `${base}.html`;
  const markdown = options.markdown ?? `${base}.md`;
  await writeText(html, htmlReport(results, comparisons));
  await writeText(markdown, markdownReport(results, comparisons));
  const charts = options.charts === undefined ? [] : pictures(results);
  const drawn = charts.map(({ name, svg }) => ({ path: join(options.charts ?? '', name), svg }));
  for (const { path, svg } of drawn) await writeText(path, svg);
  if (options.json === true) {
    return printJson({ html, markdown, charts: drawn.map(({ path }) => path) });
  }
  printLines([
    `Page: ${html}`,
    `Tables: ${markdown}`,
    ...drawn.map(({ path }) => `Chart: ${path}`),
  ]);
}

/** Each run after the first against the first; of one run, each subject against the first. */
function pairsOf(files: readonly string[], results: readonly BenchResult[]): [Side, Side][] {
  const [first, ...others] = results;
  if (first === undefined) return [];
  if (others.length === 0) {
    const [base, ...rest] = first.subjects.map(({ name }) => name);
    return rest
      .filter((name) => [base, name].every((each) => hasGoodRounds(first, each)))
      .map((name) => [
        { label: base ?? '', result: first, subject: base ?? null },
        { label: name, result: first, subject: name },
      ]);
  }
  const label = (index: number): string => {
    const { title } = results[index] ?? first;
    return title === '' ? (files[index] ?? '') : title;
  };
  return others.map((result, index) => [
    { label: label(0), result: first, subject: null },
    { label: label(index + 1), result, subject: null },
  ]);
}

function hasGoodRounds(result: BenchResult, subject: string | undefined): boolean {
  return result.results.some((each) => each.subject === subject && each.iops !== null);
}

export interface CompareCommandOptions {
  threshold?: number;
  seed?: number;
  json?: boolean;
}

/** Resolves to the exit code: 1 when something became worse. */
export async function compareBench(
  a: string,
  b: string,
  options: CompareCommandOptions,
): Promise<number> {
  const threshold = options.threshold === undefined ? defaultThreshold : options.threshold / 100;
  const comparison = compare(await sideOf(a), await sideOf(b), {
    seed: options.seed ?? 1,
    threshold,
  });
  if (options.json === true) printJson(comparison);
  else printLines(comparisonLines(comparison));
  return comparison.regressions > 0 ? 1 : 0;
}

async function sideOf(text: string): Promise<Side> {
  const at = text.lastIndexOf('#');
  const [file, subject] = at > 0 ? [text.slice(0, at), text.slice(at + 1)] : [text, null];
  return { label: text, result: await readResult(file), subject };
}

interface ChangeRow {
  scenario: string;
  change: Comparison['scenarios'][number]['changes'][number];
}

const columns: readonly Column<ChangeRow>[] = [
  { title: 'scenario', value: ({ scenario }) => scenario, flexible: true },
  { title: 'figure', value: ({ change }) => change.figure },
  { title: 'a', value: ({ change }) => shown(change.a, change.unit), align: 'right' },
  { title: 'b', value: ({ change }) => shown(change.b, change.unit), align: 'right' },
  { title: 'ratio', value: ({ change }) => change.ratio.toFixed(3), align: 'right' },
  {
    title: '95 %',
    value: ({ change }) => `${change.low.toFixed(3)}–${change.high.toFixed(3)}`,
    align: 'right',
  },
  { title: 'verdict', value: ({ change }) => change.verdict },
];

function shown(value: number, unit: ChangeRow['change']['unit']): string {
  return unit === 'ns' ? time(value) : unit === 'share' ? percent(value) : count(value);
}

function comparisonLines(comparison: Comparison): string[] {
  const { scenarios, seed, threshold, regressions, improvements, onlyA, onlyB } = comparison;
  const rows = scenarios.flatMap(({ scenario, changes }) =>
    changes.map((change) => ({ scenario, change })),
  );
  const paired = rows.some(({ change }) => change.paired);
  const missing = (name: string, list: readonly string[]): string[] =>
    list.length === 0 ? [] : [`Only in ${name}: ${list.join('; ')}`];
  return [
    ...table(rows, columns, terminalWidth()),
    '',
    ...missing('A', onlyA),
    ...missing('B', onlyB),
    `Seed ${seed}; rounds ${paired ? 'in pairs' : 'of two runs, not in pairs'}; a change counts ` +
      `beyond ${percent(threshold)}.`,
    `${plural(regressions, 'figure')} worse, ${improvements} better.`,
  ];
}

export interface FioCommandOptions extends SweepOptions {
  device?: string;
  duration?: number;
  seed?: number;
  json?: boolean;
}

export function printFio(options: FioCommandOptions): void {
  const jobs = fioJobs(scenariosOf(options, 'filled'), {
    filename: options.device ?? '/dev/nvme0n1',
    seconds: Math.max(1, Math.round((options.duration ?? 10_000) / 1000)),
    warmupSeconds: 1,
    seed: options.seed ?? 1,
  });
  if (options.json === true) printJson({ jobs });
  else process.stdout.write(jobs);
}
