/**
 * How long a volume takes to come to a pod (publish, stage and mount) when it is the first, tenth
 * and hundredth of its node, in the guest. Run by hand: `node .build/test/kernel/csi_times.js`.
 *
 * The volume is attached and detached again and again while those before it stay. Everything in the
 * guest is emulated, some tens of times slower than a machine.
 */
import { PluginProcess } from '../csi/plugin.js';
import { Daemon, Workspace } from '../rig/daemon.js';
import { type Attached, CsiCluster, type Made } from './csi_cluster.js';
import { CsiNode } from './csi_guest.js';
import { machineAddress } from './guest.js';

const MiB = 2 ** 20;
const atOnce = 8;
/** How often each is attached, and which volumes of the node. */
const rounds = Number(process.argv[2] ?? 30);
const places = (process.argv[3] ?? '1,10,100').split(',').map(Number);

interface Times {
  publish: number;
  stage: number;
  mount: number;
}

using workspace = new Workspace();
await using daemon = await Daemon.start({ poolFile: 'pool', poolSize: '8GiB', demoSize: null });
await using controller = await PluginProcess.start(workspace, [
  ...['[csi]', 'mode = "controller"', '[[endpoints]]', 'name = "a"'],
  `socket = ${JSON.stringify(daemon.socket)}`,
  `portals = ["${machineAddress}:${daemon.port}"]`,
]);
await using node = await CsiNode.boot({ keep: workspace.path });
const cluster = await CsiCluster.of(controller.client, node);
let attached = 0;
for (const place of places) {
  while (attached < place - 1) {
    // Several at once, as making their file systems takes most of the time.
    const next = Math.min(attached + atOnce, place - 1);
    const names = Array.from(
      { length: next - attached },
      (_, index) => `before-${attached + index}`,
    );
    await Promise.all(names.map(async (name) => cluster.attach(await made(name))));
    attached = next;
  }
  const volume = await made(`nth-${place}`);
  const taken: Times[] = [];
  // The first time makes the file system, which is not what is measured.
  for (let round = -1; round < rounds; round += 1) {
    const { times, one } = await timed(volume);
    if (round >= 0) taken.push(times);
    await cluster.detach(one);
  }
  const [publish, stage, mount] = (['publish', 'stage', 'mount'] as const).map((part) =>
    shown(taken.map((times) => times[part])),
  );
  const all = shown(taken.map((times) => times.publish + times.stage + times.mount));
  console.log(
    `volume ${place} of the node, ${rounds} times, p50/p99 ms: all ${all}, publish ${publish}, ` +
      `stage ${stage}, mount ${mount}`,
  );
}

function made(name: string): Promise<Made> {
  return cluster.create({ name, fsType: 'ext4', sizeBytes: 32 * MiB });
}

async function timed(volume: Made): Promise<{ times: Times; one: Attached }> {
  const started = performance.now();
  const { publishContext } = await cluster.publish(volume);
  const published = performance.now();
  const one = await cluster.prepare({ ...volume, publishContext });
  const prepared = performance.now();
  await cluster.stage(one);
  const staged = performance.now();
  await cluster.bind(one);
  const ended = performance.now();
  return {
    times: { publish: published - started, stage: staged - prepared, mount: ended - staged },
    one,
  };
}

function shown(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  return `${Math.round(at(0.5) ?? 0)}/${Math.round(at(0.99) ?? 0)}`;
}
