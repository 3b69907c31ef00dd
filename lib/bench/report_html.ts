/** The report as one HTML page that needs nothing beside itself: no script, no font, no image. */
import type { Comparison } from './compare.js';
import { bars, colourOf, escaped, intervalMark, legend } from './report_charts.js';
import { type Chart, curveCharts, distributionCharts } from './report_curves.js';
import {
  count,
  limitOf,
  percent,
  rate,
  resultsOf,
  type Series,
  scenarioNames,
  seriesOf,
  time,
} from './report_data.js';
import { machineLine, machineName } from './report_markdown.js';
import { reportStyle } from './report_style.js';
import type { BenchResult, ScenarioResult, Summary } from './results.js';

/** The page. */
export function htmlReport(
  results: readonly BenchResult[],
  comparisons: readonly Comparison[],
): string {
  const series = seriesOf(results);
  const titles = results.map(({ title }) => title).filter((title) => title !== '');
  const title = titles.length === 0 ? 'Benchmark' : titles.join(' · ');
  const sections = [
    `<h1>${escaped(title)}</h1>`,
    ...results.map(failureOf),
    `<div class="grid2">${results.map(runPanel).join('')}</div>`,
    tableSection(series),
    curveSection(series),
    ...comparisons.map(comparisonSection),
    cpuSection(series),
    latencySection(series),
  ];
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">' +
    '<meta name="viewport" content="width=device-width, initial-scale=1">' +
    `<title>${escaped(title)}</title><style>${reportStyle}</style></head>\n` +
    `<body><main>\n${sections.filter((each) => each !== '').join('\n')}\n</main></body></html>\n`
  );
}

function failureOf(result: BenchResult): string {
  const { failure, complete } = result;
  if (failure !== null) {
    const where = [failure.scenario, failure.subject].filter((each) => each !== null).join(' on ');
    return `<p class="panel failed">Failed: ${escaped(where)}: ${escaped(failure.message)}</p>`;
  }
  return complete ? '' : '<p class="panel failed">This run was ended early.</p>';
}

function runPanel(result: BenchResult): string {
  const { machine, versions } = result;
  const revision = versions.revision === null ? '' : `, revision ${versions.revision}`;
  const facts: [string, string][] = [
    ['began', `${result.startedAt} on ${machine.before.hostname}`],
    ['machine', machineName(machine.before)],
    ['before', machineLine(machine.before)],
    ['after', machineLine(machine.after)],
    ['versions', `Ashlar ${versions.ashlar}${revision}, Node.js ${versions.node}`],
    [
      'rounds',
      `${result.rounds} of ${result.durationMs} ms after ${result.warmupMs} ms, seed ` +
        `${result.seed}, polling ${result.pollUs} µs`,
    ],
    ...result.subjects.flatMap((each): [string, string][] => [
      [each.name, each.description],
      ['its limit', limitOf(each)],
    ]),
  ];
  const rows = facts.map(([name, what]) => `<dt>${escaped(name)}</dt><dd>${escaped(what)}</dd>`);
  const title = result.title === '' ? 'Run' : result.title;
  return (
    `<div class="panel"><h3>${escaped(title)}</h3><dl>${rows.join('')}` +
    `<dt>command</dt><dd><code>${escaped(result.command)}</code></dd></dl></div>`
  );
}

// ---- Figures ------------------------------------------------------------------------------------

function tableSection(series: readonly Series[]): string {
  const several = series.length > 1;
  const rows = scenarioNames(series).flatMap((name) => {
    const found = series.flatMap((each, index) => {
      const result = resultsOf(each).find(({ scenario }) => scenario.name === name);
      return result === undefined ? [] : [{ each, index, result }];
    });
    return found.map(({ each, index, result }, row) =>
      tableRow(result, several ? { label: each.label, index } : null, row === 0),
    );
  });
  const subject = several ? '<th class="left">subject</th>' : '';
  return (
    '<h2>Results</h2><p class="soft">Medians of the rounds, with the least and the most beside ' +
    'the throughput. The limit is what the machine does for the same bytes without the work; of a ' +
    'given rate its share says how much was asked for. A share above 100 % says that something ' +
    'else ran while the limit was measured.</p>' +
    '<div class="panel scroll"><table class="figures"><thead><tr><th>scenario</th>' +
    `${subject}<th>a second</th><th>min – max</th><th>bandwidth</th><th>p50</th><th>p99</th>` +
    '<th>p99.9</th><th>target CPU per I/O</th><th>limit</th><th>share</th></tr></thead><tbody>' +
    `${rows.join('')}</tbody></table></div>`
  );
}

function tableRow(
  result: ScenarioResult,
  of: { label: string; index: number } | null,
  first: boolean,
): string {
  const { iops, limit, shareOfLimit } = result;
  const show = (value: Summary | null, how: (median: number) => string): string =>
    value === null ? '–' : escaped(how(value.median));
  const failure = result.rounds.find((round) => round.failure !== null)?.failure ?? null;
  const name = first ? escaped(result.scenario.name) : '';
  const wrong =
    failure === null ? '' : `<br><span class="worse">${escaped(failure.message)}</span>`;
  const subject =
    of === null
      ? ''
      : `<td class="left" style="color:${colourOf(of.index)}">${escaped(of.label)}</td>`;
  const spread = iops === null ? '–' : `${count(iops.min)} – ${count(iops.max)}`;
  const share = shareOfLimit === null ? '–' : shareBar(shareOfLimit.median);
  const cells = [
    show(iops, count),
    `<span class="soft">${spread}</span>`,
    show(result.bytesPerSecond, rate),
    show(result.p50Ns, time),
    show(result.p99Ns, time),
    show(result.p999Ns, time),
    show(result.targetCpuNsPerCommand, time),
    limit === null ? '–' : `<span title="${escaped(limit.what)}">${count(limit.perSecond)}</span>`,
    share,
  ];
  return (
    `<tr${first ? ' class="first"' : ''}><td class="name">${name}${wrong}</td>${subject}` +
    `${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`
  );
}

function shareBar(share: number): string {
  const shown = Math.min(100, 100 * share).toFixed(0);
  return `${percent(share)}<span class="share"><i style="width:${shown}%"></i></span>`;
}

// ---- Curves -------------------------------------------------------------------------------------

function curveSection(series: readonly Series[]): string {
  const charts = curveCharts(series);
  if (charts.length === 0) return '';
  return (
    '<h2>Latency over throughput</h2><p class="soft">Each dot is a depth: its throughput, and the ' +
    'latency that it costs. Full lines are p50, dashed ones p99. Down and to the right is better.</p>' +
    `<div class="grid2">${charts.map((each) => chartPanel(each, series)).join('')}</div>`
  );
}

function chartPanel({ title, svg, shown }: Chart, series: readonly Series[]): string {
  return `<div class="panel"><h3>${escaped(title)}</h3>${svg}${legendOf(shown, series)}</div>`;
}

function legendOf(shown: readonly Series[], series: readonly Series[]): string {
  if (series.length < 2) return '';
  return legend(shown.map((each) => ({ label: each.label, colour: series.indexOf(each) })));
}

function latencySection(series: readonly Series[]): string {
  const charts = distributionCharts(series);
  if (charts.length === 0) return '';
  return (
    '<h2>Latency distributions</h2><p class="soft">How many of the commands took no longer; of ' +
    'those beyond one mark a tenth lies beyond the next. A flat line is an even target.</p>' +
    `<div class="grid2">${charts.map((each) => chartPanel(each, series)).join('')}</div>`
  );
}

function cpuSection(series: readonly Series[]): string {
  const groups = scenarioNames(series).flatMap((name) => {
    const list = series.flatMap((each, colour) => {
      const result = resultsOf(each).find(({ scenario }) => scenario.name === name);
      const value = result?.targetCpuNsPerCommand?.median;
      return value === undefined ? [] : [{ label: each.label, value, text: time(value), colour }];
    });
    return list.length === 0 ? [] : [{ title: name, bars: list }];
  });
  if (groups.length === 0) return '';
  return (
    '<h2>CPU per I/O</h2><p class="soft">CPU time of the target’s whole process for each command. ' +
    'Where it polls, this is the time of a core divided by the commands.</p>' +
    `<div class="panel">${bars(groups)}${legendOf(series, series)}</div>`
  );
}

// ---- Comparison ---------------------------------------------------------------------------------

function comparisonSection(comparison: Comparison): string {
  const rows = comparison.scenarios.flatMap(({ scenario, changes }) =>
    changes.map((change, index) => {
      const { figure, ratio, low, high, verdict } = change;
      const shown = change.unit === 'ns' ? time : change.unit === 'share' ? percent : count;
      const end = Number.isFinite(high) ? high.toFixed(3) : '∞';
      return (
        `<tr${index === 0 ? ' class="first"' : ''}>` +
        `<td class="name">${index === 0 ? escaped(scenario) : ''}</td>` +
        `<td class="left">${escaped(figure)}</td><td>${shown(change.a)}</td>` +
        `<td>${shown(change.b)}</td><td>${ratio.toFixed(3)}</td>` +
        `<td class="soft">${low.toFixed(3)} – ${end}</td>` +
        `<td>${intervalMark(change, comparison.threshold, verdict)}</td>` +
        `<td class="left ${verdict}">${verdict}</td></tr>`
      );
    }),
  );
  const { a, b, seed, threshold, regressions, improvements } = comparison;
  return (
    `<h2>${escaped(b)} against ${escaped(a)}</h2><p class="soft">${regressions} worse, ` +
    `${improvements} better. Ratios of medians with bootstrap intervals of 95 % (seed ${seed}); a ` +
    `change counts when the whole interval is beyond ${percent(threshold)}.</p>` +
    '<div class="panel scroll"><table class="figures"><thead><tr><th>scenario</th>' +
    `<th class="left">figure</th><th>${escaped(a)}</th><th>${escaped(b)}</th><th>ratio</th>` +
    '<th>interval</th><th>less – more</th><th class="left">verdict</th></tr></thead><tbody>' +
    `${rows.join('')}</tbody></table></div>`
  );
}
