/**
 * The CSI plugin where the kernel has TLS and DH-HMAC-CHAP: what a StorageClass's Secrets hold
 * becomes keys of the host at Ashlar and of its paths in the kernel.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { formatSecret, generateSecret } from '../../../lib/auth/secret.js';
import { formatPsk, generatePsk } from '../../../lib/tls/psk.js';
import { Refused } from '../../csi/client.js';
import { PluginProcess } from '../../csi/plugin.js';
import { Daemon, Workspace } from '../../rig/daemon.js';
import { CsiCluster, type Wanted } from '../csi_cluster.js';
import { CsiNode } from '../csi_guest.js';
import { machineAddress } from '../guest.js';

const MiB = 2 ** 20;
const workspace = new Workspace();
const started: AsyncDisposable[] = [workspaceEnd(workspace)];
let node: CsiNode;
let cluster: CsiCluster;

function workspaceEnd(folder: Workspace): AsyncDisposable {
  return { [Symbol.asyncDispose]: async () => folder[Symbol.dispose]() };
}

before(async () => {
  const daemon = await Daemon.start({ poolFile: 'pool', demoSize: null, tls: 'allowed' });
  started.push(daemon);
  const controller = await PluginProcess.start(workspace, [
    ...['[csi]', 'mode = "controller"', '[[endpoints]]', 'name = "a"'],
    `socket = ${JSON.stringify(daemon.socket)}`,
    `portals = ["${machineAddress}:${daemon.port}"]`,
  ]);
  started.push(controller);
  node = await CsiNode.boot({ keep: workspace.path, bootTimeoutMs: 240_000 });
  started.push(node);
  await node.guest.load('secure');
  await node.guest.sh(
    `printf '[debug]\\nloglevel=1\\ntls=1\\nnl=0\\n[authenticate]\\nkeyrings=.nvme\\n' >/tmp/tlshd.conf
     tlshd --stderr --config /tmp/tlshd.conf >/tmp/tlshd.log 2>&1 &`,
  );
  cluster = await CsiCluster.of(controller.client, node);
});
after(async () => {
  if (process.exitCode !== undefined && process.exitCode !== 0) {
    const log = await node?.guest.attempt('cat /tmp/tlshd.log').catch(() => null);
    process.stdout.write(`${node?.guest.console}\n${log?.output}\n${await node?.log()}\n`);
  }
  for (const each of started.reverse()) await each[Symbol.asyncDispose]();
});

const fileSystem = (name: string, rest: Partial<Wanted>): Wanted => ({
  name,
  fsType: 'ext4',
  sizeBytes: 64 * MiB,
  ...rest,
});

const newKey = () => formatSecret(generateSecret('sha256'));

async function usedAndLeft(wanted: Wanted): Promise<void> {
  const one = await cluster.attach(await cluster.create(wanted));
  await node.sh(`echo kept >${one.target}/file; sync; grep kept ${one.target}/file`);
  await cluster.detach(one);
  await cluster.remove(one);
  assert.deepEqual(await node.leftOvers(), { mounts: 0, controllers: 0, files: 0 });
}

test('tls = required, with a PSK in the Secret: the volume comes over TLS', async () => {
  const secrets = { tlsPsk: formatPsk(generatePsk('sha256')) };
  await usedAndLeft(fileSystem('tls', { parameters: { tls: 'required' }, secrets }));
});

test('keys of host and controller in the Secret: both prove who they are', async () => {
  const secrets = { hostKey: newKey(), controllerKey: newKey() };
  await usedAndLeft(fileSystem('keys', { secrets }));
});

test('another key than the one that Ashlar has: refused, saying so, and nothing is left', async () => {
  const right = { hostKey: newKey() };
  const made = await cluster.create(fileSystem('wrong', { secrets: right }));
  const { publishContext } = await cluster.publish(made);
  const secrets = { hostKey: newKey() };
  const one = await cluster.prepare({ ...made, secrets, publishContext });
  await assert.rejects(cluster.stage(one), (error: unknown) => error instanceof Refused);
  await cluster.detach(one);
  await cluster.remove(one);
  assert.deepEqual(await node.leftOvers(), { mounts: 0, controllers: 0, files: 0 });
});
