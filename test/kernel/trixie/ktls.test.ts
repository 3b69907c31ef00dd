/**
 * Ashlar on Linux 6.12, whose kernel does the records of TLS: a node in the guest, and the guest's
 * own kernel as its host. The kernel counts the sockets whose records it does, so both ends show.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Status } from '../../../lib/api/contract.js';
import { Guest } from '../guest.js';
import { GuestNode, nodeAddress, nodePort, runInMachine } from '../guest_node.js';
import { complaints, fio, hostnqn, LinuxHost } from '../host.js';

/** Queues of the host: the admin queue and two for I/O, a connection each. */
const queues = 3;

let guest: Guest;

before(async () => {
  guest = await Guest.boot({ bootTimeoutMs: 240_000 });
  await guest.load('secure');
  await guest.sh(
    `printf '[debug]\\nloglevel=1\\ntls=1\\nnl=0\\n[authenticate]\\nkeyrings=.nvme\\n' >/tmp/tlshd.conf
     tlshd --stderr --config /tmp/tlshd.conf >/tmp/tlshd.log 2>&1 &
     echo $! >>/tmp/background`,
  );
});
after(async () => {
  if (process.exitCode !== undefined && process.exitCode !== 0) {
    const logs = await guest.attempt('cat /tmp/tlshd.log /mnt/machine/run/*.log').catch(() => null);
    process.stdout.write(`${guest.console}\n${logs?.output ?? ''}\n`);
  }
  await guest[Symbol.asyncDispose]();
});

test('the C++ tests of records by the kernel, on a kernel that does them: they pass', async () => {
  const said = await runInMachine(guest, '.build/native/ashlar_tests', '-tc="kernel tls:*"');
  assert.match(said, /Status: SUCCESS!/);
  assert.match(said, /test cases: +[1-9]/);
  assert.doesNotMatch(said, /are not tried/);
});

const cases = [
  { ktls: 'auto', records: 'kernel', problem: null, offloaded: 2 * queues },
  { ktls: 'off', records: 'process', problem: 'target.ktls is off', offloaded: queues },
] as const;

for (const { ktls, records, problem, offloaded } of cases) {
  describe(`target.ktls = ${ktls}: nvme connect --tls, records by the ${records}`, () => {
    let node: GuestNode;
    let host: LinuxHost;
    let sockets: TlsStat;

    before(async () => {
      node = await GuestNode.start(guest, { tls: 'required', ktls });
      const subnqn = await node.subnqn();
      host = new LinuxHost(guest, nodePort, subnqn, nodeAddress);
      await node.call('POST', '/v1/hosts', { nqn: hostnqn });
      const { psk } = await node.call<{ psk: string }>('POST', '/v1/psks', {
        host: hostnqn,
        hash: 'sha256',
      });
      await guest.sh(
        `nvme check-tls-key --keydata='${psk}' --hostnqn=${hostnqn} --subsysnqn=${subnqn} \
           --identity=1 --insert`,
      );
    });
    after(() => node[Symbol.asyncDispose]());

    test('what fio wrote is read back, and the kernel counts its sockets', async () => {
      const { tls } = await node.call<Status>('GET', '/v1/status');
      assert.deepEqual([tls.mode, tls.records, tls.problem], ['required', records, problem]);
      const before = await tlsStat();
      await host.connect(`--tls --nr-io-queues=${queues - 1}`);
      const device = await host.device((await node.volume('demo')).nsid);
      const pattern = '--rw=randrw --bssplit=4k/40:64k/40:256k/20 --size=16m --iodepth=8';
      const started = Date.now();
      await guest.sh(fio('mixed', `--filename=${device} ${pattern}`), { timeoutMs: 300_000 });
      process.stdout.write(`# records by the ${records}: ${Date.now() - started} ms of fio\n`);
      sockets = await tlsStat();
      const grown = (name: string) => (sockets[name] ?? 0) - (before[name] ?? 0);
      assert.deepEqual([grown('TlsTxSw'), grown('TlsRxSw')], [offloaded, offloaded]);
      assert.equal(sockets['TlsCurrTxSw'], offloaded);
      assert.equal(sockets['TlsCurrRxSw'], offloaded);
    });

    test('the status tells by whom, and none was refused', async () => {
      const { tls } = await node.call<Status>('GET', '/v1/status');
      const byKernel = records === 'kernel' ? queues : 0;
      assert.deepEqual(
        [tls.kernelConnections, tls.processConnections, tls.refused],
        [byKernel, queues - byKernel, 0],
      );
      assert.match(await node.log(), new RegExp(`TLS records: ${records}`));
    });

    test('nvme disconnect: an orderly end, and no record was another than its peer sent', async () => {
      await host.disconnect();
      await guest.sh(
        `for try in $(seq 100); do
           grep -q 'TlsCurrTxSw[[:space:]]*0$' /proc/net/tls_stat && exit 0
           sleep 0.1
         done
         cat /proc/net/tls_stat
         exit 1`,
        { timeoutMs: 180_000 },
      );
      assert.equal((await tlsStat())['TlsDecryptError'], sockets['TlsDecryptError']);
      assert.deepEqual(complaints(guest), []);
      assert.doesNotMatch(await node.log(), /"level":(40|50|60)/);
    });
  });
}

type TlsStat = Record<string, number>;

async function tlsStat(): Promise<TlsStat> {
  const text = await guest.sh('cat /proc/net/tls_stat');
  const lines = text.trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [name = '', value = ''] = line.split(/\s+/);
      return [name, Number(value)];
    }),
  );
}
