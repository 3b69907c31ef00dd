/**
 * csi-sanity, the test suite of kubernetes-csi/csi-test, over both parts of the plugin: the
 * controller's on this machine, the node's in the guest. Run by hand, with a static build of it:
 * `node .build/test/kernel/csi_sanity.js BINARY`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { PluginProcess } from '../csi/plugin.js';
import { Daemon, Workspace } from '../rig/daemon.js';
import { CsiNode, keptFolder } from './csi_guest.js';
import { machineAddress } from './guest.js';
import { inMachine } from './guest_node.js';

const [binary] = process.argv.slice(2);
if (binary === undefined) throw new Error('the path of a csi-sanity binary is missing');

const sizes = ['--csi.testvolumesize', '67108864', '--csi.testvolumeexpandsize', '134217728'];

using workspace = new Workspace();
await using daemon = await Daemon.start({ poolFile: null, poolSize: '1GiB', demoSize: null });
await daemon.call('POST', '/v1/policies', { name: 'gold' });
const parameters = workspace.file('mutable.yaml');
fs.writeFileSync(parameters, 'policy: gold\n');
await using controller = await PluginProcess.start(workspace, [
  ...['[csi]', 'mode = "all"', '[[endpoints]]', 'name = "a"'],
  `socket = ${JSON.stringify(daemon.socket)}`,
  `portals = ["${machineAddress}:${daemon.port}"]`,
  ...['[node]', `state = ${JSON.stringify(workspace.file('state'))}`],
]);
const socket = workspace.file('csi.sock');

await judged('the controller', [
  ...['--csi.endpoint', `unix://${socket}`, ...sizes],
  ...['--csi.testvolumemutableparameters', parameters, '--ginkgo.skip', 'Node Service'],
  ...['--csi.mountdir', workspace.file('mount'), '--csi.stagingdir', workspace.file('staging')],
]);

/** What the guest reaches of the controller: bytes to its socket. */
const relay = net.createServer((from) => {
  const to = net.connect(socket);
  from.on('error', () => to.destroy());
  to.on('error', () => from.destroy());
  from.pipe(to).pipe(from);
});
relay.listen(0, '127.0.0.1');
await once(relay, 'listening');
const { port } = relay.address() as net.AddressInfo;

const inside = workspace.file('csi-sanity');
fs.copyFileSync(binary, inside);
fs.chmodSync(inside, 0o755);
{
  await using node = await CsiNode.boot({ keep: workspace.path });
  const line = [
    `${keptFolder}/csi-sanity`,
    ...['--csi.endpoint', 'unix:///run/csi/csi.sock', ...sizes],
    ...['--csi.controllerendpoint', `dns:///${machineAddress}:${port}`],
    ...['--ginkgo.focus', 'Node\\ Service', '--ginkgo.no-color'],
    ...['--csi.mountdir', '/run/keep/mount', '--csi.stagingdir', '/run/keep/staging'],
  ];
  const timeoutMs = 1_800_000;
  const { code, output } = await node.guest.attempt(`${inMachine} ${line.join(' ')}`, {
    timeoutMs,
  });
  console.log(`the node\n${output}`);
  if (code !== 0) process.exitCode = 1;
  console.log('left on the node:', await node.leftOvers());
}
relay.close();
if (process.exitCode === 1) console.log(controller.log.slice(-20_000));
const { items } = await daemon.call<{ items: unknown[] }>('GET', '/v1/volumes');
console.log(`left at the daemon: ${items.length} volumes`);

async function judged(what: string, args: readonly string[]): Promise<void> {
  const child = spawn(binary ?? '', args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = (await once(child, 'close')) as [number | null];
  console.log(`${what}: exit code ${code}`);
  if (code !== 0) process.exitCode = 1;
}
