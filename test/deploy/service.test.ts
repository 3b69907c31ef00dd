/** The unit as systemd reads it, and as it runs it: in a machine of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Workspace } from '../rig/daemon.js';
import { Machine, machineProblem } from './machine.js';

const unit = 'deploy/systemd/ashlar.service';
const analyze = '/usr/bin/systemd-analyze';
const noAnalyze = fs.existsSync(analyze) ? false : 'systemd-analyze is not installed';

describe('unit', () => {
  test('verify: systemd has nothing to say to it', { skip: noAnalyze }, () => {
    using workspace = new Workspace();
    // The program and the page are not installed here.
    const text = fs
      .readFileSync(unit, 'utf8')
      .replace('/usr/bin/ashlar', '/bin/true')
      .replace(/^Documentation=.*$/m, '');
    const copy = workspace.file('ashlar.service');
    fs.writeFileSync(copy, text);
    const { status, stdout, stderr } = spawnSync(analyze, ['verify', copy]);
    assert.deepEqual([status, String(stdout), String(stderr)], [0, '', '']);
  });

  test('security: exposure of 1.6 of 10 at most', { skip: noAnalyze }, () => {
    const args = ['security', '--offline=true', '--threshold=16', '--no-pager', unit];
    const { status, stdout } = spawnSync(analyze, args);
    const [, exposure] = /exposure level for ashlar\.service: ([\d.]+)/.exec(String(stdout)) ?? [];
    assert.ok(Number(exposure) > 0, String(stdout));
    assert.equal(status, 0, `exposure ${exposure}`);
  });

  test('a pool on a device: the drop-in gives that device and no other', () => {
    const text = fs.readFileSync('deploy/systemd/block-device.conf', 'utf8');
    assert.match(text, /^PrivateDevices=no$/m);
    assert.match(text, /^DeviceAllow=\/dev\/\S+ rw$/m);
    assert.match(fs.readFileSync(unit, 'utf8'), /^DevicePolicy=closed$/m);
  });
});

const problem = machineProblem();

describe('service', { skip: problem ?? false }, () => {
  let machine: Machine;
  before(async () => {
    if (problem !== null) return;
    machine = await Machine.boot();
    await machine.sh(`
      useradd --system --home-dir /var/lib/ashlar --no-create-home ashlar
      printf '#!/bin/sh\\nexec /opt/node /opt/checkout/.build/lib/cli/main.js "$@"\\n' > /usr/bin/ashlar
      chmod 755 /usr/bin/ashlar
      mkdir -p /etc/ashlar /etc/systemd/system/ashlar.service.d
      printf '[pool]\\nsize = "1GiB"\\n' > /etc/ashlar/ashlar.toml
      cp /opt/checkout/${unit} /etc/systemd/system/
      systemctl daemon-reload`);
  });
  after(async () => machine?.[Symbol.asyncDispose]());

  const show = async (name: string): Promise<string> =>
    machine.sh(`systemctl show ashlar --value -p ${name}`);
  const exchange = (words: string): Promise<string> =>
    machine.sh(`/opt/node /opt/checkout/.build/test/deploy/exchange_main.js ${words}`);
  let subnqn = '';

  test('start: ready when hosts can connect, in the folders of the service', async () => {
    await machine.sh('systemctl start ashlar');
    assert.equal(await show('ActiveState'), 'active');
    assert.equal(await show('StatusText'), 'serving 0 volumes to 0 controllers');
    // Commands find the service by themselves.
    await machine.sh('cd /opt && ashlar volume create v --size 64MiB --host "*"');
    const [connect = ''] =
      (await machine.sh('cd /opt && ashlar connect-info')).match(/-n \S+/) ?? [];
    subnqn = connect.slice('-n '.length);
    assert.equal(await exchange(`write ${subnqn} kept`), 'kept');
    const files = await machine.sh(
      "stat -c '%n %U %a' /var/lib/ashlar /var/lib/ashlar/pool.ashlar /run/ashlar/ashlar.sock",
    );
    assert.deepEqual(files.split('\n'), [
      '/var/lib/ashlar ashlar 700',
      '/var/lib/ashlar/pool.ashlar ashlar 600',
      '/run/ashlar/ashlar.sock ashlar 600',
    ]);
  });

  test('restrictions: no capability, no new rights, a filter of calls, nothing to write', async () => {
    const status = await machine.sh('cat /proc/$(systemctl show ashlar --value -p MainPID)/status');
    assert.match(status, /^CapBnd:\s+0{16}$/m);
    assert.match(status, /^CapEff:\s+0{16}$/m);
    assert.match(status, /^NoNewPrivs:\s+1$/m);
    assert.match(status, /^Seccomp:\s+2$/m);
    const inside = await machine.sh(
      `cd /proc/$(systemctl show ashlar --value -p MainPID)/root
       mknod /dev/other b 7 99
       touch etc/x usr/x opt/x root/x || true
       touch var/lib/ashlar/x run/ashlar/x tmp/x
       ls dev`,
    );
    assert.equal(inside.match(/Read-only file system/g)?.length, 4, inside);
    assert.match(inside, /^null$/m);
    assert.doesNotMatch(inside, /^other$/m);
  });

  test('reload: the files of HTTPS are read again, by the same process', async () => {
    const pid = await show('MainPID');
    await machine.sh('systemctl reload ashlar');
    assert.equal(await show('MainPID'), pid);
    assert.equal(await show('ActiveState'), 'active');
    assert.match(await machine.sh('cd /opt && ashlar status'), /^State +serving$/m);
  });

  test('kill -9: it serves again by itself, with what was written', async () => {
    const pid = await show('MainPID');
    await machine.sh(`kill -KILL ${pid}`);
    await machine.until(
      'systemctl show ashlar --value -p MainPID -p ActiveState | tr "\\n" " "',
      new RegExp(`^(?!0 |${pid} )\\d+ active`),
    );
    assert.equal(await show('NRestarts'), '1');
    assert.equal(await exchange(`read ${subnqn}`), 'kept');
  });

  test('an event loop that stands still: the watchdog ends it, and it comes back', async () => {
    await machine.sh(`
      printf '[Service]\\nWatchdogSec=1\\n' > /etc/systemd/system/ashlar.service.d/test.conf
      systemctl daemon-reload
      systemctl restart ashlar
      kill -STOP $(systemctl show ashlar --value -p MainPID)`);
    await machine.until('systemctl show ashlar --value -p NRestarts', /[1-9]/);
    await machine.until('systemctl show ashlar --value -p ActiveState', /^active/);
    const journal = await machine.sh('journalctl -u ashlar --no-pager');
    assert.match(journal, /ashlar\.service: Watchdog timeout/);
    assert.equal(await exchange(`read ${subnqn}`), 'kept');
    await machine.sh('rm /etc/systemd/system/ashlar.service.d/test.conf; systemctl daemon-reload');
  });

  test("the calls that the container's filter allows: the daemon serves with these", async () => {
    const { syscalls }: { syscalls: { names: string[] }[] } = JSON.parse(
      fs.readFileSync('deploy/docker/seccomp.json', 'utf8'),
    );
    const names = syscalls.flatMap((rule) => rule.names).join(' ');
    await machine.sh(`
      printf '[Service]\\nSystemCallFilter=\\nSystemCallFilter=${names}\\n' \
        > /etc/systemd/system/ashlar.service.d/test.conf
      systemctl daemon-reload
      systemctl restart ashlar`);
    assert.equal(await exchange(`write ${subnqn} kept`), 'kept');
    assert.doesNotMatch(await show('SystemCallFilter'), /\bsetns\b/, 'it is that filter');
    await machine.sh('cd /opt && ashlar snapshot create v@filtered && ashlar status');
    await machine.sh('rm /etc/systemd/system/ashlar.service.d/test.conf; systemctl daemon-reload');
    await machine.sh('systemctl restart ashlar');
  });

  test('stop: an orderly end; a start replays nothing', async () => {
    await machine.sh('systemctl restart ashlar; systemctl stop ashlar');
    assert.equal(await show('Result'), 'success');
    assert.equal(await show('ExecMainStatus'), '0');
    await machine.sh('systemctl start ashlar');
    const pool = JSON.parse(await machine.sh('cd /opt && ashlar pool status --json')) as {
      replayedRecords: number;
    };
    assert.equal(pool.replayedRecords, 0);
  });

  test('a configuration that is refused: it fails once, says why, and is left alone', async () => {
    await machine.sh('systemctl stop ashlar; echo "[pool" > /etc/ashlar/ashlar.toml');
    assert.notEqual((await machine.attempt('systemctl start ashlar')).code, 0);
    assert.equal(await show('ActiveState'), 'failed');
    assert.equal(await show('NRestarts'), '0');
    assert.match(
      await machine.sh('journalctl -u ashlar --no-pager | tail -5'),
      /\/etc\/ashlar\/ashlar\.toml/,
    );
  });
});
