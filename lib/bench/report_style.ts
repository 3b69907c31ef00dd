/** The look of the report: system fonts, light and dark by what the reader's system says. */

const colours = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --panel: #ffffff; --ink: #1b1f24; --soft: #5b6470; --rule: #dfe3e8;
  --good: #1a7f4b; --bad: #c0362c; --band: #e9edf2;
  --series-0: #1f6fb2; --series-1: #d1641b; --series-2: #2a8a5f; --series-3: #9a4fb0;
  --series-4: #a8851a; --series-5: #c23d63; --series-6: #2c8f9e; --series-7: #6b7280;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --panel: #1c2026; --ink: #e4e7eb; --soft: #9aa4b0; --rule: #303741;
    --good: #5ac18e; --bad: #f0837a; --band: #2a313a;
    --series-0: #6db3ee; --series-1: #f0a05f; --series-2: #66c79a; --series-3: #cd93de;
    --series-4: #dcbd58; --series-5: #ef8aa6; --series-6: #6fcbd8; --series-7: #a9b1bb;
  }
}
`;

const marks = `
.grid { stroke: var(--rule); stroke-width: 1; }
.tick { fill: var(--soft); font-size: 11px; }
.axis { fill: var(--soft); font-size: 12px; }
.note {
  fill: var(--soft); font-size: 10.5px; paint-order: stroke; stroke: var(--panel);
  stroke-width: 3px;
}
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
circle { stroke-width: 2; }
`;

/** Of a chart in a file of its own. */
export const chartStyle = `${colours}${marks}
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.ground { fill: var(--panel); stroke: var(--rule); }
.title { fill: var(--ink); font-size: 15px; font-weight: 600; }
.label { fill: var(--ink); font-size: 11.5px; }
`;

export const reportStyle = `${colours}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main { max-width: 1320px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 38px 0 10px; }
h3 { font-size: 15px; margin: 0 0 6px; font-weight: 600; }
p { margin: 4px 0 10px; }
.soft { color: var(--soft); }
.panel {
  background: var(--panel); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px;
}
.grid2 {
  display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr));
}
.failed { border-color: var(--bad); color: var(--bad); font-weight: 600; }
.scroll { overflow-x: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
code {
  font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere;
}
table { border-collapse: collapse; width: 100%; }
.figures th, .figures td {
  padding: 5px 8px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule);
}
.figures th { color: var(--soft); font-weight: 500; font-size: 13px; }
.figures th:first-child, .figures td:first-child, .figures .left { text-align: left; }
.figures td { font-variant-numeric: tabular-nums; }
.figures td.name { white-space: normal; min-width: 310px; }
.figures tr.first td { border-top: 1px solid var(--rule); }
.figures tbody tr:last-child td { border-bottom: 0; }
.share {
  display: inline-block; width: 70px; height: 8px; background: var(--band); border-radius: 4px;
  margin-left: 8px; overflow: hidden; vertical-align: middle;
}
.share i { display: block; height: 100%; background: var(--series-0); }
.chart { width: 100%; height: auto; display: block; }
${marks}
.legend {
  display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 6px 0 0; font-size: 13px;
  color: var(--soft);
}
.legend i {
  display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px;
  vertical-align: -1px;
}
.bars th {
  width: 34%; text-align: left; font-weight: 400; padding: 5px 14px 5px 0;
  vertical-align: middle;
}
.bars td { padding: 4px 0; border-bottom: 0; }
.bar { display: flex; align-items: center; gap: 8px; height: 18px; }
.bar i {
  display: block; height: 11px; border-radius: 3px; min-width: 2px;
  max-width: calc(100% - 80px);
}
.bar b {
  font-weight: 500; font-size: 12.5px; font-variant-numeric: tabular-nums; white-space: nowrap;
  color: var(--soft);
}
.interval { width: 180px; height: 18px; vertical-align: middle; }
.interval .band { fill: var(--band); }
.interval .one { stroke: var(--soft); stroke-width: 1; }
.interval .reach { stroke: var(--soft); stroke-width: 2; }
.interval circle { fill: var(--soft); stroke: none; }
.interval.better .reach { stroke: var(--good); } .interval.better circle { fill: var(--good); }
.interval.worse .reach { stroke: var(--bad); } .interval.worse circle { fill: var(--bad); }
.better { color: var(--good); font-weight: 600; } .worse { color: var(--bad); font-weight: 600; }
.same, .unclear { color: var(--soft); }
summary { cursor: pointer; font-weight: 600; margin: 0 0 10px; }
@media print { body { background: none; } .panel { break-inside: avoid; } }
`;
