/** test/RELIABILITY.md: the promises, the suites that defend them, and their last figures. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { SuiteReport } from './report.js';
import { root } from './suites.js';

/** Where suites leave their figures, unless ASHLAR_REPORT_DIR says otherwise. */
export const reportFolder = process.env['ASHLAR_REPORT_DIR'] ?? path.join(root, '.cache/reports');
const page = path.join(root, 'test/RELIABILITY.md');

interface Promised {
  text: string;
  /** What is still missing; null when its suites are all there. */
  missing: string | null;
}

const promised: Record<string, Promised> = {
  P1: {
    text:
      'Durable means durable: after a successful Flush, or a Write with FUA, or any Write to a pool ' +
      'that writes through, the data survives the end of the process and a power loss in which the ' +
      'device drops, reorders or tears its unflushed writes at 512 bytes.',
    missing: null,
  },
  P2: {
    text:
      'No third value: after any crash each block holds its last durable value or one written later; ' +
      "never an older one, never another block's or volume's, and never a mixture within the atomic " +
      'write unit that the namespace reports.',
    missing: null,
  },
  P3: {
    text:
      'Unwritten and deallocated blocks read as zeroes. Nobody ever sees the bytes of another tenant, ' +
      'in chunks that were freed and used again least of all.',
    missing: null,
  },
  P4: {
    text:
      'A snapshot is one instant and never changes. Create, delete, clone, rollback and resize happen ' +
      'whole or not at all, across crashes.',
    missing: null,
  },
  P5: {
    text:
      'A corrupted block of metadata (a flipped byte, a stale copy, a misdirected write) is detected ' +
      'and reported, never believed.',
    missing: null,
  },
  P6: {
    text:
      'A failed flush or journal write stops acknowledgements at once. Nothing is retried into a false ' +
      'success.',
    missing: null,
  },
  P7: {
    text:
      'No byte stream from a peer crashes, hangs or grows the target. That connection ends with the ' +
      'right fatal error status; the others go on.',
    missing: null,
  },
  P8: {
    text:
      'With one usable path left the host sees no I/O error. No command of a dead association is ' +
      'applied after a new one has begun.',
    missing:
      'paths over several nodes, which are not there yet. The second half is defended for one node.',
  },
  P9: {
    text:
      'An acknowledged write is on every replica that is in sync; there is one writer in an epoch; ' +
      'after a resync replicas are equal, block for block.',
    missing: 'replication itself, and so every suite for it.',
  },
  P10: {
    text: 'When faults stop, I/O resumes within a stated time.',
    missing:
      'a stated time for a fault of the pool; and KATO + 1 s for silence on a path, for which ' +
      'Linux 6.1 takes up to 2.5 KATO + 3 s, whatever the target does.',
  },
  P11: {
    text:
      'Calls of the control plane and of CSI are idempotent: safe to repeat, to reorder, to run at once, or to be ' +
      'cut off anywhere.',
    missing: null,
  },
  P12: {
    text: 'Memory, descriptors and queues are bounded by configuration. Overload slows; it fails nothing.',
    missing: null,
  },
  P13: {
    text:
      'A limit holds over all queues and reactors, and no tenant waits behind more of another than ' +
      'the share that its weight gives that one.',
    missing:
      'a bound for what is in the kernel: sockets and their copies are not shared by weight.',
  },
};

/** Suites that keep no figures of their own: the runner counts their scenarios. */
const counted: Record<string, string[]> = {
  'native/target': ['P7', 'P8', 'P12', 'P13'],
  'native/tcp': ['P7'],
  'native/host': ['P7', 'P8'],
  'protocol/framing': ['P7'],
  'protocol/commands': ['P7'],
  'protocol/hostile': ['P7', 'P12'],
  'kernel/kernel': ['P1', 'P8', 'P10'],
  'daemon/stall': ['P10', 'P12'],
  'daemon/hostile_api': ['P7', 'P12'],
  'daemon/full_disk': ['P12'],
  'node/restart': ['P10', 'P11'],
  'volumes/model': ['P11'],
  'kernel/csi': ['P8', 'P10', 'P11'],
  'csi/cuts': ['P11'],
  'csi/node_cuts': ['P11'],
  'csi/sequences': ['P11'],
};

/**
 * A suite ended without a failure: its figures, when it has promises and writes none itself.
 * `guest` is the option that it ran with, or nothing.
 */
export function noteSuite(name: string, guest: string, passed: number, seconds: number): void {
  const promises = counted[name];
  if (promises === undefined) return;
  const report: SuiteReport = {
    suite: guest === '' ? name : `${name} ${guest}`,
    promises,
    counts: { scenarios: passed },
    seconds,
    seed: '',
  };
  const file = path.join(reportFolder, `${report.suite.replaceAll(/[/ ]+/g, '-')}.json`);
  fs.writeFileSync(file, `${JSON.stringify(report)}\n`);
}

interface Figures extends SuiteReport {
  /** When the suite left them. */
  day: string;
}

function readFigures(): Figures[] {
  return fs
    .readdirSync(reportFolder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      const place = path.join(reportFolder, file);
      const report = JSON.parse(fs.readFileSync(place, 'utf8')) as SuiteReport;
      return { ...report, day: fs.statSync(place).mtime.toISOString().slice(0, 10) };
    })
    .sort((a, b) => a.suite.localeCompare(b.suite));
}

function git(...args: string[]): string {
  const { stdout, status } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : '';
}

function inWords({ counts, seconds }: SuiteReport): string {
  const figures = Object.entries(counts).map(([name, value]) => {
    return `${value.toLocaleString('en-US')} ${name}`;
  });
  const [first] = Object.values(counts);
  const rate = first === undefined || seconds < 0.1 ? 0 : Math.round(first / seconds);
  return figures.join(', ') + (rate >= 100 ? ` (${rate.toLocaleString('en-US')} a second)` : '');
}

function row(cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

/** Rewrites the page from what the suites have left. */
export function writeReliability(): void {
  const figures = readFigures();
  const commit = git('rev-parse', '--short', 'HEAD');
  const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ', changed';
  const promises = Object.entries(promised).flatMap(([name, { text, missing }]) => {
    const suites = figures.filter((each) => each.promises.includes(name));
    const defended = suites.map(({ suite }) => suite).join(', ');
    return [
      `**${name}.** ${text}`,
      '',
      defended === '' ? 'Defended by: nothing yet.' : `Defended by: ${defended}.`,
      ...(missing === null ? [] : [`Missing: ${missing}`]),
      '',
    ];
  });
  const lines = [
    '# Reliability',
    '',
    'What Ashlar promises, and the suites that would notice if a promise were broken. `npm run',
    'reliability` runs them and writes this page; nothing in it is typed. The last figures are of',
    `commit ${commit || 'unknown'}${changed}.`,
    '',
    '## Promises',
    '',
    ...promises,
    '## Figures',
    '',
    'The same seed replays a suite: `ASHLAR_SEED=… npm test -- --only …`. `ASHLAR_SOAK=50` makes those',
    'that have a budget run fifty times as long.',
    '',
    row(['suite', 'promises', 'figures', 'seconds', 'seed', 'day']),
    row(['---', '---', '---', '---', '---', '---']),
    ...figures.map((each) =>
      row([
        ...[each.suite, each.promises.join(' '), inWords(each)],
        ...[each.seconds.toFixed(1), each.seed === '' ? '–' : each.seed, each.day],
      ]),
    ),
    '',
    '## Limits',
    '',
    'Power loss is simulated, and the kernel host is emulated. What `kill -9` must not lose lies in',
    'the page cache of the machine: only a process can die so, not a kernel. A seed repeats the choices',
    'of a suite with real processes, not its moments.',
    '',
  ];
  fs.writeFileSync(page, lines.join('\n'));
}
