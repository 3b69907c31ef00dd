/**
 * Bugs planted into the native code, one at a time: the suite that defends the promise must fail.
 *
 * `npm test` plants five, chosen by ASHLAR_SEED or else by the date of the last commit, so that they
 * change from commit to commit; `npm run test:planted` plants all of them. The checkout is never
 * touched: the one file is patched and compiled in a folder of its own, and linked before the
 * archive of everything else.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SeededRandom } from '../rig/random.js';
import { writeReport } from '../rig/report.js';
import { type PlantedBug, plant, plantedBugs } from './patch.js';

const root = process.cwd();
const scratch = path.join(root, '.cache/planted');
const compiler = (process.env['CXX'] ?? 'g++').split(' ');
const rotating = 5;
/** A bug that makes the suite go on for ever is not caught by it. */
const runTimeoutMs = 90_000;

function seedOfCommit(): number {
  const given = process.env['ASHLAR_SEED'];
  if (given !== undefined) return Number(given) >>> 0;
  const { stdout, status } = spawnSync('git', ['log', '-1', '--format=%ct'], { encoding: 'utf8' });
  // Not a clone: another choice every day.
  return status === 0 ? Number(stdout) >>> 0 : Math.floor(Date.now() / 86_400_000);
}

const seed = seedOfCommit();
const everything = plantedBugs(path.join(root, 'test/planted'));

function chosen(): PlantedBug[] {
  const wanted = process.env['ASHLAR_PLANTED'];
  if (wanted === 'all') return everything;
  if (wanted !== undefined)
    return everything.filter(({ name }) => wanted.split(',').includes(name));
  const random = new SeededRandom(seed);
  return everything
    .map((bug) => ({ bug, place: random.next() }))
    .sort((a, b) => a.place - b.place)
    .slice(0, rotating)
    .map(({ bug }) => bug);
}

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  output: string;
}

function run(words: string[], options: { env?: Record<string, string>; timeout?: number } = {}) {
  const [command = '', ...args] = words;
  // A seed of this run would be taken for one of theirs.
  // A suite with a bug planted under it leaves no figures: those are for the code as it is.
  const { ASHLAR_SEED: _, ASHLAR_REPORT_DIR: __, ...inherited } = process.env;
  return new Promise<Ended>((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...inherited, ...options.env },
      killSignal: 'SIGKILL',
      ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
    });
    const pieces: Buffer[] = [];
    child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
    child.stderr.on('data', (piece: Buffer) => pieces.push(piece));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code, signal, output: Buffer.concat(pieces).toString() });
    });
  });
}

function testObjects(suite: string): string[] {
  const folder = path.join(root, '.build/native/plain/test');
  const own = path.join(folder, suite.slice('native/'.length));
  const objects = fs.readdirSync(own).filter((file) => file.endsWith('.o'));
  return [path.join(folder, 'main.o'), ...objects.map((file) => path.join(own, file))];
}

/** The suite's program with these objects in place of the archive's own. */
async function link(suite: string, objects: string[], program: string): Promise<void> {
  const archive = path.join(root, 'build/Release/ashlar_core.a');
  const libraries = ['-pthread', '-l:liburing.a', '-lssl', '-lcrypto'];
  const words = [...compiler, '-o', program, ...objects, ...testObjects(suite), archive];
  const linked = await run([...words, ...libraries]);
  assert.equal(linked.code, 0, linked.output);
}

/** The program of the bug's suite, with the bug in it. */
async function build(bug: PlantedBug): Promise<string> {
  const folder = path.join(scratch, bug.name);
  fs.mkdirSync(folder, { recursive: true });
  const source = path.join(folder, path.basename(bug.file));
  fs.writeFileSync(source, plant(bug, fs.readFileSync(path.join(root, bug.file), 'utf8')));
  const object = `${source}.o`;
  const flags = ['-std=c++20', '-O1', '-g1', '-fno-rtti', '-fno-exceptions', '-w', '-Inative'];
  const compiled = await run([...compiler, ...flags, '-c', '-o', object, source]);
  assert.equal(compiled.code, 0, `the planted bug does not compile:\n${compiled.output}`);
  const program = path.join(folder, 'suite');
  await link(bug.suite, [object], program);
  return program;
}

/** The scenario that failed, in one line; null when none did. */
function complaint(output: string): string | null {
  let scenario = 'a scenario';
  for (const line of output.split('\n')) {
    if (line.startsWith('TEST CASE:')) scenario = line.slice('TEST CASE:'.length).trim();
    if (line.startsWith('ashlar: CHECK failed:')) return line;
    const failed = /ERROR: (.*)$/.exec(line);
    if (failed !== null) return `${scenario}: ${failed[1]}`;
  }
  return null;
}

async function catches(bug: PlantedBug): Promise<string> {
  const program = await build(bug);
  const args = [`--source-file=*`, `--test-case=${bug.cases}`, '--abort-after=1'];
  const ended = await run([program, ...args, '--no-colors=true'], {
    env: bug.env,
    timeout: runTimeoutMs,
  });
  fs.rmSync(path.dirname(program), { recursive: true });
  const last = ended.output.split('\n').slice(-20).join('\n');
  assert.ok(!/test cases: +0 \|/.test(ended.output), `no test case is called ${bug.cases}`);
  assert.notEqual(ended.code, 0, `${bug.suite} did not notice: ${bug.what}\n${last}`);
  const seen = complaint(ended.output);
  assert.ok(seen !== null, `${bug.suite} ended by ${ended.signal}, and told nothing:\n${last}`);
  return seen;
}

/** Two at a time; each test then waits for its own. */
function beginAll(bugs: PlantedBug[]): Map<string, Promise<string>> {
  const results = new Map<string, Promise<string>>();
  const lanes = Array.from({ length: Math.min(2, os.availableParallelism()) }, () =>
    Promise.resolve<unknown>(null),
  );
  for (const [at, bug] of bugs.entries()) {
    const lane = at % lanes.length;
    const result = (lanes[lane] ?? Promise.resolve()).then(() => catches(bug));
    lanes[lane] = result.catch(() => null);
    results.set(bug.name, result);
  }
  return results;
}

describe(`planted bugs: ${chosen().length} of ${everything.length} (seed ${seed})`, () => {
  const bugs = chosen();
  const started = performance.now();
  let results = new Map<string, Promise<string>>();
  let caught = 0;

  before(() => {
    fs.rmSync(scratch, { recursive: true, force: true });
    fs.mkdirSync(scratch, { recursive: true });
    results = beginAll(bugs);
  });

  after(() => {
    writeReport({
      suite: 'planted bugs',
      promises: [...new Set(bugs.flatMap(({ promises }) => promises))].sort(),
      counts: {
        'bugs caught': caught,
        'bugs planted': bugs.length,
        'bugs known': everything.length,
      },
      seconds: (performance.now() - started) / 1000,
      seed: String(seed),
    });
  });

  test('every patch still applies to the code as it is', () => {
    for (const bug of everything) plant(bug, fs.readFileSync(path.join(root, bug.file), 'utf8'));
  });

  for (const bug of bugs) {
    test(`${bug.name}: ${bug.what} ${bug.suite} fails`, async (t) => {
      const seen = await results.get(bug.name);
      caught += 1;
      t.diagnostic(`caught by: ${seen}`);
    });
  }
});
