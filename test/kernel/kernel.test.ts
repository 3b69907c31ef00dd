/**
 * A stock Linux kernel as the host: one boot of Debian's kernel under emulation, against the
 * daemon on a pool file. Emulated, it does one to three thousand I/O a second; the loads are sized
 * for that.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { newIdentity } from '../protocol/fixture.js';
import { conflict, ReservingHost } from '../protocol/reserving_host.js';
import { Daemon, runProgram, type Volume } from '../rig/daemon.js';
import { Guest } from './guest.js';
import { complaints, type DiscoveryRecord, fio, hostid, hostnqn, LinuxHost } from './host.js';

const MiB = 2 ** 20;

if (process.arch !== 'x64') {
  test('a Linux kernel as the host', { skip: 'the guest kernel is built for x64 only' });
} else {
  suite();
}

function suite(): void {
  let daemon: Daemon;
  let guest: Guest;
  let host: LinuxHost;
  let subnqn: string;
  let volume: Volume;

  before(async () => {
    daemon = await Daemon.start({
      poolFile: 'pool',
      poolSize: '4GiB',
      demoSize: '1GiB',
      discovery: true,
    });
    subnqn = await daemon.subnqn();
    volume = await daemon.volume('demo');
    guest = await Guest.boot();
    host = new LinuxHost(guest, daemon.port, subnqn);
  });
  after(async () => {
    const failed = process.exitCode !== undefined && process.exitCode !== 0;
    if (failed) process.stdout.write(`${guest.console}\n${daemon.log}\n`);
    await guest[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
  });

  describe('discovery', () => {
    for (const which of ['port', 'discoveryPort'] as const) {
      test(`at the ${which}: lists the subsystem at its portal`, async () => {
        const records = await host.discover(daemon[which]);
        const found = records.filter((record) => record.subnqn === subnqn);
        assert.equal(found.length, 1, JSON.stringify(records));
        assert.equal(found[0]?.trtype, 'tcp');
        assert.equal(found[0]?.subtype, 'nvme subsystem');
        assert.equal(found[0]?.trsvcid, String(daemon.port));
      });
    }
  });

  // Pages are kept within 4 KiB: of longer ones nvme-cli 2.3 reads the last part with RAE set, too,
  // so that the event is never cleared and no other comes.
  describe('persistent discovery', () => {
    const pageChanged = 'NVME_AEN=0x70f002';
    let events: string;
    let other: Volume;

    /** Discovery controllers that the daemon has. */
    async function controllers(kind: string): Promise<Record<string, unknown>[]> {
      const { items } = await daemon.call<{ items: Record<string, unknown>[] }>(
        'GET',
        '/v1/controllers',
      );
      return items.filter((each) => each['kind'] === kind);
    }

    test('nvme discover --persistent: the controller stays, and is kept alive', async () => {
      await host.relay([daemon.port, daemon.discoveryPort]);
      events = await host.noteEvents();
      await host.nvme(`discover --persistent -t tcp -a 127.0.0.1 -s ${daemon.discoveryPort}`);
      assert.equal(await host.attribute('/sys/class/nvme/nvme0/state'), 'live');
      assert.ok(Number(await host.attribute('/sys/class/nvme/nvme0/kato')) > 0);
      const [controller] = await controllers('discovery');
      assert.ok(Number(controller?.['keepAliveMs']) > 0, JSON.stringify(controller));
    });

    test('a referral comes and goes: the kernel is told each time', async () => {
      const referral = await daemon.call<{ endpoint: string }>('POST', '/v1/referrals', {
        address: '192.0.2.7',
      });
      await host.lines(events, pageChanged, 1);
      assert.match(await host.nvme('discover -d /dev/nvme0'), /referral[^=]*192\.0\.2\.7/);
      await daemon.call('DELETE', `/v1/referrals/${encodeURIComponent(referral.endpoint)}`);
      await host.lines(events, pageChanged, 2);
      assert.doesNotMatch(await host.nvme('discover -d /dev/nvme0'), /referral/);
    });

    test('a volume of another tenant is granted: the kernel is told by an event', async () => {
      await daemon.call('POST', '/v1/tenants', { name: 'other' });
      const request = { name: 'more', sizeBytes: 16 * MiB, hosts: [hostnqn] };
      other = await daemon.call<Volume>('POST', '/v1/volumes?tenant=other', request);
      await host.lines(events, pageChanged, 3);
      const text = await host.nvme('discover -d /dev/nvme0 -o json');
      const { records } = JSON.parse(text.slice(text.indexOf('{'))) as {
        records: DiscoveryRecord[];
      };
      const found = records.filter(({ subtype }) => subtype === 'nvme subsystem');
      assert.deepEqual(found.map((record) => record.subnqn).sort(), [subnqn, other.subnqn].sort());
    });

    test('nvme connect-all on that controller: the disks of both tenants appear', async () => {
      await host.nvme('connect-all -d /dev/nvme0');
      assert.equal((await controllers('io')).length, 2);
      for (const { uuid } of [volume, other]) {
        await guest.sh(
          `for try in $(seq 100); do
             grep -qsx ${uuid} /sys/block/nvme*/uuid && exit 0
             sleep 0.1
           done
           exit 1`,
        );
      }
    });

    test('nvme connect-all by address alone: connects what is not connected', async () => {
      await guest.sh(`nvme disconnect -n ${other.subnqn}`);
      await host.nvme(`connect-all -t tcp -a 127.0.0.1 -s ${daemon.discoveryPort}`);
      assert.equal((await controllers('io')).length, 2);
    });

    test('the host is removed from that tenant: told, and it finds nothing of it', async () => {
      // Or this kernel tries to connect again for ten minutes, and nvme-cli waits for it.
      await guest.sh(`nvme disconnect -n ${other.subnqn}`);
      await daemon.call('DELETE', `/v1/hosts/${encodeURIComponent(hostnqn)}?tenant=other`);
      await host.lines(events, pageChanged, 4);
      const text = await host.nvme('discover -d /dev/nvme0');
      assert.ok(text.includes(subnqn) && !text.includes(other.subnqn), text);
    });

    test('nvme disconnect-all: nothing is left on either side', async () => {
      await guest.sh('nvme disconnect-all');
      await host.endBackground();
      assert.equal(await guest.sh('ls /sys/class/nvme'), '');
      const { controllers } = await daemon.call<{ controllers: number }>('GET', '/v1/status');
      assert.equal(controllers, 0);
    });
  });

  describe('a connection with four I/O queues', () => {
    let controller: string;
    let device: string;

    test('is made, and the namespace appears', async () => {
      controller = await host.connect('--nr-io-queues=2 --nr-write-queues=2');
      device = await host.device(volume.nsid);
      const queues = await host.attribute(`/sys/class/nvme/${controller}/queue_count`);
      assert.equal(queues, '5', 'the admin queue and four I/O queues');
      const { items } = await daemon.call<{ items: { kind: string; ioQueues: number }[] }>(
        'GET',
        '/v1/controllers',
      );
      assert.deepEqual(
        items.filter(({ kind }) => kind === 'io').map(({ ioQueues }) => ioQueues),
        [4],
      );
    });

    test('Identify Controller: says what this controller is and can', async () => {
      const identity = await host.json<Record<string, number | string>>(
        `nvme id-ctrl /dev/${controller} -o json`,
      );
      assert.match(String(identity['mn']), /^Ashlar/);
      assert.equal(identity['subnqn'], subnqn);
      assert.ok(Number(identity['mdts']) >= 8, `MDTS ${identity['mdts']}: 1 MiB in 4 KiB pages`);
      assert.equal(Number(identity['vwc']) & 1, 1, 'a volatile write cache');
      const oncs = Number(identity['oncs']);
      assert.equal(oncs & 0b1101, 0b1101, `ONCS ${oncs}: Compare, DSM, Write Zeroes`);
      assert.equal(identity['ioccsz'], (64 + 8192) / 16, 'in-capsule data of 8 KiB');
      assert.equal(Number(identity['cmic']) & 0b1000, 0b1000, 'ANA reporting');
      assert.ok(Number(identity['maxcmd'] ?? 128) >= 128);
    });

    test('Identify Namespace: says its size, format and identity', async () => {
      const identity = await host.json<Record<string, number | string>>(
        `nvme id-ns ${device} -o json`,
      );
      assert.equal(identity['nsze'], volume.sizeBytes / volume.blockBytes);
      assert.equal(identity['ncap'], identity['nsze']);
      assert.equal(String(identity['nguid']).toLowerCase(), volume.nguid);
      assert.equal(Number(identity['nsfeat']) & 1, 1, 'thin provisioning');
      assert.equal(Number(identity['dlfeat']) & 0b111, 1, 'deallocated blocks read as zeroes');
      const name = path.basename(device);
      assert.equal(await host.attribute(`/sys/block/${name}/uuid`), volume.uuid);
      assert.equal(Number(await host.attribute(`/sys/block/${name}/size`)) * 512, volume.sizeBytes);
      const queue = `/sys/block/${name}/queue`;
      assert.equal(await host.attribute(`${queue}/logical_block_size`), String(volume.blockBytes));
      assert.equal(await host.attribute(`${queue}/write_cache`), 'write back');
      assert.equal(await host.attribute(`${queue}/fua`), '1');
      assert.ok(Number(await host.attribute(`${queue}/discard_max_bytes`)) > 0);
      assert.ok(Number(await host.attribute(`${queue}/write_zeroes_max_bytes`)) > 0);
      assert.ok(Number(await host.attribute(`${queue}/max_hw_sectors_kb`)) >= 1024);
    });

    test('log pages: SMART, error, firmware, effects, ANA and changed namespaces', async () => {
      await guest.sh(
        `nvme smart-log /dev/${controller}
         nvme error-log /dev/${controller}
         nvme fw-log /dev/${controller}
         nvme effects-log /dev/${controller}
         nvme ana-log /dev/${controller}
         nvme changed-ns-list-log /dev/${controller}`,
      );
    });

    test('fio with checksums, block sizes mixed: every block reads back', async () => {
      await guest.sh(
        fio(
          'mixed',
          `--filename=${device} --rw=randwrite --bsrange=4k-128k --size=96M \
          --iodepth=16`,
        ),
        { timeoutMs: 120_000 },
      );
    });

    test('blkdiscard: the range reads as zeroes, its neighbours do not, space comes back', async () => {
      const before = await daemon.call<{ allocatedBytes: number }>('GET', '/v1/volumes/demo');
      await guest.sh(
        `dd if=/dev/urandom of=/tmp/data bs=1M count=12 status=none
         dd if=/tmp/data of=${device} bs=1M seek=256 oflag=direct status=none
         blkdiscard -o $((260 * ${MiB})) -l $((4 * ${MiB})) ${device}
         dd if=/dev/zero of=/tmp/data bs=1M seek=4 count=4 conv=notrunc status=none
         dd if=${device} bs=1M skip=256 count=12 iflag=direct status=none | cmp - /tmp/data`,
      );
      const after = await daemon.call<{ allocatedBytes: number }>('GET', '/v1/volumes/demo');
      assert.equal(after.allocatedBytes - before.allocatedBytes, 8 * MiB);
    });

    for (const [kind, make, check] of [
      ['ext4', 'mkfs.ext4 -q -F', 'e2fsck -fn'],
      ['xfs', 'mkfs.xfs -q -f', 'xfs_repair -n'],
    ] as const) {
      test(`${kind}: files are the same after unmounting, and the check is clean`, async () => {
        await guest.sh(
          `${make} ${device}
           mkdir -p /mnt/${kind}
           mount -t ${kind} ${device} /mnt/${kind}
           cp -r /usr/include/linux /mnt/${kind}/
           cd /usr/include && find linux -type f | sort | xargs cat | cksum > /tmp/expected
           cd /mnt/${kind} && find linux -type f | sort | xargs cat | cksum > /tmp/written
           cmp /tmp/expected /tmp/written
           cd / && umount /mnt/${kind}
           echo 3 > /proc/sys/vm/drop_caches
           ${check} ${device}
           mount -t ${kind} ${device} /mnt/${kind}
           cd /mnt/${kind} && find linux -type f | sort | xargs cat | cksum > /tmp/read
           cd / && umount /mnt/${kind}
           cmp /tmp/expected /tmp/read`,
          { timeoutMs: 120_000 },
        );
      });
    }

    test('fsync after every write on ext4: verifies', async () => {
      await guest.sh(
        `mkfs.ext4 -q -F ${device}
         mount ${device} /mnt/ext4
         ${fio('fsync', '--directory=/mnt/ext4 --rw=randwrite --bs=4k --size=2M --fsync=1')}
         umount /mnt/ext4
         e2fsck -fn ${device}`,
        { timeoutMs: 120_000 },
      );
    });

    test('reservations: nvme-cli registers and holds, loses it to another host, is told', async () => {
      const other = newIdentity(subnqn);
      await using rival = await ReservingHost.connect(
        { port: daemon.port, nsid: volume.nsid },
        other,
      );
      const write = `dd if=/dev/zero of=${device} bs=4k count=1 oflag=direct`;
      await guest.sh(
        `nvme resv-register ${device} --nrkey=0x11 --rrega=0
         nvme resv-acquire ${device} --crkey=0x11 --rtype=1 --racqa=0
         ${write}`,
      );
      assert.equal(await rival.write(), conflict);
      const report = await guest.sh(`nvme resv-report ${device} --eds`);
      assert.match(report, /rtype\s*: 1\b/);
      assert.match(report, /rkey\s*: 11\b/);
      assert.match(report, new RegExp(`hostid\\s*: ${hostid.replaceAll('-', '')}`));
      assert.equal(await rival.register(0x22n), 0);
      assert.equal(await rival.preempt(1, 0x22n, 0x11n), 0);
      // EBADE, which the block layer makes of a Reservation Conflict.
      assert.match(await guest.sh(`${write} 2>&1 || true`), /Invalid exchange/);
      const page = await guest.sh(`nvme resv-notif-log /dev/${controller}`);
      // Registration Preempted; nvme-cli 2.3 has the word of another type for it.
      assert.match(page, /Log Page Type\s*: 1\b/);
      assert.equal(await rival.clear(0x22n), 0);
      await guest.sh(write);
    });

    test('disconnect: the controller is gone on both sides', async () => {
      await host.disconnect();
      assert.equal(await guest.sh('ls /sys/class/nvme'), '');
      const { controllers } = await daemon.call<{ controllers: number }>('GET', '/v1/status');
      assert.equal(controllers, 0);
    });
  });

  describe('with digests', () => {
    for (const [name, options] of [
      ['of headers', '--hdr-digest'],
      ['of data', '--data-digest'],
      ['of both', '--hdr-digest --data-digest'],
    ] as const) {
      test(`${name}: fio verifies`, async () => {
        await host.connect(options);
        const device = await host.device(volume.nsid);
        await guest.sh(
          fio('digest', `--filename=${device} --rw=randrw --bsrange=4k-64k --size=8M --iodepth=8`),
        );
        await host.disconnect();
      });
    }
  });

  describe('the daemon killed with -9 under load', () => {
    let device: string;

    /** Starts a load on the second port and kills the daemon `times` while it writes. */
    async function killedUnder(load: string, times: number) {
      let ended = false;
      const running = guest.attempt(load, { port: 1, timeoutMs: 240_000 }).finally(() => {
        ended = true;
      });
      for (let count = 0; count < times; count += 1) {
        while ((await writtenBytes()) < 600 * 4096) {
          if (ended) assert.fail(`the load ended early: ${JSON.stringify(await running)}`);
          await delay(20);
        }
        await daemon.kill();
        await daemon.start();
      }
      return running;
    }

    /** What hosts have written since the daemon was started. */
    async function writtenBytes(): Promise<number> {
      const { reactors } = await daemon.call<{ reactors: { writtenBytes: number }[] }>(
        'GET',
        '/v1/status',
      );
      return reactors.reduce((sum, reactor) => sum + reactor.writtenBytes, 0);
    }

    test('overwriting: the kernel reconnects by itself and every block verifies', async () => {
      await host.connect();
      device = await host.device(volume.nsid);
      await guest.sh(
        `${fio('fill', `--filename=${device} --rw=write --bs=128k --size=16M --do_verify=0`)}
         sync ${device}`,
      );
      const load = fio(
        'kill',
        `--filename=${device} --rw=randwrite --bs=4k --size=16M --iodepth=8`,
      );
      const { code, output } = await killedUnder(load, 3);
      assert.equal(code, 0, output);
      const state = await guest.sh('cat /sys/class/nvme/nvme*/state');
      assert.equal(state.trim(), 'live');
    });

    test('writing blocks for the first time: every acknowledged block verifies', async () => {
      const load = fio(
        'fresh',
        `--filename=${device} --offset=512M --rw=randwrite --bs=4k --size=16M --iodepth=8`,
      );
      const { code, output } = await killedUnder(load, 3);
      assert.equal(code, 0, output);
    });

    test('under ext4 with fsync: the file system is clean and the files verify', async () => {
      await guest.sh(`mkfs.ext4 -q -F ${device} && mount ${device} /mnt/ext4`);
      const load = fio(
        'journal',
        '--directory=/mnt/ext4 --rw=randwrite --bs=4k --size=4M --fsync=8 --iodepth=4',
      );
      const { code, output } = await killedUnder(load, 2);
      assert.equal(code, 0, output);
      await guest.sh(`umount /mnt/ext4 && e2fsck -fn ${device}`);
    });
  });

  describe('a clean restart', () => {
    test('data written before is there, and the pool is clean', async () => {
      const device = await host.device(volume.nsid);
      await guest.sh(
        `umount -q /mnt/ext4 || true
         mkfs.ext4 -q -F ${device}
         mount ${device} /mnt/ext4
         cp -r /usr/include/linux /mnt/ext4/
         cd /mnt/ext4 && find linux -type f | sort | xargs cat | cksum > /tmp/expected
         cd / && umount /mnt/ext4`,
      );
      await host.disconnect();
      assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
      const check = await runProgram([
        ...['pool', 'check', daemon.workspace.file('pool'), '--json'],
        ...['--socket', daemon.socket],
      ]);
      assert.equal(check.code, 0, `${check.out}${check.err}`);
      await daemon.start();
      await host.connect('--hdr-digest --data-digest');
      const again = await host.device(volume.nsid);
      await guest.sh(
        `mount -o ro ${again} /mnt/ext4
         cd /mnt/ext4 && find linux -type f | sort | xargs cat | cksum > /tmp/read
         cd / && umount /mnt/ext4
         cmp /tmp/expected /tmp/read`,
      );
      await host.disconnect();
    });

    test('the guest kernel has nothing to complain about', () => {
      assert.deepEqual(complaints(guest), []);
    });
  });
}
