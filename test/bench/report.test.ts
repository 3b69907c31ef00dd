import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare } from '../../lib/bench/compare.js';
import { parseResult, resultText } from '../../lib/bench/files.js';
import { curveGroups, seriesOf } from '../../lib/bench/report_data.js';
import { htmlReport } from '../../lib/bench/report_html.js';
import { markdownReport } from '../../lib/bench/report_markdown.js';
import { pictures } from '../../lib/bench/report_svg.js';
import type { BenchResult } from '../../lib/bench/results.js';
import { defaultSweep, planSweep } from '../../lib/bench/scenarios.js';
import { AshlarError } from '../../lib/errors.js';
import { sampleResult, someScenarios } from './samples.js';

const options = { seed: 1, threshold: 0.03 };

function both(): { result: BenchResult; html: string; markdown: string } {
  const result = sampleResult({ iops: { spdk: 120_000, self: 100_000 }, limit: 150_000 });
  const comparison = compare(
    { label: 'spdk', result, subject: 'spdk' },
    { label: 'self', result, subject: 'self' },
    options,
  );
  return {
    result,
    html: htmlReport([result], [comparison]),
    markdown: markdownReport([result], [comparison]),
  };
}

test('HTML: one page that loads nothing from anywhere', () => {
  const { html } = both();
  assert.doesNotMatch(html, /\b(?:src|href|srcset|action|data)\s*=/i);
  assert.doesNotMatch(html, /url\(|@import|<(?:script|link|iframe|img|object|embed)\b|https?:/i);
  assert.match(html, /^<!doctype html>/);
});

test('HTML: every scenario and subject, curves, distributions, CPU and the comparison', () => {
  const { html } = both();
  for (const { name } of someScenarios) assert.ok(html.includes(name), name);
  for (const heading of [
    'Results',
    'Latency over throughput',
    'Latency distributions',
    'CPU per I/O',
    'self against spdk',
  ]) {
    assert.ok(html.includes(`<h2>${heading}</h2>`), heading);
  }
  assert.ok(html.includes('loopback TCP'), 'the limit is named');
  assert.ok(html.includes('prefers-color-scheme: dark'));
  assert.doesNotMatch(html, /NaN|undefined|Infinity/);
});

test('HTML: every element is closed', () => {
  const { html } = both();
  const open: string[] = [];
  const single = new Set(['meta', 'br', 'line', 'rect', 'path', 'circle']);
  for (const [, slash, name = '', rest = ''] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)([^>]*)>/g)) {
    if (slash === '/') assert.equal(open.pop(), name);
    else if (!rest.endsWith('/') && !single.has(name)) open.push(name);
    else if (name === 'circle' && !rest.endsWith('/')) open.push(name);
  }
  assert.deepEqual(open, []);
});

test('names become neither markup nor table cells', () => {
  const nasty = '<script>alert(1)</script>|`"';
  const result = sampleResult({ title: nasty, iops: { [nasty]: 1000 } });
  const html = htmlReport([result], []);
  assert.ok(!html.includes('<script'));
  assert.ok(html.includes('&lt;script&gt;'));
  const rows = markdownReport([result], [])
    .split('\n')
    .filter((line) => line.includes('script') && line.startsWith('| '));
  for (const row of rows) {
    assert.doesNotMatch(row, /(?<!\\)</);
    assert.ok([10, 12].includes(row.replaceAll('\\|', '').split('|').length), row);
  }
});

test('a failed run: the report says so, and shows what was measured', () => {
  const result = sampleResult({ iops: { self: 1000 } });
  const failure = {
    ...{ kind: 'lost' as const, code: 'connection-lost', op: 'read' as const },
    ...{ nsid: 1, lba: 77, queue: 2, message: 'read of LBA 77 of namespace 1 on queue 2: lost' },
    ...{ scenario: someScenarios[0]?.name ?? null, subject: 'self' },
  };
  const failed: BenchResult = { ...result, complete: false, failure };
  assert.ok(htmlReport([failed], []).includes('read of LBA 77 of namespace 1 on queue 2'));
  assert.ok(markdownReport([failed], []).includes('read of LBA 77 of namespace 1 on queue 2'));
});

test('a report of nothing measured is still a page', () => {
  const result = { ...sampleResult({ iops: { self: 1000 } }), results: [] };
  assert.match(htmlReport([result], []), /<h2>Results<\/h2>/);
  assert.match(markdownReport([result], []), /## Results/);
});

test('result files: read as written; another file is refused by name', () => {
  const result = sampleResult({ iops: { self: 1000 } });
  assert.deepEqual(parseResult(resultText(result), 'x'), result);
  for (const text of [
    '',
    '{',
    '[]',
    '{"format":"ashlar-bench-2"}',
    '{"format":"ashlar-bench-1"}',
  ]) {
    assert.throws(
      () => parseResult(text, 'run.json'),
      (error) =>
        error instanceof AshlarError &&
        error.code === 'invalid-argument' &&
        error.message.startsWith("run.json is not a result of 'ashlar bench'"),
    );
  }
});

test('pictures: each is one SVG file that needs nothing else, and is small', () => {
  const { result } = both();
  const files = pictures([result]);
  const names = files.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const name of ['limit.svg', 'cpu.svg', 'latency-4-kib-random-read.svg']) {
    assert.ok(names.includes(name), name);
  }
  for (const { name, svg } of files) {
    assert.match(name, /^[a-z0-9-]+\.svg$/);
    assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    assert.doesNotMatch(svg, /NaN|undefined|Infinity|\b(?:href|src)\s*=|url\(|@import|<script/);
    assert.ok(svg.includes('prefers-color-scheme: dark'));
    assert.ok(svg.length < 40_000, `${name}: ${svg.length}`);
  }
});

test('curves: queues and rates do not mix with depths in one line', () => {
  const queues = planSweep({ ...defaultSweep, readPercents: [100], queues: [1, 8] });
  const rates = planSweep({
    ...{ ...defaultSweep, readPercents: [100], depths: [128] },
    rates: [10_000, 20_000],
  });
  const many = planSweep({
    ...{ ...defaultSweep, readPercents: [0], depths: [32] },
    queues: [1, 2, 4],
  });
  const result = sampleResult({ iops: { self: 1000 }, scenarios: [...queues, ...rates, ...many] });
  const groups = curveGroups(seriesOf([result]));
  assert.deepEqual(
    groups.map(({ title, curves }) => [title, curves[0]?.points.map(({ at }) => at)]),
    [
      ['4 KiB random read', ['1', '32', '128']],
      ['4 KiB random read, 8 queues', ['8 × 1', '8 × 32', '8 × 128']],
      ['4 KiB random read, at given rates', ['10000/s', '20000/s']],
      ['4 KiB random write, by queues', ['32', '2 × 32', '4 × 32']],
    ],
  );
});
