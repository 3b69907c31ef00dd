/**
 * `npm run bench`: the standard set, and its report, in ten minutes at most.
 *
 * `npm run bench -- [standard|side-by-side|run|idle|cache-lines|store|hostile] [--seconds N]
 * [--json] [--only SCENARIO]`: see their own files. `--only`, again for each: of those of `store`.
 *
 * `npm run bench -- [first-writes|file-pool|plain-memory|digests] [--seconds N] [--rounds N] [--path
 * FOLDER]`: two subjects in turn, and the ratio that is wanted of them. `--path`: where files are
 * made, on the file system to measure; else where temporary ones are.
 *
 * `npm run bench -- qos [--seconds N] [--rounds N] [--only limits|unlimited|neighbours]`: whether
 * limits are held, and what a quiet tenant feels of a noisy one; twelve minutes.
 *
 * `npm run bench -- limits [--seconds N] [--path FILE [--overwrite]]`: what the machine allows.
 *
 * `npm run bench -- instructions [--write] [--profile ROW] [--json]`: what an I/O costs, against the
 * budget; `--write` renews that, `--profile` says which functions a row's cost is in.
 */
import { availableParallelism, tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import type { BenchResult, Scenario, ScenarioResult, Summary } from '../lib/bench/results.js';
import type { RunEvent } from '../lib/bench/run.js';
import { defaultSweep, standardSet } from '../lib/bench/scenarios.js';
import { BenchLive } from '../lib/cli/bench_live.js';
import { measureCacheLines } from './cache_lines.js';
import { measureDigests } from './digests.js';
import { measureFilePool } from './file_pool.js';
import { measureFirstWrites } from './first_writes.js';
import { measureHostile } from './hostile.js';
import { measureIdle } from './idle.js';
import {
  countInstructions,
  type InstructionRow,
  judgeRow,
  readBudget,
  readProfile,
  writeBudget,
} from './instructions.js';
import { type DeviceLimit, Limits, measureLimits, type TcpLimit } from './limits.js';
import { checkout, Loopback, type MachineState } from './machine.js';
import type { Row } from './pairs.js';
import { measurePlainMemory } from './plain_memory.js';
import { measureQos } from './qos.js';
import { type Figure, runBench } from './run.js';
import { runSideBySide, sideBySideSet } from './side_by_side.js';
import { spdkProgram } from './spdk.js';
import { runStandard, writeReport } from './standard.js';
import { benchStore } from './store.js';
import type { PairedOptions } from './subjects.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string' },
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    write: { type: 'boolean', default: false },
    profile: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    path: { type: 'string' },
    overwrite: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => {
  if (!values.json) console.log(line);
};
const json = (value: unknown): void => {
  if (!values.json) return;
  const plain = (_: string, member: unknown): unknown =>
    typeof member === 'bigint' ? Number(member) : member;
  console.log(JSON.stringify(value, plain, 2));
};

const columns = [34, 6, 6, 10, 9, 9, 9, 8, 8, 10, 12];
const row = (cells: readonly string[]): string =>
  cells
    .map((cell, i) => (i === 0 ? cell.padEnd(columns[i] ?? 0) : cell.padStart(columns[i] ?? 0)))
    .join('');

function machine(name: string, state: MachineState): string {
  return (
    `${name}: ${state.cpuModel}, ${state.cpus} CPUs, Linux ${state.kernel}, ` +
    `${state.congestionControl}, load ${state.loadAverage.toFixed(2)}, ` +
    `cache-line round trip ${state.cacheLineNs.toFixed(0)} ns`
  );
}

/** Commands for each second of CPU time that the daemon took: what is left when others compete. */
function perCore(figure: Figure): number {
  return figure.iops / (figure.targetCpuPercent / 100);
}

function figureRow(figure: Figure): string {
  const line = row([
    figure.name,
    String(figure.queues),
    String(figure.depth),
    figure.iops.toFixed(0),
    figure.megabytesPerSecond.toFixed(0),
    figure.p50Us.toFixed(0),
    figure.p99Us.toFixed(0),
    `${figure.targetCpuPercent.toFixed(0)}%`,
    `${figure.hostCpuPercent.toFixed(0)}%`,
    perCore(figure).toFixed(0),
    figure.loopback === null ? '' : figure.loopback.toFixed(0),
  ]);
  return figure.errors === 0n ? line : `${line}  ${figure.errors} errors: ${figure.firstError}`;
}

/** The host's reactor gets the first CPU, the target's the second. */
const cpus = { hostCpu: 0, targetCpu: Math.min(1, availableParallelism() - 1) };

async function run(): Promise<void> {
  const durationMs = Number(values.seconds ?? 3) * 1000;
  say('Memory pool, one reactor on one CPU; our own host on another; everything over loopback.');
  say(
    row([
      'scenario',
      'queues',
      'depth',
      'IOPS',
      'MB/s',
      'p50 us',
      'p99 us',
      'target',
      'host',
      'per core',
      'plain TCP/s',
    ]),
  );
  const report = await runBench({ root: checkout(), durationMs, ...cpus }, (figure) => {
    say(figureRow(figure));
  });
  say('');
  say(machine('before', report.before));
  say(machine('after ', report.after));
  if (report.before.loadAverage > 1 || report.after.loadAverage > 1) {
    say('Other work ran beside this: only "per core" compares with other runs.');
  }
  const { reads, writes, wanted } = report.best;
  const verdict = (value: number): string =>
    `${value.toFixed(0)} a second, ${value > wanted ? 'more' : 'NOT MORE'} than ${wanted}`;
  say(`4 KiB random reads on one reactor core:      ${verdict(reads)}`);
  say(`4 KiB random overwrites on one reactor core: ${verdict(writes)}`);
  json(report);
}

async function hostile(): Promise<void> {
  const durationMs = Number(values.seconds ?? 2) * 1000;
  const report = await measureHostile(cpus, { turns: 9, durationMs, perSecond: 500 });
  const { quiet, hostile: beside, ratio, wanted } = report;
  const verdict = Math.max(ratio.p50, ratio.p99) <= wanted ? 'within' : 'NOT WITHIN';
  say(
    `4 KiB reads and writes beside ${report.connectionsPerSecond} hostile connections a second ` +
      `(${report.opened} in ${report.turns} turns):`,
  );
  say(`  p50 ${beside.p50Us.toFixed(0)} us, without ${quiet.p50Us.toFixed(0)} us`);
  say(`  p99 ${beside.p99Us.toFixed(0)} us, without ${quiet.p99Us.toFixed(0)} us`);
  say(
    `  ratios of neighbouring turns ${ratio.p50.toFixed(2)} and ${ratio.p99.toFixed(2)}, ` +
      `${verdict} ${wanted}`,
  );
  json(report);
}

/** Rows of wanted and reached, with the state of the machine before and after. */
async function tellRows(measure: (tell: (row: Row) => void) => Promise<unknown>): Promise<void> {
  const loopback = await Loopback.build(checkout(), [cpus.hostCpu, cpus.targetCpu]);
  const before = await loopback.state();
  const measured = await measure(({ what, wanted, reached, fine }) => {
    say(`${fine ? 'ok  ' : 'MISS'}  ${what}\n        wanted ${wanted}: ${reached}`);
  });
  const after = await loopback.state();
  say('');
  say(machine('before', before));
  say(machine('after ', after));
  json({ before, after, measured });
}

async function store(): Promise<void> {
  say('Layers. Ratios are of turns in one run; figures of other work beside this are marked.');
  const options = { root: checkout(), ...cpus, only: values.only ?? null };
  await tellRows((tell) => benchStore(options, tell));
}

/** A line for each scenario that is done: what counts of a run in pairs comes at its end. */
function tellProgress(event: RunEvent): void {
  if (event.kind === 'preparing') say(event.what);
  if (event.kind === 'scenario-ends') say(standardLine(event.result));
}

/** A run in pairs: its rows, and the report of all its rounds. */
async function paired(
  name: string,
  { rounds, seconds }: { rounds: number; seconds: number },
  measure: (options: PairedOptions) => Promise<{ run: BenchResult; rows: Row[] }>,
): Promise<void> {
  const durationMs = Number(values.seconds ?? seconds) * 1000;
  const options = {
    ...{ root: checkout(), ...cpus, durationMs, tell: tellProgress },
    rounds: Number(values.rounds ?? rounds),
  };
  await tellRows(async (tell) => {
    const { run, rows } = await measure(options);
    for (const file of await writeReport(checkout(), name, run)) say(file);
    rows.forEach(tell);
    return rows;
  });
}

async function idle(): Promise<void> {
  const options = { root: checkout(), ...cpus, rounds: 1, durationMs: 0, tell: tellProgress };
  await tellRows(async (tell) => {
    const report = await measureIdle(options, Number(values.seconds ?? 20));
    report.rows.forEach(tell);
    return report;
  });
}

async function qos(): Promise<void> {
  const options = {
    ...{ root: checkout(), ...cpus, tell: say },
    ...{ rounds: Number(values.rounds ?? 7), durationMs: Number(values.seconds ?? 1) * 1000 },
  };
  await tellRows((tell) => measureQos(options, values.only ?? null, tell));
}

async function cacheLines(): Promise<void> {
  await tellRows(async (tell) => {
    const report = await measureCacheLines(checkout(), 100_000n);
    report.rows.forEach(tell);
    for (const { line, writes, where, reads, otherWrites, otherWhere } of report.shared) {
      say(`  ${line}: ${writes} writes at ${where}; ${reads} reads and ${otherWrites} writes`);
      say(`    by another thread at ${otherWhere}`);
    }
    return report;
  });
}

const folder = values.path ?? tmpdir();
const firstWrites = (): Promise<void> =>
  paired('first-writes', { rounds: 7, seconds: 1 }, (options) =>
    measureFirstWrites(options, folder),
  );
const filePool = (): Promise<void> =>
  paired('file-pool', { rounds: 9, seconds: 0.5 }, (options) => measureFilePool(options, folder));
const digests = (): Promise<void> =>
  paired('digests', { rounds: 25, seconds: 0.2 }, measureDigests);
const plainMemory = (): Promise<void> =>
  paired('plain-memory', { rounds: 25, seconds: 0.2 }, measurePlainMemory);

async function instructions(): Promise<void> {
  const budget = await readBudget(checkout());
  const compared = (compiler: string): boolean => compiler === budget.compiler;
  const look = async (row: InstructionRow, dump: string): Promise<void> => {
    const verdict = judgeRow(row, budget);
    const allowed = budget.rows[row.row]?.instructions;
    say(
      `${row.row.padEnd(38)}${row.instructions.toFixed(0).padStart(9)} instructions` +
        `${(allowed === undefined ? '' : `(budget ${allowed})`).padStart(17)}` +
        `${row.copiedBytes.toFixed(0).padStart(9)} B copied` +
        `${String(row.allocations).padStart(5)} allocations, ${row.locks} locks in ${row.ios} I/Os` +
        (verdict.kind === 'over' ? '  OVER' : ''),
    );
    if (values.profile?.includes(row.row) !== true) return;
    for (const { name, instructions: each } of await readProfile(row, dump, 40)) {
      say(`${each.toFixed(1).padStart(12)}  ${name}`);
    }
  };
  const report = await countInstructions(checkout(), { look });
  json(report);
  if (values.write) await writeBudget(checkout(), report);
  else if (!compared(report.compiler)) {
    say(`made by ${report.compiler}, the budget by ${budget.compiler}: nothing was compared`);
  }
}

function limitRow(limit: TcpLimit | DeviceLimit): string {
  const us = (ns: number | undefined): string => ((ns ?? 0) / 1000).toFixed(0);
  const latency = (of: DeviceLimit['result']['latencyNs'] | undefined): string =>
    of == null ? '' : `, p50 ${us(of.p50)} us, p99 ${us(of.p99)} us, p99.9 ${us(of.p999)} us`;
  if (limit.kind === 'device') {
    const { op, pattern, bytes, depth, result } = limit;
    const what = `device: ${pattern} ${op}, ${bytes} B, depth ${depth}`;
    return `${what.padEnd(60)}${result.perSecond.toFixed(0).padStart(10)}${latency(result.latencyNs)}`;
  }
  const { requestBytes, responseBytes, depth, connections, touchBytes, best, ways } = limit;
  const what =
    `TCP: ${requestBytes} B for ${responseBytes} B, ${connections} x depth ${depth}` +
    (touchBytes === 0 ? '' : ', touched');
  const others = ways
    .map(({ way, perSecond, leftOut }) => `${way} ${leftOut ?? perSecond.toFixed(0)}`)
    .join(', ');
  const chosen = ways.find(({ way }) => way === best)?.latencyNs ?? null;
  const [p50, p99, p999] = (chosen ?? []).map(Number);
  return (
    `${what.padEnd(60)}${limit.perSecond.toFixed(0).padStart(10)} (${others})` +
    (chosen === null ? '' : `, p50 ${us(p50)} us, p99 ${us(p99)} us, p99.9 ${us(p999)} us`)
  );
}

async function limits(): Promise<void> {
  const ms = Number(values.seconds ?? 1) * 1000;
  const program = await Limits.build(checkout(), [cpus.hostCpu, cpus.targetCpu]);
  const options = { ms, path: values.path ?? null, overwrite: values.overwrite };
  say('A second at most, on one CPU for each side: no protocol, no store.');
  json(await measureLimits(program, options, (limit) => say(limitRow(limit))));
}

const settings = { root: checkout(), ...cpus, rounds: 5 };

/** As `ashlar bench` shows it; on stderr. */
async function watched(
  durationMs: number,
  subjects: number,
  scenarios: readonly Scenario[],
  measure: (tell: (event: RunEvent) => void) => Promise<BenchResult>,
): Promise<BenchResult> {
  const names = scenarios.map(({ name }) => name);
  const { rounds } = settings;
  const live = new BenchLive({ scenarios: names, rounds, subjects, turnMs: 1.7 * durationMs });
  try {
    return await measure((event) => live.hear(event));
  } finally {
    live.end();
  }
}

async function standard(): Promise<void> {
  const durationMs = Number(values.seconds ?? 0.5) * 1000;
  const result = await watched(durationMs, 1, standardSet(defaultSweep), (tell) =>
    runStandard({ ...settings, others: [], durationMs, tell }),
  );
  await report('standard', result);
}

async function sideBySide(): Promise<void> {
  const durationMs = Number(values.seconds ?? 0.5) * 1000;
  const subjects = spdkProgram() === null ? 2 : 3;
  const result = await watched(durationMs, subjects, sideBySideSet(), (tell) =>
    runSideBySide({ ...settings, durationMs, tell }),
  );
  await report('side-by-side', result);
}

async function report(name: string, result: BenchResult): Promise<void> {
  const files = await writeReport(checkout(), name, result);
  for (const line of result.results.map(standardLine)) say(line);
  for (const file of files) say(file);
  json(result);
  if (result.failure !== null) {
    console.error(`failed: ${result.failure.message}`);
    process.exitCode = 1;
  }
}

function standardLine({
  scenario,
  subject,
  iops,
  p50Ns,
  p99Ns,
  shareOfLimit,
}: ScenarioResult): string {
  const share = shareOfLimit === null ? '' : `  ${(100 * shareOfLimit.median).toFixed(0)} %`;
  const us = (figure: Summary | null): string => `${((figure?.median ?? 0) / 1000).toFixed(0)} us`;
  return `${scenario.name} (${subject}): ${(iops?.median ?? 0).toFixed(0)}/s  ${us(p50Ns)}  ${us(p99Ns)}${share}`;
}

const scenarios: Readonly<Record<string, () => Promise<void>>> = {
  ...{ run, standard, idle, store, hostile, limits, instructions, digests, qos },
  ...{ 'side-by-side': sideBySide, 'first-writes': firstWrites, 'file-pool': filePool },
  ...{ 'plain-memory': plainMemory, 'cache-lines': cacheLines },
};
for (const name of positionals.length === 0 ? ['standard'] : positionals) {
  const scenario = scenarios[name];
  if (scenario === undefined) {
    console.error(`no scenario '${name}'; there are: ${Object.keys(scenarios).join(', ')}`);
    process.exitCode = 2;
    break;
  }
  await scenario();
}
