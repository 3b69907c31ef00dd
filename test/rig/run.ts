/**
 * The test runner: suites are child processes, as many at once as there are processors, each with
 * a log of its own and a watchdog. The last line is `N passed, N failed, N skipped`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { noteSuite, reportFolder, writeReliability } from './reliability.js';
import type { TestLine } from './reporter.js';
import { allSuites, matches, root, type Suite } from './suites.js';

const logs = path.join(root, '.cache/logs');
const reporter = path.join(root, '.build/test/rig/reporter.js');

const usage = `npm test -- [--only area[/name]]... [--suite debian] [--jobs n] [--reliability] [--list]

  --only kernel          one area (unit: every area without a word of its own)
  --only native/store    one suite; may be given several times
  --suite trixie         guests with that Debian's kernel and programs, and the suites for it alone
  --jobs n               suites at once; the number of processors when not given
  --reliability          rewrites test/RELIABILITY.md from the figures that the suites leave
  --list                 names the suites and runs none
`;

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  /** What to say about it under the suite's line. */
  notes: string[];
}

interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
}

const running = new Set<ChildProcess>();

function logFile(suite: Suite): string {
  return path.join(logs, `${suite.name.replaceAll('/', '-')}.log`);
}

/** Runs a suite to its end; everything that it writes goes into its log. */
function execute(suite: Suite): Promise<Ending> {
  const log = logFile(suite);
  const reporting =
    suite.kind === 'node'
      ? [
          ...[`--test-reporter=spec`, `--test-reporter-destination=stdout`],
          ...[`--test-reporter=${reporter}`, `--test-reporter-destination=${log}.lines`],
        ]
      : [];
  const guest = suite.guest === null ? {} : { ASHLAR_GUEST_SUITE: suite.guest };
  const output = fs.openSync(log, 'w');
  return new Promise((resolve, reject) => {
    const child = spawn(suite.command, [...reporting, ...suite.args], {
      cwd: root,
      stdio: ['ignore', output, output],
      env: { ...process.env, ASHLAR_REPORT_DIR: reportFolder, ...guest },
      // A group of its own, so that the watchdog ends what the suite has started as well.
      detached: true,
    });
    running.add(child);
    let timedOut = false;
    const watchdog = setTimeout(() => {
      timedOut = true;
      endGroup(child);
    }, suite.budgetMs);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(watchdog);
      // Whatever a suite leaves running is a mistake of the suite, but not one to trip over.
      endGroup(child);
      running.delete(child);
      fs.closeSync(output);
      resolve({ code, signal, timedOut });
    });
  });
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

function tallyNode(suite: Suite): Tally {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0, notes: [] };
  const file = `${logFile(suite)}.lines`;
  if (!fs.existsSync(file)) return tally;
  for (const text of fs.readFileSync(file, 'utf8').split('\n')) {
    if (text === '') continue;
    const line = JSON.parse(text) as TestLine;
    tally[line.outcome] += 1;
    const reason = line.reason.split('\n').slice(0, 12).join('\n      ');
    if (line.outcome !== 'passed') tally.notes.push(`${line.outcome}: ${line.name}: ${reason}`);
  }
  return tally;
}

/** doctest counts what the file filter leaves out as skipped, so that is asked for separately. */
function tallyDoctest(suite: Suite): Tally {
  const log = fs.readFileSync(logFile(suite), 'utf8');
  const tally: Tally = { passed: 0, failed: 0, skipped: 0, notes: [] };
  const counts = /test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed/.exec(log);
  if (counts === null) return tally;
  tally.passed = Number(counts[1]);
  tally.failed = Number(counts[2]);
  const count = (...more: string[]) => {
    const { stdout } = spawnSync(suite.command, [...suite.args, '--count', ...more]);
    return Number(/filters: (\d+)/.exec(stdout.toString())?.[1] ?? Number.NaN);
  };
  tally.skipped = count('--no-skip=true') - count();
  if (tally.skipped > 0) tally.notes.push(`skipped: ${tally.skipped} marked doctest::skip()`);
  for (const block of log.split(/^={60,}$/m)) {
    if (/ERROR|FATAL/.test(block)) tally.notes.push(block.trim().split('\n').join('\n      '));
  }
  return tally;
}

/** The figures of one suite. A suite that did not end well counts at least one failure. */
function tallyUp(suite: Suite, ending: Ending): Tally {
  const tally = suite.kind === 'node' ? tallyNode(suite) : tallyDoctest(suite);
  const broken = ending.timedOut
    ? `did not end within ${suite.budgetMs / 1000} s`
    : ending.signal !== null
      ? `ended by ${ending.signal}`
      : ending.code !== 0 && tally.failed === 0
        ? `ended with exit code ${ending.code}`
        : tally.passed + tally.failed + tally.skipped === 0
          ? 'ran no test'
          : null;
  if (broken !== null) {
    tally.failed += 1;
    const last = fs.readFileSync(logFile(suite), 'utf8').trimEnd().split('\n').slice(-15);
    tally.notes.push(`failed: the suite ${broken}; its log ends:\n      ${last.join('\n      ')}`);
  }
  return tally;
}

/** What brings a suite's guest back; empty for the one that there is without asking. */
function guestOption({ guest }: Suite): string {
  return guest === null || guest === 'default' ? '' : ` --suite ${guest}`;
}

async function runSuite(suite: Suite, total: Tally): Promise<void> {
  const started = Date.now();
  const ending = await execute(suite);
  const tally = tallyUp(suite, ending);
  total.passed += tally.passed;
  total.failed += tally.failed;
  total.skipped += tally.skipped;
  const seconds = (Date.now() - started) / 1000;
  const took = seconds.toFixed(1);
  if (tally.failed === 0) noteSuite(suite.name, guestOption(suite).trim(), tally.passed, seconds);
  const figures = [`${tally.passed} passed`];
  if (tally.failed > 0) figures.push(`${tally.failed} FAILED`);
  if (tally.skipped > 0) figures.push(`${tally.skipped} skipped`);
  process.stdout.write(`${suite.name.padEnd(32)} ${took.padStart(6)} s  ${figures.join(', ')}\n`);
  for (const note of tally.notes) process.stdout.write(`    ${note}\n`);
  if (tally.failed > 0) {
    process.stdout.write(`    log: ${path.relative(root, logFile(suite))}\n`);
    process.stdout.write(`    again: npm test -- --only ${suite.name}${guestOption(suite)}\n`);
  }
}

/** Starts suites in order, `jobs` at once; those that want to be alone come last, one by one. */
async function runAll(suites: Suite[], jobs: number, total: Tally): Promise<void> {
  const together = suites.filter((suite) => !suite.alone);
  const worker = async () => {
    for (let suite = together.shift(); suite !== undefined; suite = together.shift()) {
      await runSuite(suite, total);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  for (const suite of suites.filter((each) => each.alone)) await runSuite(suite, total);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      suite: { type: 'string', default: 'default' },
      jobs: { type: 'string' },
      reliability: { type: 'boolean' },
      list: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(usage);
    return;
  }
  const only = values.only ?? [];
  const all = allSuites(values.suite);
  const unknown = only.filter((wanted) => !all.some((suite) => matches(suite, wanted)));
  if (unknown.length > 0) {
    process.stderr.write(`no suite or area is called '${unknown.join("' or '")}'; try --list\n`);
    process.exitCode = 2;
    return;
  }
  const suites = all.filter(
    (suite) => only.length === 0 || only.some((wanted) => matches(suite, wanted)),
  );
  if (values.list === true) {
    process.stdout.write(suites.map((suite) => `${suite.name}\n`).join(''));
    return;
  }
  fs.rmSync(logs, { recursive: true, force: true });
  fs.mkdirSync(logs, { recursive: true });
  // A whole run leaves figures of itself alone; a part of one renews its own.
  if (only.length === 0) fs.rmSync(reportFolder, { recursive: true, force: true });
  fs.mkdirSync(reportFolder, { recursive: true });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      for (const child of running) endGroup(child);
      process.exit(130);
    });
  }
  const total: Tally = { passed: 0, failed: 0, skipped: 0, notes: [] };
  const jobs = Number(values.jobs ?? os.availableParallelism());
  await runAll(suites, Math.max(1, jobs), total);
  if (total.failed > 0) process.exitCode = 1;
  if (values.reliability === true) {
    if (total.failed === 0) writeReliability();
    else process.stdout.write('test/RELIABILITY.md stays as it is: a suite failed\n');
  }
  process.stdout.write(
    `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`,
  );
}

await main();
