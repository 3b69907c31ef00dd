/** `ashlar pool check --repair` and `ashlar pool dump`, on pools that are damaged on purpose. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { describeRecord } from '../../lib/catalog/describe.js';
import { loadNative } from '../../lib/native.js';
import { Daemon, runProgram, Workspace } from '../rig/daemon.js';

const pageBytes = 4096;
/** Kinds of page, native/FORMAT.md. */
const kinds = { bitmap: 1, space: 2, layers: 3, catalog: 4, map: 5 } as const;

/** A pool with a volume 'demo' that holds a MiB of data, as an orderly end leaves it. */
async function makePool(workspace: Workspace): Promise<Buffer> {
  const daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: '64MiB', workspace });
  await daemon.stop();
  const path = workspace.file('pool.ashlar');
  const native = loadNative();
  const options = { reactors: 1, cpus: null, bufferBytes: null, busyPollUs: 0 };
  const runtime = native.runtimeOpen(options, () => undefined);
  const device = { kind: 'file', path } as const;
  const pool = await native.poolOpen(runtime, {
    device,
    writeThrough: false,
    readOnly: false,
    mapCacheBytes: null,
  });
  const records = (await native.poolCatalog(pool)).map((record) => describeRecord(record));
  const layer = records.find(({ kind }) => kind === 'volume')?.fields?.['layer'];
  assert.ok(layer instanceof Uint8Array);
  const volume = await native.volumeOpen(pool, new Uint8Array(layer), false);
  await native.volumeWrite(volume, 0n, Buffer.alloc(1 << 20, 7));
  await native.volumeFlush(volume);
  await native.volumeClose(volume);
  await native.poolClose(pool);
  await native.runtimeClose(runtime);
  return fs.readFileSync(path);
}

/** The pool with a byte flipped in every page of that kind, old images' pages included. */
function withPagesFlipped(pool: Buffer, kind: number): Buffer {
  const damaged = Buffer.from(pool);
  let flipped = 0;
  for (let at = 0; at < pool.length; at += pageBytes) {
    if (pool.toString('latin1', at, at + 4) !== 'ASLG' || pool[at + 6] !== kind) continue;
    damaged[at + 100] = (pool[at + 100] ?? 0) ^ 1;
    flipped += 1;
  }
  assert.ok(flipped > 0);
  return damaged;
}

describe('a damaged pool', () => {
  const workspace = new Workspace();
  const path = workspace.file('pool.ashlar');
  let sound: Buffer;
  before(async () => {
    sound = await makePool(workspace);
  });
  after(() => workspace[Symbol.dispose]());

  const repair = (...more: string[]): ReturnType<typeof runProgram> =>
    runProgram(['pool', 'check', path, '--repair', ...more]);

  test('check --repair: a sound pool: nothing to do, and nothing is written', async () => {
    fs.writeFileSync(path, sound);
    const { code, out, err } = await repair();
    assert.equal(err, '');
    assert.equal(code, 0);
    assert.match(out, /^Nothing to repair: /);
    assert.ok(sound.equals(fs.readFileSync(path)));
  });

  test('check --repair: bitmap, space map and a superblock damaged: mended and proved', async () => {
    const damaged = withPagesFlipped(withPagesFlipped(sound, kinds.bitmap), kinds.space);
    const older = damaged.readBigUInt64LE(120) < damaged.readBigUInt64LE(65_536 + 120) ? 0 : 65_536;
    damaged[older + 1000] = (damaged[older + 1000] ?? 0) ^ 1;
    fs.writeFileSync(path, damaged);

    const check = await runProgram(['pool', 'check', path]);
    assert.equal(check.code, 5);
    assert.match(check.out, /bitmap page 0 .*checksum/);
    assert.match(check.out, /space map page 0 .*checksum/);

    const dry = await repair('--dry-run');
    assert.equal(dry.code, 5);
    assert.match(dry.out, /^Would be repaired: .*\(3 problems\)/);
    assert.match(dry.err, /without --dry-run/);
    assert.ok(damaged.equals(fs.readFileSync(path)));

    const done = await repair('--json');
    assert.equal(done.err, '');
    assert.equal(done.code, 0);
    const report: {
      changed: boolean;
      found: { problems: { where: string; repairable: boolean }[] };
      checked: { clean: boolean };
    } = JSON.parse(done.out);
    assert.equal(report.changed, true);
    assert.equal(report.checked.clean, true);
    assert.equal(report.found.problems.length, 3);
    assert.ok(report.found.problems.every(({ repairable }) => repairable));
    assert.match((await runProgram(['pool', 'check', path])).out, /^Clean: /);
    assert.equal((await runProgram(['pool', 'open', path])).code, 0);
  });

  test('check --repair: a map page damaged: names the volume and range; nothing changes', async () => {
    const damaged = withPagesFlipped(sound, kinds.map);
    fs.writeFileSync(path, damaged);
    const lost = /bytes 0 to \d+ of layer .* cannot be read .*volume 'demo' of tenant 'default'/;
    const check = await runProgram(['pool', 'check', path]);
    assert.equal(check.code, 5);
    assert.match(check.out, lost);
    const { code, out, err } = await repair();
    assert.equal(code, 5);
    assert.match(out, /^Cannot be repaired, nothing was changed: /);
    assert.match(out, lost);
    assert.match(err, /beyond repair in 1 place;/);
    assert.ok(damaged.equals(fs.readFileSync(path)));
  });

  test('check --repair: layer table or catalog damaged: named, nothing changes', async () => {
    for (const [kind, told] of [
      [kinds.layers, /layer table page 0 .* slots 0 to 0 are lost/],
      [kinds.catalog, /catalog page 0 .* are lost/],
    ] as const) {
      const damaged = withPagesFlipped(sound, kind);
      fs.writeFileSync(path, damaged);
      const { code, out } = await repair();
      assert.equal(code, 5);
      assert.match(out, told);
      assert.ok(damaged.equals(fs.readFileSync(path)));
    }
  });

  test('check --repair and dump: while a daemon has the pool: refused as locked', async () => {
    fs.writeFileSync(path, sound);
    const daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: null, workspace });
    try {
      for (const args of [
        ['check', path, '--repair'],
        ['check', path, '--repair', '--dry-run'],
        ['dump', path],
      ]) {
        const { code, out, err } = await runProgram(['pool', ...args]);
        assert.equal(code, 4, args.join(' '));
        assert.equal(out, '');
        assert.match(err, /^ashlar: .*pool\.ashlar/);
      }
      const online = await runProgram(['pool', 'check', path, '--socket', daemon.socket]);
      assert.match(online.out, /^Clean: /);
    } finally {
      await daemon.stop();
    }
  });

  test('check: --repair without a path, --dry-run without --repair: usage', async () => {
    assert.equal((await runProgram(['pool', 'check', '--repair'])).code, 2);
    assert.equal((await runProgram(['pool', 'check', path, '--dry-run'])).code, 2);
  });

  test('dump: every section, as text and as JSON lines; nothing is written', async () => {
    fs.writeFileSync(path, sound);
    const text = await runProgram(['pool', 'dump', path]);
    assert.equal(text.err, '');
    assert.equal(text.code, 0);
    for (const section of ['superblock', 'devices', 'layers', 'map', 'space', 'kill-log']) {
      assert.match(text.out, new RegExp(`^${section}$`, 'm'));
    }
    assert.match(text.out, /recordKind volume .*"name":"demo"/);
    const json = await runProgram(['pool', 'dump', path, '--json']);
    const rows = json.out
      .trimEnd()
      .split('\n')
      .map((line): Record<string, unknown> => JSON.parse(line));
    const layer = rows.find(({ row }) => row === 'layer');
    assert.equal(layer?.['mappedBlocks'], 256);
    assert.deepEqual(layer['childSlots'], []);
    const map = rows.filter(({ section }) => section === 'map');
    assert.equal(
      map.reduce((chunks, { count }) => chunks + Number(count), 0),
      16,
    );
    const only = await runProgram([
      'pool',
      'dump',
      path,
      '--json',
      '--layer',
      String(layer['uuid']),
    ]);
    assert.equal(only.out.trimEnd().split('\n').length, 1 + map.length);
    assert.ok(sound.equals(fs.readFileSync(path)));
  });

  test('dump: a damaged page: shows the rest, says what it cannot, exit code 5', async () => {
    fs.writeFileSync(path, withPagesFlipped(sound, kinds.map));
    const { code, out, err } = await runProgram(['pool', 'dump', path]);
    assert.equal(code, 5);
    assert.match(out, /problem {2}where chunks 0 to 503 {2}what checksum is wrong/);
    assert.match(out, /recordKind volume/);
    assert.match(err, /1 part cannot be shown/);
  });

  test('dump: a section or layer that there is not: told', async () => {
    fs.writeFileSync(path, sound);
    const section = await runProgram(['pool', 'dump', path, '--section', 'cellar']);
    assert.equal(section.code, 2);
    assert.match(section.err, /--section 'cellar' is none of superblock, /);
    assert.equal((await runProgram(['pool', 'dump', path, '--layer', 'x'])).code, 2);
    const none = '00000000-0000-4000-8000-000000000000';
    assert.equal((await runProgram(['pool', 'dump', path, '--layer', none])).code, 3);
    assert.equal((await runProgram(['pool', 'dump', `${path}.no`])).code, 3);
  });
});
