/** `ashlar bench` as a person runs it: against its own Ashlar, a file, and targets that misbehave. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchResult } from '../../lib/bench/results.js';
import { type Script, ScriptedTarget, scriptedNqn } from '../bench/scripted_target.js';
import { Daemon, runProgram, Workspace } from '../rig/daemon.js';

const short = ['--rounds', '2', '--duration', '100ms', '--warmup', '20ms', '--span', '4MiB'];
const blocks = 1024;

function read(file: string): BenchResult {
  return JSON.parse(fs.readFileSync(file, 'utf8')) as BenchResult;
}

test('its own Ashlar: two scenarios, results, report, comparison of a run with itself', async () => {
  using workspace = new Workspace();
  const file = workspace.file('run.json');
  const sweep = ['--depth', '4', '--mix', '100,0', '--snapshots', '1'];
  const run = await runProgram(['bench', ...short, ...sweep, '-o', file, '--title', 'mine']);
  assert.equal(run.code, 0, run.err);
  assert.match(run.out, /^SCENARIO .*A SECOND/);
  const result = read(file);
  assert.equal(result.complete, true);
  assert.deepEqual(
    result.results.map(({ scenario, subject, rounds }) => [scenario.name, subject, rounds.length]),
    [
      ['4 KiB random read, depth 4, 1 snapshots', 'self', 2],
      ['4 KiB random write, depth 4, 1 snapshots', 'self', 2],
    ],
  );
  for (const { rounds, readHistogram, writeHistogram } of result.results) {
    assert.ok(rounds.every(({ commands, errors }) => commands > 0 && errors === 0));
    assert.ok(rounds.every(({ targetCpuNs }) => targetCpuNs !== null && targetCpuNs > 0));
    assert.ok((readHistogram ?? writeHistogram) !== null);
  }
  const report = await runProgram(['bench', 'report', file]);
  assert.equal(report.code, 0, report.err);
  assert.match(fs.readFileSync(workspace.file('run.html'), 'utf8'), /<h1>mine<\/h1>/);
  assert.match(fs.readFileSync(workspace.file('run.md'), 'utf8'), /^# Benchmark/);
  const compared = await runProgram(['bench', 'compare', file, file]);
  assert.equal(compared.code, 0, compared.out);
  assert.match(compared.out, /0 figures worse, 0 better\.\n$/);
});

test('a rate, zipf, eight queues and JSON on stdout', async () => {
  using workspace = new Workspace();
  const args = ['--depth', '8', '--queues', '8', '--pattern', 'zipf', '--rate', '2000'];
  const place = ['--pool', workspace.file('pool.ashlar')];
  const run = await runProgram(['bench', ...short, ...args, '--mix', '50', ...place, '--json']);
  assert.equal(run.code, 0, run.err);
  const result = JSON.parse(run.out) as BenchResult;
  const [first] = result.results;
  assert.equal(first?.scenario.name, '4 KiB zipf 1.2 50 % read, depth 8, 8 queues, 2000 a second');
  for (const { commands } of first?.rounds ?? []) assert.ok(commands <= 2000 / 4, `${commands}`);
  assert.deepEqual(fs.readdirSync(workspace.path), [], 'the pool is gone');
  fs.writeFileSync(workspace.file('pool.ashlar'), 'mine');
  const refused = await runProgram(['bench', ...short, ...place]);
  assert.equal(refused.code, 4);
  assert.equal(fs.readFileSync(workspace.file('pool.ashlar'), 'utf8'), 'mine');
});

test('a local file: made and removed; one that is there is not overwritten unasked', async () => {
  using workspace = new Workspace();
  const file = workspace.file('disk');
  const local = ['bench', ...short, '--depth', '4', '--local', file, '--json'];
  const made = await runProgram(local);
  assert.equal(made.code, 0, made.err);
  assert.ok(!fs.existsSync(file));
  fs.writeFileSync(file, Buffer.alloc(4 * 2 ** 20, 7));
  const refused = await runProgram(local);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /disk would be overwritten; say --overwrite/);
  const reads = await runProgram([...local, '--mix', '100']);
  assert.equal(reads.code, 0, reads.err);
  assert.equal(fs.readFileSync(file)[0], 7);
  const verified = await runProgram([...local, '--mix', '50', '--verify', '--overwrite']);
  assert.equal(verified.code, 0, verified.err);
  const result = JSON.parse(verified.out) as BenchResult;
  assert.ok(result.results.every(({ rounds }) => rounds.every((r) => r.verifiedBlocks > 0)));
});

test('nothing listens there: one line, exit code 8', async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  const port = await new Promise<number>((resolve) => {
    server.once('listening', () => {
      const address = server.address();
      resolve(typeof address === 'object' ? (address?.port ?? 0) : 0);
    });
  });
  await new Promise((closed) => server.close(closed));
  const at = ['--target', `127.0.0.1:${port}`, '--nqn', scriptedNqn, '--mix', '100'];
  const run = await runProgram(['bench', ...short, ...at]);
  assert.equal(run.code, 8);
  assert.match(run.err, new RegExp(`^ashlar: cannot connect to 127\\.0\\.0\\.1:${port} queue 0`));
  assert.equal(run.out, '');
});

test('a target’s data is not overwritten unasked; wrong pairs of options are refused', async () => {
  await using target = await ScriptedTarget.start({ claimedBlocks: blocks, blocks });
  const at = ['--target', `127.0.0.1:${target.port}`, '--nqn', scriptedNqn];
  const refused = await runProgram(['bench', ...short, ...at, '--depth', '1']);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /namespace 1 of nqn\S+ would be overwritten; say --overwrite/);
  const unpaired = await runProgram(['bench', ...short, '--target', '127.0.0.1']);
  assert.equal(unpaired.code, 2);
  assert.match(unpaired.err, /--target and --nqn go in pairs/);
});

/** Runs against a script until it ends; what was kept of the results, and what was said. */
async function against(script: Script, args: readonly string[]) {
  using workspace = new Workspace();
  await using target = await ScriptedTarget.start(script);
  const file = workspace.file('run.json');
  const at = ['--target', `127.0.0.1:${target.port}`, '--nqn', scriptedNqn, '--overwrite'];
  const run = await runProgram(['bench', ...short, ...at, ...args, '-o', file]);
  return { ...run, result: read(file) };
}

test('a good scripted target verifies', async () => {
  const args = ['--verify', '--depth', '8', '--queues', '2'];
  const { code, err, result } = await against({ claimedBlocks: blocks, blocks }, args);
  assert.equal(code, 0, err);
  assert.ok(result.results[0]?.rounds.every(({ verifiedBlocks }) => verifiedBlocks > 0));
});

test('a target that forgets writes: verify names command, LBA and queue', async () => {
  const script = { claimedBlocks: blocks, blocks, keeps: (nth: number) => nth % 5 !== 0 };
  // However slow the machine: all that is written is read at the end of the round.
  const { code, err, result } = await against(script, ['--verify', '--depth', '8', '--mix', '0']);
  assert.equal(code, 1);
  assert.match(err, /read of LBA \d+ of namespace 1 on queue 1: wrong data: .*\((?:stale|lost)\)/);
  assert.match(err, /what was measured until then is in /);
  assert.equal(result.complete, false);
  assert.equal(result.failure?.kind, 'wrong-data');
  assert.equal(result.failure?.queue, 1);
  assert.ok((result.results[0]?.rounds[0]?.commands ?? 0) > 0);
});

test('a target that serves another block: misplaced', async () => {
  let reads = 0;
  let other: { lba: number; data: Buffer } | null = null;
  const script: Script = {
    claimedBlocks: blocks,
    blocks,
    read: (lba, stored) => {
      reads += 1;
      if (other !== null && other.lba !== lba && reads > 4) return other.data;
      // One that was written: it has a stamp.
      if (stored[0] !== 0) other = { lba, data: stored };
      return stored;
    },
  };
  const { code, err } = await against(script, ['--verify', '--depth', '8', '--mix', '0']);
  assert.equal(code, 1);
  assert.match(
    err,
    /wrong data: .* holds what was written to byte \d+ of namespace 1 \(misplaced\)/,
  );
});

test('a target that lies about its size: the failed LBA is named, what was measured is kept', async () => {
  const script = { claimedBlocks: blocks, blocks: blocks / 2 };
  const { code, err, result } = await against(script, ['--depth', '4', '--mix', '100']);
  assert.equal(code, 1);
  // Filling it is the first to notice.
  assert.match(err, /filling target: write of LBA \d+ of namespace 1 on queue 1: status 080h/);
  assert.equal(result.complete, false);
});

test('a target that goes away: the lost command is named, what was measured is kept', async () => {
  const script = { claimedBlocks: blocks, blocks, dieAfter: 1200 };
  const args = ['--depth', '4', '--mix', '100', '--duration', '20s'];
  const { code, err, result } = await against(script, args);
  assert.equal(code, 8);
  assert.match(err, /read of LBA \d+ of namespace 1 on queue 1: connection lost/);
  assert.equal(result.failure?.code, 'connection-lost');
  assert.equal(result.results[0]?.rounds.length, 1);
  assert.ok((result.results[0]?.rounds[0]?.commands ?? 0) > 0);
});

test('a daemon killed under load: the same, and the rounds before it stay', async () => {
  using workspace = new Workspace();
  const victim = await Daemon.start({ poolFile: null, poolSize: '256MiB', demoSize: '64MiB' });
  try {
    const { subnqn } = await victim.volume('demo');
    const file = workspace.file('run.json');
    const at = ['--target', `127.0.0.1:${victim.port}`, '--nqn', subnqn, '--mix', '100'];
    const args = ['--depth', '8', '--rounds', '1000', '--duration', '50ms', '--warmup', '10ms'];
    const running = runProgram(['bench', ...at, ...args, '--span', '4MiB', '-o', file]);
    // Each round connects anew; the third has results of two before it.
    const seen = new Set<number>();
    await until(async () => {
      const { items } = await victim.call<{ items: { cntlid: number }[] }>(
        'GET',
        '/v1/controllers',
      );
      for (const { cntlid } of items) seen.add(cntlid);
      return seen.size >= 4 ? seen : null;
    });
    await victim.kill();
    const { code, err } = await running;
    assert.equal(code, 8, err);
    const result = read(file);
    assert.equal(result.complete, false);
    assert.ok((result.results[0]?.rounds.length ?? 0) > 1);
  } finally {
    await victim[Symbol.asyncDispose]();
  }
});

async function until<T>(look: () => Promise<T | null>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    await delay(10);
  }
}

test('fio: a job file on stdout', async () => {
  const { code, out } = await runProgram([
    'bench',
    'fio',
    '--device',
    '/dev/nvme3n1',
    '--mix',
    '0',
  ]);
  assert.equal(code, 0);
  assert.match(out, /^filename=\/dev\/nvme3n1$/m);
  assert.match(out, /^rw=randwrite$/m);
});

test('compare: exit code 1 for a regression, 2 for a file that is no result', async () => {
  using workspace = new Workspace();
  const { sampleResult } = await import('../bench/samples.js');
  const file = workspace.file('run.json');
  const result = sampleResult({ iops: { before: 100_000, after: 80_000 } });
  fs.writeFileSync(file, JSON.stringify(result));
  const worse = await runProgram(['bench', 'compare', `${file}#before`, `${file}#after`]);
  assert.equal(worse.code, 1);
  assert.match(worse.out, /worse/);
  fs.writeFileSync(workspace.file('other.json'), '{}');
  const wrong = await runProgram(['bench', 'compare', file, workspace.file('other.json')]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /is not a result of 'ashlar bench'/);
});
