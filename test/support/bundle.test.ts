/** The support bundle: what is in it, that no planted secret is, and names that are hidden. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connectHost } from '../../lib/host/index.js';
import { Names } from '../../lib/support/names.js';
import { withoutSecrets } from '../../lib/support/secrets.js';
import { tarOf } from '../../lib/support/tar.js';
import { Daemon, runProgram, Workspace } from '../rig/daemon.js';

interface Said {
  file: string;
  bytes: number;
  names: string | null;
  contents: { name: string; bytes: number }[];
  missing: { what: string; why: string }[];
}

/** Files of an archive, unpacked by the system's tar. */
function unpacked(file: string, into: string): Map<string, string> {
  fs.mkdirSync(into);
  execFileSync('tar', ['-xzf', file, '-C', into]);
  const root = path.join(into, 'ashlar-support');
  const found = new Map<string, string>();
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const whole = path.join(entry.parentPath, entry.name);
    found.set(path.relative(root, whole), fs.readFileSync(whole, 'utf8'));
  }
  return found;
}

const nqn = 'nqn.2014-08.org.example:very-private-host';
/** What must be found nowhere, by what it is. */
const planted = new Map<string, string>();
let daemon: Daemon;
let bundle: Said;
let files: Map<string, string>;

/** Runs a command that prints JSON. */
async function json<T>(...args: string[]): Promise<T> {
  const { code, out, err } = await runProgram([...args, '--json', '--socket', daemon.socket]);
  assert.equal(code, 0, `${args.join(' ')}: ${err}`);
  return JSON.parse(out) as T;
}

/** A secret, and all that could be made of it. */
function plant(what: string, secret: string): void {
  planted.set(what, secret);
  planted.set(`${what}, its middle`, secret.slice(Math.floor(secret.length / 3), -8));
  const hash = createHash('sha256').update(secret).digest();
  for (const encoding of ['hex', 'base64', 'base64url'] as const) {
    planted.set(`${what}, its SHA-256 in ${encoding}`, hash.toString(encoding));
    planted.set(`${what}, in ${encoding}`, Buffer.from(secret).toString(encoding));
  }
}

async function plantAll(): Promise<void> {
  await json('host', 'add', nqn);
  const token = await json<{ secret: string }>('token', 'create', 'ops', '--role', 'viewer');
  plant('a token', token.secret);
  const rotated = await json<{ secret: string }>('token', 'rotate', 'ops', '--grace', '1h');
  plant('a rotated token', rotated.secret);
  const key = await json<{ secret: string }>('host', 'key', 'generate', nqn);
  plant('a key of a host', key.secret);
  const psk = await json<{ psk: string }>('host', 'psk', 'generate', nqn);
  plant('a PSK', psk.psk);
  const keyFile = fs
    .readdirSync(daemon.workspace.path)
    .filter((name) => name.endsWith('.key'))
    .map((name) => fs.readFileSync(daemon.workspace.file(name)));
  assert.equal(keyFile.length, 1, 'the key that wraps secrets is there');
  for (const bytes of keyFile) {
    for (const encoding of ['latin1', 'hex', 'base64'] as const) {
      planted.set(`the key file in ${encoding}`, bytes.toString(encoding).trim());
    }
  }
}

/** A log as somebody may have made it: with all kinds of secrets where none belongs. */
function plantLog(file: string): void {
  const secrets = {
    bearer: randomBytes(24).toString('base64url'),
    password: 'correct-horse-battery',
    signIn: randomBytes(24).toString('base64url'),
    url: 'hunter2-in-a-url',
    pem: randomBytes(96).toString('base64'),
  };
  for (const [what, secret] of Object.entries(secrets)) planted.set(`a log's ${what}`, secret);
  const lines = [
    'an ordinary line that stays',
    `authorization: Bearer ${secrets.bearer}`,
    JSON.stringify({ level: 30, msg: 'a call', password: secrets.password, stays: 'this too' }),
    `open http://127.0.0.1:8420/#sign-in=${secrets.signIn} please`,
    `sending to https://user:${secrets.url}@collector:4318/v1/traces`,
    `-----BEGIN PRIVATE KEY-----\n${secrets.pem}\n-----END PRIVATE KEY-----`,
    ...[...planted.values()].filter((text) => /^(?:ashlar_|DHHC-1|NVMeTLSkey)/.test(text)),
  ];
  fs.writeFileSync(file, `${lines.join('\n')}\n`);
}

async function plantData(): Promise<void> {
  const text = `data-of-a-volume-${randomBytes(12).toString('hex')}`;
  planted.set('data of a volume', text);
  const block = Buffer.alloc(4096);
  block.write(text);
  const host = await connectHost({
    address: '127.0.0.1',
    port: daemon.port,
    subnqn: await daemon.subnqn(),
    hostnqn: 'nqn.2026-01.test:host',
    hostid: new Uint8Array(16).fill(7),
    ioQueues: 1,
  });
  try {
    const namespace = await host.namespace((await daemon.volume('demo')).nsid);
    await namespace.write(0n, block);
    await namespace.flush();
  } finally {
    await host.close();
  }
}

before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: '64MiB' });
  await plantAll();
  await plantData();
  const log = daemon.workspace.file('some.log');
  plantLog(log);
  await json('volume', 'create', 'customer-acme', '--size', '64MiB', '--host', nqn);
  await json('volume', 'create', 'gone-project', '--size', '64MiB');
  await json('snapshot', 'create', 'customer-acme@before-merger');
  await json('volume', 'delete', 'gone-project', '--yes');
  const output = daemon.workspace.file('bundle.tar.gz');
  const config = daemon.workspace.file('config.toml');
  bundle = await json('support-bundle', '--output', output, '--config', config, '--log', log);
  files = unpacked(output, daemon.workspace.file('unpacked'));
});
after(() => daemon[Symbol.asyncDispose]());

test('a bundle has what helps: state, lists, events, logs, metrics, configuration, kernel', () => {
  assert.deepEqual(bundle.missing, []);
  assert.deepEqual([...files.keys()].sort(), bundle.contents.map(({ name }) => name).sort());
  const has = (name: string, text: string): void =>
    assert.ok(files.get(name)?.includes(text), `${name} has ${text}`);
  has('README.txt', 'daemon/volumes.json');
  has('daemon/status.json', '"state": "serving"');
  has('daemon/volumes.json', 'customer-acme');
  has('daemon/pools.json', '"devices"');
  has('daemon/events.json', 'volume-created');
  has('daemon/hosts.json', nqn);
  has('daemon/metrics.txt', 'ashlar_');
  has('logs/audit.txt', 'createVolume');
  has('logs/daemon.txt', 'an ordinary line that stays');
  has('logs/daemon.txt', 'this too');
  has('config.json', '"reactors": 1');
  has('doctor.json', '"subject"');
  has('system/version.txt', 'Linux');
  has('system/process-limits.txt', 'Max locked memory');
});

test('no planted secret is in it, nor anything that was made of one', () => {
  assert.ok(planted.size > 35, `${planted.size} planted`);
  const leaks: string[] = [];
  for (const [what, secret] of planted) {
    assert.ok(secret.length >= 8, what);
    for (const [name, text] of files) if (text.includes(secret)) leaks.push(`${what} in ${name}`);
  }
  assert.deepEqual(leaks, []);
  assert.ok(files.get('logs/daemon.txt')?.includes('(withheld)'), 'what was found is marked');
});

test('it is for its owner alone, and no file is written over', async () => {
  assert.equal(fs.statSync(bundle.file).mode & 0o777, 0o600);
  assert.equal(fs.statSync(bundle.file).size, bundle.bytes);
  const { code, err } = await runProgram(['support-bundle', '-o', bundle.file, '--socket', '/x']);
  assert.equal(code, 4);
  assert.match(err, /exists already; give another --output/);
});

test('--anonymous: no name is in it, each is one number everywhere, the table stays outside', async () => {
  const output = daemon.workspace.file('hidden.tar.gz');
  const config = daemon.workspace.file('config.toml');
  const args = ['--output', output, '--config', config, '--anonymous'];
  const said = await json<Said>('support-bundle', ...args);
  const hidden = unpacked(output, daemon.workspace.file('hidden'));
  const folder = daemon.workspace.path;
  const all = ['customer-acme', 'gone-project', 'before-merger', 'very-private-host', folder];
  for (const name of all) {
    for (const [file, text] of hidden) assert.ok(!text.includes(name), `${name} in ${file}`);
  }
  const table: Record<string, string> = JSON.parse(fs.readFileSync(said.names ?? '', 'utf8'));
  assert.equal(fs.statSync(said.names ?? '').mode & 0o777, 0o600);
  const number = table['customer-acme'] ?? assert.fail('it is in the table');
  for (const file of ['daemon/volumes.json', 'daemon/events.json', 'logs/audit.txt']) {
    assert.match(hidden.get(file) ?? '', new RegExp(`\\b${number}\\b`), file);
  }
  assert.ok(hidden.get('daemon/tenants.json')?.includes('"default"'), 'what all have stays');
});

test('no daemon: says what could not be had and why, and writes the rest', async () => {
  using workspace = new Workspace();
  const output = workspace.file('down.tar.gz');
  const socket = workspace.file('none.sock');
  const { code, out, err } = await runProgram(['support-bundle', '-o', output, '--socket', socket]);
  assert.equal(code, 0, err);
  assert.match(out, /^Wrote .*down\.tar\.gz: .* for you alone\./);
  assert.match(out, /daemon\/status\.json: no daemon at the control socket/);
  const rest = unpacked(output, workspace.file('unpacked'));
  for (const name of ['README.txt', 'config.json', 'doctor.json', 'system/meminfo.txt']) {
    assert.ok((rest.get(name) ?? '').length > 0, name);
  }
  assert.match(rest.get('README.txt') ?? '', /Missing:\ndaemon\/status\.json: no daemon/);
});

test('secrets: each shape is withheld, and what only looks like one stays', () => {
  for (const stays of [
    'sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709',
    'https://node:8420/v1/volumes',
    'nqn.2014-08.org.nvmexpress:uuid:6f1c8a54-0000-4000-8000-000000000001',
    'a bearer of bad news',
    'ashlar_volume_reads_total 5',
  ]) {
    assert.equal(withoutSecrets(stays), stays);
  }
});

test('names: whole ones alone, the longest first; addresses, but not times or those of all', () => {
  const names = new Names();
  names.add('volume', 'web');
  names.add('volume', 'web-2');
  names.add('tenant', 'default');
  assert.equal(
    names.hide("'web-2', web, website, web@x"),
    "'volume-2', volume-1, website, volume-1@x",
  );
  assert.equal(
    names.hide('from 192.0.2.7:4420 and [2001:db8::7]:4420 at 10:42:13, not 127.0.0.1 or ::1'),
    'from address-1:4420 and [address-2]:4420 at 10:42:13, not 127.0.0.1 or ::1',
  );
  assert.equal(names.hide('2026-11-29T10:42:13.000Z default'), '2026-11-29T10:42:13.000Z default');
});

test('tar: read by the system’s tar, whatever the lengths', () => {
  using workspace = new Workspace();
  const lengths = [0, 1, 511, 512, 513, 10_240];
  const archive = tarOf(
    lengths.map((length) => ({ name: `f/${length}`, text: 'x'.repeat(length) })),
    new Date('2026-11-29T10:00:00Z'),
  );
  assert.equal(archive.length % 10_240, 0);
  fs.writeFileSync(workspace.file('a.tar'), archive);
  execFileSync('tar', ['-xf', 'a.tar'], { cwd: workspace.path });
  for (const length of lengths) {
    assert.equal(fs.statSync(workspace.file(`f/${length}`)).size, length);
    assert.equal(fs.statSync(workspace.file(`f/${length}`)).mode & 0o777, 0o600);
  }
});
