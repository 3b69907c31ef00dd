/** The verbs with the real programs, on disks that are files of this machine. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { readContent } from '../../lib/csi/host/content.js';
import { makeFileSystem } from '../../lib/csi/host/file_systems.js';
import { LinuxHost } from '../../lib/csi/host/linux.js';
import { type Disk, type FsType, fsTypes } from '../../lib/csi/host/types.js';

const MiB = 2 ** 20;
/** xfs takes 300 MiB at least. */
const diskBytes = 320 * MiB;

/** Whether this process may make disks of files, and mount them. */
function loopDisks(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    execFileSync('losetup', ['--find'], { stdio: 'pipe' });
    return null;
  } catch (thrown) {
    return `this machine has no loop devices: ${String(thrown)}`;
  }
}

/** Makes a disk of a file, which is made when it is not there; the disk goes with the test. */
function makeDisk(
  context: TestContext,
  file: string,
  { bytes = diskBytes, readOnly = false }: { bytes?: number; readOnly?: boolean } = {},
): Disk {
  if (!fs.existsSync(file)) {
    fs.writeFileSync(file, '');
    fs.truncateSync(file, bytes);
  }
  const flags = readOnly ? ['--read-only'] : [];
  const device = execFileSync('losetup', [...flags, '--find', '--show', file])
    .toString()
    .trim();
  context.after(() => {
    for (const line of fs.readFileSync('/proc/self/mounts', 'utf8').split('\n').reverse()) {
      const [source, target] = line.split(' ');
      if (source === device && target !== undefined) execFileSync('umount', [target]);
    }
    execFileSync('losetup', ['--detach', device]);
    fs.rmSync(file, { force: true });
  });
  const name = path.basename(device);
  const number = fs.readFileSync(`/sys/class/block/${name}/dev`, 'utf8').trim();
  return {
    device,
    number,
    uuid: '00000000-0000-4000-8000-000000000000',
    subnqn: 'nqn.2014-08.org.example:s',
    sizeBytes: BigInt(bytes),
    readOnly,
  };
}

/** Containers often lack it; growing a mounted ext4 needs it. */
function mayGrowExt4(): boolean {
  const [, bits = '0'] =
    /CapEff:\s*([0-9a-f]+)/.exec(fs.readFileSync('/proc/self/status', 'utf8')) ?? [];
  const sysResource = 24n;
  return ((BigInt(`0x${bits}`) >> sysResource) & 1n) === 1n;
}

const skip = loopDisks() ?? false;

describe('a Linux host with disks', { skip }, () => {
  let folder = '';
  let host: LinuxHost;

  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ashlar-csi-host-'));
    host = new LinuxHost({ state: path.join(folder, 'state'), commandTimeoutMs: 60_000 });
  });
  after(() => {
    fs.rmSync(folder, { recursive: true });
  });

  for (const fsType of fsTypes) {
    test(`${fsType}: made, checked, mounted, written, grown, shown elsewhere, and gone`, async (t) => {
      await lifeOf(t, fsType);
    });
  }

  async function lifeOf(t: TestContext, fsType: FsType): Promise<void> {
    const disk = makeDisk(t, path.join(folder, `life-${fsType}`));
    const target = path.join(folder, `stage-${fsType}`);
    const other = path.join(folder, `publish-${fsType}`);
    const seen = async () => (await host.mounts()).filter(({ number }) => number === disk.number);
    assert.deepEqual(await host.content(disk, false), { kind: 'blank' });
    await host.format(disk, fsType, false);
    const content = await host.content(disk, false);
    assert.deepEqual(content, {
      kind: 'file-system',
      fsType,
      sizeBytes: BigInt(diskBytes),
    });
    await host.check(disk, fsType);
    await host.makeFolder(target);
    const request = { disk, target, fsType, flags: ['noatime'], readOnly: false };
    await host.mount(request);
    await host.mount(request);
    assert.equal((await seen()).length, 1, 'a second time does nothing');
    assert.deepEqual((await seen())[0], {
      target,
      number: disk.number,
      kind: 'file-system',
      gone: false,
      root: '/',
      fsType,
      readOnly: false,
      superReadOnly: false,
    });
    fs.writeFileSync(path.join(target, 'file'), 'text');
    assert.equal((await host.holders(disk)).length, 1, 'a mounted disk is taken');

    await host.makeFolder(other);
    await host.bindMount(target, other, true);
    await host.bindMount(target, other, true);
    assert.deepEqual(
      (await seen()).map((mount) => [mount.target, mount.readOnly]),
      [
        [target, false],
        [other, true],
      ],
    );
    assert.throws(() => fs.writeFileSync(path.join(other, 'file'), ''), /EROFS/);
    await assert.rejects(host.remove(other), { status: 'FAILED_PRECONDITION' });
    await host.unmount(other);
    await host.unmount(other);
    await host.remove(other);
    await host.remove(other);

    const before = await host.usage(target);
    fs.truncateSync(backing(disk), diskBytes * 2);
    execFileSync('losetup', ['--set-capacity', disk.device]);
    if (fsType !== 'ext4' || mayGrowExt4()) {
      await host.grow(disk, fsType, target);
      await host.grow(disk, fsType, target);
      const { totalBytes } = await host.usage(target);
      assert.ok(totalBytes > before.totalBytes + BigInt(diskBytes / 2), `${totalBytes}`);
    } else {
      await assert.rejects(host.grow(disk, fsType, target), /Permission denied/);
      t.diagnostic('this process lacks CAP_SYS_RESOURCE, so a mounted ext4 is not grown here');
    }
    assert.equal(await host.fileSystemErrors(disk, fsType), null);

    await host.sync(target);
    await host.unmount(target);
    await host.flush(disk);
    assert.deepEqual(await seen(), []);
    assert.deepEqual(await host.holders(disk), []);
    await host.check(disk, fsType);
    await host.remove(target);
  }

  const backing = ({ device }: Disk) =>
    execFileSync('losetup', ['--noheadings', '--output', 'BACK-FILE', device]).toString().trim();

  /** A file system that was copied while it was in use, as a snapshot is. */
  async function copyInUse(t: TestContext, fsType: FsType): Promise<{ disk: Disk; copy: string }> {
    const disk = makeDisk(t, path.join(folder, `used-${fsType}`));
    const target = path.join(folder, `used-at-${fsType}`);
    await host.format(disk, fsType, false);
    await host.makeFolder(target);
    await host.mount({ disk, target, fsType, flags: [], readOnly: false });
    for (let count = 0; count < 20; count += 1) {
      fs.mkdirSync(path.join(target, `${count}`));
      const file = fs.openSync(path.join(target, `${count}/file`), 'w');
      fs.writeSync(file, `text ${count}`);
      fs.fsyncSync(file);
      fs.closeSync(file);
    }
    const copy = path.join(folder, `copy-${fsType}`);
    execFileSync('cp', ['--sparse=always', backing(disk), copy]);
    return { disk, copy };
  }

  for (const fsType of ['ext4', 'xfs'] as const) {
    test(`${fsType}: a snapshot is used beside its volume, on one node`, async (t) => {
      const { copy } = await copyInUse(t, fsType);
      const disk = makeDisk(t, copy);
      const target = path.join(folder, `clone-${fsType}`);
      await host.makeFolder(target);
      await host.check(disk, fsType);
      await host.mount({ disk, target, fsType, flags: [], readOnly: false });
      assert.equal(fs.readFileSync(path.join(target, '19/file'), 'utf8'), 'text 19');
    });

    test(`${fsType}: a write-protected snapshot is read, though it was not unmounted`, async (t) => {
      const { copy } = await copyInUse(t, fsType);
      const disk = makeDisk(t, copy, { readOnly: true });
      const target = path.join(folder, `frozen-${fsType}`);
      await host.makeFolder(target);
      await host.mount({ disk, target, fsType, flags: [], readOnly: true });
      fs.readdirSync(target);
      const [mount] = (await host.mounts()).filter(({ number }) => number === disk.number);
      assert.deepEqual([mount?.readOnly, mount?.superReadOnly], [true, true]);
    });
  }

  test('btrfs: a snapshot beside its volume is refused, before the kernel mixes them', async (t) => {
    const { copy } = await copyInUse(t, 'btrfs');
    const disk = makeDisk(t, copy);
    const target = path.join(folder, 'clone-btrfs');
    await host.makeFolder(target);
    await assert.rejects(
      host.mount({ disk, target, fsType: 'btrfs', flags: [], readOnly: false }),
      { status: 'FAILED_PRECONDITION', message: /cannot tell a clone/ },
    );
  });

  test('ext4: damage beyond repair is told of, with what fsck said', async (t) => {
    const disk = makeDisk(t, path.join(folder, 'damaged'));
    await host.format(disk, 'ext4', false);
    const file = fs.openSync(backing(disk), 'r+');
    // The root folder's inode is in the table behind the group descriptors.
    fs.writeSync(file, Buffer.alloc(8 * MiB, 0xa5), 0, 8 * MiB, 64 << 10);
    fs.fsyncSync(file);
    fs.closeSync(file);
    await host.flush(disk);
    await assert.rejects(host.check(disk, 'ext4'), {
      status: 'INTERNAL',
      message: /damaged beyond what is repaired[\s\S]*exit code (4|8|12)/,
    });
  });

  test('a disk is shown at a file, and the file is no disk afterwards', async (t) => {
    const disk = makeDisk(t, path.join(folder, 'raw'), { bytes: 64 * MiB });
    const target = path.join(folder, 'raw at a path');
    await host.makeFile(target);
    await host.bindMount(disk.device, target, false);
    await host.bindMount(disk.device, target, false);
    const seen = (await host.mounts()).filter((mount) => mount.target === target);
    assert.deepEqual(
      seen.map(({ number, kind, gone }) => ({ number, kind, gone })),
      [{ number: disk.number, kind: 'device', gone: false }],
    );
    fs.writeFileSync(target, 'raw');
    await host.flush(disk);
    assert.equal(fs.readFileSync(backing(disk)).toString('utf8', 0, 3), 'raw');
    assert.equal(await host.at(target), 'other');
    await assert.rejects(host.remove(target), { status: 'FAILED_PRECONDITION' });
    await host.unmount(target);
    await host.remove(target);
    assert.equal(await host.at(target), 'nothing');
  });

  test('in use: not unmounted, and FAILED_PRECONDITION', async (t) => {
    const disk = makeDisk(t, path.join(folder, 'busy'));
    const target = path.join(folder, 'busy-at');
    await host.makeFolder(target);
    await host.format(disk, 'ext4', false);
    await host.mount({ disk, target, fsType: 'ext4', flags: [], readOnly: false });
    const file = fs.openSync(path.join(target, 'open'), 'w');
    try {
      await assert.rejects(host.unmount(target), { status: 'FAILED_PRECONDITION' });
    } finally {
      fs.closeSync(file);
    }
    await host.unmount(target);
  });

  test('what is not empty is not removed', async () => {
    const full = path.join(folder, 'full');
    fs.mkdirSync(full);
    fs.writeFileSync(path.join(full, 'file'), 'x');
    for (const name of [full, path.join(full, 'file')]) {
      await assert.rejects(host.remove(name), { status: 'FAILED_PRECONDITION' });
    }
    assert.equal(fs.readFileSync(path.join(full, 'file'), 'utf8'), 'x');
    await host.remove(path.join(folder, 'not-there'));
  });
});

describe('what stands on a disk', () => {
  let folder = '';
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ashlar-csi-content-'));
  });
  after(() => {
    fs.rmSync(folder, { recursive: true });
  });

  /** A file of zeroes with these bytes in it. */
  function image(bytes: readonly (readonly [number, string | Uint8Array])[] = []): string {
    const file = path.join(folder, `image-${fs.readdirSync(folder).length}`);
    fs.writeFileSync(file, '');
    fs.truncateSync(file, diskBytes);
    const descriptor = fs.openSync(file, 'r+');
    for (const [at, what] of bytes) fs.writeSync(descriptor, Buffer.from(what), 0, null, at);
    fs.closeSync(descriptor);
    return file;
  }
  const contentOf = (file: string, narrow = false) =>
    readContent(file, BigInt(diskBytes), narrow, 60_000);
  const made = (program: string, ...args: string[]) => {
    const file = image();
    execFileSync(program, [...args, file], { stdio: 'pipe' });
    return file;
  };

  test('zeroes: blank', async () => {
    assert.deepEqual(await contentOf(image()), { kind: 'blank' });
  });

  test('one byte at the start or at the end: not blank', async () => {
    for (const at of [0, 2047, 2048, MiB - 1, diskBytes - 1]) {
      const content = await contentOf(image([[at, 'x']]));
      assert.equal(content.kind, 'other', `at ${at}`);
    }
  });

  test('file systems that are wanted, with what they span', async () => {
    for (const fsType of fsTypes) {
      assert.deepEqual(await contentOf(made(`mkfs.${fsType}`, '-q')), {
        kind: 'file-system',
        fsType,
        sizeBytes: BigInt(diskBytes),
      });
    }
  });

  test('others, swap, and volumes of other programs: none of them blank', async () => {
    const partitions = Buffer.alloc(512);
    partitions.writeUInt8(0x80, 446);
    partitions.writeUInt8(0x83, 450);
    partitions.writeUInt32LE(2048, 454);
    partitions.writeUInt32LE(4096, 458);
    partitions.writeUInt16LE(0xaa55, 510);
    const luks = Buffer.alloc(1024);
    luks.write('LUKS\xba\xbe\x00\x01', 'latin1');
    const cases: [string, RegExp][] = [
      [made('mkfs.ext3', '-q'), /file-system.*ext3/],
      [made('mkfs.minix'), /file-system.*minix/],
      [made('mkswap'), /swap/],
      [image([[0, partitions]]), /partition table \(dos\)/],
      [image([[0, luks]]), /crypto_LUKS/],
    ];
    for (const [file, text] of cases) {
      for (const narrow of [false, true]) {
        const content = await contentOf(file, narrow);
        assert.match(
          JSON.stringify(content, (_, v) => (typeof v === 'bigint' ? `${v}` : v)),
          text,
        );
      }
    }
  });

  test('two at once: other', async () => {
    const file = made('mkfs.ext4', '-q');
    const descriptor = fs.openSync(file, 'r+');
    fs.writeSync(descriptor, 'SWAPSPACE2', 4086);
    fs.closeSync(descriptor);
    assert.notEqual((await contentOf(file)).kind, 'blank');
  });

  test('ext4 whose making was cut: blank only to who knows that he began it', async () => {
    const file = made('mkfs.ext4', '-q');
    const descriptor = fs.openSync(file, 'r+');
    // The superblock is written last.
    fs.writeSync(descriptor, Buffer.alloc(2048), 0, 2048, 0);
    fs.closeSync(descriptor);
    assert.equal((await contentOf(file)).kind, 'other');
    assert.deepEqual(await contentOf(file, true), { kind: 'blank' });
  });

  test('xfs and btrfs whose making was cut say so: unfinished, and made again', async () => {
    for (const [fsType, at, bytes] of [
      ['xfs', 126, '\x01'],
      ['btrfs', (64 << 10) + 64, '!BHRfS_M'],
    ] as const) {
      const file = made(`mkfs.${fsType}`, '-q');
      const descriptor = fs.openSync(file, 'r+');
      fs.writeSync(descriptor, bytes, at, 'latin1');
      fs.closeSync(descriptor);
      assert.deepEqual(await contentOf(file), { kind: 'unfinished' }, fsType);
      await makeFileSystem(file, fsType, true, 60_000);
      assert.equal((await contentOf(file)).kind, 'file-system');
    }
  });

  test('making a file system stops at one that is there', async () => {
    for (const fsType of ['xfs', 'btrfs'] as const) {
      await assert.rejects(makeFileSystem(made('mkfs.ext4', '-q'), fsType, false, 60_000), {
        status: 'INTERNAL',
      });
    }
  });

  test('a disk that cannot be read is no blank one', async () => {
    await assert.rejects(contentOf(path.join(folder, 'nothing')), { status: 'INTERNAL' });
    const short = path.join(folder, 'short');
    fs.writeFileSync(short, Buffer.alloc(4096));
    await assert.rejects(contentOf(short), { status: 'INTERNAL', message: /ends at 4096 bytes/ });
  });
});
