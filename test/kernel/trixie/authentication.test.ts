/** Linux 6.12 as a host that authenticates, and that wants the controller to. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon } from '../../rig/daemon.js';
import { Guest } from '../guest.js';
import { hostnqn, LinuxHost } from '../host.js';

let daemon: Daemon;
let guest: Guest;
let host: LinuxHost;

before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool' });
  guest = await Guest.boot({ bootTimeoutMs: 240_000 });
  await guest.load('secure');
  host = new LinuxHost(guest, daemon.port, await daemon.subnqn());
  await daemon.call('POST', '/v1/hosts', { nqn: hostnqn });
});
after(async () => {
  if (process.exitCode !== undefined && process.exitCode !== 0) {
    process.stdout.write(`${guest?.console}\n${daemon?.log}\n`);
  }
  // A guest that has not booted is none.
  await guest?.[Symbol.asyncDispose]();
  await daemon?.[Symbol.asyncDispose]();
});

interface Made {
  key: { fingerprint: string };
  secret: string | null;
}

/** A new key of the host, for which the node has no secret any more once it is told. */
async function newKey(body: object): Promise<{ secret: string; fingerprint: string }> {
  const path = `/v1/hosts/${encodeURIComponent(hostnqn)}/keys`;
  const { key, secret } = await daemon.call<Made>('POST', path, body);
  return { secret: secret ?? '', fingerprint: key.fingerprint };
}

async function writeAndReadBack(): Promise<void> {
  const { nsid } = await daemon.volume('demo');
  const device = await host.device(nsid);
  await guest.sh(
    `head -c 1048576 /dev/urandom >/tmp/data
     dd if=/tmp/data of=${device} bs=256k oflag=direct conv=fsync 2>&1
     dd if=${device} of=/tmp/back bs=256k count=4 iflag=direct 2>&1
     cmp /tmp/data /tmp/back`,
  );
}

for (const hash of ['sha256', 'sha384', 'sha512'] as const) {
  test(`nvme connect --dhchap-secret, a key of ${hash}: data is read back`, async () => {
    const { secret } = await newKey({ hash, replace: true });
    await host.connect(`--nr-io-queues=2 --dhchap-secret=${secret}`);
    await writeAndReadBack();
    await host.disconnect();
  });
}

test('both ways: the controller proves itself to the host', async () => {
  const { secret } = await newKey({ replace: true });
  const controller = await newKey({ role: 'controller', hash: 'sha512' });
  await host.connect(
    `--nr-io-queues=2 --dhchap-secret=${secret} --dhchap-ctrl-secret=${controller.secret}`,
  );
  await writeAndReadBack();
  await host.disconnect();
});

test('no key, a wrong key, a controller with a wrong key: nothing is connected', async () => {
  const { secret } = await newKey({ replace: true });
  const other = await newKey({ hash: 'sha256' });
  const path = `/v1/hosts/${encodeURIComponent(hostnqn)}/keys/${other.fingerprint}`;
  await daemon.call('DELETE', path);
  const refused = [
    '',
    `--dhchap-secret=${other.secret}`,
    `--dhchap-secret=${secret} --dhchap-ctrl-secret=${other.secret}`,
  ];
  for (const options of refused) await assert.rejects(host.connect(options), /exit code/);
  const { items } = await daemon.call<{ items: unknown[] }>('GET', '/v1/controllers');
  assert.deepEqual(items, []);
});

test('a key is changed while the host is connected: it stays, and authenticates anew', async () => {
  const older = await newKey({ replace: true });
  const name = await host.connect(`--nr-io-queues=2 --dhchap-secret=${older.secret}`);
  const newer = await newKey({});
  // Writing the attribute makes the kernel authenticate every queue again.
  await guest.sh(`echo '${newer.secret}' >/sys/class/nvme/${name}/dhchap_secret`);
  const path = `/v1/hosts/${encodeURIComponent(hostnqn)}/keys/${older.fingerprint}`;
  await daemon.call('DELETE', path);
  await writeAndReadBack();
  assert.equal(await host.attribute(`/sys/class/nvme/${name}/state`), 'live');
  assert.match(await guest.sh('dmesg'), /qid 0: authenticated/);
  await host.disconnect();
});
