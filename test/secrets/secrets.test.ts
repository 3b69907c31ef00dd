/** Secrets at rest: how they are wrapped, where the wrapping key is, and whose they are. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { formatSecret, generateSecret } from '../../lib/auth/secret.js';
import { describeRecord, hiddenValue } from '../../lib/catalog/describe.js';
import { hostKeyKind } from '../../lib/catalog/key_kinds.js';
import { tenantKind } from '../../lib/catalog/kinds.js';
import { AshlarError } from '../../lib/errors.js';
import { HostKeyService, keysProblem, knownKeys } from '../../lib/secrets/host_keys.js';
import { KeyFile } from '../../lib/secrets/key_file.js';
import { unwrap, wrap } from '../../lib/secrets/wrapping.js';
import { ControlBench } from '../volumes/control_bench.js';

const alice = 'nqn.2026-01.test:alice';
const bob = 'nqn.2026-01.test:bob';

let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ashlar-secrets-'));
  file = path.join(folder, 'pool.key');
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const code = (wanted: string) => (error: unknown) =>
  error instanceof AshlarError && error.code === wanted;

class Bench {
  readonly keys: HostKeyService;
  constructor(
    readonly control: ControlBench,
    readonly keyFile: KeyFile,
  ) {
    this.keys = new HostKeyService(control.state, keyFile, () => undefined);
  }

  static async open(): Promise<Bench> {
    const bench = new Bench(await ControlBench.open(), new KeyFile(file));
    await bench.control.hosts.add(alice);
    await bench.control.hosts.add(bob);
    return bench;
  }

  known(nqn = alice) {
    const tenant = this.control.catalog.find(tenantKind, 'name', 'default');
    assert(tenant !== null);
    return knownKeys(this.control.catalog, this.keyFile, tenant.id, nqn);
  }

  /** The fingerprints that are listed, the newest first. */
  listed(role: string): string[] {
    return this.keys
      .list()
      .filter((each) => each.role === role)
      .map(({ fingerprint }) => fingerprint);
  }
}

test('wrapping: opened with the same key and identity: as it was; each time other bytes', () => {
  const key = randomBytes(32);
  for (const length of [32, 48, 64]) {
    const secret = Uint8Array.from(randomBytes(length));
    const wrapped = wrap(key, secret, 'a');
    assert.equal(wrapped.length, 12 + length + 16);
    assert.deepEqual(unwrap(key, wrapped, 'a'), secret);
    assert.notDeepEqual(wrap(key, secret, 'a'), wrapped);
    assert(!Buffer.from(wrapped).includes(Buffer.from(secret)));
  }
});

test('wrapping: another key, another identity, any byte changed: does not open', () => {
  const key = randomBytes(32);
  const wrapped = wrap(key, randomBytes(32), 'a');
  assert.throws(() => unwrap(randomBytes(32), wrapped, 'a'), code('conflict'));
  assert.throws(() => unwrap(key, wrapped, 'b'), code('conflict'));
  for (let index = 0; index < wrapped.length; index += 1) {
    const changed = Uint8Array.from(wrapped);
    changed[index] = (changed[index] ?? 0) ^ 1;
    assert.throws(() => unwrap(key, changed, 'a'), code('conflict'));
  }
});

test('key file: made at first need, for its owner alone, and read again', () => {
  const made = new KeyFile(file);
  made.check();
  assert(!fs.existsSync(file));
  assert.throws(() => made.key(), code('not-found'));
  const key = made.keyOrNew();
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(fs.readdirSync(folder), ['pool.key']);
  assert.deepEqual(new KeyFile(file).keyOrNew(), key);
});

test('key file: others may read it, or it is none: refused, and the path is said', () => {
  new KeyFile(file).keyOrNew();
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    fs.chmodSync(file, mode);
    const refused = (error: unknown) =>
      code('permission-denied')(error) && `${error}`.includes(file);
    assert.throws(() => new KeyFile(file).check(), refused);
  }
  fs.chmodSync(file, 0o600);
  const text = fs.readFileSync(file, 'latin1');
  for (const wrong of ['', 'x', text.slice(1), text.slice(0, -3), `${text}${text}`]) {
    fs.writeFileSync(file, wrong);
    assert.throws(() => new KeyFile(file).keyOrNew(), code('config-invalid'));
  }
});

test('key file: its folder is missing, or nobody said where: a clear error, nothing half made', () => {
  const nowhere = new KeyFile(path.join(folder, 'missing', 'pool.key'));
  assert.throws(() => nowhere.keyOrNew(), code('io-error'));
  assert.throws(() => new KeyFile('unnamed').keyOrNew(), /pool\.keyFile/);
  const memory = new KeyFile('in-memory');
  assert.deepEqual(memory.keyOrNew(), memory.key());
});

test('host keys: set, known to the target, kept over a restart, removed', async () => {
  const bench = await Bench.open();
  assert.equal(bench.known(), null);
  const secret = generateSecret('sha384');
  const { key } = await bench.keys.set(alice, { role: 'host', secret: formatSecret(secret) });
  assert.deepEqual(
    [key.nqn, key.tenant, key.role, key.hash, key.lengthBytes],
    [alice, 'default', 'host', 'sha384', 48],
  );
  assert.deepEqual(bench.known(), { host: [secret], controller: null });
  assert.equal(bench.known(bob), null);
  const again = new Bench(await bench.control.restart(), new KeyFile(file));
  assert.deepEqual(again.known()?.host, [secret]);
  assert.equal(keysProblem(again.control.catalog, again.keyFile), null);
  await again.keys.remove(alice, key.fingerprint);
  assert.equal(again.known(), null);
  assert.match(again.control.events.at(-1) ?? '', /connects without authentication now/);
});

test('host keys: rotation: two are good at once, the newest first; a third is refused', async () => {
  const bench = await Bench.open();
  const first = await bench.keys.set(alice, { role: 'host', secret: null });
  const second = await bench.keys.set(alice, { role: 'host', secret: null, hash: 'sha512' });
  const [a, b] = [first.key.fingerprint, second.key.fingerprint];
  assert.deepEqual(bench.listed('host'), [b, a]);
  assert.deepEqual(bench.known()?.host.map(formatSecret), [second.secret, first.secret]);
  const third = { role: 'host' as const, secret: null };
  await assert.rejects(bench.keys.set(alice, third), new RegExp(`2 keys already, ${b} and ${a}`));
  await bench.keys.remove(alice, a);
  await bench.keys.set(alice, third);
  const last = await bench.keys.set(alice, { ...third, replace: true });
  assert.deepEqual(bench.listed('host'), [last.key.fingerprint]);
});

test('host keys: of the controller there is one, and alone it asks nothing of the host', async () => {
  const bench = await Bench.open();
  await bench.keys.set(alice, { role: 'controller', secret: null });
  assert.equal(bench.known(), null);
  await bench.keys.set(alice, { role: 'host', secret: null });
  const { key, secret } = await bench.keys.set(alice, { role: 'controller', secret: null });
  assert.deepEqual(bench.listed('controller'), [key.fingerprint]);
  const controller = bench.known()?.controller;
  assert(controller !== undefined && controller !== null);
  assert.equal(formatSecret(controller), secret);
});

test('host keys: repeated, unknown host, malformed: clear, and nothing is kept', async () => {
  const bench = await Bench.open();
  const { secret } = await bench.keys.set(alice, { role: 'host', secret: null });
  const same = { role: 'host' as const, secret };
  await assert.rejects(bench.keys.set(alice, same), code('already-exists'));
  await bench.keys.set(alice, same, { repeatable: true });
  await assert.rejects(bench.keys.set('nqn.2026-01.test:eve', same), code('not-found'));
  await assert.rejects(bench.keys.set('eve', same), code('invalid-argument'));
  const broken = secret?.replace(/.:$/, ':') ?? '';
  await assert.rejects(bench.keys.set(bob, { role: 'host', secret: broken }), (error: Error) => {
    return code('invalid-argument')(error) && !error.message.includes(broken.slice(10));
  });
  await assert.rejects(bench.keys.remove(alice, '000000000000'), code('not-found'));
  await bench.keys.remove(alice, '000000000000', { repeatable: true });
  assert.equal(bench.listed('host').length, 1);
});

test('host keys: what is told and kept shows no secret', async () => {
  const bench = await Bench.open();
  const made = await bench.keys.set(alice, { role: 'host', secret: null });
  const [stored] = bench.control.catalog.all(hostKeyKind);
  assert(stored !== undefined && made.secret !== null);
  const base64 = made.secret.split(':')[2] ?? '';
  const told = JSON.stringify([bench.keys.list(), bench.control.events]);
  assert(!told.includes(base64.slice(0, 20)));
  for (const record of await bench.control.layers.records()) {
    assert(!Buffer.from(record.value).includes(Buffer.from(base64, 'base64').subarray(0, 32)));
    const { kind, fields } = describeRecord(record);
    if (kind === 'host key') assert.equal(fields?.['wrapped'], hiddenValue);
  }
});

test('host keys: the record of one host under another’s name: does not open', async () => {
  const bench = await Bench.open();
  await bench.keys.set(alice, { role: 'host', secret: null });
  const { catalog } = bench.control;
  const [stored] = catalog.all(hostKeyKind);
  assert(stored !== undefined);
  await catalog.transact('swap', (transaction) => {
    transaction.add(hostKeyKind, { ...stored.value, nqn: bob });
  });
  assert.throws(() => bench.known(bob), code('conflict'));
});

test('host keys: the key file lost or changed: hosts are not let in, and a start says why', async () => {
  const bench = await Bench.open();
  await bench.keys.set(alice, { role: 'host', secret: null });
  fs.renameSync(file, `${file}.away`);
  const { catalog } = bench.control;
  const lost = new Bench(bench.control, new KeyFile(file));
  assert.throws(() => lost.known(), code('not-found'));
  assert.match(
    keysProblem(catalog, new KeyFile(file)) ?? '',
    /not let in: the key file .* missing/,
  );
  new KeyFile(file).keyOrNew();
  assert.match(keysProblem(catalog, new KeyFile(file)) ?? '', /does not open/);
});

test('host keys: the host or tenant removed: its keys go with it', async () => {
  const bench = await Bench.open();
  await bench.keys.set(alice, { role: 'host', secret: null });
  await bench.control.hosts.remove(alice);
  await bench.control.tenants.create('acme');
  await bench.control.hosts.add(alice, { tenant: 'acme' });
  await bench.keys.set(alice, { role: 'host', secret: null }, { tenant: 'acme' });
  assert.equal(bench.known(), null); // Of another tenant.
  await bench.control.tenants.delete('acme');
  assert.equal(bench.control.catalog.count(hostKeyKind), 0);
});
