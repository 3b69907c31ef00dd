/** The Debian package, installed on a machine that systemd runs, as an administrator would. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseConfigFile } from '../../lib/config/file.js';
import { Machine, machineProblem } from '../deploy/machine.js';
import { Workspace } from '../rig/daemon.js';

const workspace = new Workspace();
const { version, engines }: { version: string; engines: { node: string } } = JSON.parse(
  fs.readFileSync('package.json', 'utf8'),
);

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { maxBuffer: 16 << 20 });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`);
  return String(stdout);
}

/** Packages come into being once, whatever is tested of them. */
let first = '';
let second = '';
before(() => {
  const out = workspace.path;
  const said = run(process.execPath, ['.scripts/package_deb.mjs', '--out', out]);
  first = path.resolve(said.trim().split('\n').at(-1) ?? '');
  // The next release: another version, in what dpkg reads and in what the command says.
  const folder = workspace.file('next');
  run('dpkg-deb', ['-R', first, folder]);
  for (const [name, from, to] of [
    ['DEBIAN/control', /^Version: .*$/m, `Version: ${version}-2`],
    ['usr/lib/ashlar/package.json', `"${version}"`, `"${version}-next"`],
  ] as const) {
    const file = path.join(folder, name);
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(from, to));
  }
  second = workspace.file('next.deb');
  run('dpkg-deb', ['-b', '--root-owner-group', folder, second]);
});
after(() => workspace[Symbol.dispose]());

describe('Debian package', () => {
  test('contents: root owns them, one command to run, one binary, a conffile', () => {
    const rows = run('dpkg-deb', ['-c', first]).trim().split('\n');
    const files = rows.map((row) => row.split(/\s+/));
    assert.ok(files.every(([, owner]) => owner === 'root/root'));
    const modes = new Map(files.map(([mode = '', , , , , name = '']) => [name, mode]));
    assert.equal(modes.get('./usr/lib/ashlar/dist/program/main.js'), '-rwxr-xr-x');
    const names = [...modes.keys()];
    assert.equal(names.filter((name) => name.endsWith('.node')).length, 1);
    assert.ok(!names.some((name) => /\/(test|native|lib\/ashlar\/lib)\//.test(name)));
    assert.ok(names.some((name) => name.endsWith('/man8/ashlar.8.gz')));
    assert.ok(names.includes('./usr/lib/ashlar/dist/console/app/index.html'));
    assert.equal(run('dpkg-deb', ['-I', first, 'conffiles']).trim(), '/etc/ashlar/ashlar.toml');
  });

  test('dependencies: the Node.js that the package asks for', () => {
    const [least = ''] = /[\d.]+/.exec(engines.node) ?? [];
    const depends = run('dpkg-deb', ['-f', first, 'Depends']);
    assert.match(depends, new RegExp(`^nodejs \\(>= ${least.replaceAll('.', '\\.')}\\)`));
    assert.match(depends, /libc6 \(>= 2\.\d+\)/);
  });

  test('configuration: one that the daemon takes', () => {
    const text = fs.readFileSync('deploy/debian/ashlar.toml', 'utf8');
    assert.doesNotThrow(() => parseConfigFile(text, 'ashlar.toml'));
    run('dpkg-deb', ['-x', first, workspace.file('x')]);
    const example = workspace.file('x/usr/share/doc/ashlar/examples/ashlar.toml');
    assert.doesNotThrow(() => parseConfigFile(fs.readFileSync(example, 'utf8'), example));
  });

  test('completion: where bash, zsh and fish look for it, and from the first TAB on', () => {
    const tree = workspace.file('completion');
    run('dpkg-deb', ['-x', first, tree]);
    const file = (name: string): string => path.join(tree, 'usr/share', name);
    const program = path.join(tree, 'usr/lib/ashlar/dist/program/main.js');
    const command = `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`;
    fs.writeFileSync(path.join(tree, 'ashlar'), command, { mode: 0o755 });
    const offered = (shell: string, script: string): string =>
      run('env', [`PATH=${tree}:${process.env.PATH}`, `HOME=${tree}`, ...shell.split(' '), script]);
    const bash = file('bash-completion/completions/ashlar');
    const words = 'COMP_WORDS=(ashlar vol) COMP_CWORD=1';
    const show = `echo "\${COMPREPLY[@]}"`;
    const found = offered('bash --norc -c', `source ${bash}; ${words}; _ashlar; ${show}`);
    assert.equal(found.trim(), 'volume');
    const places = `fpath=(${file('zsh/vendor-completions')} $fpath)`;
    const init = `${places}; autoload -Uz compinit; compinit -u -D; print $_comps[ashlar]`;
    const told = `_describe() { print -l -- "\${(@P)2}" }`;
    const typed = `words=(ashlar vol) CURRENT=2; ${told}; _ashlar`;
    const [named, value] = offered('zsh -f -c', `${init}; ${typed}`).split('\n');
    assert.equal(named, '_ashlar');
    assert.match(value ?? '', /^volume:/);
    const fish = file('fish/vendor_completions.d/ashlar.fish');
    const line = offered('fish --no-config -c', `source ${fish}; complete -C 'ashlar vol'`);
    assert.match(line, /^volume\t/);
  });

  const noLintian = fs.existsSync('/usr/bin/lintian') ? false : 'lintian is not installed';
  test('lintian: has nothing to say', { skip: noLintian }, () => {
    assert.equal(run('lintian', ['--allow-root', first]), '');
  });
});

const problem = machineProblem();

describe('Debian package, installed', { skip: problem ?? false }, () => {
  let machine: Machine;
  let subnqn = '';
  before(async () => {
    if (problem !== null) return;
    machine = await Machine.boot();
    // This machine's own rules for services do not hold there, and its Node.js may be no package.
    await machine.sh(`
      rm -f /usr/sbin/policy-rc.d
      if ! dpkg-query -W nodejs >/dev/null 2>&1; then
        mkdir -p /tmp/nodejs/DEBIAN
        printf 'Package: nodejs\\nVersion: ${process.versions.node}\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n' > /tmp/nodejs/DEBIAN/control
        dpkg-deb -b /tmp/nodejs >/dev/null
        dpkg -i /tmp/nodejs.deb
        cp /opt/node /usr/bin/node
      fi
      mkdir /packages`);
    await machine.give(first, '/packages/first.deb');
    await machine.give(second, '/packages/second.deb');
  });
  after(async () => machine?.[Symbol.asyncDispose]());

  const show = (name: string): Promise<string> =>
    machine.sh(`systemctl show ashlar --value -p ${name}`);
  const exchange = (words: string): Promise<string> =>
    machine.sh(`/opt/node /opt/checkout/.build/test/deploy/exchange_main.js ${words}`);
  const install = (name: string): Promise<string> =>
    machine.sh(`DEBIAN_FRONTEND=noninteractive dpkg --no-triggers -i /packages/${name}.deb`);

  test('install: a user, a command, and nothing that runs yet', async () => {
    await install('first');
    assert.match(await machine.sh('getent passwd ashlar'), /:\/var\/lib\/ashlar:.*nologin$/);
    assert.equal(await machine.sh('ashlar --version'), version);
    assert.equal(await show('ActiveState'), 'inactive');
    assert.equal(await show('UnitFileState'), 'disabled');
    assert.doesNotMatch(await machine.sh('ls /var/lib'), /^ashlar$/m);
  });

  test('first start: a pool where the configuration says; hosts write and read', async () => {
    await machine.sh('sed -i "s/^size = .*/size = \\"1GiB\\"/" /etc/ashlar/ashlar.toml');
    await machine.sh('systemctl enable --now ashlar');
    await machine.sh('ashlar volume create v --size 64MiB --host "*"');
    [subnqn = ''] = /nqn\S+/.exec(await machine.sh('ashlar connect-info | grep connect')) ?? [];
    assert.equal(await exchange(`write ${subnqn} kept`), 'kept');
    // What is not in the bundle, but beside it.
    await machine.sh('ashlar snapshot create v@s');
    const bytes = Number(await machine.sh('ashlar volume export v@s 2>/dev/null | wc -c'));
    assert.ok(bytes > 100, `a stream of ${bytes} bytes`);
    const { output } = await machine.attempt('ashlar doctor');
    assert.match(output, /configuration +\/etc\/ashlar\/ashlar\.toml/);
    assert.match(output, /service +starts at boot/);
  });

  test('upgrade: restarted with the new version, pool and configuration as they were', async () => {
    const pid = await show('MainPID');
    await install('second');
    await machine.until('systemctl show ashlar --value -p ActiveState', /^active/);
    assert.notEqual(await show('MainPID'), pid);
    const status = JSON.parse(await machine.sh('ashlar status --json')) as { version: string };
    assert.equal(status.version, `${version}-next`);
    assert.equal(await machine.sh('grep ^size /etc/ashlar/ashlar.toml'), 'size = "1GiB"');
    assert.equal(await exchange(`read ${subnqn}`), 'kept');
  });

  test('remove: stopped, its files left; purge: all but the pool and its user', async () => {
    await machine.sh('dpkg --no-triggers -r ashlar');
    assert.equal((await machine.attempt('systemctl is-active ashlar')).output.trim(), 'inactive');
    await machine.sh('test -e /etc/ashlar/ashlar.toml; test -e /var/lib/ashlar/pool.ashlar');
    const said = await machine.sh('dpkg --no-triggers -P ashlar');
    assert.match(said, /are left in \/var\/lib\/ashlar/);
    await machine.sh('! test -e /etc/ashlar; test -e /var/lib/ashlar/pool.ashlar; id ashlar');
  });

  test('installed again after a purge: the pool is served as it was', async () => {
    await install('second');
    await machine.sh('systemctl start ashlar');
    assert.equal(await exchange(`read ${subnqn}`), 'kept');
  });
});
