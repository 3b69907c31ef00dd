/** What is read off a machine: trees of files for what this one lacks, and this one itself. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { hostFacts } from '../../lib/doctor/host.js';
import { type Addresses, networkFacts } from '../../lib/doctor/network.js';
import { poolFacts } from '../../lib/doctor/pool.js';
import { cpuNumbers, Source } from '../../lib/doctor/source.js';
import { processFacts, systemFacts } from '../../lib/doctor/system.js';
import { Workspace } from '../rig/daemon.js';
import { Tree } from './tree.js';

test('source: CPU lists of the kernel', () => {
  assert.deepEqual(cpuNumbers('0-2,8,10-11'), [0, 1, 2, 8, 10, 11]);
  assert.deepEqual(cpuNumbers(''), []);
  assert.deepEqual(cpuNumbers(null), []);
});

test('system: nodes, governors, clock and service: as the files say', async () => {
  using tree = new Tree({
    '/proc/sys/kernel/osrelease': '6.9.1-fine\n',
    '/proc/sys/kernel/io_uring_disabled': '1\n',
    '/proc/sys/kernel/io_uring_group': '998\n',
    '/proc/sys/net/ipv4/tcp_available_ulp': 'espintcp mptcp\n',
    '/lib/modules/6.9.1-fine/modules.dep': 'kernel/net/tls/tls.ko.xz:\n',
    '/proc/meminfo': 'MemTotal: 8 kB\nMemAvailable:    2048 kB\n',
    '/sys/devices/system/cpu/online': '0-3\n',
    '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor': 'performance\n',
    '/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver': 'acpi-cpufreq\n',
    '/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor': 'ondemand\n',
    '/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor': 'ondemand\n',
    '/sys/devices/system/node/node0/cpulist': '0-1\n',
    '/sys/devices/system/node/node1/cpulist': '2-3\n',
    // Memory without processors is no node to be on.
    '/sys/devices/system/node/node2/cpulist': '\n',
    '/sys/kernel/mm/transparent_hugepage/enabled': 'always madvise [never]\n',
    '/sys/devices/system/clocksource/clocksource0/current_clocksource': 'hpet\n',
    '/run/chrony': null,
    '/run/systemd/system': null,
    '/usr/lib/systemd/system/ashlar.service': '',
    '/etc/systemd/system/multi-user.target.wants/ashlar.service': '-> /nowhere',
  });
  tree.program(
    'chronyc',
    'A29FC801,162.159.200.1,4,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,Not synchronised',
  );
  const facts = await systemFacts(tree.source);
  const { kernel, ioUringDisabled, ioUringGroup, onlineCpus, governors, governorDriver } = facts;
  assert.deepEqual(
    { kernel, ioUringDisabled, ioUringGroup, onlineCpus, governors, governorDriver },
    {
      kernel: '6.9.1-fine',
      ioUringDisabled: 1,
      ioUringGroup: 998,
      onlineCpus: [0, 1, 2, 3],
      governors: ['performance', 'ondemand'],
      governorDriver: 'acpi-cpufreq',
    },
  );
  assert.deepEqual(facts.numa, [
    { id: 0, cpus: [0, 1] },
    { id: 1, cpus: [2, 3] },
  ]);
  assert.equal(facts.availableMemoryBytes, 2n << 20n);
  assert.equal(facts.hugePages, 'never');
  assert.equal(facts.clocksource, 'hpet');
  assert.deepEqual(facts.clock, { keeper: 'chrony', synchronized: false });
  assert.equal(facts.tlsModule, 'available');
  assert.equal(facts.tlsProblem, null, 'trying would have loaded it');
  assert.deepEqual(facts.service, { systemd: true, installed: true, enabled: true });
});

test('process: limits of a daemon, and the smallest of its control groups', async () => {
  using tree = new Tree({
    '/proc/7/limits':
      'Limit                     Soft Limit           Hard Limit           Units     \n' +
      'Max open files            1024                 524288               files     \n' +
      'Max locked memory         8388608              unlimited            bytes     \n',
    '/proc/7/status': 'Uid:\t998\t998\t998\t998\nVmRSS:\t  1024 kB\nCapEff:\t0000000000004000\n',
    '/proc/7/cgroup': '0::/system.slice/ashlar.service\n',
    '/sys/fs/cgroup/system.slice/memory.max': '2147483648\n',
    '/sys/fs/cgroup/system.slice/ashlar.service/memory.max': 'max\n',
  });
  assert.deepEqual(await processFacts(tree.source, 7), {
    whose: 'daemon',
    uid: 998,
    memlockBytes: 8_388_608n,
    mayLock: true,
    openFiles: 524_288,
    groupMemoryBytes: 2_147_483_648n,
    residentBytes: 1n << 20n,
  });
  const { whose, residentBytes } = await processFacts(new Source(), null);
  assert.deepEqual({ whose, residentBytes }, { whose: 'shell', residentBytes: 0n });
});

const addresses: Addresses = new Map([
  ['127.0.0.1', { name: 'lo', internal: true }],
  ['192.0.2.7', { name: 'bond0.5', internal: false }],
  ['2001:db8::7', { name: 'bond0.5', internal: false }],
]);

const portal = (address: string, port: number) => ({ address, port, discoveryOnly: false });

test('network: a VLAN on a bond: the cards below it, each once, as ethtool has them', async () => {
  using tree = new Tree({
    '/sys/class/net/bond0.5/lower_bond0': null,
    '/sys/class/net/bond0/lower_ens1': null,
    '/sys/class/net/bond0/lower_ens2': null,
    '/sys/class/net/ens1/device/numa_node': '1\n',
    '/sys/class/net/ens1/device/driver': '-> ../drivers/ice',
    '/sys/class/net/ens1/mtu': '9000\n',
    '/sys/class/net/ens1/speed': '25000\n',
    '/sys/class/net/ens1/duplex': 'full\n',
    '/sys/class/net/ens1/operstate': 'up\n',
    '/sys/class/net/ens1/queues/rx-0/rps_cpus': '00000000,00000000\n',
    '/sys/class/net/ens1/queues/rx-1/rps_cpus': '00000000,00000004\n',
    '/sys/class/net/ens1/queues/tx-0': null,
    '/sys/class/net/ens2/device/numa_node': '-1\n',
    '/sys/class/net/ens2/speed': '-1\n',
    '/proc/sys/net/ipv4/tcp_rmem': '4096\t131072\t6291456\n',
    '/proc/sys/net/core/somaxconn': '4096\n',
    '/proc/net/tcp':
      '  sl  local_address rem_address   st tx_queue rx_queue\n' +
      '   0: 0100007F:1144 00000000:0000 0A 00000000:00000000\n' +
      '   1: 0100007F:1F49 0100007F:D3A2 01 00000000:00000000\n',
  });
  tree.program(
    'ethtool',
    'Channel parameters for ens1:\nPre-set maximums:\nRX:\t\tn/a\nCombined:\t64\n' +
      'Current hardware settings:\nCombined:\t2\nFeatures for ens1:\n' +
      'tcp-segmentation-offload: on\ntx-checksumming: off [fixed]\n\ttx-checksum-ipv4: off',
  );
  const portals = [
    portal('192.0.2.7', 4420),
    portal('2001:db8::7', 8009),
    portal('192.0.2.99', 4421),
    portal('127.0.0.1', 4422),
  ];
  const facts = await networkFacts(tree.source, portals, addresses);
  assert.deepEqual(
    facts.portals.map(({ endpoint, carrier, loopback, taken }) => [
      ...[endpoint, carrier, loopback, taken],
    ]),
    [
      ['192.0.2.7:4420', 'bond0.5', false, true],
      ['[2001:db8::7]:8009', 'bond0.5', false, false],
      ['192.0.2.99:4421', null, false, false],
      ['127.0.0.1:4422', 'lo', true, false],
    ],
  );
  assert.deepEqual(
    facts.nics.map(({ name, numaNode, speedMbps }) => [name, numaNode, speedMbps]),
    [
      ['ens1', 1, 25_000],
      ['ens2', null, null],
    ],
  );
  const [nic] = facts.nics;
  assert.equal(nic?.driver, 'ice');
  assert.equal(nic?.rxQueues, 2);
  assert.equal(nic?.maxQueues, 64);
  assert.equal(nic?.steering, true);
  assert.deepEqual(nic?.offloads, {
    'tcp-segmentation-offload': { on: true, fixed: false },
    'tx-checksumming': { on: false, fixed: true },
  });
  assert.equal(facts.tcpReceiveBytes, 6_291_456);
  assert.equal(facts.backlog, 4096);
});

test('network: a port of this very machine that is listened on: taken', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { portals } = await networkFacts(new Source(), [portal('127.0.0.1', port)]);
    assert.deepEqual(
      portals.map(({ taken, loopback }) => ({ taken, loopback })),
      [{ taken: true, loopback: true }],
    );
  } finally {
    server.close();
  }
});

test('pool: a sparse file, a place for one, a folder: what they are, and nothing is made', async () => {
  using workspace = new Workspace();
  const file = workspace.file('pool.ashlar');
  fs.writeFileSync(file, Buffer.alloc(8192, 1));
  fs.truncateSync(file, 64 << 20);
  const before = fs.statSync(file);
  const facts = await poolFacts(new Source(), {
    device: { kind: 'file', path: file },
    sizeBytes: 1n << 40n,
  });
  assert.equal(facts.kind, 'file');
  assert.equal(facts.sizeBytes, 64n << 20n);
  assert.ok(facts.allocatedBytes > 0n && facts.allocatedBytes < 1n << 20n, 'it is sparse');
  assert.equal(facts.accessProblem, null);
  assert.notEqual(facts.fileSystem, null);
  const after = fs.statSync(file);
  assert.deepEqual(
    [after.mtimeMs, after.ctimeMs, after.atimeMs],
    [...[before.mtimeMs, before.ctimeMs, before.atimeMs]],
  );

  const missing = { kind: 'file' as const, path: workspace.file('a/b/pool.ashlar') };
  const place = await poolFacts(new Source(), { device: missing, sizeBytes: 1n << 30n });
  assert.equal(place.kind, 'nothing');
  assert.equal(place.sizeBytes, 1n << 30n);
  assert.equal(place.fileSystem?.mountPoint, facts.fileSystem?.mountPoint);
  assert.deepEqual(fs.readdirSync(workspace.path), ['pool.ashlar']);

  const odd = { kind: 'file' as const, path: `${file}/pool.ashlar` };
  const { accessProblem, fileSystem } = await poolFacts(new Source(), {
    device: odd,
    sizeBytes: 1n,
  });
  assert.equal(accessProblem, 'a part of the path is no folder');
  assert.equal(fileSystem, null, 'nothing is said of a folder above');

  const folder = { kind: 'file' as const, path: workspace.path };
  assert.equal((await poolFacts(new Source(), { device: folder, sizeBytes: 1n })).kind, 'other');
});

test('pool: the device under a file system, by its number', async () => {
  using workspace = new Workspace();
  const file = workspace.file('pool.ashlar');
  fs.writeFileSync(file, '');
  const { dev } = fs.statSync(file, { bigint: true });
  const number = `${(dev >> 8n) & 0xfffn}:${(dev & 0xffn) | ((dev >> 12n) & 0xfff00n)}`;
  using tree = new Tree({
    '/proc/self/mountinfo':
      `22 1 ${number} / / rw - xfs /dev/sda1 rw\n` +
      `23 22 ${number} / ${workspace.path.replaceAll(' ', '\\040')} ro,noatime - ext4 /dev/sda2 rw\n`,
    [`/sys/dev/block/${number}`]: '-> ../../devices/sda/sda2',
    '/sys/devices/sda/sda2/partition': '2\n',
    '/sys/devices/sda/sda2/size': '2048\n',
    '/sys/devices/sda/queue/write_cache': 'write back\n',
    '/sys/devices/sda/queue/scheduler': 'none [mq-deadline]\n',
    '/sys/devices/sda/queue/rotational': '0\n',
    '/sys/devices/sda/queue/discard_max_bytes': '0\n',
    '/sys/devices/sda/queue/logical_block_size': '4096\n',
    '/sys/devices/sda/device/model': 'Fine 9000\n',
    '/sys/devices/sda/device/numa_node': '1\n',
    '/sys/devices/sda/sda2/holders/dm-3': null,
  });
  const facts = await poolFacts(tree.source, {
    device: { kind: 'file', path: file },
    sizeBytes: 1n,
  });
  assert.equal(facts.fileSystem?.type, 'ext4', 'the innermost mount');
  assert.equal(facts.fileSystem?.readOnly, true);
  assert.deepEqual(facts.device, {
    name: 'sda2',
    model: 'Fine 9000',
    writeCache: 'write back',
    scheduler: 'mq-deadline',
    rotational: false,
    logicalBlockBytes: 4096,
    discards: false,
    readOnly: false,
    numaNode: 1,
    sizeBytes: 1n << 20n,
    holders: ['dm-3'],
  });
});

test('host: modules, names, connections and kernel options: as the files say', async () => {
  using tree = new Tree({
    '/proc/sys/kernel/osrelease': '6.9.1-fine\n',
    '/sys/module/nvme_core/parameters/multipath': 'N\n',
    '/sys/module/nvme_core/parameters/iopolicy': 'numa\n',
    '/lib/modules/6.9.1-fine/modules.dep': 'kernel/drivers/nvme/host/nvme-tcp.ko.zst: a.ko\n',
    '/lib/modules/6.9.1-fine/modules.builtin': 'kernel/drivers/nvme/host/nvme-core.ko\n',
    '/etc/modules-load.d/storage.conf': '# for volumes\nnvme_tcp\n',
    '/etc/nvme/hostnqn': 'nqn.2014-08.org.nvmexpress:uuid:0\n',
    '/etc/nvme/hostid': '00000000-0000-4000-8000-00000000000a\n',
    '/etc/machine-id': 'x\n',
    '/etc/nvme/discovery.conf': '# none\n-t tcp -a 192.0.2.7 -s 8009\n',
    '/etc/systemd/system/default.target.wants/nvmf-autoconnect.service': '-> /nowhere',
    '/boot/config-6.9.1-fine': 'CONFIG_NVME_TCP_TLS=y\n# CONFIG_NVME_HOST_AUTH is not set\n',
    '/sys/class/nvme/nvme0/transport': 'pcie\n',
    '/sys/class/nvme/nvme1/transport': 'tcp\n',
    '/sys/class/nvme/nvme1/subsysnqn': 'nqn.2026-01.dev.ashlar:t\n',
    '/sys/class/nvme/nvme1/address': 'traddr=192.0.2.7,trsvcid=4420\n',
    '/sys/class/nvme/nvme1/state': 'connecting\n',
    '/sys/class/nvme/nvme1/ctrl_loss_tmo': '600\n',
    '/var/lib/kubelet': null,
    '/usr/bin/mount': '',
  });
  tree.program('nvme', 'nvme version 2.3 (git 2.3)\nlibnvme version 1.3 (git 1.3)');
  tree.touch('/etc/nvme/hostnqn', '2026-01-01T00:00:00Z');
  tree.touch('/etc/machine-id', '2026-02-01T00:00:00Z');
  const { network, clock, ...facts } = await hostFacts(tree.source, new Map());
  assert.deepEqual(network.nics, []);
  assert.deepEqual(clock, { keeper: null, synchronized: null });
  assert.deepEqual(facts, {
    kernel: '6.9.1-fine',
    modules: [
      { name: 'nvme-core', state: 'loaded' },
      { name: 'nvme-fabrics', state: 'missing' },
      { name: 'nvme-tcp', state: 'available' },
    ],
    modulesAtBoot: ['nvme-tcp'],
    multipath: false,
    iopolicy: 'numa',
    hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:0',
    hostid: '00000000-0000-4000-8000-00000000000a',
    identityFromImage: true,
    nvmeCli: '2.3',
    autoconnect: { configured: true, enabled: true },
    controllers: [
      {
        name: 'nvme1',
        subnqn: 'nqn.2026-01.dev.ashlar:t',
        address: 'traddr=192.0.2.7,trsvcid=4420',
        state: 'connecting',
        ctrlLossTmo: '600',
      },
    ],
    kernelOptions: {
      CONFIG_NVME_HOST_AUTH: false,
      CONFIG_NVME_TCP_TLS: true,
      CONFIG_NVME_MULTIPATH: false,
    },
    kubernetes: true,
    missingPrograms: ['mkfs.ext4', 'mkfs.xfs', 'blkid', 'resize2fs', 'xfs_growfs'],
  });
});
