/** The parts of the privileged folder by themselves: parsers, folders made like sysfs, programs. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CsiError } from '../../lib/csi/errors.js';
import { classify } from '../../lib/csi/host/content.js';
import { DiscoveryControllers, isNews, portalsIn } from '../../lib/csi/host/discovery.js';
import { findDisk, readDisks } from '../../lib/csi/host/disks.js';
import { addPath, connectOptions, kernelOptions, readPaths } from '../../lib/csi/host/fabrics.js';
import { mountFlags } from '../../lib/csi/host/file_systems.js';
import { parseMountinfo } from '../../lib/csi/host/mountinfo.js';
import { giveToGroup } from '../../lib/csi/host/ownership.js';
import { follow, run, succeed } from '../../lib/csi/host/programs.js';
import {
  readIdentity,
  readKeptDiscovery,
  readRecords,
  removeRecord,
  writeKeptDiscovery,
  writeRecord,
} from '../../lib/csi/host/state_folder.js';
import { tlsKey } from '../../lib/csi/host/tls.js';
import type { PathOptions, PathSecrets, VolumeRecord } from '../../lib/csi/host/types.js';
import { discoveryNqn } from '../../lib/csi/names.js';

let folder = '';
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ashlar-csi-parts-'));
});
after(() => {
  fs.rmSync(folder, { recursive: true });
});

/** A controller of the kernel, in a folder that stands for sysfs. */
function layController(sys: string, name: string, changes: Readonly<Record<string, string>>): void {
  const files = {
    transport: 'tcp',
    hostnqn: to.hostnqn,
    subsysnqn: to.subnqn,
    address: 'traddr=10.0.0.5,trsvcid=4420,src_addr=10.0.0.9',
    state: 'live',
    delete_controller: '0',
    ...changes,
  };
  for (const [file, text] of Object.entries(files)) {
    lay(sys, { [`class/nvme/${name}/${file}`]: `${text}\n` });
  }
}

/** Writes a tree of small files. */
function lay(root: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(root, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
}

describe('mountinfo', () => {
  test('optional fields, a number of them or none', () => {
    const lines = parseMountinfo(
      [
        '36 35 259:3 / /mnt rw,noatime master:1 propagate_from:2 - ext4 /dev/nvme0n1 rw,errors=x',
        '37 35 0:6 /nvme0n1 /target ro - devtmpfs udev rw',
        '',
      ].join('\n'),
    );
    assert.deepEqual(lines, [
      {
        number: '259:3',
        root: '/',
        target: '/mnt',
        options: ['rw', 'noatime'],
        fsType: 'ext4',
        source: '/dev/nvme0n1',
        superOptions: ['rw', 'errors=x'],
      },
      {
        number: '0:6',
        root: '/nvme0n1',
        target: '/target',
        options: ['ro'],
        fsType: 'devtmpfs',
        source: 'udev',
        superOptions: ['rw'],
      },
    ]);
  });

  test('spaces, tabs, newlines, backslashes and # are octal; all else is as it is', () => {
    const odd = 'a b\tc\nd\\e#f-ü\\040';
    const written = odd.replaceAll(/[ \t\n\\#]/g, (letter) => {
      return `\\${letter.charCodeAt(0).toString(8).padStart(3, '0')}`;
    });
    const [line] = parseMountinfo(`1 2 8:1 /- /${written} rw - xfs /dev/x rw`);
    assert.equal(line?.target, `/${odd}`);
    assert.equal(line?.root, '/-');
  });

  test("this machine's own is understood, line by line", () => {
    const text = fs.readFileSync('/proc/self/mountinfo', 'utf8');
    const lines = parseMountinfo(text);
    assert.equal(lines.length, text.trim().split('\n').length);
    assert.ok(lines.every(({ target, fsType }) => target.startsWith('/') && fsType !== ''));
  });

  test('what is no line of it is left out', () => {
    assert.deepEqual(parseMountinfo('1 2 3\n1 2 8:1 / /x rw shared:1 ext4 /dev/x rw\n-'), []);
  });
});

test("blkid's words: file systems, tables, and what else may stand there", () => {
  const start = Buffer.alloc(1 << 20);
  assert.equal(classify('', start), null);
  assert.deepEqual(classify('TYPE=ext3\nUSAGE=filesystem', start), {
    kind: 'file-system',
    fsType: 'ext3',
    sizeBytes: null,
  });
  const others = {
    'PTTYPE=gpt': 'a partition table (gpt)',
    'TYPE=ext4\nUSAGE=filesystem\nPTTYPE=dos': 'a partition table (dos)',
    'TYPE=LVM2_member\nUSAGE=raid': 'LVM2_member (raid)',
    'TYPE=crypto_LUKS\nUSAGE=crypto': 'crypto_LUKS (crypto)',
    'TYPE=swap\nUSAGE=other': 'swap (other)',
  };
  for (const [exported, what] of Object.entries(others)) {
    assert.deepEqual(classify(exported, start), { kind: 'other', what });
  }
});

const options: PathOptions = {
  fastIoFailMs: 15_000,
  ctrlLossMs: null,
  reconnectDelayMs: 2_000,
  keepAliveMs: 5_000,
  ioPolicy: 'round-robin',
  queues: 0,
};
const none: PathSecrets = { hostKey: null, controllerKey: null, tlsPsk: null };
const hostid = '5a1a5f0e-7d0c-4f2b-9a53-6a2d7f3f4b10';
const to = {
  subnqn: 'nqn.2014-08.org.example:s',
  address: 'fd00::5',
  port: 4420,
  hostnqn: `nqn.2014-08.org.nvmexpress:uuid:${hostid}`,
  hostid,
};

describe('paths', () => {
  test('the line of options', () => {
    assert.equal(
      connectOptions(to, { ...options, queues: 4 }, none, ['tls', 'tls_key=12']),
      `transport=tcp,traddr=fd00::5,trsvcid=4420,nqn=${to.subnqn},hostnqn=${to.hostnqn},` +
        `hostid=${hostid},keep_alive_tmo=5,reconnect_delay=2,ctrl_loss_tmo=-1,` +
        'fast_io_fail_tmo=15,nr_io_queues=4,tls,tls_key=12',
    );
  });

  test('a comma in what comes from outside adds no option', () => {
    const refused = { status: 'INVALID_ARGUMENT' };
    for (const changes of [{ subnqn: 'nqn,host_iface=x' }, { address: '10.0.0.1,x=1' }]) {
      assert.throws(() => connectOptions({ ...to, ...changes }, options, none, []), refused);
    }
    const secrets = { ...none, hostKey: 'DHHC-1:00:YQ==:,duplicate_connect' };
    assert.throws(
      () => connectOptions(to, options, secrets, []),
      (thrown) => thrown instanceof CsiError && !thrown.message.includes('YQ=='),
    );
  });

  test('written to the door in one piece; a key is on no command line', async () => {
    const dev = path.join(folder, 'dev-written');
    lay(dev, { 'nvme-fabrics': '' });
    const secrets = { ...none, hostKey: 'DHHC-1:00:YQ==:' };
    const signal = new AbortController().signal;
    await addPath({ dev, sys: folder }, to, options, secrets, 10_000, signal);
    const written = fs.readFileSync(path.join(dev, 'nvme-fabrics'), 'utf8');
    assert.match(written, /^transport=tcp,.*,dhchap_secret=DHHC-1:00:YQ==:$/);
  });

  test('a kernel without the option is said to be one, before anything is written', async () => {
    const dev = path.join(folder, 'dev-old');
    const told = 'instance=-1,cntlid=-1,transport=%s,traddr=%s,nqn=%s';
    lay(dev, { 'nvme-fabrics': told });
    assert.equal((await kernelOptions({ dev, sys: folder }))?.has('traddr'), true);
    for (const secrets of [
      { ...none, hostKey: 'DHHC-1:00:YQ==:' },
      { ...none, tlsPsk: 'NVMeTLSkey-1:01:YQ==:' },
    ]) {
      const signal = new AbortController().signal;
      await assert.rejects(addPath({ dev, sys: folder }, to, options, secrets, 10_000, signal), {
        status: 'FAILED_PRECONDITION',
        message: /kernel takes no option/,
      });
    }
    assert.equal(fs.readFileSync(path.join(dev, 'nvme-fabrics'), 'utf8'), told);
  });

  test('of this host and of TCP alone, with their states', async () => {
    const sys = path.join(folder, 'sys-paths');
    layController(sys, 'nvme0', {});
    layController(sys, 'nvme1', { address: 'traddr=fd00::5,trsvcid=4421', state: 'connecting' });
    layController(sys, 'nvme2', { transport: 'pcie', address: '0000:00:04.0' });
    layController(sys, 'nvme3', { hostnqn: 'nqn.2014-08.org.example:somebody-else' });
    layController(sys, 'nvme4', { subsysnqn: discoveryNqn });
    layController(sys, 'nvme5', {
      subsysnqn: 'nqn.of-a-discovery-service',
      cntrltype: 'discovery',
    });
    const paths = await readPaths({ sys, dev: folder }, to.hostnqn);
    const told = paths.map(({ controller, subnqn, address, port, state, discovery }) =>
      [controller, subnqn, address, port, state, discovery ? 'discovery' : 'volumes'].join(' '),
    );
    assert.deepEqual(told.sort(), [
      `nvme0 ${to.subnqn} 10.0.0.5 4420 live volumes`,
      `nvme1 ${to.subnqn} fd00::5 4421 connecting volumes`,
      `nvme4 ${discoveryNqn} 10.0.0.5 4420 live discovery`,
      'nvme5 nqn.of-a-discovery-service 10.0.0.5 4420 live discovery',
    ]);
  });
});

describe('disks', () => {
  const uuid = '00000001-0000-4000-8000-000000000000';
  const block = (name: string, number: string, changes: Readonly<Record<string, string>> = {}) =>
    Object.fromEntries(
      Object.entries({
        uuid,
        dev: number,
        size: '2048',
        ro: '0',
        'device/subsysnqn': to.subnqn,
        ...changes,
      }).map(([file, text]) => [`class/block/${name}/${file}`, `${text}\n`]),
    );

  test('the head of the paths, and neither a path nor a partition', async () => {
    const sys = path.join(folder, 'sys-disks');
    lay(sys, {
      ...block('nvme0n1', '259:3'),
      ...block('nvme0c0n1', '259:4'),
      ...block('nvme0n1p1', '259:5'),
      ...block('nvme0n2', '259:6', { uuid: uuid.replace('1', '2'), ro: '1' }),
      ...block('sda', '8:0'),
    });
    const disk = {
      device: '/dev/nvme0n1',
      number: '259:3',
      uuid,
      subnqn: to.subnqn,
      sizeBytes: 1_048_576n,
      readOnly: false,
    };
    const places = { sys, dev: '/dev' };
    assert.deepEqual(await findDisk(places, uuid), disk);
    assert.equal(await findDisk(places, uuid.replace('1', '9')), null);
    const all = await readDisks(places, to.subnqn);
    assert.deepEqual(all.map(({ device, readOnly }) => `${device} ${readOnly}`).sort(), [
      '/dev/nvme0n1 false',
      '/dev/nvme0n2 true',
    ]);
  });

  test('a disk for each path: the kernel has no multipath, and is not written to', async () => {
    const sys = path.join(folder, 'sys-single');
    lay(sys, { ...block('nvme0n1', '259:3'), ...block('nvme1n1', '259:4') });
    await assert.rejects(findDisk({ sys, dev: '/dev' }, uuid), {
      status: 'FAILED_PRECONDITION',
      message: /nvme_core\.multipath=Y/,
    });
  });
});

describe('the state folder', () => {
  const places = (name: string, nvme: Readonly<Record<string, string>>) => {
    const root = path.join(folder, name);
    lay(root, { boot_id: 'boot-1\n' });
    for (const [file, text] of Object.entries(nvme)) lay(root, { [`nvme/${file}`]: text });
    return {
      state: path.join(root, 'state'),
      nvme: path.join(root, 'nvme'),
      bootId: path.join(root, 'boot_id'),
    };
  };

  test("the machine's own identity when its parts agree, and for ever", async () => {
    const where = places('agree', { hostnqn: `${to.hostnqn}\n`, hostid: `${hostid}\n` });
    const first = await readIdentity(where);
    assert.deepEqual(first, { hostid, hostnqn: to.hostnqn, bootId: 'boot-1' });
    fs.rmSync(where.nvme, { recursive: true });
    assert.deepEqual(await readIdentity(where), first);
  });

  test('a new one when there is none, or the parts contradict; the same afterwards', async () => {
    const other = hostid.replace('5', '6');
    for (const [name, nvme] of Object.entries({
      nothing: {},
      contradiction: { hostnqn: `${to.hostnqn}\n`, hostid: `${other}\n` },
      'other-form': { hostnqn: 'nqn.2020-01.org.example:host\n', hostid: `${hostid}\n` },
    })) {
      const where = places(name, nvme);
      const made = await readIdentity(where);
      assert.notEqual(made.hostid, hostid);
      assert.equal(made.hostnqn, `nqn.2014-08.org.nvmexpress:uuid:${made.hostid}`);
      assert.deepEqual(await readIdentity(where), made);
    }
  });

  test('a damaged file is told of, and not replaced by a new node', async () => {
    const where = places('damaged', {});
    lay(where.state, { hostid: 'what' });
    await assert.rejects(readIdentity(where), { status: 'INTERNAL', message: /has no UUID/ });
    assert.equal(fs.readFileSync(path.join(where.state, 'hostid'), 'utf8'), 'what');
  });

  test('records come back as they were, whatever the ID; damaged ones are none', async () => {
    const state = path.join(folder, 'records');
    const record = (volumeId: string): VolumeRecord => ({
      volumeId,
      uuid: hostid,
      subnqn: to.subnqn,
      portals: ['10.0.0.5:4420'],
      tls: true,
      authenticate: false,
      bootId: 'boot-1',
      formatting: true,
      ephemeral: true,
      staged: { path: '/a', how: 'block' },
      published: [{ path: '/b ü', how: 'mount ext4' }],
    });
    const ids = [hostid, 'ü'.repeat(64), '../../escape', 'csi-1'];
    assert.deepEqual(await readRecords(state), []);
    await removeRecord(state, 'csi-1');
    for (const id of ids) await writeRecord(state, record(id));
    lay(state, {
      'volumes/damaged.json': '{"version": 1, "volumeId": ',
      'volumes/newer.json': JSON.stringify({ ...record('x'), version: 2 }),
      'volumes/half.json.new': JSON.stringify({ ...record('y'), version: 1 }),
    });
    const sorted = (records: readonly VolumeRecord[]) =>
      [...records].sort((a, b) => (a.volumeId < b.volumeId ? -1 : 1));
    assert.deepEqual(sorted(await readRecords(state)), sorted(ids.map(record)));
    assert.deepEqual(fs.readdirSync(folder).includes('escape.json'), false);
    for (const id of ids) await removeRecord(state, id);
    assert.deepEqual(await readRecords(state), []);
  });
});

describe('programs', () => {
  const timeoutMs = 20_000;

  test('what it wrote, its exit code, and its input', async () => {
    const ended = await run('sh', ['-c', 'cat; echo no >&2; exit 3'], { input: 'yes', timeoutMs });
    assert.deepEqual(ended, { code: 3, stdout: 'yes', stderr: 'no' });
    await assert.rejects(succeed('sh', ['-c', 'echo why >&2; exit 4'], { timeoutMs }), {
      status: 'INTERNAL',
      message: /exit code 4: why/,
    });
  });

  test('of much that it writes, the last is kept; all of it for who asks', async () => {
    const args = ['-c', 'i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i + 1)); done'];
    const { stdout } = await run('sh', args, { timeoutMs });
    assert.match(stdout, /\n1999$/);
    assert.ok(stdout.length <= 4096, `${stdout.length} bytes`);
    const all = await succeed('sh', args, { timeoutMs, maxOutputBytes: 1 << 20 });
    assert.equal(all.split('\n').length, 2000);
  });

  test("nothing of the plugin's environment, and the language is C", async () => {
    const { stdout } = await run('env', [], { timeoutMs });
    const names = stdout.split('\n').map((line) => line.split('=')[0]);
    assert.deepEqual(names.sort(), ['LANG', 'LC_ALL', 'PATH']);
  });

  test('one that goes on is heard line by line, until nobody listens', async () => {
    const stop = new AbortController();
    const lines: string[] = [];
    const line = (text: string) => {
      if (lines.push(text) === 2) stop.abort();
    };
    const script = 'printf "one\\ntw"; sleep 0.1; echo o; exec sleep 600';
    await follow('sh', ['-c', script], { line, signal: stop.signal });
    assert.deepEqual(lines, ['one', 'two']);
    await follow('mkfs.nothing', [], { line, signal: stop.signal });
    const going = new AbortController().signal;
    await assert.rejects(follow('sh', ['-c', 'echo why >&2; exit 3'], { line, signal: going }), {
      status: 'INTERNAL',
      message: /exit code 3: why/,
    });
    await assert.rejects(follow('mkfs.nothing', [], { line, signal: going }), {
      status: 'FAILED_PRECONDITION',
    });
  });

  test('one that is not there: FAILED_PRECONDITION naming it', async () => {
    await assert.rejects(run('mkfs.nothing', [], { timeoutMs }), {
      status: 'FAILED_PRECONDITION',
      message: /'mkfs\.nothing' is not installed/,
    });
  });

  test('too long: it is ended with all that it started, and says what it had said', async () => {
    const script = 'trap "" TERM; echo begun; sleep 1000 & echo $!; wait; sleep 1000';
    const call = run('sh', ['-c', script], { timeoutMs: 200 });
    await assert.rejects(call, (thrown: CsiError) => {
      assert.equal(thrown.status, 'INTERNAL');
      const [, pid] = /did not end within 200 ms: begun\n(\d+)/.exec(thrown.message) ?? [];
      assert.ok(pid !== undefined, thrown.message);
      assert.ok(!isRunning(Number(pid)), `process ${pid} runs on`);
      return true;
    });
  });

  test('cancelled: ended at once', async () => {
    const cancel = new AbortController();
    const call = run('sleep', ['1000'], { timeoutMs, signal: cancel.signal });
    cancel.abort();
    await assert.rejects(call, { message: /was cancelled/ });
  });

  test('a flood of output: the last of it is kept', async () => {
    const { stdout } = await run('sh', ['-c', 'yes | head -c 10000000; echo end'], { timeoutMs });
    assert.ok(stdout.length <= 4096 && stdout.endsWith('end'));
  });

  /** A zombie does not run. */
  function isRunning(pid: number): boolean {
    try {
      return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch {
      return false;
    }
  }
});

describe('a group', { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
  test('has all below, no link is followed, and what is done is not done again', async () => {
    const top = path.join(folder, 'group');
    const outside = path.join(folder, 'outside');
    lay(folder, { outside: 'theirs', 'group/sub/file': 'x', 'group/program': 'x' });
    fs.chmodSync(path.join(top, 'sub/file'), 0o600);
    fs.chmodSync(path.join(top, 'program'), 0o700);
    fs.chmodSync(outside, 0o600);
    fs.symlinkSync(outside, path.join(top, 'link'));
    execFileSync('mkfifo', [path.join(top, 'pipe')]);
    await giveToGroup(top, 4321);
    const about = (name: string) => {
      const { gid, mode } = fs.lstatSync(path.join(top, name));
      return `${gid} ${(mode & 0o7777).toString(8)}`;
    };
    assert.match(about('.'), /^4321 27[67]5$/);
    assert.match(about('sub'), /^4321 27[67]5$/);
    assert.equal(about('sub/file'), '4321 660');
    assert.equal(about('program'), '4321 770');
    assert.match(about('link'), /^4321 /);
    assert.match(about('pipe'), /^4321 /);
    const { gid, mode } = fs.statSync(outside);
    assert.deepEqual([gid, mode & 0o777], [0, 0o600]);
    fs.chmodSync(path.join(top, 'sub/file'), 0o600);
    await giveToGroup(top, 4321);
    assert.equal(about('sub/file'), '4321 600');
    await giveToGroup(top, 1234);
    assert.equal(about('sub/file'), '1234 660');
  });
});

test('mount options: read-only and nouuid come first, a context keeps its commas', () => {
  const context = 'context="system_u:object_r:container_file_t:s0:c1,c2"';
  assert.equal(
    mountFlags('xfs', [context, 'noatime', 'ro'], true).join(','),
    `ro,nouuid,${context},noatime`,
  );
  assert.deepEqual(mountFlags('ext4', [], false), []);
});

test('a key for TLS is derived for host and subsystem, and named by both', () => {
  const psk = 'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:';
  const { identity, key } = tlsKey(psk, to.hostnqn, to.subnqn);
  assert.ok(identity.startsWith(`NVMe1R01 ${to.hostnqn} ${to.subnqn} `), identity);
  assert.equal(key.length, 32);
  const other = tlsKey(psk, to.hostnqn, `${to.subnqn}2`);
  assert.notDeepEqual(other.key, key);
  assert.throws(
    () => tlsKey('NVMeTLSkey-1:01:c2VjcmV0:', to.hostnqn, to.subnqn),
    (thrown) => {
      assert.doesNotMatch(String(thrown), /c2VjcmV0/);
      return true;
    },
  );
});

describe('discovery', () => {
  const record = (rest: object) => ({
    ...{ trtype: 'tcp', adrfam: 'ipv4', subtype: 'nvme subsystem', subnqn: 'nqn.a' },
    ...rest,
  });

  test('portals of the subsystem over TCP, each once; others, and other transports, are left out', () => {
    const records = [
      record({ traddr: '10.0.0.2', trsvcid: '4420' }),
      record({ traddr: '10.0.0.1', trsvcid: ' 4420 ' }),
      record({ traddr: '10.0.0.1', trsvcid: '4420' }),
      record({ traddr: 'fd00::1', trsvcid: '4421', adrfam: 'ipv6' }),
      record({ traddr: '10.0.0.3', trsvcid: '4420', trtype: 'rdma' }),
      record({ traddr: '10.0.0.4', trsvcid: '4420', subnqn: 'nqn.b' }),
    ];
    const told = portalsIn(JSON.stringify({ genctr: 1, records }), 'nqn.a');
    assert.deepEqual(told, ['10.0.0.1:4420', '10.0.0.2:4420', '[fd00::1]:4421']);
    assert.throws(() => portalsIn('no Discovery Log', 'nqn.a'));
  });

  test('what was kept in this boot ends, but where it is needed; nobody else’s does', async () => {
    const [sys, state] = [path.join(folder, 'sys-discovery'), path.join(folder, 'discovery')];
    const host = { hostnqn: to.hostnqn, hostid: to.hostid, bootId: 'boot' };
    const at = (port: number) => ({ address: `traddr=10.0.0.5,trsvcid=${port}` });
    const service = { subsysnqn: discoveryNqn };
    layController(sys, 'nvme0', {});
    layController(sys, 'nvme1', service);
    layController(sys, 'nvme2', { ...service, ...at(4421) });
    layController(sys, 'nvme3', { ...service, ...at(4422) });
    layController(sys, 'nvme4', { ...service, hostnqn: 'nqn.2014-08.org.example:else' });
    const ended = () =>
      ['nvme0', 'nvme1', 'nvme2', 'nvme3', 'nvme4'].filter((name) =>
        fs
          .readFileSync(path.join(sys, 'class/nvme', name, 'delete_controller'), 'utf8')
          .startsWith('1'),
      );
    const controllers = new DiscoveryControllers({ sys, dev: folder }, state);
    await controllers.end([], host);
    assert.deepEqual(ended(), []);
    const [one, two] = ['10.0.0.5:4420', '10.0.0.5:4421'];
    await writeKeptDiscovery(state, { bootId: 'boot', portals: [one, two] });
    await controllers.end([two, '10.0.0.5:4422'], host);
    assert.deepEqual(ended(), ['nvme1']);
    assert.deepEqual(await readKeptDiscovery(state), { bootId: 'boot', portals: [two] });
    await controllers.end([], { ...host, bootId: 'next' });
    assert.deepEqual(ended(), ['nvme1'], 'after a reboot nothing of it is connected');
    assert.equal(await readKeptDiscovery(state), null);
    await writeKeptDiscovery(state, { bootId: 'boot', portals: [two] });
    await controllers.end([], host);
    assert.deepEqual(ended(), ['nvme1', 'nvme2']);
    assert.deepEqual(fs.readdirSync(state), []);
  });

  test('a kernel that does not tell which controllers are for discovery keeps none', async () => {
    const [sys, state, dev] = ['sys-ask', 'ask', 'dev-ask'].map((name) => path.join(folder, name));
    assert.ok(sys !== undefined && state !== undefined && dev !== undefined);
    const host = { hostnqn: to.hostnqn, hostid: to.hostid, bootId: 'boot' };
    layController(sys, 'nvme0', {});
    layController(sys, 'nvme1', { cntrltype: 'io' });
    lay(dev, { 'nvme-fabrics': 'untouched' });
    const door = () => fs.readFileSync(path.join(dev, 'nvme-fabrics'), 'utf8');
    const controllers = new DiscoveryControllers({ sys, dev }, state);
    const ask = async (controller: string) => {
      const at = { subnqn: to.subnqn, address: '10.0.0.5', port: 4420, state: 'live' };
      const { signal } = new AbortController();
      await assert.rejects(
        controllers.ask({ ...at, controller, discovery: false }, options, host, signal),
        { status: 'UNAVAILABLE', message: /^10\.0\.0\.5:4420 tells no portals: / },
      );
    };
    await ask('nvme0');
    assert.deepEqual([door(), await readKeptDiscovery(state)], ['untouched', null]);
    await ask('nvme1');
    assert.match(
      door(),
      /^transport=tcp,traddr=10\.0\.0\.5,.*,nqn=nqn\.2014-08\.org\.nvmexpress\.d/,
    );
    const kept = { bootId: 'boot', portals: ['10.0.0.5:4420'] };
    assert.deepEqual(await readKeptDiscovery(state), kept);
  });

  test('news is a changed log, and a service that is there again', () => {
    const lines = [
      'ACTION=change',
      'NVME_AEN=0x70f002',
      'NVME_AEN=0x000002',
      'NVME_EVENT=connected',
    ];
    assert.deepEqual([...lines, 'NVME_EVENT=rediscover', 'XNVME_EVENT=rediscover'].filter(isNews), [
      'NVME_AEN=0x70f002',
      'NVME_EVENT=rediscover',
    ]);
  });
});
