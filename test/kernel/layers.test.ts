/**
 * Snapshots, clones, rollback and trim under a stock Linux kernel: what a person does with the
 * `ashlar` command while a host works on the volumes. One boot of its own.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Daemon, runProgram, type Volume } from '../rig/daemon.js';
import { Guest } from './guest.js';
import { fio, hostnqn, LinuxHost } from './host.js';

const MiB = 2 ** 20;

interface Usage {
  mappedBytes: number;
  exclusiveBytes: number;
}

if (process.arch !== 'x64') {
  test('layers under a Linux kernel', { skip: 'the guest kernel is built for x64 only' });
} else {
  suite();
}

function suite(): void {
  let daemon: Daemon;
  let guest: Guest;
  let host: LinuxHost;
  let device: string;

  /** `ashlar …` against the daemon; it must succeed. */
  async function ashlar(...words: string[]): Promise<string> {
    const { code, out, err } = await runProgram([...words, '--socket', daemon.socket]);
    assert.equal(code, 0, `ashlar ${words.join(' ')}: ${out}${err}`);
    return out;
  }
  /** The same, and it must be refused; what it said. */
  async function refused(...words: string[]): Promise<string> {
    const { code, out, err } = await runProgram([...words, '--socket', daemon.socket]);
    assert.notEqual(code, 0, `ashlar ${words.join(' ')}: ${out}`);
    return err;
  }
  const usage = (volume: string): Promise<Usage> =>
    daemon.call<Usage>('GET', `/v1/volumes/${volume}`);
  /** Blocks that the host sees under a mount point, as one checksum. */
  const sum = (folder: string): Promise<string> =>
    guest.sh(`cd ${folder} && find . -type f | sort | xargs cat | cksum`);
  /** Waits until the background has given back what deleted layers held. */
  async function reclaimed(): Promise<void> {
    for (;;) {
      const { items } = await daemon.call<{ items: { reclaimingLayers: number }[] }>(
        'GET',
        '/v1/pools',
      );
      if (items.every(({ reclaimingLayers }) => reclaimingLayers === 0)) return;
      await delay(20);
    }
  }

  before(async () => {
    daemon = await Daemon.start({ poolFile: 'pool', poolSize: '2GiB', demoSize: null });
    await ashlar('volume', 'create', 'data', '--size', '256MiB', '--host', '*');
    await ashlar('volume', 'create', 'log', '--size', '64MiB', '--host', '*');
    guest = await Guest.boot();
    host = new LinuxHost(guest, daemon.port, await daemon.subnqn());
    await host.connect();
    device = await host.device((await daemon.volume('data')).nsid);
  });
  after(async () => {
    const failed = process.exitCode !== undefined && process.exitCode !== 0;
    if (failed) process.stdout.write(`${guest.console}\n${daemon.log}\n`);
    await guest[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
  });

  describe('while fio writes', () => {
    test('snapshots of a group, one after the other, and deletions: every block verifies', async () => {
      const logDevice = await host.device((await daemon.volume('log')).nsid);
      let ended = false;
      const load = fio(
        'group',
        `--rw=randwrite --bsrange=4k-64k --size=24M --iodepth=8 --loops=2 \
         --filename=${device}:${logDevice}`,
      );
      const running = guest.attempt(load, { port: 1, timeoutMs: 240_000 }).finally(() => {
        ended = true;
      });
      let taken = 0;
      while (!ended && taken < 40) {
        taken += 1;
        await ashlar('snapshot', 'create', `data@s${taken}`, `log@s${taken}`);
        if (taken > 3) {
          await ashlar('snapshot', 'delete', `data@s${taken - 3}`, '--yes');
          await ashlar('snapshot', 'delete', `log@s${taken - 3}`, '--yes');
        }
      }
      const { code, output } = await running;
      assert.equal(code, 0, output);
      assert.ok(taken >= 4, `${taken} snapshots while fio ran`);
      for (let at = Math.max(1, taken - 2); at <= taken; at += 1) {
        await ashlar('snapshot', 'delete', `data@s${at}`, '--yes');
        await ashlar('snapshot', 'delete', `log@s${at}`, '--yes');
      }
      await reclaimed();
    });
  });

  describe('an ext4 file system', () => {
    let first: string;
    let second: string;
    let clone: Volume;

    test('a snapshot keeps the files, a clone is mounted beside the original', async () => {
      await guest.sh(
        `mkfs.ext4 -q -F ${device}
         mkdir -p /mnt/data /mnt/clone /mnt/snapshot
         mount ${device} /mnt/data
         cp -r /usr/include/linux /mnt/data/
         sync`,
        { timeoutMs: 120_000 },
      );
      first = await sum('/mnt/data');
      await ashlar('snapshot', 'create', 'data@first');
      await guest.sh(
        `rm -r /mnt/data/linux/netfilter*
         cp /bin/busybox /mnt/data/
         sync`,
      );
      second = await sum('/mnt/data');
      assert.notEqual(first, second);
      await ashlar('volume', 'clone', 'data@first', 'copy', '--host', '*');
      clone = await daemon.volume('copy');
      const cloneDevice = await host.device(clone.nsid);
      await guest.sh(`mount ${cloneDevice} /mnt/clone`);
      assert.equal(await sum('/mnt/clone'), first);
      assert.equal(await sum('/mnt/data'), second);
    });

    test('writes to the clone are not seen in the original, nor the other way round', async () => {
      await guest.sh(
        `rm -r /mnt/clone/linux/usb
         cp -r /usr/include/asm-generic /mnt/data/
         sync
         echo 3 > /proc/sys/vm/drop_caches`,
      );
      await guest.sh('test ! -e /mnt/clone/asm-generic && test -e /mnt/data/linux/usb');
      second = await sum('/mnt/data');
    });

    test('the snapshot itself, granted: a read-only disk with the first files', async () => {
      await ashlar('grant', 'add', 'data@first', '*');
      const { nsid } = await daemon.call<{ nsid: number }>('GET', '/v1/snapshots/data%40first');
      const disk = await host.device(nsid);
      assert.equal(await host.attribute(`/sys/block/${path.basename(disk)}/ro`), '1');
      await guest.sh(`mount -o ro,noload ${disk} /mnt/snapshot`);
      assert.equal(await sum('/mnt/snapshot'), first);
      const written = await guest.attempt(
        `dd if=/dev/zero of=${disk} bs=4k count=1 oflag=direct 2>&1`,
      );
      assert.notEqual(written.code, 0, 'a write to a snapshot is refused');
      await guest.sh('umount /mnt/snapshot');
      await ashlar('grant', 'remove', 'data@first', '*');
    });

    test('rollback: refused while the host is connected, then the first files are back', async () => {
      const said = await refused('snapshot', 'rollback', 'data@first', '--yes');
      assert.ok(said.includes(hostnqn), said);
      await guest.sh('umount /mnt/data /mnt/clone');
      await host.disconnect();
      await ashlar('snapshot', 'create', 'data@second');
      await ashlar('snapshot', 'rollback', 'data@first', '--yes');
      await host.connect();
      device = await host.device((await daemon.volume('data')).nsid);
      await guest.sh(`mount ${device} /mnt/data`);
      assert.equal(await sum('/mnt/data'), first);
      // And forward again.
      await guest.sh('umount /mnt/data');
      await host.disconnect();
      await ashlar('snapshot', 'rollback', 'data@second', '--yes');
      await host.connect();
      device = await host.device((await daemon.volume('data')).nsid);
      await guest.sh(`e2fsck -fn ${device} && mount ${device} /mnt/data`);
      assert.equal(await sum('/mnt/data'), second);
    });

    test('fstrim gives the space of deleted files back, and the rest is the same', async () => {
      await guest.sh('dd if=/dev/urandom of=/mnt/data/large bs=1M count=48 status=none && sync', {
        timeoutMs: 120_000,
      });
      const full = await usage('data');
      await guest.sh('rm /mnt/data/large && sync && fstrim /mnt/data', { timeoutMs: 120_000 });
      const trimmed = await usage('data');
      assert.ok(full.mappedBytes - trimmed.mappedBytes >= 47 * MiB, 'mapped');
      assert.ok(full.exclusiveBytes - trimmed.exclusiveBytes >= 46 * MiB, 'exclusive');
      assert.equal(await sum('/mnt/data'), second);
    });

    test('blkdiscard of a clone: it reads as zeroes, its snapshot and the original do not', async () => {
      const disk = await host.device(clone.nsid);
      await guest.sh(
        `blkdiscard ${disk}
         cmp -n $((64 * ${MiB})) ${disk} /dev/zero`,
        { timeoutMs: 120_000 },
      );
      assert.equal((await usage('copy')).mappedBytes, 0);
      assert.equal(await sum('/mnt/data'), second);
    });

    test('deletions in any order: refused while connected, then done; files and sums agree', async () => {
      const said = await refused('volume', 'delete', 'copy', '--yes');
      assert.ok(said.includes(hostnqn), said);
      await ashlar('snapshot', 'delete', 'data@first', '--yes');
      await ashlar('volume', 'delete', 'copy', '--yes', '--force');
      await ashlar('snapshot', 'delete', 'data@second', '--yes');
      await reclaimed();
      await guest.sh('echo 3 > /proc/sys/vm/drop_caches');
      assert.equal(await sum('/mnt/data'), second);
      await guest.sh(`umount /mnt/data && e2fsck -fn ${device}`);
      const { mappedBytes, exclusiveBytes } = await usage('data');
      assert.ok(exclusiveBytes >= mappedBytes, 'nothing is shared any more');
      await ashlar('pool', 'check', daemon.workspace.file('pool'));
    });
  });

  test('the guest kernel has nothing to complain about', async () => {
    await host.disconnect();
    const complaints = guest.console
      .split('\n')
      .filter((line) => /BUG|WARNING|Oops|Call Trace|I\/O error|hung task/.test(line))
      // The write to the snapshot, which had to fail.
      .filter((line) => !/I\/O error, dev nvme\dn\d, sector 0 op 0x1/.test(line));
    assert.deepEqual(complaints, []);
  });
}
