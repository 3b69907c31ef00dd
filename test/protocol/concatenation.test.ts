/** Secure channel concatenation with a raw host: authenticated in plain, then TLS by its PSK. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { tlsPsks } from '../../lib/tls/derive.js';
import { parsePsk } from '../../lib/tls/psk.js';
import { Daemon, type Volume } from '../rig/daemon.js';
import { type HostSide, negotiate, reply, tlsPskOf } from '../target/dhchap_host.js';
import { Queue, secretText } from './authenticating.js';
import { enable, ioSqe, opcode, property, propertyGet, propertySet, sqe } from './commands.js';
import { Connection, type Identity, keepAlive, openController } from './connection.js';
import { newIdentity } from './fixture.js';
import { dial, negotiated } from './tls_host.js';

const invalidHost = 0x184;
const discoveryNqn = 'nqn.2014-08.org.nvmexpress.discovery';

/** A daemon, and a host of it with a key. */
class Bench implements AsyncDisposable {
  private constructor(
    readonly daemon: Daemon,
    readonly identity: Identity,
    readonly key: Buffer,
    readonly fingerprint: string,
    readonly nsid: number,
  ) {}

  static async start(tls: 'none' | 'allowed' | 'required'): Promise<Bench> {
    const daemon = await Daemon.start({ poolFile: 'pool', demoSize: null, tls });
    const identity = newIdentity(await daemon.subnqn());
    await daemon.call('POST', '/v1/hosts', { nqn: identity.hostnqn });
    const { nsid } = await daemon.call<Volume>('POST', '/v1/volumes', {
      name: 'one',
      sizeBytes: 2 ** 24,
      hosts: [identity.hostnqn],
    });
    const key = randomBytes(32);
    const path = `/v1/hosts/${encodeURIComponent(identity.hostnqn)}/keys`;
    const body = { role: 'host', secret: secretText(key, 1) };
    const made = await daemon.call<{ key: { fingerprint: string } }>('POST', path, body);
    return new Bench(daemon, identity, key, made.key.fingerprint, nsid);
  }

  host(fields: Partial<HostSide> = {}): HostSide {
    return {
      hostnqn: this.identity.hostnqn,
      subnqn: this.identity.subnqn,
      key: this.key,
      transform: 1,
      controllerKey: null,
      hashIds: [1, 2, 3],
      groupIds: [1, 2],
      transaction: 0x4711,
      secureChannel: 2,
      ...fields,
    };
  }

  /** The plain admin queue of a host that has only connected. */
  async plain(authreq = 2n): Promise<Queue> {
    return Queue.open(this.daemon.port, this.identity, {}, authreq);
  }

  /** Authenticates in plain, leaves, and returns what TLS may begin with now. */
  async generate(authreq = 2n) {
    await using queue = await this.plain(authreq);
    const psk = await queue.authenticate(this.host());
    assert(psk !== null);
    return tlsPskOf(psk, this.identity);
  }

  dial(psk: { identity: string; psk: Uint8Array }): Promise<Connection> {
    return dial(this.daemon.port, psk).then(negotiated);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.daemon[Symbol.asyncDispose]();
  }
}

/** An association over TLS that reads; nothing asks it to authenticate. */
async function reads(bench: Bench, psk: { identity: string; psk: Uint8Array }): Promise<void> {
  await using admin = await bench.dial(psk);
  const { cntlid } = await openController(admin, bench.identity);
  await using io = await bench.dial(psk);
  const joined = await io.fabricsConnect({ ...bench.identity, qid: 1, cntlid, sqsize: 127 });
  assert.deepEqual([joined.status, joined.result >> 16n], [0, 0n]);
  const range = { nsid: bench.nsid, slba: 0n, blocks: 1, sglLength: 4096 };
  assert.equal((await io.command(ioSqe({ opcode: opcode.read, ...range }))).status, 0);
}

describe('concatenation where TLS is allowed', () => {
  let bench: Bench;
  before(async () => {
    bench = await Bench.start('allowed');
  });
  after(() => bench[Symbol.asyncDispose]());

  test('plain, authenticated, then over TLS by the generated PSK: data is read', async () => {
    const psk = await bench.generate();
    await reads(bench, psk);
    await reads(bench, psk);
  });

  test('two PSKs of two paths: each lets its host in', async () => {
    const psks = [await bench.generate(), await bench.generate()];
    assert.notEqual(psks[0]?.identity, psks[1]?.identity);
    for (const psk of psks) await reads(bench, psk);
  });

  test('the plain admin queue that generated it: no I/O queue of it, all else goes on', async () => {
    await using queue = await bench.plain();
    await queue.authenticate(bench.host());
    const enabled = await queue.connection.command(propertySet(property.cc, 4, enable));
    assert.equal(enabled.status, 0);
    await using io = await Connection.open(bench.daemon.port);
    const fields = { ...bench.identity, qid: 1, cntlid: queue.cntlid, sqsize: 127 };
    assert.equal((await io.fabricsConnect(fields)).status, invalidHost);
    assert.equal((await queue.connection.command(keepAlive)).status, 0);
  });

  test('another digest, another key, another host: not let in', async () => {
    const psk = await bench.generate();
    const last = psk.identity.at(-2) === 'A' ? 'B=' : 'A=';
    const other = `${psk.identity.slice(0, -2)}${last}`;
    await assert.rejects(dial(bench.daemon.port, { ...psk, identity: other }));
    await assert.rejects(dial(bench.daemon.port, { ...psk, psk: randomBytes(32) }));
    await using impostor = await bench.dial(psk);
    const connect = { ...newIdentity(bench.identity.subnqn), qid: 0 };
    assert.equal((await impostor.fabricsConnect(connect)).status, invalidHost);
    await using discovery = await bench.dial(psk);
    const discover = { ...bench.identity, subnqn: discoveryNqn, qid: 0 };
    assert.equal((await discovery.fabricsConnect(discover)).status, invalidHost);
  });

  test('a host that fails to authenticate, or asks for no channel: no PSK', async () => {
    await using wrong = await bench.plain();
    const host = bench.host({ key: randomBytes(32) });
    const { message, psk } = reply(host, await wrong.challenge(host));
    await wrong.send(message);
    assert.equal(await wrong.explanation(), 1);
    assert(psk !== null);
    await assert.rejects(dial(bench.daemon.port, tlsPskOf(psk, bench.identity)));
    await using without = await bench.plain();
    assert.equal(await without.authenticate(bench.host({ secureChannel: 0 })), null);
  });

  test('over TLS: a new PSK is refused, a replacement ends the one before', async () => {
    const first = await bench.generate();
    await using admin = await bench.dial(first);
    const { cntlid } = await openController(admin, bench.identity);
    const replaced = await Queue.over(admin, cntlid).authenticate(bench.host({ secureChannel: 3 }));
    assert(replaced !== null);
    const second = tlsPskOf(replaced, bench.identity);
    await assert.rejects(dial(bench.daemon.port, first));
    await using io = await bench.dial(second);
    const joined = await io.fabricsConnect({ ...bench.identity, qid: 1, cntlid, sqsize: 127 });
    assert.equal(joined.status, 0);
    assert.equal((await admin.command(keepAlive)).status, 0);
    await using other = await bench.dial(second);
    const again = await openController(other, bench.identity);
    const queue = Queue.over(other, again.cntlid);
    assert.equal(await queue.send(negotiate(bench.host())), 0);
    assert.equal(await queue.explanation(), 3);
  });

  test('an I/O queue: refused', async () => {
    const psk = await bench.generate();
    await using admin = await bench.dial(psk);
    const { cntlid } = await openController(admin, bench.identity);
    await using io = await bench.dial(psk);
    await io.fabricsConnect({ ...bench.identity, qid: 1, cntlid, sqsize: 127 });
    const queue = Queue.over(io, cntlid);
    assert.equal(await queue.send(negotiate(bench.host({ secureChannel: 3 }))), 0);
    assert.equal(await queue.explanation(), 3);
  });

  test('over a PSK that was configured: refused', async () => {
    const { hostnqn, subnqn } = bench.identity;
    const { psk } = await bench.daemon.call<{ psk: string }>('POST', '/v1/psks', { host: hostnqn });
    const [configured] = tlsPsks(parsePsk(psk, 'the PSK'), hostnqn, subnqn);
    assert(configured !== undefined);
    for (const secureChannel of [2, 3]) {
      await using admin = await bench.dial(configured);
      const connected = await admin.fabricsConnect({ ...bench.identity, qid: 0 });
      assert.equal(connected.result >> 16n, 2n, 'it has to authenticate all the same');
      const queue = Queue.over(admin, Number(connected.result & 0xffffn));
      assert.equal(await queue.send(negotiate(bench.host({ secureChannel }))), 0);
      assert.equal(await queue.explanation(), 3);
    }
  });

  test('it is neither logged nor listed', async () => {
    const { identity, psk } = await bench.generate();
    const secrets = [psk.toString('hex'), psk.toString('base64'), bench.key.toString('base64')];
    const listed = JSON.stringify([
      await bench.daemon.call('GET', '/v1/status'),
      await bench.daemon.call('GET', '/v1/controllers'),
      await bench.daemon.call('GET', '/v1/psks'),
      bench.daemon.log,
    ]);
    for (const each of [identity, ...secrets]) assert.ok(!listed.includes(each), each);
  });

  // The last one: the host has no key afterwards.
  test('its key is removed: nobody begins TLS by the PSK, who has begun stays', async () => {
    const psk = await bench.generate();
    await using admin = await bench.dial(psk);
    await openController(admin, bench.identity);
    const { hostnqn } = bench.identity;
    const path = `/v1/hosts/${encodeURIComponent(hostnqn)}/keys/${bench.fingerprint}`;
    await bench.daemon.call('DELETE', path);
    await assert.rejects(dial(bench.daemon.port, psk));
    assert.equal((await admin.command(keepAlive)).status, 0);
  });
});

describe('concatenation where TLS is required', () => {
  let bench: Bench;
  before(async () => {
    bench = await Bench.start('required');
  });
  after(() => bench[Symbol.asyncDispose]());

  test('plain: ASCR, and with the PSK that it generates over TLS: data is read', async () => {
    await reads(bench, await bench.generate(6n));
  });

  test('plain: no authentication without a channel', async () => {
    await using queue = await bench.plain(6n);
    await queue.send(negotiate(bench.host({ secureChannel: 0 })));
    assert.equal(await queue.explanation(), 3);
  });

  test('plain and authenticated: enabled and identified, but no namespace, no I/O queue', async () => {
    await using queue = await bench.plain(6n);
    await queue.authenticate(bench.host());
    const { connection, cntlid } = queue;
    assert.equal((await connection.command(propertySet(property.cc, 4, enable))).status, 0);
    assert.equal((await connection.command(propertyGet(property.csts, 4))).result, 1n);
    const identify = (cns: number) => sqe({ opcode: 0x06, cdw: [cns], sglLength: 4096 });
    assert.equal((await connection.command(identify(1))).status, 0);
    const list = await connection.command(identify(2));
    assert.ok(list.data.every((byte) => byte === 0));
    await bench.daemon.call('POST', '/v1/volumes', {
      name: 'another',
      sizeBytes: 2 ** 24,
      hosts: [bench.identity.hostnqn],
    });
    const later = await connection.command(identify(2));
    assert.ok(later.data.every((byte) => byte === 0));
    await using io = await Connection.open(bench.daemon.port);
    const fields = { ...bench.identity, qid: 1, cntlid, sqsize: 127 };
    assert.equal((await io.fabricsConnect(fields)).status, invalidHost);
  });

  test('a host without a key, and discovery: refused in plain', async () => {
    const stranger = newIdentity(bench.identity.subnqn);
    const known = newIdentity(bench.identity.subnqn);
    await bench.daemon.call('POST', '/v1/hosts', { nqn: known.hostnqn });
    for (const identity of [stranger, known, { ...bench.identity, subnqn: discoveryNqn }]) {
      await using plain = await Connection.open(bench.daemon.port);
      const refused = await plain.fabricsConnect({ ...identity, qid: 0 });
      assert.deepEqual([refused.status, refused.doNotRetry], [invalidHost, true]);
    }
  });

  // The last one: the host has no grant afterwards.
  test('all that is granted to the host is revoked: nobody begins TLS by the PSK', async () => {
    const psk = await bench.generate(6n);
    const { hostnqn } = bench.identity;
    for (const volume of ['another', 'one']) {
      await reads(bench, psk);
      await bench.daemon.call('DELETE', `/v1/grants/${volume}/${encodeURIComponent(hostnqn)}`);
    }
    await assert.rejects(dial(bench.daemon.port, psk));
  });
});

test('concatenation where there is no TLS: a mismatch', async () => {
  await using bench = await Bench.start('none');
  await using queue = await bench.plain();
  await queue.send(negotiate(bench.host()));
  assert.equal(await queue.explanation(), 3);
});
