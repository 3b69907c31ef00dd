/**
 * The fuzz targets (test/fuzz/*.cc, built by test/fuzz/Makefile) and how to run them.
 *
 * What is worth keeping of their corpora is text, one input a line in hexadecimal digits, in
 * test/fuzz/corpus; libFuzzer gets it unpacked, one file an input.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const sources = 'test/fuzz';
const built = path.resolve('.build/fuzz');

/** The promises of test/RELIABILITY.md that a target defends, by its name. */
export const targets: Readonly<Record<string, readonly string[]>> = {
  commands: ['P7'],
  image: ['P5'],
  journal: ['P5'],
  pdu_stream: ['P7'],
  target: ['P7', 'P12'],
};

/** Inputs are at most this long: the targets read choices, so more bytes are only more of them. */
const maxInputBytes = 1024;

/** What a run of libFuzzer came to. */
export interface Outcome {
  executions: number;
  /** Different things seen (edges, with how often), at the end, and those that were new. */
  features: number;
  newFeatures: number;
  /** The input that failed, in hexadecimal digits; null: none did. */
  failure: string | null;
  /** Everything it said. */
  log: string;
}

function corpusFile(target: string): string {
  return path.join(sources, 'corpus', `${target}.hex`);
}

/** The kept inputs of a target. */
export function readCorpus(target: string): string[] {
  const file = corpusFile(target);
  if (!fs.existsSync(file)) return [];
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

function unpack(inputs: readonly string[], folder: string): void {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  for (const hex of inputs) {
    const name = createHash('sha1').update(hex).digest('hex');
    fs.writeFileSync(path.join(folder, name), Buffer.from(hex, 'hex'));
  }
}

/** What the working corpus of a target has, as it stands on disk. */
function inputsIn(folder: string): string[] {
  return fs.readdirSync(folder).map((name) => fs.readFileSync(path.join(folder, name), 'hex'));
}

function foldersOf(target: string): { kept: string; found: string; failures: string } {
  const folder = path.join(built, 'corpus', target);
  return {
    kept: path.join(folder, 'kept'),
    found: path.join(folder, 'found'),
    failures: path.join(folder, 'failures'),
  };
}

const environment = {
  ...process.env,
  ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0:allocator_release_to_os_interval_ms=-1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

function numbersIn(log: string): Pick<Outcome, 'executions' | 'features' | 'newFeatures'> {
  const started = /INITED\s.*?\bft: (\d+)/.exec(log);
  const counts = [...log.matchAll(/^#(\d+)\s.*?\bft: (\d+)/gm)].at(-1);
  const features = Number(counts?.[2] ?? 0);
  const done = /^stat::number_of_executed_units:\s*(\d+)/m.exec(log)?.[1];
  return {
    executions: Number(done ?? counts?.[1] ?? 0),
    features,
    newFeatures: features - Number(started?.[1] ?? 0),
  };
}

function execute(target: string, args: readonly string[]): Promise<{ code: number; log: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(path.join(built, target), [...args], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        log += text;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? -1, log }));
  });
}

/**
 * The kept inputs first, then new ones for that long. What is found stays in .build/fuzz/corpus and
 * is built upon the next time, unless it is to start afresh.
 */
export async function fuzz(
  target: string,
  options: { seconds: number; executions?: number; seed: number; afresh: boolean },
): Promise<Outcome> {
  const { seconds, executions = -1, seed, afresh } = options;
  const { kept, found, failures } = foldersOf(target);
  unpack(readCorpus(target), kept);
  if (afresh) fs.rmSync(found, { recursive: true, force: true });
  fs.mkdirSync(found, { recursive: true });
  fs.rmSync(failures, { recursive: true, force: true });
  fs.mkdirSync(failures, { recursive: true });
  const { code, log } = await execute(target, [
    ...[`-seed=${seed}`, `-runs=${executions}`, `-max_total_time=${seconds}`],
    ...[`-max_len=${maxInputBytes}`],
    ...['-len_control=0', '-timeout=30', '-rss_limit_mb=1536', '-malloc_limit_mb=256'],
    ...['-print_final_stats=1', `-artifact_prefix=${failures}/`, found, kept],
  ]);
  const failure = code === 0 ? null : (inputsIn(failures)[0] ?? '');
  return { ...numbersIn(log), failure, log };
}

/** One input, once. */
export async function replay(target: string, input: string): Promise<Outcome> {
  const file = path.join(built, `${target}.input`);
  fs.writeFileSync(file, Buffer.from(input, 'hex'));
  const { code, log } = await execute(target, [file]);
  return { executions: 1, features: 0, newFeatures: 0, failure: code === 0 ? null : input, log };
}

/** The line that brings a failure back. */
export function replayLine(target: string, input: string): string {
  return `npm run fuzz -- --target ${target} --input ${input}`;
}

/** What a person needs of a log: what went wrong and where, without the fuzzer's progress. */
export function essence(log: string): string {
  const lines = log.split('\n').filter((line) => !/^#\d+\s|NEW_FUNC|^INFO:/.test(line));
  return lines.slice(0, 40).join('\n');
}

/**
 * Makes the kept corpus the smallest set of inputs that sees all that the kept and the found ones
 * see; answers how many they are. The longest go first when there is too much for the repository.
 */
export function keep(target: string, mostBytes: number): number {
  const { kept, found } = foldersOf(target);
  unpack(readCorpus(target), kept);
  const merged = path.join(built, 'corpus', target, 'merged');
  unpack([], merged);
  const args = ['-merge=1', `-max_len=${maxInputBytes}`, merged, kept, found];
  const { status } = spawnSync(path.join(built, target), args, { env: environment });
  if (status !== 0) throw new Error(`${target}: -merge=1 ended with ${status}`);
  let bytes = 0;
  const inputs = inputsIn(merged)
    .filter((hex) => hex !== '')
    .sort((a, b) => a.length - b.length || a.localeCompare(b))
    .filter((hex) => {
      bytes += hex.length / 2;
      return bytes <= mostBytes;
    });
  fs.mkdirSync(path.dirname(corpusFile(target)), { recursive: true });
  fs.writeFileSync(corpusFile(target), inputs.map((hex) => `${hex}\n`).join(''));
  return inputs.length;
}
