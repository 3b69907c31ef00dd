/**
 * Instructions for each I/O, counted by callgrind over bench/instructions/instructions.cc, and the
 * budget that they are held to. A count repeats where time does not: `npm test` compares.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Of one I/O each, but for `ios`. */
export interface InstructionRow {
  row: string;
  ios: number;
  /** Without copies of the C library, which are other instructions on every processor. */
  instructions: number;
  copiedBytes: number;
  /** Calls, of all I/Os together. */
  allocations: number;
  frees: number;
  locks: number;
}

/** bench/instructions/budget.json. */
export interface InstructionBudget {
  /** The counts are those of this compiler's code: others are not compared. */
  compiler: string;
  machine: string;
  tolerancePercent: number;
  rows: Record<string, { instructions: number; copiedBytes: number }>;
}

/** What made the program, and its scenes. */
interface Program {
  file: string;
  compiler: string;
  scenes: readonly string[];
}

/** Compiles it against the addon's own objects. */
async function build(root: string): Promise<Program> {
  await run('make', ['-C', `${root}/bench/instructions`]);
  const file = `${root}/.build/bench/instructions/instructions`;
  const { stdout } = await run(file);
  const [compiler = '', ...scenes] = stdout.trim().split('\n');
  return { file, compiler, scenes };
}

const options = ['--tool=callgrind', '--instr-atstart=no', '--collect-atstart=no'];

/** Runs one scene in `folder`, where the dumps stay: one file a row, by the row's name. */
async function runScene(
  program: Program,
  scene: string,
  folder: string,
): Promise<Map<string, InstructionRow>> {
  const out = join(folder, scene);
  const words = [...options, `--callgrind-out-file=${out}`, program.file, scene];
  const child = spawn('valgrind', words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const complaints: string[] = [];
  child.stderr.on('data', (piece: Buffer) => complaints.push(piece.toString()));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  ended.catch(() => undefined);
  const counted: (Omit<InstructionRow, 'instructions'> & { setBytes: number })[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    counted.push(JSON.parse(line) as (typeof counted)[number]);
  }
  const code = await ended;
  if (code !== 0) throw new Error(`scene ${scene} ended with ${code}:\n${complaints.join('')}`);
  const totals = await readTotals(folder, scene);
  return new Map(
    counted.map(({ setBytes, ...row }): [string, InstructionRow] => {
      const found = totals.get(row.row);
      if (found === undefined) throw new Error(`callgrind has no dump of '${row.row}'`);
      const { instructions, file } = found;
      const copiedBytes = (row.copiedBytes + setBytes) / row.ios;
      return [file, { ...row, copiedBytes, instructions: instructions / row.ios }];
    }),
  );
}

async function readTotals(
  folder: string,
  scene: string,
): Promise<Map<string, { instructions: number; file: string }>> {
  const totals = new Map<string, { instructions: number; file: string }>();
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${scene}.`)) continue;
    const file = join(folder, name);
    const text = await readFile(file, 'utf8');
    const row = /^desc: Trigger: Client Request: (.*)$/m.exec(text)?.[1];
    const total = /^totals: (\d+)$/m.exec(text)?.[1];
    if (row !== undefined && total !== undefined) totals.set(row, { instructions: +total, file });
  }
  return totals;
}

export interface InstructionReport {
  compiler: string;
  machine: string;
  rows: InstructionRow[];
}

export interface CountOptions {
  /** Left out: all. */
  scenes?: readonly string[] | undefined;
  /** May read a row's dump, which is gone afterwards. */
  look?: ((row: InstructionRow, dump: string) => Promise<void>) | undefined;
}

/**
 * Counts every row of some scenes.
 *
 * @throws Error what make, valgrind or the program had to say.
 */
export async function countInstructions(
  root: string,
  { scenes, look }: CountOptions = {},
): Promise<InstructionReport> {
  const built = await build(root);
  const program = { ...built, scenes: scenes ?? built.scenes };
  const folder = await mkdtemp(join(tmpdir(), 'ashlar-instructions-'));
  try {
    const results = new Map<string, Map<string, InstructionRow>>();
    const waiting = [...program.scenes];
    const worker = async (): Promise<void> => {
      for (let scene = waiting.shift(); scene !== undefined; scene = waiting.shift()) {
        results.set(scene, await runScene(program, scene, folder));
      }
    };
    await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
    const rows: InstructionRow[] = [];
    for (const scene of program.scenes) {
      for (const [dump, row] of results.get(scene) ?? []) {
        rows.push(row);
        await look?.(row, dump);
      }
    }
    return { compiler: program.compiler, machine: process.arch, rows };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Self cost by function, an I/O, the most first: where to look when a row has grown. */
export async function readProfile(
  row: InstructionRow,
  dump: string,
  limit: number,
): Promise<{ name: string; instructions: number }[]> {
  const words = ['--auto=no', '--threshold=100', dump];
  const { stdout } = await run('callgrind_annotate', words, { maxBuffer: 64 << 20 });
  const total = row.instructions * row.ios;
  const costs = new Map<string, number>();
  for (const line of stdout.split('\n')) {
    const [, count, place] = /^\s*([\d,]+) \([^)]*\)\s+(.*)$/.exec(line) ?? [];
    if (count === undefined || place === undefined) continue;
    const cost = Number(count.replaceAll(',', ''));
    // Lines of functions that are inlined have their own files under the same name.
    const name = place.replace(/ \[[^\]]*\]$/, '').replace(/^[^:]*:/, '');
    // Who was there when the counting began seems to have cost all of it.
    if (cost < total) costs.set(name, (costs.get(name) ?? 0) + cost);
  }
  return [...costs]
    .map(([name, cost]) => ({
      name: name.replaceAll('ashlar::', ''),
      instructions: cost / row.ios,
    }))
    .sort((a, b) => b.instructions - a.instructions)
    .slice(0, limit);
}

// ---- The budget ---------------------------------------------------------------------------------

const budgetFile = (root: string): string => `${root}/bench/instructions/budget.json`;

/** How far a count may go above the budget, and below it before the budget is worth renewing. */
const tolerancePercent = 3;
export const renew = 'npm run bench -- instructions --write';

export async function readBudget(root: string): Promise<InstructionBudget> {
  return JSON.parse(await readFile(budgetFile(root), 'utf8')) as InstructionBudget;
}

export async function writeBudget(root: string, report: InstructionReport): Promise<void> {
  const budget: InstructionBudget = {
    compiler: report.compiler,
    machine: report.machine,
    tolerancePercent,
    rows: Object.fromEntries(
      report.rows.map((row) => [
        row.row,
        { instructions: Math.round(row.instructions), copiedBytes: Math.round(row.copiedBytes) },
      ]),
    ),
  };
  await writeFile(budgetFile(root), `${JSON.stringify(budget, null, 2)}\n`);
}

export type Judgement =
  | { kind: 'within' }
  | { kind: 'over' | 'under' | 'unknown'; message: string };

/** Compares one row with the budget; a message says what to do. */
export function judgeRow(row: InstructionRow, budget: InstructionBudget): Judgement {
  const allowed = budget.rows[row.row];
  if (allowed === undefined) {
    return { kind: 'unknown', message: `'${row.row}' has no budget; give it one: ${renew}` };
  }
  const share = budget.tolerancePercent / 100;
  let under: Judgement = { kind: 'within' };
  for (const what of ['instructions', 'copiedBytes'] as const) {
    const limit = Math.floor(allowed[what] * (1 + share));
    const told = `'${row.row}' takes ${row[what].toFixed(0)} ${words[what]} an I/O`;
    if (row[what] > limit) {
      return {
        kind: 'over',
        message:
          `${told}, more than ${limit} (budget ${allowed[what]} + ${budget.tolerancePercent} %); ` +
          `see where with npm run bench -- instructions --profile '${row.row}', and if it is ` +
          `worth its price, say so in the commit and renew the budget: ${renew}`,
      };
    }
    if (row[what] < allowed[what] * (1 - share)) {
      const message = `${told}, less than its budget of ${allowed[what]}; keep that: ${renew}`;
      under = { kind: 'under', message };
    }
  }
  return under;
}

const words = { instructions: 'instructions', copiedBytes: 'bytes of copies' } as const;
