/**
 * Linux 6.12 as a host over TLS: nvme-cli derives the PSK, tlshd (GnuTLS) shakes hands, and the
 * kernel's own TLS does the records.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon } from '../../rig/daemon.js';
import { Guest, machineAddress } from '../guest.js';
import { hostid, hostnqn, LinuxHost } from '../host.js';

let daemon: Daemon;
let guest: Guest;
let host: LinuxHost;
let subnqn: string;

before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool', tls: 'required' });
  subnqn = await daemon.subnqn();
  guest = await Guest.boot({ bootTimeoutMs: 240_000 });
  await guest.load('secure');
  host = new LinuxHost(guest, daemon.port, subnqn);
  await daemon.call('POST', '/v1/hosts', { nqn: hostnqn });
  await guest.sh(
    `printf '[debug]\\nloglevel=1\\ntls=1\\nnl=0\\n[authenticate]\\nkeyrings=.nvme\\n' >/tmp/tlshd.conf
     tlshd --stderr --config /tmp/tlshd.conf >/tmp/tlshd.log 2>&1 &
     echo $! >>/tmp/background`,
  );
});
after(async () => {
  // A guest that has not booted is none.
  const log = await guest?.attempt('cat /tmp/tlshd.log').catch(() => null);
  if (process.exitCode !== undefined && process.exitCode !== 0) {
    process.stdout.write(`${guest?.console}\n${log?.output ?? ''}\n${daemon?.log}\n`);
  }
  await guest?.[Symbol.asyncDispose]();
  await daemon?.[Symbol.asyncDispose]();
});

/** A new PSK of the host, in the guest's keyring. */
async function shareKey(hash: 'sha256' | 'sha384', version: 0 | 1): Promise<string> {
  const { psk } = await daemon.call<{ psk: string }>('POST', '/v1/psks', { host: hostnqn, hash });
  return guest.sh(
    `nvme check-tls-key --keydata='${psk}' --hostnqn=${hostnqn} --subsysnqn=${subnqn} \
       --identity=${version} --insert`,
  );
}

// With SHA-256 alone: Debian 13's tlshd makes the binders of all PSKs with it.
for (const version of [0, 1] as const) {
  test(`nvme connect --tls, identity of version ${version}: data is read back`, async () => {
    await shareKey('sha256', version);
    const controller = await host.connect('--tls');
    const { nsid } = await daemon.volume('demo');
    const device = await host.device(nsid);
    await guest.sh(
      `head -c 4194304 /dev/urandom >/tmp/data
       dd if=/tmp/data of=${device} bs=1M oflag=direct conv=fsync 2>&1
       dd if=${device} of=/tmp/back bs=1M count=4 iflag=direct 2>&1
       cmp /tmp/data /tmp/back`,
      { timeoutMs: 120_000 },
    );
    await guest.sh(`nvme disconnect -d ${controller}`);
    await daemon.call('DELETE', `/v1/psks/${encodeURIComponent(hostnqn)}`);
  });
}

test('nvme connect without TLS where it is required: refused', async () => {
  const { code } = await guest.attempt(
    `nvme connect -t tcp -a ${machineAddress} -s ${daemon.port} -n ${subnqn} \
       --hostnqn=${hostnqn} --hostid=${hostid}`,
  );
  assert.notEqual(code, 0);
});
