/** The verbs with the real programs, on disks that are files of this machine. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { LinuxHost } from '../../lib/csi/host/linux.js';
import { type Disk, type FsType, fsTypes } from '../../lib/csi/host/types.js';

const MiB = 2 ** 20;
/** xfs takes 300 MiB at least. */
const diskBytes = 512 * MiB;

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

/** Makes a disk of a new file; it goes with the test. */
function makeDisk(context: TestContext, folder: string, bytes = diskBytes): Disk {
  const file = path.join(folder, `disk-${Math.random()}`);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, bytes);
  const device = execFileSync('losetup', ['--find', '--show', file]).toString().trim();
  context.after(() => {
    for (const line of fs.readFileSync('/proc/self/mounts', 'utf8').split('\n').reverse()) {
      const [source, target] = line.split(' ');
      if (source === device && target !== undefined) execFileSync('umount', [target]);
    }
    execFileSync('losetup', ['--detach', device]);
    fs.rmSync(file);
  });
  const name = path.basename(device);
  const number = fs.readFileSync(`/sys/class/block/${name}/dev`, 'utf8').trim();
  return {
    device,
    number,
    uuid: '00000000-0000-4000-8000-000000000000',
    subnqn: 'nqn.2014-08.org.example:s',
    sizeBytes: BigInt(bytes),
    readOnly: false,
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
    const disk = makeDisk(t, folder);
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
});
