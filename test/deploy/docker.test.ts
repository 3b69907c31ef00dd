/** What can be said of the image unbuilt: the recipe, and the filter of system calls. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fsTypes } from '../../lib/csi/host/types.js';

const folder = 'deploy/docker';
const recipe = fs.readFileSync(path.join(folder, 'Dockerfile'), 'utf8');

interface Instruction {
  word: string;
  rest: string;
}

/** Instructions, each on one line, by the name of their stage. */
function stages(text: string): Record<string, Instruction[]> {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '');
  const all: Record<string, Instruction[]> = {};
  let stage: Instruction[] = [];
  for (const line of lines) {
    const [word = '', ...rest] = line.split(' ');
    if (word === 'FROM') {
      stage = [];
      all[rest.at(-1) ?? ''] = stage;
    }
    stage.push({ word, rest: rest.join(' ') });
  }
  return all;
}

const { build = [], csi = [], ashlar: image = [] } = stages(recipe);
const of = (stage: readonly Instruction[], word: string): string[] =>
  stage.filter((each) => each.word === word).map(({ rest }) => rest);

describe('image', () => {
  test('every source that is copied is there, and is not left out', () => {
    const kept = fs.readFileSync(path.join(folder, 'Dockerfile.dockerignore'), 'utf8');
    for (const files of of(build, 'COPY')) {
      for (const file of files.split(' ').slice(0, -1)) {
        assert.ok(fs.existsSync(file), file);
        assert.ok(file === '.' || kept.includes(`!${file}\n`), `${file} is ignored`);
      }
    }
    for (const [, name = ''] of kept.matchAll(/^!(.*)$/gm)) assert.ok(fs.existsSync(name), name);
  });

  test('what the build leaves out: whatever .scripts reads is there', () => {
    // Modules that set-up imports before anything runs.
    const kept = fs.readFileSync(path.join(folder, 'Dockerfile.dockerignore'), 'utf8');
    for (const name of ['.scripts', 'lib', 'native', 'binding.gyp', 'tsconfig.json']) {
      assert.ok(kept.includes(`!${name}\n`), name);
    }
  });

  test('runs as a user of its own, by number; says how it is; ends on SIGTERM', () => {
    assert.deepEqual(of(image, 'USER'), ['4420:4420']);
    assert.deepEqual(of(image, 'STOPSIGNAL'), ['SIGTERM']);
    assert.deepEqual(of(image, 'VOLUME'), ['/var/lib/ashlar']);
    const [health = ''] = of(image, 'HEALTHCHECK');
    assert.match(health, /CMD \["ashlar", "status", "--json"\]$/);
    // Words in brackets start the program itself: a shell between would swallow the signal.
    for (const word of ['ENTRYPOINT', 'CMD']) {
      for (const rest of of(image, word)) assert.doesNotThrow(() => JSON.parse(rest), rest);
    }
  });

  test('has no compiler in it, and no layer of package lists', () => {
    assert.ok(!of(image, 'RUN').some((line) => /apt-get/.test(line)));
    for (const line of of(build, 'RUN').filter((each) => /apt-get install/.test(each))) {
      assert.match(line, /--no-install-recommends/);
      assert.match(line, /rm -rf \/var\/lib\/apt\/lists/);
    }
  });
});

/** Programs of the node's part, and the package of each. */
const programs: Record<string, string> = {
  nvme: 'nvme-cli',
  'mkfs.ext4': 'e2fsprogs',
  'fsck.ext4': 'e2fsprogs',
  resize2fs: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  xfs_repair: 'xfsprogs',
  xfs_growfs: 'xfsprogs',
  'mkfs.btrfs': 'btrfs-progs',
  btrfs: 'btrfs-progs',
  blkid: 'util-linux',
  blockdev: 'util-linux',
  mount: 'mount',
  umount: 'mount',
  modprobe: 'kmod',
  keyctl: 'keyutils',
  udevadm: 'udev',
};

/** Of coreutils, without which there is no base image. */
const ofTheBase = ['dd', 'sync'];

describe("the CSI plugin's image", () => {
  const [install = ''] = of(csi, 'RUN');

  test('has what the node runs, and nothing that nobody runs', () => {
    const [, installed = ''] = /--no-install-recommends +([a-z0-9 -]+?) +&&/.exec(install) ?? [];
    assert.deepEqual(installed.split(' ').sort(), [...new Set(Object.values(programs))].sort());
    assert.match(install, /rm -rf \/var\/lib\/apt\/lists/);
  });

  test('has every program that the sources start', () => {
    const folder = 'lib/csi/host';
    const sources = fs
      .readdirSync(folder)
      .map((file) => fs.readFileSync(`${folder}/${file}`, 'utf8'));
    const named = [
      /\b(?:run|succeed|follow)\(\s*'([^']+)'/g,
      /^ +(?:ext4|xfs|btrfs): \['([a-z]\w+)',/gm,
    ];
    const started = sources.flatMap((source) =>
      named.flatMap((pattern) => [...source.matchAll(pattern)].map(([, name = '']) => name)),
    );
    assert.ok(
      ['mount', 'resize2fs', 'udevadm'].every((name) => started.includes(name)),
      started.join(' '),
    );
    for (const name of [...started, ...fsTypes.map((type) => `mkfs.${type}`)]) {
      assert.ok(ofTheBase.includes(name) || programs[name] !== undefined, name);
    }
  });

  test('has no identity: that would be the same on every node', () => {
    assert.match(install, /rm -rf .*\/etc\/nvme\/hostnqn \/etc\/nvme\/hostid/);
  });

  test('is not root unless its manifest says so; is what the target without a name is not', () => {
    assert.deepEqual(of(csi, 'USER'), ['4420:4420']);
    assert.deepEqual(of(csi, 'ENTRYPOINT'), ['["ashlar"]']);
    assert.deepEqual(of(csi, 'HEALTHCHECK'), [], 'Kubernetes asks by its own probes');
    assert.equal(Object.keys(stages(recipe)).at(-1), 'ashlar');
  });
});

interface Rule {
  names: string[];
  action: string;
  args?: unknown[];
}

describe('filter of system calls', () => {
  const profile: { defaultAction: string; syscalls: Rule[] } = JSON.parse(
    fs.readFileSync(path.join(folder, 'seccomp.json'), 'utf8'),
  );
  const allowed = profile.syscalls
    .filter(({ action }) => action === 'SCMP_ACT_ALLOW')
    .flatMap(({ names }) => names);

  test('io_uring may be used; each call is in one rule; the rest is refused', () => {
    assert.equal(profile.defaultAction, 'SCMP_ACT_ERRNO');
    for (const name of ['io_uring_setup', 'io_uring_enter', 'io_uring_register']) {
      assert.ok(allowed.includes(name), name);
    }
    assert.equal(new Set(allowed).size, allowed.length);
  });

  test('nothing that leads out of a container', () => {
    const forbidden = [
      ...['mount', 'umount2', 'pivot_root', 'chroot', 'setns', 'unshare', 'fsopen', 'move_mount'],
      ...['ptrace', 'process_vm_readv', 'process_vm_writev', 'kcmp', 'perf_event_open', 'bpf'],
      ...['keyctl', 'add_key', 'request_key', 'userfaultfd', 'kexec_load', 'reboot', 'swapon'],
      ...['init_module', 'finit_module', 'delete_module', 'open_by_handle_at', 'quotactl'],
      ...['iopl', 'ioperm', 'settimeofday', 'clock_settime', 'adjtimex', 'sethostname', 'syslog'],
    ];
    assert.deepEqual(
      forbidden.filter((name) => allowed.includes(name)),
      [],
    );
    const clone = profile.syscalls.find(({ names }) => names.includes('clone'));
    assert.equal(clone?.args?.length, 1, 'no new namespaces');
  });
});
