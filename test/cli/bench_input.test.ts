/** `ashlar bench` and what people do to it: wrong options, interrupts, data that must not go. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import type { BenchResult } from '../../lib/bench/results.js';
import { ScriptedTarget, scriptedNqn } from '../bench/scripted_target.js';
import { Daemon, runProgram, Workspace } from '../rig/daemon.js';

const short = ['--rounds', '1', '--duration', '100ms', '--warmup', '20ms', '--span', '4MiB'];

function read(file: string): BenchResult {
  return JSON.parse(fs.readFileSync(file, 'utf8')) as BenchResult;
}

test('nonsense: each is refused by name before anything is started, exit code 2', async () => {
  const wrong: [string[], RegExp][] = [
    [['--depth', '0'], /--depth.*'0'/],
    [['--depth', '1,,2'], /--depth/],
    [['--mix', '101'], /--mix.*'101'/],
    [['--size', '1000'], /--size.*multiples of 512/],
    [['--pattern', 'spiral'], /--pattern.*random, sequential or zipf/],
    [['--theta', '0'], /--theta/],
    [['--rounds', '0'], /--rounds/],
    [['--duration', 'soon'], /duration/],
    [['--set', 'standard', '--depth', '4'], /--set and --depth exclude each other/],
    [['--set', 'huge'], /no set 'huge'/],
    [['--target', '127.0.0.1:1'], /--target and --nqn go in pairs/],
    [['--nsid', '1'], /--nsid and --target-pid go with one --target/],
    [['--local', 'x', '--pool', 'y'], /--pool and --reactors are of the Ashlar/],
    [['--target-cpus', '0,1'], /--target-cpus names one CPU for each/],
    [['--frobnicate'], /unknown option '--frobnicate'/],
  ];
  const runs = await Promise.all(wrong.map(([args]) => runProgram(['bench', ...short, ...args])));
  runs.forEach(({ code, err, out }, i) => {
    assert.equal(code, 2, err);
    assert.match(err, wrong[i]?.[1] ?? /never/);
    assert.equal(out, '');
  });
});

test('what a subject cannot be brought to is refused before anything is measured', async () => {
  using workspace = new Workspace();
  const file = workspace.file('run.json');
  const local = ['--local', workspace.file('disk'), '--snapshots', '0,2'];
  const { code, err } = await runProgram(['bench', ...short, ...local, '-o', file]);
  assert.equal(code, 2, err);
  assert.match(err, /local has neither volumes nor snapshots/);
  assert.ok(!fs.existsSync(file));
});

test('a volume with data: writes are refused, and say how much would go', async () => {
  const daemon = await Daemon.start({ poolFile: null, demoSize: '64MiB' });
  try {
    const { subnqn } = await daemon.volume('demo');
    const at = ['--target', `127.0.0.1:${daemon.port}`, '--nqn', subnqn, '--depth', '4'];
    const filled = await runProgram(['bench', ...short, ...at, '--mix', '0', '--overwrite']);
    assert.equal(filled.code, 0, filled.err);
    const refused = await runProgram(['bench', ...short, ...at, '--mix', '0']);
    assert.equal(refused.code, 2);
    assert.match(refused.err, /would be overwritten \(it says that \d+ bytes .* are in use\)/);
    assert.match(refused.err, /--overwrite .* or measure reads alone \(--mix 100\)/);
  } finally {
    await daemon[Symbol.asyncDispose]();
  }
});

test('a namespace that shrank after Identify: the read beyond its end is named', async () => {
  using workspace = new Workspace();
  await using target = await ScriptedTarget.start({ claimedBlocks: 1024, blocks: 16 });
  const file = workspace.file('run.json');
  const at = ['--target', `127.0.0.1:${target.port}`, '--nqn', scriptedNqn, '--mix', '100'];
  const run = await runProgram(['bench', ...short, ...at, '--depth', '4', '-o', file]);
  assert.equal(run.code, 1);
  assert.match(run.err, /read of LBA \d+ of namespace 1 on queue 1: status 080h/);
  const { failure } = read(file);
  assert.equal(failure?.kind, 'status');
  assert.ok((failure?.lba ?? 0) >= 16);
});

test('Ctrl-C: ends after the round under way, and keeps it', async () => {
  using workspace = new Workspace();
  const file = workspace.file('run.json');
  const args = ['--depth', '4', '--mix', '100', '--rounds', '1000', '--span', '4MiB'];
  let sent = false;
  const run = await runProgram(
    ['bench', ...args, '--duration', '50ms', '--warmup', '10ms', '-o', file],
    (err, kill) => {
      if (!sent && err.includes('2/1000]')) {
        sent = true;
        kill('SIGINT');
      }
    },
  );
  assert.equal(run.code, 1, run.err);
  assert.match(run.err, /ending after this round/);
  assert.match(run.err, /the run was ended early/);
  assert.match(run.out, /^SCENARIO/);
  const result = read(file);
  assert.equal(result.complete, false);
  assert.equal(result.failure, null);
  assert.ok((result.results[0]?.rounds.length ?? 0) >= 2);
});

test('Ctrl-C twice in a long round: over at once, what was measured before it is kept', async () => {
  using workspace = new Workspace();
  const file = workspace.file('run.json');
  const pool = workspace.file('pool.ashlar');
  const args = ['--depth', '4', '--mix', '100', '--rounds', '1', '--duration', '10m'];
  const place = ['--pool', pool, '--span', '4MiB', '--no-limit', '-o', file];
  let sent = 0;
  const run = await runProgram(['bench', ...args, ...place], (err, kill) => {
    const next = sent === 0 ? 'making 1 volume' : 'ending after this round';
    if (sent < 2 && err.includes(next)) {
      sent += 1;
      kill('SIGINT');
    }
  });
  assert.equal(run.code, 130, run.err);
  assert.equal(read(file).complete, false);
  assert.ok(!fs.existsSync(pool), 'the pool is gone');
});

test('limits: a memory pool has that of loopback, a file pool the lower one, a device none', async () => {
  using workspace = new Workspace();
  const sweep = ['--depth', '4', '--mix', '70'];
  const of = async (name: string, place: readonly string[]): Promise<BenchResult> => {
    const file = workspace.file(`${name}.json`);
    const run = await runProgram(['bench', ...short, ...sweep, ...place, '-o', file]);
    assert.equal(run.code, 0, run.err);
    return read(file);
  };
  const memory = await of('memory', []);
  const round = memory.results[0]?.rounds[0];
  assert.equal(round?.limit?.what, 'plain TCP over loopback');
  assert.ok((memory.results[0]?.shareOfLimit?.median ?? 0) > 0);
  const pool = await of('pool', ['--pool', workspace.file('pool.ashlar')]);
  assert.match(pool.subjects[0]?.facts.limit ?? '', /or io_uring on a file beside the pool/);
  assert.ok((pool.results[0]?.limit?.perSecond ?? 0) > 0);
  const none = await of('none', ['--no-limit']);
  assert.equal(none.results[0]?.limit, null);
  assert.equal(none.subjects[0]?.facts.limit, 'not measured (--no-limit)');
  const local = await of('local', ['--local', workspace.file('disk')]);
  assert.equal(local.results[0]?.limit, null);
  assert.match(local.subjects[0]?.facts.limit ?? '', /it is one itself/);
  const left = fs.readdirSync(workspace.path).sort();
  assert.deepEqual(left, ['local.json', 'memory.json', 'none.json', 'pool.json']);
});
