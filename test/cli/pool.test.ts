/** Pools without a daemon, and every way in which a pool file can be wrong. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { runProgram, Workspace } from '../rig/daemon.js';

const mib = 2 ** 20;

/** Makes a pool of 64 MiB in the workspace. */
async function makePool(workspace: Workspace, name = 'pool.ashlar'): Promise<string> {
  const path = workspace.file(name);
  const { code, err } = await runProgram(['pool', 'create', path, '--size', '64MiB']);
  assert.equal(code, 0, err);
  return path;
}

/** Exit code and the one line of an error, with the workspace called DIR. */
async function fails(workspace: Workspace, args: readonly string[]): Promise<string> {
  const { code, out, err } = await runProgram(args);
  assert.equal(out, '', args.join(' '));
  const line = err.trimEnd().split('\n').at(-1) ?? '';
  assert.match(line, /^ashlar: \S/, err);
  assert.ok(!err.includes('    at '), 'no stack');
  return `${code} ${line.slice('ashlar: '.length).replaceAll(workspace.path, 'DIR')}`;
}

/** Every command that opens a pool file. */
function openers(path: string, workspace: Workspace): string[][] {
  const socket = workspace.file('s');
  const portal = ['--portal', '127.0.0.1:0', '--no-discovery'];
  return [
    ['pool', 'status', path, '--socket', socket],
    ['pool', 'check', path, '--socket', socket],
    ['pool', 'open', path],
    ['serve', '--pool', path, ...portal, '--socket', socket],
  ];
}

test('pool create: a sparse file; status, check and open agree; nothing to recover', async () => {
  using workspace = new Workspace();
  const path = workspace.file('pool.ashlar');
  const created = await runProgram(['pool', 'create', path, '--size', '1GiB']);
  assert.equal(created.err, '');
  assert.match(created.out, /^Created pool .*: 1GiB, 10\d\d(\.\d)? MiB free\.\nServe it: /);
  const { size, blocks } = fs.statSync(path);
  assert.equal(size, 1024 * mib);
  assert.ok(blocks * 512 < 64 * mib, 'sparse');

  const check = await runProgram(['pool', 'check', path]);
  assert.match(check.out, /^Clean: .*pool\.ashlar \(\d+ pages?, 0 layers, /);
  assert.equal(check.code, 0);
  const opened = await runProgram(['pool', 'open', path]);
  assert.match(opened.out, /opens: nothing to recover; checkpointed and closed\.\n$/);
  const status = await runProgram(['pool', 'status', path, '--json']);
  const pool: { state: string; sizeBytes: number; layers: number } = JSON.parse(status.out);
  assert.equal(pool.state, 'healthy');
  assert.equal(pool.sizeBytes, 1024 * mib);
  assert.equal(pool.layers, 0);
});

test('pool create: a pool or another file is there: refused, and it is as before', async () => {
  using workspace = new Workspace();
  const path = await makePool(workspace);
  const before = fs.readFileSync(path);
  assert.match(
    await fails(workspace, ['pool', 'create', path, '--size', '64MiB']),
    /^4 .*DIR\/pool/,
  );
  assert.ok(before.equals(fs.readFileSync(path)));

  const precious = workspace.file('precious');
  fs.writeFileSync(precious, 'letters');
  assert.match(
    await fails(workspace, ['pool', 'create', precious, '--size', '64MiB']),
    /^4 .*DIR\/precious/,
  );
  assert.match(
    await fails(workspace, ['pool', 'create', precious]),
    /^4 .*holds data that is not a/,
  );
  assert.equal(fs.readFileSync(precious, 'utf8'), 'letters');
});

test('pool create: a file of zeroes: used as it is, with its own size', async () => {
  using workspace = new Workspace();
  const path = workspace.file('zeroes');
  fs.writeFileSync(path, '');
  fs.truncateSync(path, 32 * mib);
  const { code, err, out } = await runProgram(['pool', 'create', path]);
  assert.equal(err, '');
  assert.equal(code, 0);
  assert.match(out, /: 32MiB, /);
});

test('pool create: sizes and places that do not do: refused, nothing is made', async () => {
  using workspace = new Workspace();
  const path = workspace.file('p');
  const create = (...more: string[]): Promise<string> =>
    fails(workspace, ['pool', 'create', ...more]);
  assert.match(await create(path), /^2 .*--size/);
  assert.match(await create(path, '--size', '1MiB'), /^2 .*16MiB/);
  assert.match(await create(path, '--size', '257TiB'), /^(2|6) .*256TiB/);
  assert.match(await create(workspace.file('no/p'), '--size', '64MiB'), /^3 .*DIR\/no/);
  assert.match(await create(workspace.path, '--size', '64MiB'), /^(2|4) .*DIR/);
  assert.deepEqual(fs.readdirSync(workspace.path), []);
});

test('a pool file that is not there: refused by every command that opens one', async () => {
  using workspace = new Workspace();
  const path = workspace.file('none');
  for (const args of openers(path, workspace)) {
    const more = args[0] === 'serve' ? ['--no-create'] : [];
    assert.match(await fails(workspace, [...args, ...more]), /^3 .*DIR\/none.* does not exist/);
  }
  assert.deepEqual(fs.readdirSync(workspace.path), []);
});

test('a pool file that is no pool: refused by every command, and it is as before', async () => {
  using workspace = new Workspace();
  const path = workspace.file('photo.jpg');
  const bytes = Buffer.alloc(32 * mib, 'not a pool ');
  fs.writeFileSync(path, bytes);
  for (const args of openers(path, workspace)) {
    assert.match(await fails(workspace, args), /^5 .*DIR\/photo\.jpg/, args.join(' '));
  }
  assert.ok(bytes.equals(fs.readFileSync(path)));
});

test('an empty pool file: refused as no pool', async () => {
  using workspace = new Workspace();
  const path = workspace.file('empty');
  fs.writeFileSync(path, '');
  for (const args of openers(path, workspace)) {
    assert.match(await fails(workspace, args), /^5 .*DIR\/empty/, args.join(' '));
  }
  assert.equal(fs.statSync(path).size, 0);
});

test('a truncated pool file: refused by every command, with both sizes', async () => {
  using workspace = new Workspace();
  const path = await makePool(workspace);
  fs.truncateSync(path, 32 * mib);
  for (const args of openers(path, workspace)) {
    assert.match(await fails(workspace, args), /^5 .*DIR\/pool\.ashlar.*trunc/i, args.join(' '));
  }
  assert.equal(fs.statSync(path).size, 32 * mib);
});

test('a pool file with a bad checksum in every superblock: refused by every command', async () => {
  using workspace = new Workspace();
  const path = await makePool(workspace);
  const before = fs.readFileSync(path);
  // native/FORMAT.md: one superblock at 0, one at 64 KiB; byte 1000 of each is under its checksum.
  for (const offset of [0, 65_536]) before[offset + 1000] = (before[offset + 1000] ?? 0) ^ 1;
  fs.writeFileSync(path, before);
  for (const args of openers(path, workspace)) {
    assert.match(await fails(workspace, args), /^5 .*DIR\/pool\.ashlar/, args.join(' '));
  }
  assert.ok(before.equals(fs.readFileSync(path)), 'nothing was written');
});

/** CRC32C (Castagnoli), bit by bit. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** Changes both superblocks of a pool and gives them right checksums again. */
function rewriteSuperblocks(path: string, change: (superblock: DataView) => void): Buffer {
  const pool = fs.readFileSync(path);
  for (const offset of [0, 65_536]) {
    const superblock = pool.subarray(offset, offset + 4096);
    const view = new DataView(superblock.buffer, superblock.byteOffset, superblock.length);
    change(view);
    view.setUint32(4092, crc32c(superblock.subarray(0, 4092)), true);
  }
  fs.writeFileSync(path, pool);
  return pool;
}

test('a pool of a newer version: refused by every command, and it is as before', async () => {
  using workspace = new Workspace();
  const path = await makePool(workspace);
  const bytes = rewriteSuperblocks(path, (view) => view.setUint32(8, 999, true));
  for (const args of openers(path, workspace)) {
    assert.match(
      await fails(workspace, args),
      /^5 .*DIR\/pool\.ashlar.*(newer|999)/,
      args.join(' '),
    );
  }
  assert.ok(bytes.equals(fs.readFileSync(path)));
});

test('a pool with a feature that this version does not know: refused as newer', async () => {
  using workspace = new Workspace();
  const path = await makePool(workspace);
  rewriteSuperblocks(path, (view) => view.setBigUint64(32, 1n << 63n, true));
  const line = await fails(workspace, ['pool', 'open', path]);
  assert.match(line, /^5 .*DIR\/pool\.ashlar/);
});

test('rewritten superblocks that say what they said: the pool opens', async () => {
  using workspace = new Workspace();
  const path = await makePool(workspace);
  rewriteSuperblocks(path, () => undefined);
  assert.equal((await runProgram(['pool', 'open', path])).code, 0);
});

test('a full file system under a new pool: refused as no-space, and nothing is left', async (t) => {
  using workspace = new Workspace();
  const small = workspace.file('small');
  fs.mkdirSync(small);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small], { stdio: 'pipe' });
  } catch (error) {
    t.skip(`SKIPPED: a full file system needs the right to mount one: ${String(error)}`);
    return;
  }
  try {
    fs.writeFileSync(`${small}/filler`, Buffer.alloc(64 * 1024));
    const line = await fails(workspace, ['pool', 'create', `${small}/p`, '--size', '64MiB']);
    assert.match(line, /^6 .*DIR\/small/);
    assert.deepEqual(fs.readdirSync(small), ['filler']);
    const pool = ['--pool', `${small}/p`, '--size', '64MiB'];
    const portal = ['--portal', '127.0.0.1:0', '--no-discovery', '--socket', workspace.file('s')];
    assert.match(await fails(workspace, ['serve', ...pool, ...portal]), /^6 .*DIR\/small/);
    assert.deepEqual(fs.readdirSync(small), ['filler']);
  } finally {
    execFileSync('umount', [small]);
  }
});
