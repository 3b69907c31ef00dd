/** What a report shows, gathered from one or more results: pure data, whatever it is written as. */
import { LatencyHistogram } from './histogram.js';
import type { BenchResult, ScenarioResult, Subject } from './results.js';

/** A subject of a result, as one line of every chart. */
export interface Series {
  /** Unique in the report. */
  label: string;
  result: BenchResult;
  subject: string;
}

/** One line of one chart: a series at several depths, or rates. */
export interface Curve {
  series: Series;
  points: { at: string; iops: number; p50Ns: number; p99Ns: number; share: number | null }[];
}

/** Scenarios that differ in how much is in flight alone. */
export interface CurveGroup {
  title: string;
  curves: Curve[];
}

/** Every subject of every result; labels say the title where several results are shown. */
export function seriesOf(results: readonly BenchResult[]): Series[] {
  const all = results.flatMap((result, index) =>
    result.subjects.map(({ name }) => {
      const title = result.title === '' ? `run ${index + 1}` : result.title;
      return { label: results.length === 1 ? name : `${title}: ${name}`, result, subject: name };
    }),
  );
  // Two runs may have one title.
  return all.map((each, index) => {
    const before = all.slice(0, index).filter(({ label }) => label === each.label).length;
    return before === 0 ? each : { ...each, label: `${each.label} (${before + 1})` };
  });
}

export function resultsOf({ result, subject }: Series): ScenarioResult[] {
  return result.results.filter((each) => each.subject === subject);
}

/** Scenarios in the order in which they come first in any series. */
export function scenarioNames(series: readonly Series[]): string[] {
  const names = series.flatMap((each) => resultsOf(each).map(({ scenario }) => scenario.name));
  return [...new Set(names)];
}

/** Throughput and latency as depth or rate grows, wherever there are two of them or more. */
export function curveGroups(series: readonly Series[]): CurveGroup[] {
  const all = series.flatMap((each) =>
    resultsOf(each)
      .filter(({ iops }) => iops !== null)
      .map((result) => ({ each, result })),
  );
  const byDepth = grouped(all, ({ result }) => titleOf(result, false));
  // Where no queue count has several depths, it may be the queues that grow.
  const alone = [...byDepth.values()].filter((list) => !hasCurve(list)).flat();
  const byQueues = grouped(alone, ({ result }) => titleOf(result, true));
  return [...byDepth, ...byQueues].flatMap(([title, list]) => {
    if (!hasCurve(list)) return [];
    const bySeries = grouped(list, ({ each }) => each);
    const curves = [...bySeries].map(([each, found]) => ({
      series: each,
      points: points(found.map(({ result }) => result)),
    }));
    return [{ title, curves }];
  });
}

interface Measured {
  each: Series;
  result: ScenarioResult;
}

function hasCurve(list: readonly Measured[]): boolean {
  return [...grouped(list, ({ each }) => each).values()].some(({ length }) => length > 1);
}

/** The name without what grows. A rate is no point of a closed loop's curve. */
function titleOf({ scenario }: ScenarioResult, queuesToo: boolean): string {
  const grows = queuesToo ? /^depth \d+$|^\d+ queues$/ : /^depth \d+$/;
  const words = scenario.name.split(', ').filter((word) => !grows.test(word));
  return [
    ...words.map((word) => (/^\d+ a second$/.test(word) ? 'at given rates' : word)),
    ...(queuesToo ? ['by queues'] : []),
  ].join(', ');
}

function grouped<T, K>(list: readonly T[], key: (each: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const each of list) {
    const group = groups.get(key(each));
    if (group === undefined) groups.set(key(each), [each]);
    else group.push(each);
  }
  return groups;
}

function points(results: readonly ScenarioResult[]): Curve['points'] {
  return results
    .map((result) => {
      const { queues, depth, ratePerSecond } = result.scenario.workload;
      const amount = queues === 1 ? `${depth}` : `${queues} × ${depth}`;
      return {
        inFlight: queues * depth,
        asked: ratePerSecond ?? 0,
        at: ratePerSecond === null ? amount : `${ratePerSecond}/s`,
        iops: result.iops?.median ?? 0,
        p50Ns: result.p50Ns?.median ?? 0,
        p99Ns: result.p99Ns?.median ?? 0,
        share: result.shareOfLimit?.median ?? null,
      };
    })
    .sort((a, b) => a.inFlight - b.inFlight || a.asked - b.asked || a.iops - b.iops);
}

/** What limits it, or why nothing is known; of runs before limits were measured, only that. */
export function limitOf(subject: Subject): string {
  return subject.facts.limit ?? 'not measured';
}

/** Reads and writes of all rounds together; null: there is none. */
export function histogramOf(result: ScenarioResult): LatencyHistogram | null {
  const parts = [result.readHistogram, result.writeHistogram].filter((each) => each !== null);
  if (parts.length === 0) return null;
  const whole = new LatencyHistogram();
  for (const part of parts) whole.merge(LatencyHistogram.decode(part));
  return whole;
}

/** `12.3 µs`, with three digits that count. */
export function time(ns: number): string {
  const [value, unit] =
    ns < 1e3
      ? [ns, 'ns']
      : ns < 1e6
        ? [ns / 1e3, 'µs']
        : ns < 1e9
          ? [ns / 1e6, 'ms']
          : [ns / 1e9, 's'];
  return `${digits(value)} ${unit}`;
}

/** `330 k`, `1.24 M`. */
export function count(value: number): string {
  if (value < 1e3) return digits(value);
  return value < 1e6 ? `${digits(value / 1e3)} k` : `${digits(value / 1e6)} M`;
}

/** `2.61 GB/s`. */
export function rate(bytesPerSecond: number): string {
  const [value, unit] =
    bytesPerSecond < 1e6
      ? [bytesPerSecond / 1e3, 'kB/s']
      : bytesPerSecond < 1e9
        ? [bytesPerSecond / 1e6, 'MB/s']
        : [bytesPerSecond / 1e9, 'GB/s'];
  return `${digits(value)} ${unit}`;
}

export function digits(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
