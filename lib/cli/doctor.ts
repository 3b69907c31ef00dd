/** `ashlar doctor`: findings for people and for programs. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { loadConfig } from '../config/load.js';
import { ownFolder, serviceConfig } from '../config/places.js';
import { wrap } from '../config/wrap.js';
import {
  countLevels,
  examineHost,
  examineTarget,
  type Finding,
  judgeHost,
  judgeTarget,
  type Level,
  type TargetFacts,
} from '../doctor/doctor.js';
import { toAshlarError } from '../errors.js';
import { type DaemonOptions, socketOf } from './daemon.js';
import { plural, printJson, printLines, terminalWidth } from './terminal.js';

export interface DoctorOptions extends DaemonOptions {
  host?: boolean;
  config?: string;
}

/** As monitoring plug-ins have it: 0 fine, 1 warnings, 2 failures. */
export async function doctor(options: DoctorOptions): Promise<number> {
  const began = performance.now();
  const findings =
    options.host === true
      ? judgeHost(await examineHost())
      : judgeTarget(await examineTarget(await examined(options)));
  const counts = countLevels(findings);
  if (options.json === true) printJson({ summary: counts, findings });
  else printLines(report(findings, counts, performance.now() - began));
  return counts.fail > 0 ? 2 : counts.warn > 0 ? 1 : 0;
}

/**
 * The configuration of the daemon that is meant: a file that is named; of an installed service its
 * own, unless there is a daemon's folder where the command runs; what `ashlar serve` has otherwise.
 */
export async function examined(
  options: Pick<DoctorOptions, 'socket' | 'config'>,
): Promise<{ socket: string; config: TargetFacts['config'] }> {
  const installed = !existsSync(ownFolder) && existsSync(serviceConfig);
  const file = options.config ?? (installed ? serviceConfig : null);
  const environment = installed
    ? { STATE_DIRECTORY: '/var/lib/ashlar', RUNTIME_DIRECTORY: '/run/ashlar' }
    : process.env;
  const rest = { flags: {}, flagNames: new Map<string, string>(), cwd: process.cwd(), environment };
  const load = async (from: string | null): Promise<TargetFacts['config']> => ({
    file: from === null ? null : resolve(from),
    config: await loadConfig({ ...rest, file: from }),
    problem: null,
  });
  const config = await load(file).catch(async (thrown: unknown) => ({
    ...(await load(null)),
    file,
    problem: toAshlarError(thrown).message,
  }));
  const told = options.socket ?? process.env.ASHLAR_SOCKET ?? '';
  return {
    socket: told === '' && file !== null ? config.config.api.socket : socketOf(options),
    config,
  };
}

// ---- For people ---------------------------------------------------------------------------------

/** The worst comes last: it is what stands above the prompt. */
const order: readonly Level[] = ['ok', 'unknown', 'warn', 'fail'];
const marks: Readonly<Record<Level, string>> = {
  ok: ' ok ',
  unknown: '  ? ',
  warn: 'WARN',
  fail: 'FAIL',
};
const colours: Readonly<Record<Level, string>> = {
  ok: '32',
  unknown: '2',
  warn: '33;1',
  fail: '31;1',
};

function report(
  findings: readonly Finding[],
  counts: Record<Level, number>,
  tookMs: number,
): string[] {
  const width = Math.max(40, terminalWidth() ?? 100);
  const subject = Math.max(...findings.map((finding) => finding.subject.length));
  const lines = order.flatMap((level) =>
    findings
      .filter((finding) => finding.level === level)
      .flatMap((finding) => findingLines(finding, subject, width)),
  );
  return [...lines, '', summary(counts, tookMs)];
}

function findingLines(finding: Finding, subjectWidth: number, width: number): string[] {
  const { level, subject, found, why, fix } = finding;
  const column = marks.ok.length + 2 + subjectWidth + 2;
  const room = Math.max(24, Math.min(width, 110) - column);
  const indent = ' '.repeat(column);
  const [first = '', ...more] = wrap(plain(found), room);
  const head = `${coloured(marks[level], colours[level])}  ${subject.padEnd(subjectWidth)}  ${first}`;
  const lines = [head, ...more.map((line) => indent + line)];
  if (why === '') return lines;
  return [
    '',
    ...lines,
    ...wrap(why, room).map((line) => indent + line),
    // A command is never broken: it is there to be copied.
    ...fix.map((line) => `${indent}${coloured(`→ ${plain(line)}`, '1')}`),
  ];
}

function summary(counts: Record<Level, number>, tookMs: number): string {
  const parts = [
    ...(counts.fail > 0 ? [coloured(plural(counts.fail, 'failure'), colours.fail)] : []),
    ...(counts.warn > 0 ? [coloured(plural(counts.warn, 'warning'), colours.warn)] : []),
    `${counts.ok} fine`,
    ...(counts.unknown > 0 ? [`${counts.unknown} not known`] : []),
  ];
  return `${hostname()}: ${parts.join(', ')}. Nothing was changed. ${Math.round(tookMs)} ms`;
}

function coloured(text: string, code: string): string {
  const wanted = process.stdout.isTTY && (process.env.NO_COLOR ?? '') === '';
  return wanted ? `\x1b[${code}m${text}\x1b[0m` : text;
}

/** What files hold may hold control characters; a terminal must not see them. */
function plain(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?');
}
