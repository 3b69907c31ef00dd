/** `ashlar doctor` as it is run: on this machine, beside a daemon and without one. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import type { Finding, Level } from '../../lib/doctor/findings.js';
import { Daemon, runProgram, Workspace } from '../rig/daemon.js';

interface Report {
  summary: Record<Level, number>;
  findings: Finding[];
}

/** What it says to programs; the exit code must be that of the worst finding. */
async function examined(...args: string[]): Promise<Report> {
  const { code, out, err } = await runProgram(['doctor', '--json', ...args]);
  assert.equal(err, '');
  const report = JSON.parse(out) as Report;
  const { fail, warn } = report.summary;
  assert.equal(code, fail > 0 ? 2 : warn > 0 ? 1 : 0);
  return report;
}

function of({ findings }: Report, check: string): Finding {
  return findings.find((finding) => finding.check === check) ?? assert.fail(`${check} is said`);
}

test('doctor: without a daemon: every part is looked at, and nothing is made', async () => {
  using workspace = new Workspace();
  const config = workspace.file('ashlar.toml');
  fs.writeFileSync(
    config,
    '[pool]\nfile = "pool.ashlar"\nsize = "1GiB"\n[api]\nsocket = "a.sock"\n',
  );
  const report = await examined('--config', config);
  assert.equal(of(report, 'config').found, config);
  assert.match(of(report, 'daemon').found, /none runs at .*\/a\.sock/);
  assert.equal(of(report, 'io-uring').level, 'ok');
  assert.match(of(report, 'pool').found, /pool\.ashlar, to be made: 1 GiB/);
  const parts = ['node', 'memlock', 'open-files', 'memory', 'numa', 'clock', 'reach', 'tcp-rmem'];
  for (const part of parts) of(report, part);
  assert.deepEqual(fs.readdirSync(workspace.path), ['ashlar.toml']);
});

test('doctor: a configuration that is refused: the first thing that is said, exit code 2', async () => {
  using workspace = new Workspace();
  const config = workspace.file('ashlar.toml');
  fs.writeFileSync(config, '[pool]\nsiez = "1GiB"\n');
  const report = await examined('--config', config);
  assert.equal(of(report, 'config').level, 'fail');
  assert.match(of(report, 'config').found, /ashlar\.toml:2: .*siez/);
});

test('doctor: beside a daemon: its process, its pool, its portals, reached from here', async () => {
  await using daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: null });
  const report = await examined('--socket', daemon.socket);
  assert.match(of(report, 'daemon').found, new RegExp(`serving.* process ${daemon.pid}`));
  assert.match(of(report, 'portal').subject, new RegExp(`:${daemon.port}$`));
  assert.match(of(report, 'portal').found, /reached from here, 0 connected/);
  assert.match(of(report, 'pool').found, /pool\.ashlar, 256 MiB/);
  assert.match(of(report, 'pool-space').found, /available/);
  assert.deepEqual(await daemon.call('GET', '/v1/controllers'), { items: [], next: null });
});

test('doctor: for people: the worst last, each with its command, the sum at the end', async () => {
  using workspace = new Workspace();
  const config = workspace.file('ashlar.toml');
  // On this machine there is no interface with that address, whatever else there is to say.
  fs.writeFileSync(config, '[pool]\nmemory = "64MiB"\n[target]\nportals = ["192.0.2.250:4420"]\n');
  const { code, out } = await runProgram(['doctor', '--config', config]);
  assert.equal(code, 2);
  const lines = out.trimEnd().split('\n');
  const marks = lines
    .map((line) => line.slice(0, 4))
    .filter((mark) => /ok|\?|WARN|FAIL/.test(mark));
  const order = [' ok ', '  ? ', 'WARN', 'FAIL'];
  assert.deepEqual(
    marks,
    [...marks].sort((a, b) => order.indexOf(a) - order.indexOf(b)),
  );
  assert.ok(
    lines.some((line) => /→ ip -brief address/.test(line)),
    out,
  );
  assert.match(lines.at(-1) ?? '', /failures?, .*fine.*Nothing was changed\. \d+ ms$/);
  for (const line of lines) {
    assert.ok([...line].length <= 110 || line.includes('→'), line);
  }
});

test('doctor --host: modules, names and programs of a host', async () => {
  const report = await examined('--host');
  const parts = [
    'nvme-modules',
    'multipath',
    'hostnqn',
    'hostid',
    'nvme-cli',
    'connections',
    'clock',
  ];
  for (const part of parts) of(report, part);
});
