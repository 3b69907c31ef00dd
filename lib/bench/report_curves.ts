/** The charts of a report, as SVG that takes its look from where it is shown. */
import { type Line, linearAxis, lineChart, logAxis, ninesAxis } from './report_charts.js';
import {
  type CurveGroup,
  count,
  curveGroups,
  histogramOf,
  resultsOf,
  type Series,
  scenarioNames,
  time,
} from './report_data.js';

export interface Chart {
  title: string;
  svg: string;
  /** What has a line in it. */
  shown: Series[];
  /** Full lines are p50, dashed ones p99. */
  dashed: boolean;
}

/** Latency over throughput, wherever there are two depths or more. */
export function curveCharts(series: readonly Series[]): Chart[] {
  return curveGroups(series).map((group) => curveChart(group, series));
}

/** On an axis `50 µs` and not `50.0 µs`. */
function tick(show: (value: number) => string): (value: number) => string {
  return (value) => (value === 0 ? '0' : show(value).replace(/\.0+(?=\D|$)|(\.\d*?[1-9])0+/, '$1'));
}

function curveChart({ title, curves }: CurveGroup, series: readonly Series[]): Chart {
  const all = curves.flatMap(({ points }) => points);
  const x = linearAxis('I/Os a second', Math.max(...all.map(({ iops }) => iops)), tick(count));
  const low = Math.min(...all.map(({ p50Ns }) => p50Ns));
  const y = logAxis('latency', low, Math.max(...all.map(({ p99Ns }) => p99Ns)), tick(time));
  const lines = curves.flatMap(({ series: each, points }): Line[] => {
    const colour = series.indexOf(each);
    const line = (figure: 'p50Ns' | 'p99Ns', dashed: boolean): Line => ({
      label: each.label,
      ...{ colour, dashed, dots: true },
      points: points.map((point) => ({
        ...{ x: point.iops, y: point[figure], note: dashed ? null : point.at },
        title:
          `${point.at}, ${count(point.iops)} a second, p50 ${time(point.p50Ns)}, ` +
          `p99 ${time(point.p99Ns)}`,
      })),
    });
    return [line('p99Ns', true), line('p50Ns', false)];
  });
  const shown = curves.map((curve) => curve.series);
  return { title, svg: lineChart(title, x, y, lines), shown, dashed: true };
}

/** How many of the commands took no longer, for each scenario. */
export function distributionCharts(series: readonly Series[]): Chart[] {
  return scenarioNames(series).flatMap((name) => {
    const found = series.flatMap((each) => {
      const result = resultsOf(each).find(({ scenario }) => scenario.name === name);
      const histogram = result === undefined ? null : histogramOf(result);
      return histogram === null ? [] : [{ each, histogram }];
    });
    if (found.length === 0) return [];
    const most = Math.max(...found.map(({ histogram }) => histogram.count));
    const nines = Math.min(6, Math.max(2, Math.floor(Math.log10(most))));
    const shares = sharesUpTo(nines);
    const lines = found.map(({ each, histogram }): Line => {
      const points = shares.map((share) => {
        const value = histogram.percentile(share);
        const title = `${Number((100 * share).toFixed(6))} %: ${time(value)}`;
        return { x: share, y: value, title, note: null };
      });
      const colour = series.indexOf(each);
      return { label: each.label, colour, dashed: false, dots: false, points };
    });
    const values = lines.flatMap(({ points }) => points.map(({ y }) => y));
    const y = logAxis('latency', Math.min(...values), Math.max(...values), tick(time));
    const svg = lineChart(name, ninesAxis('share of the commands', nines), y, lines);
    return [{ title: name, svg, shown: found.map(({ each }) => each), dashed: false }];
  });
}

/** Twelve places in each nine. */
function sharesUpTo(nines: number): number[] {
  const steps = 12;
  return Array.from({ length: nines * steps + 1 }, (_, i) => 1 - 10 ** (-i / steps));
}
