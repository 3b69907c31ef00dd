/**
 * Linux 7 as a host that concatenates a secure channel: it authenticates in plain, makes a PSK of
 * that, and comes again over TLS (`nvme connect --concat`).
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Daemon } from '../../rig/daemon.js';
import { Guest } from '../guest.js';
import { hostnqn, LinuxHost } from '../host.js';

for (const tls of ['allowed', 'required'] as const) {
  describe(`nvme connect --concat where TLS is ${tls}`, () => {
    let daemon: Daemon | undefined;
    let guest: Guest | undefined;
    let host: LinuxHost;
    let secret = '';

    before(async () => {
      daemon = await Daemon.start({ poolFile: 'pool', tls });
      guest = await Guest.boot({ bootTimeoutMs: 240_000 });
      await guest.load('secure');
      host = new LinuxHost(guest, daemon.port, await daemon.subnqn());
      await daemon.call('POST', '/v1/hosts', { nqn: hostnqn });
      const path = `/v1/hosts/${encodeURIComponent(hostnqn)}/keys`;
      const made = await daemon.call<{ secret: string }>('POST', path, { hash: 'sha256' });
      secret = made.secret;
      await guest.sh(
        `printf '[debug]\\nloglevel=1\\ntls=1\\nnl=0\\n[authenticate]\\nkeyrings=.nvme\\n' >/tmp/tlshd.conf
         tlshd --stderr --config /tmp/tlshd.conf >/tmp/tlshd.log 2>&1 &
         echo $! >>/tmp/background`,
      );
    });
    after(async () => {
      const log = await guest?.attempt('cat /tmp/tlshd.log').catch(() => null);
      if (process.exitCode !== undefined && process.exitCode !== 0) {
        process.stdout.write(`${guest?.console}\n${log?.output ?? ''}\n${daemon?.log}\n`);
      }
      await guest?.[Symbol.asyncDispose]();
      await daemon?.[Symbol.asyncDispose]();
    });

    /** Data written and read back; and that it goes over TLS, by what sysfs says. */
    async function goesOverTls(name: string): Promise<void> {
      assert(daemon !== undefined && guest !== undefined);
      const { nsid } = await daemon.volume('demo');
      const device = await host.device(nsid);
      await guest.sh(
        `head -c 1048576 /dev/urandom >/tmp/data
         dd if=/tmp/data of=${device} bs=256k oflag=direct conv=fsync 2>&1
         dd if=${device} of=/tmp/back bs=256k count=4 iflag=direct 2>&1
         cmp /tmp/data /tmp/back`,
        { timeoutMs: 120_000 },
      );
      const key = await host.attribute(`/sys/class/nvme/${name}/tls_key`);
      assert.match(key, /^[0-9a-f]{8}$/, 'the serial of the key that TLS began with');
      const keys = await guest.sh('cat /proc/keys');
      assert.match(keys, /NVMe1G01 /);
    }

    test('connected: over TLS by the generated PSK, and data is read back', async () => {
      const name = await host.connect(`--nr-io-queues=2 --concat --dhchap-secret=${secret}`);
      await goesOverTls(name);
    });

    test('connected again after a reset: by another PSK', async () => {
      assert(guest !== undefined);
      const [name = ''] = (await guest.sh('ls /sys/class/nvme')).trim().split('\n');
      const before = await host.attribute(`/sys/class/nvme/${name}/tls_key`);
      await guest.sh(`nvme reset /dev/${name}`, { timeoutMs: 120_000 });
      await goesOverTls(name);
      assert.notEqual(await host.attribute(`/sys/class/nvme/${name}/tls_key`), before);
      await host.disconnect();
    });

    test('without --concat: plain where it is allowed, else refused with the reason', async () => {
      assert(guest !== undefined);
      const options = `--nr-io-queues=2 --dhchap-secret=${secret}`;
      if (tls === 'allowed') {
        await host.connect(options);
        await host.disconnect();
        return;
      }
      await assert.rejects(host.connect(options), /exit code/);
      assert.match(guest.console, /secure concatenation is not supported/);
    });
  });
}
