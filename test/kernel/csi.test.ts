/**
 * The CSI plugin on a real kernel: the controller's part on this machine beside the daemon, the
 * node's part in a guest with two network cards, one for each portal.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Refused } from '../csi/client.js';
import { PluginProcess } from '../csi/plugin.js';
import { Daemon, Workspace } from '../rig/daemon.js';
import { CsiCluster, capabilityOf, type Made, type Wanted } from './csi_cluster.js';
import { CsiNode, keptFolder } from './csi_guest.js';
import { freePort, machineAddress, machineAddress2 } from './guest.js';
import { complaints, fio, LinuxHost } from './host.js';

const MiB = 2 ** 20;

if (process.arch !== 'x64') {
  test('the CSI plugin in a guest', { skip: 'the guest kernel is built for x64 only' });
} else {
  suite();
}

function suite(): void {
  const workspace = new Workspace();
  let daemon: Daemon;
  let controller: PluginProcess;
  let node: CsiNode;
  /** What was started so far, whatever came of the rest. */
  const started = { guest: false, others: [] as AsyncDisposable[] };
  let cluster: CsiCluster;
  let portals: string[] = [];
  let apiPort = 0;
  let failed = false;

  /** A scenario that leaves nothing: what a failed one has left, the next must not trip over. */
  function scenario(name: string, run: () => Promise<void>): void {
    test(name, async () => {
      try {
        await run();
        assert.deepEqual(await node.leftOvers(), { mounts: 0, controllers: 0, files: 0 });
        assert.deepEqual(await leftAtDaemon(), { volumes: 0, snapshots: 0, grants: 0 });
      } catch (error) {
        failed = true;
        await cluster.clear();
        throw error;
      }
    });
  }

  async function leftAtDaemon(): Promise<Record<string, number>> {
    const count = async (list: string) =>
      (await daemon.call<{ items: unknown[] }>('GET', `/v1/${list}`)).items.length;
    const [volumes = 0, snapshots = 0, grants = 0] = await Promise.all(
      ['volumes', 'snapshots', 'grants'].map(count),
    );
    return { volumes, snapshots, grants };
  }

  const guestOptions = () => ({
    keep: workspace.path,
    cards: 2,
    settings: nodeSettings,
    // For inline volumes, as a node has it: HTTPS, a token of its tenant, and who signed.
    endpoints: [
      ...['[[endpoints]]', 'name = "a"', `urls = ["https://${machineAddress}:${apiPort}"]`],
      ...[`tokenFile = "${keptFolder}/token"`, `ca = "${keptFolder}/api.crt"`],
      `portals = ${JSON.stringify(portals)}`,
    ].join('\n'),
  });
  const published = async (made: Made) => ({
    ...made,
    publishContext: (await cluster.publish(made)).publishContext,
  });
  const fileSystem = (name: string, rest: Partial<Wanted> = {}): Wanted => ({
    name,
    fsType: 'ext4',
    sizeBytes: 64 * MiB,
    ...rest,
  });

  before(async () => {
    const [certificate, key] = [workspace.file('api.crt'), workspace.file('api.key')];
    await makeCertificate(certificate, key);
    apiPort = await freePort();
    daemon = await Daemon.start({
      poolFile: 'pool',
      poolSize: '4GiB',
      demoSize: null,
      portals: 2,
      https: { port: apiPort, certificate, key },
    });
    started.others.push(daemon);
    const { secret } = await daemon.call<{ secret: string }>('POST', '/v1/tokens?tenant=default', {
      name: 'node',
      role: 'tenant-admin',
    });
    fs.writeFileSync(workspace.file('token'), secret, { mode: 0o600 });
    const [first = 0, second = 0] = daemon.ports;
    portals = [`${machineAddress}:${first}`, `${machineAddress2}:${second}`];
    controller = await PluginProcess.start(workspace, [
      ...['[csi]', 'mode = "controller"', 'logLevel = "debug"'],
      ...['[[endpoints]]', 'name = "a"', `socket = ${JSON.stringify(daemon.socket)}`],
      `portals = ${JSON.stringify(portals)}`,
    ]);
    started.others.push(controller);
    node = await CsiNode.boot(guestOptions());
    started.guest = true;
    cluster = await CsiCluster.of(controller.client, node);
  });
  after(async () => {
    const complained = started.guest ? complaints(node.guest) : [];
    if (failed) {
      process.stdout.write(`${node.guest.console.slice(-20_000)}\n`);
      process.stdout.write(`${(await node.log().catch(String)).slice(-20_000)}\n`);
      process.stdout.write(`${controller.log.slice(-8_000)}\n`);
    }
    if (started.guest) await node[Symbol.asyncDispose]();
    for (const each of started.others.reverse()) await each[Symbol.asyncDispose]();
    workspace[Symbol.dispose]();
    assert.deepEqual(complained, [], 'the kernel complained');
  });

  describe('one volume', () => {
    for (const fsType of ['ext4', 'xfs', 'btrfs']) {
      // The smallest that mkfs.xfs and mkfs.btrfs make without being forced.
      const sizeBytes = fsType === 'ext4' ? 64 * MiB : 320 * MiB;
      scenario(
        `${fsType}: made, mounted, written; what was written is there on return`,
        async () => {
          const wanted = fileSystem(`first-${fsType}`, { fsType, sizeBytes });
          const one = await cluster.attach(await cluster.create(wanted));
          await node.sh(`echo kept >${one.target}/file`);
          assert.match(await node.sh(`stat -f -c %T ${one.target}`), /ext|xfs|btrfs/);
          await cluster.detach(one);
          const again = await cluster.attach(one);
          assert.equal(await node.sh(`cat ${again.target}/file`), 'kept\n');
          const { usage, volumeCondition } = await cluster.stats(again);
          assert.deepEqual(
            usage.map(({ unit, total }) => [unit, total > 0n]),
            // btrfs makes inodes as it needs them.
            [['BYTES', true], ...(fsType === 'btrfs' ? [] : [['INODES', true]])],
          );
          assert.equal(volumeCondition?.abnormal, false, volumeCondition?.message);
          await cluster.detach(again);
          await cluster.remove(again);
        },
      );
    }

    scenario('block: the device is at the target path, with the size of the volume', async () => {
      const one = await cluster.attach(
        await cluster.create({ name: 'raw', fsType: null, sizeBytes: 32 * MiB }),
      );
      assert.equal(await node.sh(`blockdev --getsize64 ${one.target}`), `${32 * MiB}\n`);
      await node.sh(`dd if=/dev/urandom of=${one.target} bs=1M count=4 oflag=direct 2>&1`);
      await cluster.detach(one);
      await cluster.remove(one);
    });

    scenario('a group of its own: its files are of that group, and new ones too', async () => {
      const wanted = fileSystem('group', { group: '4711' });
      const one = await cluster.attach(await cluster.create(wanted));
      await node.sh(`touch ${one.target}/new`);
      const seen = await node.sh(`stat -c %g ${one.target} ${one.target}/new`);
      assert.equal(seen, '4711\n4711\n');
      await cluster.detach(one);
      await cluster.remove(one);
    });

    scenario('mount options and read-only hold for the pod', async () => {
      const wanted = fileSystem('options', { mountFlags: ['noatime', 'nodev'] });
      const one = await cluster.prepare(await published(await cluster.create(wanted)));
      await cluster.stage(one);
      await cluster.bind(one, { readonly: true });
      assert.match(await node.sh(`grep ' ${one.staging} ' /proc/self/mountinfo`), /noatime/);
      const { code } = await node.guest.attempt(`touch /mnt/machine${one.target}/file`);
      assert.notEqual(code, 0, 'a read-only volume was written');
      await cluster.detach(one);
      await cluster.remove(one);
    });

    scenario(
      'one writer alone: a second pod is refused; of several writers it is not',
      async () => {
        const alone = fileSystem('alone', { mode: 'SINGLE_NODE_SINGLE_WRITER' });
        const one = await cluster.attach(await cluster.create(alone));
        const second = { ...one, target: `${one.target}-second` };
        await assert.rejects(cluster.bind(second), refusal('FAILED_PRECONDITION'));
        await cluster.detach(one);
        await cluster.remove(one);
        const wanted = fileSystem('shared', { mode: 'SINGLE_NODE_MULTI_WRITER' });
        const shared = await cluster.attach(await cluster.create(wanted));
        const other = { ...shared, target: `${shared.target}-second` };
        await cluster.bind(other);
        await node.sh(`echo one >${shared.target}/file; grep one ${other.target}/file`);
        await node.client.ask('Node', 'nodeUnpublishVolume', {
          volumeId: other.id,
          targetPath: other.target,
        });
        await cluster.detach(shared);
        await cluster.remove(shared);
      },
    );
  });

  describe('an inline volume of a pod', () => {
    const target = `${keptFolder}/pods/inline`;
    const request = {
      volumeId: 'csi-7f0c1d3b9a',
      targetPath: target,
      volumeCapability: capabilityOf(fileSystem('inline')),
      volumeContext: { 'csi.storage.k8s.io/ephemeral': 'true', size: '64Mi' },
    };
    const end = () =>
      node.client.ask('Node', 'nodeUnpublishVolume', {
        volumeId: request.volumeId,
        targetPath: target,
      });

    scenario('is made with the pod, over HTTPS by the node itself, and goes with it', async () => {
      await node.sh(`mkdir -p ${keptFolder}/pods`);
      await node.client.ask('Node', 'nodePublishVolume', request);
      await node.client.ask('Node', 'nodePublishVolume', request);
      await node.sh(`echo mine >${target}/file`);
      assert.deepEqual(await leftAtDaemon(), { volumes: 1, snapshots: 0, grants: 1 });
      await end();
      await end();
    });

    scenario('is given back by the plugin that comes after one that was killed', async () => {
      await node.sh(`mkdir -p ${keptFolder}/pods`);
      await node.trap('mount', 'before');
      await assert.rejects(node.client.ask('Node', 'nodePublishVolume', request));
      assert.ok(await node.sprung(), 'mount was not called');
      await node.kill();
      await node.start();
      await end();
    });
  });

  describe('two volumes', () => {
    scenario('share one association a path, which goes with the last of them', async () => {
      const first = await cluster.attach(await cluster.create(fileSystem('two-a')));
      assert.equal(await node.associations(), 2);
      const second = await cluster.attach(
        await cluster.create({ name: 'two-b', fsType: null, sizeBytes: 32 * MiB }),
      );
      assert.equal(await node.associations(), 2);
      assert.deepEqual(
        (await node.sh('cat /sys/class/nvme-subsystem/nvme-subsys*/iopolicy')).trim(),
        'round-robin',
      );
      await cluster.detach(first);
      assert.equal(await node.associations(), 2);
      await node.sh(`dd if=/dev/urandom of=${second.target} bs=1M count=2 oflag=direct 2>&1`);
      await cluster.detach(second);
      assert.equal(await node.associations(), 0);
      await cluster.remove(first);
      await cluster.remove(second);
    });

    scenario('attached and detached at the same time, again and again: all end well', async () => {
      const names = ['race-a', 'race-b', 'race-c'];
      const all = await Promise.all(names.map((name) => cluster.create(fileSystem(name))));
      for (let round = 0; round < 2; round += 1) {
        const attached = await Promise.all(all.map((one) => cluster.attach(one)));
        await Promise.all(attached.map((one) => cluster.detach(one)));
      }
      for (const one of all) await cluster.remove(one);
    });
  });

  describe('larger', () => {
    for (const fsType of ['ext4', 'xfs', null]) {
      const what = fsType ?? 'block';
      scenario(`${what}: grown while it is mounted and written, without a pause`, async () => {
        const before = fsType === 'xfs' ? 320 * MiB : 64 * MiB;
        const one = await cluster.attach(
          await cluster.create({ name: `grow-${what}`, fsType, sizeBytes: before }),
        );
        const grown = await controller.client.ask('Controller', 'controllerExpandVolume', {
          volumeId: one.id,
          capacityRange: { requiredBytes: BigInt(2 * before) },
          volumeCapability: capabilityOf(one),
        });
        assert.equal(grown.capacityBytes, BigInt(2 * before));
        // Twice, as who did not hear the answer calls again.
        for (let call = 0; call < 2; call += 1) {
          await node.client.ask('Node', 'nodeExpandVolume', {
            volumeId: one.id,
            volumePath: one.target,
            stagingTargetPath: one.staging,
            capacityRange: { requiredBytes: BigInt(2 * before) },
            volumeCapability: capabilityOf(one),
          });
        }
        const { usage } = await cluster.stats(one);
        const total = Number(usage[0]?.total ?? 0n);
        assert.ok(total > before * 1.7, `${total} bytes after growing to ${2 * before}`);
        await cluster.detach(one);
        await cluster.remove(one);
      });
    }
  });

  describe('snapshots', () => {
    for (const fsType of ['ext4', 'xfs']) {
      scenario(
        `${fsType}: a restored volume, and a clone, are mounted beside the source`,
        async () => {
          const sizeBytes = fsType === 'xfs' ? 320 * MiB : 64 * MiB;
          const wanted = fileSystem(`source-${fsType}`, { fsType, sizeBytes });
          const source = await cluster.attach(await cluster.create(wanted));
          await node.sh(`echo old >${source.target}/file; sync`);
          const { snapshot } = await controller.client.ask('Controller', 'createSnapshot', {
            sourceVolumeId: source.id,
            name: `snapshot-${fsType}`,
          });
          assert.ok(snapshot?.readyToUse === true);
          await node.sh(`echo new >${source.target}/file; sync`);
          const restored = await cluster.attach(
            await cluster.create({
              ...wanted,
              name: `restored-${fsType}`,
              snapshotId: snapshot.snapshotId,
            }),
          );
          const clone = await cluster.attach(
            await cluster.create({ ...wanted, name: `clone-${fsType}`, volumeId: source.id }),
          );
          assert.equal(await node.sh(`cat ${restored.target}/file`), 'old\n');
          assert.equal(await node.sh(`cat ${clone.target}/file`), 'new\n');
          await node.sh(`echo mine >${restored.target}/file`);
          for (const one of [source, restored, clone]) {
            await cluster.detach(one);
            await cluster.remove(one);
          }
          await controller.client.ask('Controller', 'deleteSnapshot', {
            snapshotId: snapshot.snapshotId,
          });
        },
      );
    }
  });

  describe('a disk that has something on it', () => {
    scenario('of another kind is never formatted, and what is on it stays', async () => {
      const raw = await cluster.create({ name: 'foreign', fsType: null, sizeBytes: 64 * MiB });
      const block = await cluster.attach(raw);
      await node.sh(`mkfs.ext4 -q -U 11111111-2222-3333-4444-555555555555 ${block.target}`);
      await cluster.detach(block);
      const asXfs = { ...block, fsType: 'xfs' };
      const { publishContext } = await cluster.publish(asXfs);
      const prepared = await cluster.prepare({ ...asXfs, publishContext });
      await assert.rejects(cluster.stage(prepared), refusal('FAILED_PRECONDITION', /ext4/));
      await cluster.detach(prepared);
      const again = await cluster.attach(raw);
      assert.match(await node.sh(`blkid -p ${again.target}`), /11111111-2222-3333-4444/);
      await cluster.detach(again);
      await cluster.remove(again);
    });

    scenario('that no tool knows is not formatted either', async () => {
      const raw = await cluster.create({ name: 'unknown', fsType: null, sizeBytes: 64 * MiB });
      const block = await cluster.attach(raw);
      await node.sh(
        `printf 'somebody s data' | dd of=${block.target} conv=notrunc 2>/dev/null; sync`,
      );
      await cluster.detach(block);
      const asExt4 = { ...block, fsType: 'ext4' };
      const { publishContext } = await cluster.publish(asExt4);
      const prepared = await cluster.prepare({ ...asExt4, publishContext });
      await assert.rejects(cluster.stage(prepared), refusal('FAILED_PRECONDITION'));
      await cluster.detach(prepared);
      await cluster.remove(prepared);
    });
  });

  describe('trouble', () => {
    scenario(
      'the target is killed and started in the midst of a load: no error, no byte lost',
      async () => {
        const one = await cluster.attach(await cluster.create(fileSystem('restart')));
        const load = node.sh(verified(`${one.target}/load`, '--size=4M --loops=3'), {
          timeoutMs: 240_000,
          port: 1,
        });
        for (let kill = 0; kill < 2; kill += 1) {
          await node.sh(
            `for try in $(seq 200); do [ -e ${one.target}/load ] && exit 0; sleep 0.1; done`,
          );
          await daemon.kill();
          await daemon.start();
        }
        await load;
        await cluster.detach(one);
        await cluster.remove(one);
      },
    );

    scenario('a cable is pulled: I/O goes on, and the path is back with the cable', async () => {
      const one = await cluster.attach(await cluster.create(fileSystem('cable')));
      await node.guest.setLink(1, false);
      await node.sh(verified(`${one.target}/load`, '--size=4M'), { timeoutMs: 240_000 });
      await node.guest.setLink(1, true);
      await node.guest.sh(
        `for try in $(seq 600); do
           [ $(cat /sys/class/nvme/nvme*/state | grep -c live) = 2 ] && exit 0
           sleep 0.1
         done
         exit 1`,
        { timeoutMs: 120_000 },
      );
      await cluster.detach(one);
      await cluster.remove(one);
    });

    scenario('with one path away a volume comes up on the other', async () => {
      const made = await cluster.create(fileSystem('one-path'));
      await node.guest.setLink(1, false);
      const one = await cluster.attach(made);
      await node.sh(`echo written >${one.target}/file`);
      await node.guest.setLink(1, true);
      await cluster.detach(one);
      await cluster.remove(one);
    });

    scenario('portals that are added give a running volume more paths, each at once', async () => {
      const { guest } = node;
      const subnqn = await daemon.subnqn();
      const [first = 0] = daemon.ports;
      // The log of as many is longer than what nvme-cli reads at once.
      const added = [await freePort(), await freePort(), await freePort()];
      // Discovery tells where the daemon listens, which the guest reaches by relays of its own.
      const host = new LinuxHost(guest, first, subnqn);
      await host.relay([first, ...added]);
      const made = await cluster.create(fileSystem('portal'));
      const { publishContext } = await cluster.publish(made);
      const one = await cluster.prepare({
        ...made,
        publishContext: { ...publishContext, portals: `127.0.0.1:${first}` },
      });
      await cluster.stage(one);
      const services = () => guest.sh('grep -l discovery /sys/class/nvme/nvme*/cntrltype || true');
      const ended = async () =>
        Number(
          await guest.sh('dmesg | grep -c "Removing ctrl: NQN .*nvmexpress.discovery" || true'),
        );
      const endedBefore = await ended();
      // It asks when it starts, and keeps the controller; one that was killed finds it again.
      let kept = '';
      for (let starts = 0; starts < 2; starts += 1) {
        await node.kill();
        const before = (await node.log()).split('tells of portals').length;
        await node.start();
        while ((await node.log()).split('tells of portals').length === before) await delay(200);
        if (starts > 0) assert.equal(await services(), kept);
        kept = await services();
      }
      // Nor does anybody who asks make one for himself.
      assert.equal(await ended(), endedBefore);
      assert.match(kept, /^\/sys\/class\/nvme\/nvme\d+\/cntrltype$/m);
      // From here on nobody asks for half a minute unless the target says that it has news.
      const portals: number[] = [];
      for (const port of added) {
        const portal = { address: '127.0.0.1', port };
        const made = await daemon.call<{ portalId: number }>('POST', '/v1/portals', portal);
        portals.push(made.portalId);
        await guest.sh(
          `for try in $(seq 150); do
             grep -q 'trsvcid=${port}' /sys/class/nvme/nvme*/address && exit 0
             sleep 0.1
           done
           exit 1`,
        );
      }
      assert.equal(await services(), kept);
      await cluster.unmount(one);
      assert.equal(await ended(), endedBefore + 1, 'it went with the last volume');
      await cluster.unpublish(one);
      await cluster.remove(one);
      await host.endBackground();
      for (const id of portals) await daemon.call('DELETE', `/v1/portals/${id}?force=true`);
    });

    scenario('a node that lost its volume cannot write it when another has it', async () => {
      const raw = await cluster.create({ name: 'fenced', fsType: null, sizeBytes: 32 * MiB });
      const one = await cluster.attach(raw);
      // The controller takes it away from a node that it cannot reach.
      await cluster.unpublish(one);
      const other = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-00000000000b';
      await controller.client.ask('Controller', 'controllerPublishVolume', {
        volumeId: one.id,
        nodeId: other,
        volumeCapability: capabilityOf(one),
        volumeContext: one.context,
      });
      const { code } = await node.guest.attempt(
        `timeout 30 dd if=/dev/zero of=/mnt/machine${one.target} bs=4k count=1 oflag=direct`,
      );
      assert.notEqual(code, 0, 'a node wrote a volume that was taken from it');
      await cluster.unmount(one);
      await controller.client.ask('Controller', 'controllerUnpublishVolume', {
        volumeId: one.id,
        nodeId: other,
      });
      await cluster.remove(one);
    });

    scenario(
      'a disk that never appears: an error in time that says so, and nothing left',
      async () => {
        const made = await cluster.create(fileSystem('never'));
        const { publishContext } = await cluster.publish(made);
        const one = await cluster.prepare({ ...made, publishContext });
        await cluster.unpublish(made);
        await assert.rejects(cluster.stage(one), refusal('NOT_FOUND', /has not appeared/));
        await cluster.unmount(one);
        await cluster.remove(made);
      },
    );
  });

  describe('a plugin that is killed', () => {
    for (const [program, when] of [
      ['mkfs.ext4', 'before'],
      ['mkfs.ext4', 'after'],
      ['mount', 'before'],
      ['mount', 'after'],
    ] as const) {
      scenario(`${when} ${program}: the next call ends what it began`, async () => {
        const made = await cluster.create(fileSystem(`killed-${when}-${program}`));
        await node.trap(program, when);
        await assert.rejects(cluster.attach(made));
        assert.ok(await node.sprung(), `${program} was not called`);
        await node.kill();
        await node.start();
        const one = await cluster.attach(made);
        await node.sh(`echo written >${one.target}/file`);
        await cluster.detach(one);
        await cluster.remove(one);
      });
    }

    scenario('before and after umount: what is let go is let go at the next call', async () => {
      for (const when of ['before', 'after'] as const) {
        const made = await cluster.create(fileSystem(`killed-${when}-umount`));
        const one = await cluster.attach(made);
        await node.trap('umount', when);
        await assert.rejects(cluster.detach(one));
        assert.ok(await node.sprung(), 'umount was not called');
        await node.kill();
        await node.start();
        await cluster.detach(one);
        await cluster.remove(one);
      }
    });

    scenario('while volumes are in use: they stay, and are let go by the next one', async () => {
      const one = await cluster.attach(await cluster.create(fileSystem('restarted')));
      await node.kill();
      await node.sh(`echo still >${one.target}/file`);
      await node.start();
      await cluster.detach(one);
      await cluster.remove(one);
    });
  });

  describe('a node that is rebooted', () => {
    scenario('comes back as the same host, and its volumes with what was durable', async () => {
      const { nodeId } = cluster;
      const file = await cluster.attach(await cluster.create(fileSystem('boot-file')));
      const raw = await cluster.attach(
        await cluster.create({ name: 'boot-raw', fsType: null, sizeBytes: 32 * MiB }),
      );
      await node.sh(`echo durable >${file.target}/file; sync -f ${file.target}/file`);
      await node.sh(`printf durable | dd of=${raw.target} bs=4k conv=sync oflag=direct 2>&1`);
      // The power goes: nothing is unmounted, and folders and files of mounts are still there.
      await node[Symbol.asyncDispose]();
      started.guest = false;
      node = await CsiNode.boot(guestOptions());
      started.guest = true;
      cluster = await CsiCluster.of(controller.client, node);
      assert.equal(cluster.nodeId, nodeId);
      // The kubelet asks again for what pods want.
      for (const one of [file, raw]) {
        await cluster.stage(one);
        await cluster.bind(one);
      }
      assert.equal(await node.sh(`cat ${file.target}/file`), 'durable\n');
      assert.equal(await node.sh(`head -c 7 ${raw.target}`), 'durable');
      for (const one of [file, raw]) {
        await cluster.detach(one);
        await cluster.remove(one);
      }
    });
  });
}

function refusal(status: string, text = /./) {
  return (error: unknown) =>
    error instanceof Refused && error.status === status && text.test(error.message);
}

/** For the address by which the guest knows this machine. */
async function makeCertificate(certificate: string, key: string): Promise<void> {
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=ashlar', '-addext', `subjectAltName=IP:${machineAddress}`];
  const files = ['-keyout', key, '-out', certificate];
  await promisify(execFile)('openssl', ['req', '-x509', ...ec, ...names, ...files]);
}

function verified(file: string, rest: string): string {
  return fio('csi', `--filename=${file} --rw=randwrite --bs=4k --iodepth=4 ${rest} 2>&1`);
}

/** Short, as the tests pull cables. */
const nodeSettings = ['reconnectDelay = "1s"', 'fastIoFail = "60s"'];
