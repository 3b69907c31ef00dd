/** `ashlar pool check --repair`: mends a pool that no daemon has. */
import { poolCheckObject } from '../api/handlers/pool_objects.js';
import { AshlarError } from '../errors.js';
import type { CheckProblem, RepairReport } from '../native.js';
import type { DaemonOptions } from './daemon.js';
import * as pool from './pool.js';
import { plural, printJson, printLines } from './terminal.js';

export interface CheckOptions extends DaemonOptions {
  repair?: boolean;
  dryRun?: boolean;
}

export async function checkPool(path: string | undefined, options: CheckOptions): Promise<void> {
  const dryRun = options.dryRun === true;
  if (options.repair !== true) {
    if (dryRun)
      throw new AshlarError('usage', '--dry-run goes with --repair; a check changes nothing');
    return pool.checkPool(path, options);
  }
  if (path === undefined) {
    throw new AshlarError(
      'usage',
      '--repair needs the path of a pool that no daemon has; stop the daemon and name it',
    );
  }
  const offline = await import('../node/pool_file.js');
  const report = await offline.repairPool(path, dryRun);
  if (options.json === true) printJson(repairObject(report));
  else printLines(repairLines(report, path, dryRun));
  refuseDamaged(report, path, dryRun);
}

/** What programs read. */
function repairObject(report: RepairReport): object {
  const problems = ({ where, what, repairable }: CheckProblem): object => ({
    where,
    what,
    repairable,
  });
  return {
    mendable: report.mendable,
    changed: report.changed,
    pagesWritten: Number(report.pagesWritten),
    found: { ...poolCheckObject(report.found), problems: report.found.problems.map(problems) },
    checked: {
      ...poolCheckObject(report.checked),
      problems: report.checked.problems.map(problems),
    },
  };
}

function repairLines(report: RepairReport, path: string, dryRun: boolean): string[] {
  const { found, checked } = report;
  const count = plural(problemCount(found), 'problem');
  if (found.problems.length === 0) return [`Nothing to repair: ${path} is clean.`];
  if (!report.mendable) {
    const lost = found.problems.filter(({ repairable }) => !repairable);
    const rest = found.problems.filter(({ repairable }) => repairable);
    return [
      `Cannot be repaired, nothing was changed: ${path} (${count}).`,
      ...list(lost, found.suppressed),
      ...(rest.length === 0 ? [] : ['These could be, if it were not for those above:']),
      ...list(rest, 0n),
    ];
  }
  if (dryRun)
    return [`Would be repaired: ${path} (${count}).`, ...list(found.problems, found.suppressed)];
  const mended = [`Repaired: ${path} (${count}).`, ...list(found.problems, found.suppressed)];
  if (problemCount(checked) === 0) return [...mended, 'Checked again: clean.'];
  return [...mended, 'Checked again, still wrong:', ...list(checked.problems, checked.suppressed)];
}

function list(problems: readonly CheckProblem[], suppressed: bigint): string[] {
  const lines = problems.map(({ where, what }) => `  ${where}: ${what}`);
  return suppressed === 0n ? lines : [...lines, `  and ${suppressed} more`];
}

function problemCount({ problems, suppressed }: RepairReport['found']): number {
  return problems.length + Number(suppressed);
}

function refuseDamaged(report: RepairReport, path: string, dryRun: boolean): void {
  const { found, checked } = report;
  if (!report.mendable) {
    const lost = found.problems.filter(({ repairable }) => !repairable).length;
    throw new AshlarError(
      'pool-corrupt',
      `${path} is damaged beyond repair in ${plural(lost, 'place')}; copy off what can be read and ` +
        'restore what is lost',
    );
  }
  if (dryRun && found.problems.length > 0) {
    throw new AshlarError(
      'pool-corrupt',
      `${path} is damaged; --repair without --dry-run mends it`,
    );
  }
  if (problemCount(checked) > 0) {
    throw new AshlarError('pool-corrupt', `${path} is still damaged after the repair`);
  }
}
