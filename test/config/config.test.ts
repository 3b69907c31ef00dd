import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Config } from '../../lib/config/config.js';
import { formatEndpoint } from '../../lib/config/config.js';
import { parseEndpoint } from '../../lib/config/endpoint.js';
import { exampleConfig } from '../../lib/config/example.js';
import { parseConfigFile } from '../../lib/config/file.js';
import { loadConfig } from '../../lib/config/load.js';
import { lineOfKey } from '../../lib/config/locate.js';
import { nearest } from '../../lib/config/nearest.js';
import type { Environment } from '../../lib/config/places.js';
import type { ConfigFile } from '../../lib/config/schema.js';
import { AshlarError } from '../../lib/errors.js';

const flagNames = new Map([
  ['pool.size', '--size'],
  ['target.portals', '--portal'],
]);

/** Loads a file with this text; its folder is `cwd`'s sister, so that relative paths can be told. */
async function load(
  toml: string | null,
  flags: ConfigFile = {},
  environment: Environment = {},
): Promise<Config> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ashlar-config-'));
  try {
    const file = toml === null ? null : path.join(folder, 'a.toml');
    if (file !== null) fs.writeFileSync(file, toml ?? '');
    return await loadConfig({ file, flags, flagNames, cwd: '/cwd', environment });
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

async function refusal(toml: string | null, flags: ConfigFile = {}): Promise<AshlarError> {
  try {
    await load(toml, flags);
  } catch (error) {
    assert.ok(error instanceof AshlarError, String(error));
    assert.ok(!error.message.includes('\n'), 'one line');
    return error;
  }
  assert.fail('was not refused');
}

test('config: no file and no flags: the documented defaults', async () => {
  assert.deepEqual(await load(null), {
    pool: {
      device: { kind: 'file', path: '/cwd/.ashlar/pool.ashlar' },
      sizeBytes: 64n << 30n,
      create: true,
      writeThrough: false,
      keyFile: '/cwd/.ashlar/pool.ashlar.key',
      mapCacheBytes: 256n << 20n,
    },
    target: {
      portals: [{ address: '127.0.0.1', port: 4420 }],
      discovery: [{ address: '127.0.0.1', port: 8009 }],
      discoveryImplied: true,
      mdns: true,
      referrals: [],
      tls: 'none',
      ktls: 'auto',
    },
    node: { cntlids: { first: 1, last: 65_519 } },
    runtime: { reactors: null, cpus: null, bufferBytes: null, busyPollUs: 0 },
    api: {
      socket: '/cwd/.ashlar/ashlar.sock',
      https: null,
      console: { address: '127.0.0.1', port: 8420, implied: true },
    },
    audit: { path: '/cwd/.ashlar/pool.ashlar.audit.log', maxBytes: 16 << 20, keep: 8 },
    events: { path: '/cwd/.ashlar/pool.ashlar.events.log' },
    metrics: { listen: null, volumes: 1000 },
    tracing: null,
    log: { level: 'info' },
    demo: null,
    shutdownTimeoutMs: 10_000,
  });
});

test('config: as a service: files are in the folders that the service manager made', async () => {
  const environment = { STATE_DIRECTORY: '/var/lib/ashlar:/srv', RUNTIME_DIRECTORY: '/run/ashlar' };
  const own = await load(null, {}, environment);
  assert.deepEqual(own.pool.device, { kind: 'file', path: '/var/lib/ashlar/pool.ashlar' });
  assert.equal(own.api.socket, '/run/ashlar/ashlar.sock');
  const device = await load('[pool]\nfile = "/dev/sdb"\n', {}, environment);
  assert.equal(device.pool.keyFile, '/var/lib/ashlar/pool.key');
  assert.equal(device.audit?.path, '/var/lib/ashlar/audit.log');
  assert.equal(device.events?.path, '/var/lib/ashlar/events.log');
  const relative = await load(null, {}, { STATE_DIRECTORY: 'here' });
  assert.deepEqual(relative.pool.device, { kind: 'file', path: '/cwd/.ashlar/pool.ashlar' });
});

test('config: the example file: accepted, and the same as the defaults', async () => {
  const fromExample = await load(exampleConfig());
  const defaults = await load(null);
  // Paths in a file are relative to the file.
  assert.deepEqual(
    {
      ...fromExample,
      pool: { ...fromExample.pool, device: null, keyFile: null },
      api: null,
      audit: null,
      events: null,
    },
    {
      ...defaults,
      pool: { ...defaults.pool, device: null, keyFile: null },
      api: null,
      audit: null,
      events: null,
    },
  );
});

test('config: paths in a file start at its folder, paths of flags at the working folder', async () => {
  const config = await load('[pool]\nfile = "data/p"\n', { api: { socket: 's' } });
  assert.equal(config.api.socket, '/cwd/s');
  assert.ok(config.pool.device.kind === 'file');
  assert.match(config.pool.device.path, /ashlar-config-.*\/data\/p$/);
  assert.equal(config.pool.keyFile, `${config.pool.device.path}.key`);
  const other = await load('[pool]\nfile = "data/p"\nkeyFile = "/k"\n');
  assert.equal(other.pool.keyFile, '/k');
  const device = await load('[pool]\nfile = "/dev/sdb"\n');
  assert.equal(device.pool.keyFile, '/cwd/.ashlar/pool.key');
});

test('config: a flag and a key: the flag wins', async () => {
  const config = await load('[pool]\nsize = "1TiB"\n[log]\nlevel = "warn"\n', {
    pool: { size: '2TiB' },
  });
  assert.equal(config.pool.sizeBytes, 2n << 40n);
  assert.equal(config.log.level, 'warn');
});

test('config: unknown keys: refused by name, line and nearest key', () => {
  const table: [string, string][] = [
    ['[pool]\nsiz = "3"\n', "f:2: 'pool.siz' is not known; did you mean 'size'?"],
    ['\n[pol]\n', "f:2: 'pol' is not known; did you mean 'pool'?"],
    ['pool.sizes = 3', "f:1: 'pool.sizes' is not known; did you mean 'size'?"],
    [
      '[api]\nport = 80\n',
      "f:2: 'api.port' is not known; known in 'api': socket, console, listen, certificate, key, clientCa",
    ],
    [
      '[pool]\n# c\nsiz = "3"\nfoo = """\nsize = 1\n"""\nbar = 1',
      "f:3: 'pool.siz' is not known; did you mean 'size'?; also wrong: 'pool.foo' (line 4), 'pool.bar' (line 7)",
    ],
  ];
  for (const [toml, message] of table) {
    assert.throws(() => parseConfigFile(toml, 'f'), { code: 'config-invalid', message }, toml);
  }
});

test('config: values of a wrong kind: said with line, wanted and given', () => {
  const table: [string, RegExp][] = [
    ['[pool]\nsize = true', /^f:2: 'pool\.size' must be a size such as '64GiB', not true$/],
    ['[pool]\nsize = -1', /^f:2: 'pool\.size' must be a size/],
    ['[target]\nportals = []', /^f:2: 'target\.portals' must be a list of 1 to 16 addresses/],
    [
      '[runtime]\nreactors = 0',
      /^f:2: 'runtime\.reactors' must be a whole number from 1 to 64, not 0$/,
    ],
    [
      '[runtime]\ncpus = [\n0,\n"a"]',
      /^f:2: 'runtime\.cpus\.1' must be a whole number .*, not 'a'$/,
    ],
    ['[log]\nlevel = "loud"', /^f:2: 'log\.level' must be one of fatal, error, .*, not 'loud'$/],
    ['pool = 3', /^f:1: 'pool' must be a group of keys, not 3$/],
    ['x = [', /^f:1:5: not valid TOML: unfinished array$/],
    ['[pool]\n[pool]', /^f:2:\d+: not valid TOML: /],
  ];
  for (const [toml, message] of table) {
    assert.throws(() => parseConfigFile(toml, 'f'), { code: 'config-invalid', message }, toml);
  }
});

test('config: a bad size in the file: the message has file, line and key', async () => {
  const error = await refusal('[pool]\nsize = "10G"\n');
  assert.equal(error.code, 'config-invalid');
  assert.match(error.message, /a\.toml:2: pool\.size '10G' could mean two things/);
});

test('config: a bad size in a flag: the message has the flag', async () => {
  const error = await refusal(null, { pool: { size: '1KiB' } });
  assert.equal(error.code, 'usage');
  assert.equal(error.message, "--size '1KiB' is outside 16MiB to 256TiB");
});

test('config: contradictions: refused', async () => {
  const both = await refusal('[pool]\nfile = "p"\nmemory = "1GiB"\n');
  assert.match(both.message, /pool\.file and .*pool\.memory exclude each other/);
  const cpus = await refusal('[runtime]\nreactors = 2\ncpus = [0]\n');
  assert.match(cpus.message, /reactors is 2, but .*cpus names 1 CPUs/);
  const twice = await refusal(
    '[target]\nportals = ["127.0.0.1:8009"]\ndiscovery = ["127.0.0.1"]\n',
  );
  assert.match(twice.message, /127\.0\.0\.1 port 8009 is named twice/);
});

test('config: discovery: port 8009 beside each portal on 4420, unless something else is said', async () => {
  const discovery = async (toml: string): Promise<[boolean, ...string[]]> => {
    const { target } = await load(`[target]\n${toml}`);
    return [target.discoveryImplied, ...target.discovery.map(formatEndpoint)];
  };
  const both = 'portals = ["192.0.2.1", "[2001:db8::1]:4420", "192.0.2.3:4421"]\n';
  assert.deepEqual(await discovery(both), [true, '192.0.2.1:8009', '[2001:db8::1]:8009']);
  assert.deepEqual(await discovery(`${both}discovery = []\n`), [false]);
  assert.deepEqual(await discovery(`${both}discovery = ["192.0.2.3"]\n`), [
    false,
    '192.0.2.3:8009',
  ]);
  assert.deepEqual(await discovery('portals = ["127.0.0.1:0"]\n'), [true]);
  assert.deepEqual(await discovery('portals = ["192.0.2.1", "192.0.2.1:8009"]\n'), [true]);
});

test('config: referrals: IP addresses of one other node each, port 8009 when none is given', async () => {
  const config = await load('[target]\nreferrals = ["192.0.2.7", "[2001:db8::7]:4420"]\n');
  assert.deepEqual(config.target.referrals, [
    { address: '192.0.2.7', port: 8009 },
    { address: '2001:db8::7', port: 4420 },
  ]);
  const name = await refusal('[target]\nreferrals = ["node2"]\n');
  assert.match(name.message, /a\.toml:2: target\.referrals 'node2' is not an IP address/);
  const all = await refusal('[target]\nreferrals = ["0.0.0.0"]\n');
  assert.match(
    all.message,
    /a\.toml:2: target\.referrals: '0\.0\.0\.0' port 8009 stands for every/,
  );
});

test('config: a memory pool: no file, its own size', async () => {
  const config = await load('[pool]\nmemory = "1GiB"\n');
  assert.deepEqual(config.pool.device, { kind: 'memory', sizeBytes: 1n << 30n, populate: false });
  const populated = await load('[pool]\nmemory = "1GiB"\npopulate = true\n');
  assert.deepEqual(populated.pool.device, { kind: 'memory', sizeBytes: 1n << 30n, populate: true });
  const onFile = await refusal('[pool]\npopulate = true\n');
  assert.match(onFile.message, /pool\.populate is for a pool in memory; this one is a file/);
});

test('config: HTTPS needs a certificate and its key; its paths start at the folder of the file', async () => {
  const error = await refusal('[api]\nlisten = "0.0.0.0"\n');
  assert.match(error.message, /api\.certificate and api\.key/);
  const files = 'certificate = "c"\nkey = "/k"\n';
  const { api } = await load(`[api]\nlisten = "0.0.0.0"\n${files}`);
  assert.deepEqual([api.https?.address, api.https?.port], ['0.0.0.0', 8420]);
  assert.match(api.https?.certificate ?? '', /ashlar-config-.*\/c$/);
  assert.deepEqual([api.https?.key, api.https?.clientCa], ['/k', null]);
});

test('config: the audit log: none of a pool in memory, beside no block device', async () => {
  const path = async (toml: string) => (await load(toml)).audit?.path ?? null;
  assert.equal(await path('[pool]\nmemory = "1GiB"\n'), null);
  assert.equal(await path('[pool]\nfile = "/dev/sdb"\n'), '/cwd/.ashlar/audit.log');
  assert.equal(await path('[pool]\nmemory = "1GiB"\n[audit]\nfile = "/a"\n'), '/a');
});

test('config: the console: off, of loopback alone, and where HTTPS is there by itself', async () => {
  assert.equal((await load('[api]\nconsole = "off"\n')).api.console, null);
  const own = await load('[api]\nconsole = "[::1]:9000"\n');
  assert.deepEqual(own.api.console, { address: '::1', port: 9000, implied: false });
  const https = '[api]\nlisten = "0.0.0.0"\ncertificate = "c"\nkey = "k"\n';
  assert.equal((await load(https)).api.console, null);
  const { message } = await refusal('[api]\nconsole = "0.0.0.0:8420"\n', {});
  assert.match(message, /api\.console '0\.0\.0\.0' is reached from other machines/);
});

test('config: a socket path over 107 bytes: refused with its length', async () => {
  const error = await refusal(null, { api: { socket: `/${'x'.repeat(107)}` } });
  assert.match(error.message, /108 bytes long, above the system's limit of 107/);
});

test('config: a file that is not there: not-found, with its path', async () => {
  await assert.rejects(
    loadConfig({ file: 'no.toml', flags: {}, flagNames, cwd: '/nowhere', environment: {} }),
    {
      code: 'not-found',
      message: "configuration file '/nowhere/no.toml' does not exist",
    },
  );
});

test('endpoints: good writings', () => {
  assert.deepEqual(parseEndpoint('127.0.0.1:1', 4420), { address: '127.0.0.1', port: 1 });
  assert.deepEqual(parseEndpoint('0.0.0.0', 4420), { address: '0.0.0.0', port: 4420 });
  assert.deepEqual(parseEndpoint('[::1]:9', 4420), { address: '::1', port: 9 });
  assert.deepEqual(parseEndpoint('::1', 4420), { address: '::1', port: 4420 });
  assert.deepEqual(parseEndpoint('[::]', 4420), { address: '::', port: 4420 });
});

test('endpoints: bad writings: refused with examples', () => {
  for (const text of [
    '',
    'localhost:4420',
    '1.2.3:4',
    '127.0.0.1:',
    '127.0.0.1:x',
    '[::1',
    ':4420',
  ]) {
    assert.throws(() => parseEndpoint(text, 4420), /write for example '127\.0\.0\.1:4420'/, text);
  }
  assert.throws(() => parseEndpoint('127.0.0.1:65536', 4420), /a port above 65535/);
});

test('config: controller IDs: a range of its own for each node, within what the spec allows', async () => {
  for (const [written, first, last] of [
    ['1-65519', 1, 65_519],
    [' 1001 - 2000 ', 1001, 2000],
    ['7-7', 7, 7],
  ] as const) {
    const config = await load(`[node]\ncntlids = "${written}"\n`);
    assert.deepEqual(config.node.cntlids, { first, last });
  }
  for (const written of [
    '',
    '0-9',
    '9-1',
    '1-65520',
    '1',
    '-1-5',
    '1-2-3',
    '0x1-0x2',
    '1e1-99999',
  ]) {
    const { code, message } = await refusal(`[node]\ncntlids = "${written}"\n`);
    assert.equal(code, 'config-invalid', written);
    assert.match(message, /a\.toml:2: .*cntlids.*(range|text|1-1000)/, written);
  }
});

test('lines of keys: tables, dotted and quoted keys, lists and long strings', () => {
  const toml =
    'a.b = 1\n[x]\n"k y" = 2\nl = [\n  1,\n]\ns = """\nz = 3\n"""\nz = 4 # z\n[[r]]\nq = 1';
  assert.equal(lineOfKey(toml, ['a', 'b']), 1);
  assert.equal(lineOfKey(toml, ['x']), 2);
  assert.equal(lineOfKey(toml, ['x', 'k y']), 3);
  assert.equal(lineOfKey(toml, ['x', 'l', '0']), 4);
  assert.equal(lineOfKey(toml, ['x', 'z']), 10);
  assert.equal(lineOfKey(toml, ['r', 'q']), 12);
  assert.equal(lineOfKey(toml, ['nothing']), null);
});

test('nearest: insertions, swaps and letter case count little; strangers are not offered', () => {
  assert.equal(nearest('prot', ['portals', 'port', 'size']), 'port');
  assert.equal(nearest('Size', ['size']), 'size');
  assert.equal(nearest('sockett', ['socket', 'level']), 'socket');
  assert.equal(nearest('banana', ['size', 'file']), null);
  assert.equal(nearest('x'.repeat(1000), ['size']), null);
});
