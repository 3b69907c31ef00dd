/**
 * Charts as files of their own, for pages that show pictures: each brings its style, follows light
 * and dark by what the reader's system says, and has a ground of its own where the page does not.
 */
import { colourOf, escaped } from './report_charts.js';
import { type Chart, curveCharts, distributionCharts } from './report_curves.js';
import { percent, resultsOf, type Series, scenarioNames, seriesOf, time } from './report_data.js';
import { chartStyle } from './report_style.js';
import type { BenchResult, ScenarioResult } from './results.js';

export interface PictureFile {
  /** Without a folder: `latency-4-kib-random-read.svg`. */
  name: string;
  svg: string;
}

const width = 560;
const height = 300;
const padding = 14;
const titleHeight = 26;
const rowHeight = 20;

/** Latency over throughput, distributions, shares of the limit and CPU time for each I/O. */
export function pictures(results: readonly BenchResult[]): PictureFile[] {
  const series = seriesOf(results);
  const charts = (kind: string, list: readonly Chart[]): PictureFile[] =>
    list.map((chart) => ({ name: fileName(kind, chart.title), svg: chartPicture(chart, series) }));
  return [
    ...charts('latency', curveCharts(series)),
    ...charts('distribution', distributionCharts(series)),
    ...barPictures(series),
  ];
}

function fileName(kind: string, title: string): string {
  const words = title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return `${kind}-${words.replaceAll(/^-|-$/g, '')}.svg`;
}

function picture(title: string, innerHeight: number, inner: string): string {
  const whole = { width: width + 2 * padding, height: titleHeight + innerHeight + 2 * padding };
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${whole.width} ${whole.height}" ` +
    `width="${whole.width}" height="${whole.height}" role="img" aria-label="${escaped(title)}">` +
    `<style>${chartStyle}</style><rect class="ground" width="100%" height="100%" rx="8"/>` +
    `<text class="title" x="${padding}" y="${padding + 12}">${escaped(title)}</text>` +
    `<g transform="translate(${padding} ${padding + titleHeight})">${inner}</g></svg>\n`
  );
}

function chartPicture({ title, svg, shown, dashed }: Chart, series: readonly Series[]): string {
  const sized = svg.replace('<svg ', `<svg width="${width}" height="${height}" `);
  const colours = shown.length > 1 ? shown : [];
  const entries = [
    ...colours.map((each) => ({ label: each.label, colour: series.indexOf(each), dash: '' })),
    ...(dashed
      ? [
          { label: 'p50', colour: null, dash: '' },
          { label: 'p99', colour: null, dash: ' stroke-dasharray="5 4"' },
        ]
      : []),
  ];
  let left = 78;
  const legend = entries.map(({ label, colour, dash }) => {
    const at = left;
    left += 40 + 7 * label.length;
    const stroke = colour === null ? 'var(--soft)' : colourOf(colour);
    return (
      `<line class="line" x1="${at}" x2="${at + 22}" y1="${height + 12}" y2="${height + 12}" ` +
      `style="stroke:${stroke}"${dash}/>` +
      `<text class="tick" x="${at + 28}" y="${height + 16}">${escaped(label)}</text>`
    );
  });
  const innerHeight = entries.length === 0 ? height : height + rowHeight;
  return picture(title, innerHeight, sized + legend.join(''));
}

interface BarRow {
  scenario: string;
  bars: { colour: number; value: number; text: string }[];
}

function barPictures(series: readonly Series[]): PictureFile[] {
  const rowsOf = (
    value: (result: ScenarioResult) => number | null,
    text: (value: number) => string,
  ): BarRow[] =>
    scenarioNames(series).flatMap((scenario) => {
      const found = series.flatMap((each, colour) => {
        const result = resultsOf(each).find((one) => one.scenario.name === scenario);
        const figure = result === undefined ? null : value(result);
        return figure === null ? [] : [{ colour, value: figure, text: text(figure) }];
      });
      return found.length === 0 ? [] : [{ scenario, bars: found }];
    });
  // Of a given rate the share says how much was asked for, not what could be reached.
  const shares = rowsOf(
    ({ scenario, shareOfLimit }) =>
      scenario.workload.ratePerSecond === null ? (shareOfLimit?.median ?? null) : null,
    percent,
  );
  const cpu = rowsOf(({ targetCpuNsPerCommand }) => targetCpuNsPerCommand?.median ?? null, time);
  return [
    ...barPicture('limit', 'Throughput as a share of the limit of the machine', shares, 1, series),
    ...barPicture('cpu', 'CPU time of the target for each I/O', cpu, 0, series),
  ];
}

/** @param most what a bar of full length is at least. */
function barPicture(
  name: string,
  title: string,
  rows: readonly BarRow[],
  most: number,
  series: readonly Series[],
): PictureFile[] {
  if (rows.length === 0) return [];
  const largest = Math.max(most, ...rows.flatMap(({ bars }) => bars.map(({ value }) => value)));
  const from = 290;
  const room = width - from - 60;
  let top = 0;
  const drawn = rows.map(({ scenario, bars }) => {
    const at = top;
    top += Math.max(rowHeight, bars.length * 14 + 6);
    const marks = bars.map(({ colour, value, text }, i) => {
      const y = at + 4 + i * 14;
      const long = Math.max(1, Math.round((room * value) / largest));
      return (
        `<rect x="${from}" y="${y}" width="${long}" height="10" rx="2" ` +
        `style="fill:${colourOf(colour)}"/>` +
        `<text class="tick" x="${from + long + 6}" y="${y + 9}">${escaped(text)}</text>`
      );
    });
    const middle = at + 4 + (bars.length * 14 - 4) / 2;
    return (
      `<text class="label" x="${from - 10}" y="${middle + 4}" text-anchor="end">` +
      `${escaped(scenario)}</text>${marks.join('')}`
    );
  });
  const full =
    most === 0
      ? ''
      : `<line class="grid" x1="${from + room}" x2="${from + room}" y1="0" y2="${top}"/>`;
  const several = series.length > 1;
  const legend = several
    ? series.map(
        ({ label }, i) =>
          `<rect x="${from + 110 * i}" y="${top + 8}" width="10" height="10" rx="2" ` +
          `style="fill:${colourOf(i)}"/>` +
          `<text class="tick" x="${from + 110 * i + 16}" y="${top + 17}">${escaped(label)}</text>`,
      )
    : [];
  const svg = picture(title, top + (several ? 24 : 0), full + drawn.join('') + legend.join(''));
  return [{ name: `${name}.svg`, svg }];
}
