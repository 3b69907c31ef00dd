/**
 * The dashboard and the alert rules of deploy/ against what a daemon really says: every metric and
 * label that they name is in a scrape, and promtool takes rules and scrape.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Metrics } from '../../lib/metrics/metrics.js';
import type { Node } from '../../lib/node/types.js';
import { connect, gib, hostNqn, noneConnected, open } from '../node/bench.js';
import { Exposition } from './exposition.js';

const root = process.cwd();
const dashboard = path.join(root, 'deploy/grafana/ashlar.json');
const rules = path.join(root, 'deploy/prometheus/alerts.yaml');

/** What Prometheus adds to every series, and what it says of its own about a scrape. */
const ofPrometheus = { labels: ['instance', 'job'], metrics: ['up'] };
/** Values of labels that rules ask for, and that exist only once something went wrong. */
const onlyWhenWrong: Readonly<Record<string, string>> = {
  'reason=keep-alive-expired': 'a host fell silent',
  'reason=transport-error': 'a host lost its connection',
};

// ---- What is named ------------------------------------------------------------------------------

/** Words of PromQL that are followed by labels or stand where a metric could. */
const words = new Set([
  'by',
  'without',
  'on',
  'ignoring',
  'group_left',
  'group_right',
  'and',
  'or',
]);

interface Named {
  /** The expression, for the message of a failure. */
  expression: string;
  metrics: string[];
  /** Labels by which it selects or sums, and those that its text shows. */
  labels: string[];
  /** `label=value` for each value that it asks for. */
  values: string[];
}

/** @param text in which labels are shown, as `{{label}}` or `{{ $labels.label }}`. */
function namedIn(expression: string, text: string): Named {
  const labels: string[] = [];
  const values: string[] = [];
  for (const [, list = ''] of expression.matchAll(/\{([^}]*)\}/g)) {
    for (const [, label = '', , value = ''] of list.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)) {
      labels.push(label);
      if (!value.startsWith('$'))
        values.push(...value.split('|').map((each) => `${label}=${each}`));
    }
  }
  for (const [, list = ''] of expression.matchAll(/\b(?:by|without|on)\s*\(([^)]*)\)/g)) {
    labels.push(...list.split(',').map((label) => label.trim()));
  }
  for (const [, label = ''] of text.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)) {
    labels.push(label);
  }
  const bare = expression
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]|"[^"]*"/g, '')
    .replaceAll(/\b(?:by|without|on)\s*\([^)]*\)/g, '');
  const metrics = [...bare.matchAll(/\b[a-z_][a-z0-9_]*\b(?!\s*\()/g)]
    .map(([name]) => name)
    .filter((name) => !words.has(name));
  return { expression, metrics, labels, values };
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

function inDashboard(): Named[] {
  const found: Named[] = [];
  const walk = (value: Json): void => {
    if (Array.isArray(value)) {
      for (const each of value) walk(each);
      return;
    }
    if (typeof value !== 'object' || value === null) return;
    const { expr, legendFormat, query } = value;
    if (typeof expr === 'string') found.push(namedIn(expr, String(legendFormat ?? '')));
    const choices = /^label_values\((\w+), (\w+)\)$/.exec(typeof query === 'string' ? query : '');
    if (choices !== null) found.push(namedIn(String(choices[1]), `{{${choices[2]}}}`));
    for (const each of Object.values(value)) walk(each);
  };
  walk(JSON.parse(fs.readFileSync(dashboard, 'utf8')) as Json);
  return found;
}

/** The rules are ours, in one form: no YAML reader is needed for it. */
function inRules(): Named[] {
  const parts = fs
    .readFileSync(rules, 'utf8')
    .split(/^ {6}- alert: /m)
    .slice(1);
  return parts.map((part) => {
    const expression = /^ {8}expr: (?:>\n((?: {10}.*\n)+)|(.*)\n)/m.exec(part);
    assert.ok(expression !== null, part);
    return namedIn(expression[1] ?? expression[2] ?? '', part);
  });
}

// ---- What there is ------------------------------------------------------------------------------

let text = '';
let scraped: Exposition;

/** Everything that a node does without an error: volumes, a host that came and went, a job. */
async function live(node: Node): Promise<void> {
  await node.tenants.create('acme');
  await node.volumes.create({ name: 'v', sizeBytes: gib }, { tenant: 'acme' });
  await node.volumes.create({ name: 'w', sizeBytes: gib, hosts: [hostNqn('h')] });
  await node.snapshots.create('w', 'noon');
  {
    await using host = await connect(node, 'h');
    await (await host.namespace(1)).write(0n, new Uint8Array(4096));
  }
  await noneConnected(node);
  for (const end of ['succeed', 'fail'] as const) {
    const title = `a job that is to ${end}`;
    const about = { kind: 'export', title, tenant: null, owner: 'test' } as const;
    const job = node.jobs.open({ ...about, cancellable: false });
    if (end === 'succeed') job.succeed(null);
    else job.fail(new Error('as it should'));
  }
}

before(async () => {
  await using node = await open();
  using metrics = new Metrics({ node, volumes: 10 });
  await live(node);
  // How late the event loop was is known from a later scrape on, when its timer has run.
  do {
    text = (await metrics.scrape(null)).body.toString();
    await new Promise(setImmediate);
  } while (!text.includes('ashlar_event_loop_lag_seconds{'));
  scraped = new Exposition(text);
});

test('dashboard and rules: every metric that they name is scraped, with the labels that they use', () => {
  const all = [...inDashboard(), ...inRules()];
  assert.ok(all.length > 40, `${all.length} expressions`);
  const wrong: string[] = [];
  for (const { expression, metrics, labels, values } of all) {
    const own = metrics.filter((name) => !ofPrometheus.metrics.includes(name));
    assert.ok(metrics.length > 0, `no metric in: ${expression}`);
    const series = own.flatMap((name) => {
      const found = scraped.find(name);
      if (found.length === 0) wrong.push(`${name} is not scraped: ${expression}`);
      return found;
    });
    for (const label of labels) {
      if (ofPrometheus.labels.includes(label) || series.length === 0) continue;
      // Each of them has it, so that no sum over it is silently over nothing.
      const without = own.filter((name) =>
        scraped.find(name).some((each) => !(label in each.labels)),
      );
      for (const name of without) wrong.push(`${name} has no label ${label}: ${expression}`);
    }
    for (const value of values) {
      const [label = '', asked] = value.split('=');
      if (ofPrometheus.labels.includes(label) || onlyWhenWrong[value] !== undefined) continue;
      if (!series.some((each) => each.labels[label] === asked)) {
        wrong.push(`no series has ${value}: ${expression}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test('values that rules wait for are those that native code knows', () => {
  const source = fs.readFileSync(path.join(root, 'lib/native/target.ts'), 'utf8');
  for (const [value, when] of Object.entries(onlyWhenWrong)) {
    const [, reason = ''] = value.split('=');
    assert.ok(source.includes(`'${reason}'`), `${value}: ${when}`);
  }
});

// ---- promtool -----------------------------------------------------------------------------------

const unpacked = path.join(root, '.cache/prometheus');
const promtool =
  [
    path.join(unpacked, 'promtool'),
    ...(process.env['PATH'] ?? '').split(':').map((place) => path.join(place, 'promtool')),
  ].find((file) => fs.existsSync(file)) ?? null;

function whyNot(): string | false {
  if (promtool !== null) return false;
  const reason = path.join(unpacked, 'missing');
  const why = fs.existsSync(reason)
    ? fs.readFileSync(reason, 'utf8').trim()
    : 'npm test fetches it';
  return `promtool is not there (${why}): rules and scrape go unchecked by Prometheus itself`;
}

async function run(args: string[], input = ''): Promise<{ code: number | null; output: string }> {
  const child = spawn(promtool ?? '', args, { cwd: path.dirname(rules) });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      output += piece;
    });
  }
  child.stdin.on('error', () => undefined).end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

const skip = whyNot();

test('promtool: the rules are valid, and their tests pass', { skip }, async () => {
  for (const args of [
    ['check', 'rules', rules],
    ['test', 'rules', path.join(path.dirname(rules), 'alerts_test.yaml')],
  ]) {
    const { code, output } = await run(args);
    assert.equal(code, 0, output);
    assert.match(output, /SUCCESS/);
  }
});

test('promtool: a real scrape has nothing to complain about', { skip }, async () => {
  const { code, output } = await run(['check', 'metrics'], text);
  assert.equal(output, '');
  assert.equal(code, 0);
});

test('promtool: expressions of the dashboard are valid', { skip }, async () => {
  const groups = inDashboard().map(({ expression }, at) => {
    // What Grafana puts in.
    const expr = expression.replaceAll('$__rate_interval', '5m').replaceAll(/\$\w+/g, '.*');
    return { record: `dashboard:expression_${at}`, expr };
  });
  const file = path.join(folder, 'dashboard.yaml');
  // JSON is YAML too.
  fs.writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: groups }] }));
  const { code, output } = await run(['check', 'rules', file]);
  assert.equal(code, 0, output);
});

const folder = fs.mkdtempSync(path.join(process.env['TMPDIR'] ?? '/tmp', 'ashlar-promtool-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));
