/** DH-HMAC-CHAP with a raw host: every hash and group, both ways, and what goes wrong. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import {
  empty,
  failure2,
  type HostSide,
  negotiate,
  reply,
  success2,
} from '../target/dhchap_host.js';
import { Queue, secretText, security } from './authenticating.js';
import {
  enable,
  ioSqe,
  opcode,
  property,
  propertyGet,
  propertySet,
  sqe,
  status,
} from './commands.js';
import { type Identity, keepAlive } from './connection.js';
import { newIdentity, Target } from './fixture.js';

const authenticationRequired = 0x191;

let target: Target;
/** A host with a key each way. */
let identity: Identity;
const key = randomBytes(32);
const controllerKey = randomBytes(64);

before(async () => {
  target = await Target.start();
  identity = newIdentity(target.identity.subnqn);
  await target.daemon.api('POST', '/v1/hosts', { nqn: identity.hostnqn });
  await setKey({ role: 'host', secret: secretText(key, 1) });
  await setKey({ role: 'controller', secret: secretText(controllerKey, 3) });
});
after(() => target[Symbol.asyncDispose]());

interface Set {
  key: { fingerprint: string };
}

async function setKey(body: object): Promise<string> {
  const path = `/v1/hosts/${encodeURIComponent(identity.hostnqn)}/keys`;
  const answer = await target.daemon.api<Set>('POST', path, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.key.fingerprint;
}

async function removeKey(fingerprint: string): Promise<void> {
  const path = `/v1/hosts/${encodeURIComponent(identity.hostnqn)}/keys/${fingerprint}`;
  assert.equal((await target.daemon.api('DELETE', path)).status, 204);
}

function hostSide(fields: Partial<HostSide> = {}): HostSide {
  return {
    hostnqn: identity.hostnqn,
    subnqn: identity.subnqn,
    key,
    transform: 1,
    controllerKey: null,
    hashIds: [1, 2, 3],
    groupIds: [0],
    transaction: 0x4711,
    ...fields,
  };
}

const open = (fields: { qid?: number; cntlid?: number } = {}) =>
  Queue.open(target.port, identity, fields);

/** Both queue pairs of an association, authenticated apart. */
async function associate(host: HostSide): Promise<{ admin: Queue; io: Queue }> {
  const admin = await open();
  await admin.authenticate(host);
  const enabled = await admin.connection.command(propertySet(property.cc, 4, enable));
  assert.equal(enabled.status, 0);
  const io = await open({ qid: 1, cntlid: admin.cntlid });
  return { admin, io };
}

const read = () =>
  ioSqe({ opcode: opcode.read, nsid: target.nsid, slba: 0n, blocks: 1, sglLength: 4096 });

describe('authentication', () => {
  for (const hash of [1, 2, 3]) {
    for (const group of [0, 1, 2]) {
      for (const both of [false, true]) {
        const ways = both ? 'both ways' : 'one way';
        test(`hash ${hash}, group ${group}, ${ways}: the queue takes commands`, async () => {
          await using queue = await open();
          const asked = both ? { key: controllerKey, transform: 3 } : null;
          const host = hostSide({ hashIds: [hash], groupIds: [group], controllerKey: asked });
          await queue.authenticate(host);
          const answer = await queue.connection.command(propertyGet(property.vs, 4));
          assert.equal(answer.status, 0);
        });
      }
    }
  }

  for (const group of [3, 4, 5]) {
    test(`hash 3, group ${group}, both ways: the queue takes commands`, async () => {
      await using queue = await open();
      const asked = { key: controllerKey, transform: 3 };
      await queue.authenticate(hostSide({ hashIds: [3], groupIds: [group], controllerKey: asked }));
      const answer = await queue.connection.command(propertyGet(property.vs, 4));
      assert.equal(answer.status, 0);
    });
  }

  test('before it: Authentication Required for all else, admin and I/O queue apart', async () => {
    const { admin, io } = await associate(hostSide());
    await using _admin = admin;
    await using _io = io;
    const answer = await io.connection.command(read());
    assert.deepEqual([answer.status, answer.doNotRetry], [authenticationRequired, true]);
    await io.authenticate(hostSide());
    assert.equal((await io.connection.command(read())).status, 0);
    await using fresh = await open();
    for (const entry of [
      propertyGet(property.vs, 4),
      keepAlive,
      sqe({ opcode: opcode.identify }),
    ]) {
      assert.equal((await fresh.connection.command(entry)).status, authenticationRequired);
    }
    await target.assertWitness();
  });

  test('a wrong key: AUTH_Failure1, and the connection ends; other hosts go on', async () => {
    await using queue = await open();
    const host = hostSide({ key: randomBytes(32) });
    await queue.send(reply(host, await queue.challenge(host)).message);
    assert.equal(await queue.explanation(), 1);
    await target.assertWitness();
    assert.match(target.daemon.log, /failed to authenticate: authentication failed/);
  });

  test('the controller proves itself wrongly to the host: AUTH_Failure2 ends it', async () => {
    await using queue = await open();
    const host = hostSide({ controllerKey: { key: randomBytes(32), transform: 0 } });
    const { message, expected } = reply(host, await queue.challenge(host));
    await queue.send(message);
    assert.notDeepEqual((await queue.receive()).subarray(16), expected);
    assert.equal(await queue.send(failure2(host)), 0);
    assert.equal(await queue.connection.read(), null);
  });

  test('a hash or group that nobody has, a wrong order, another transaction: explained', async () => {
    const rows: [string, Buffer[], number][] = [
      ['hash', [negotiate(hostSide({ hashIds: [9] }))], 4],
      ['group', [negotiate(hostSide({ groupIds: [9] }))], 5],
      ['secure channel', [negotiate(hostSide(), 1)], 3],
      ['success2 first', [success2(hostSide())], 7],
      ['negotiate twice', [negotiate(hostSide()), negotiate(hostSide())], 7],
      ['reply to a challenge not read', [negotiate(hostSide()), empty(1, 2, 0x4711, 80)], 7],
      ['another protocol', [empty(7, 0, 1, 64)], 7],
    ];
    for (const [name, messages, wanted] of rows) {
      await using queue = await open();
      for (const message of messages) assert.equal(await queue.send(message), 0, name);
      assert.equal(await queue.explanation(), wanted, name);
    }
    await using queue = await open();
    const { message } = reply(hostSide(), await queue.challenge(hostSide()));
    message.writeUInt16LE(1, 4);
    await queue.send(message);
    assert.equal(await queue.explanation(), 6);
  });

  test('messages of every length up to a whole one: none lets the host in', async () => {
    const whole = negotiate(hostSide());
    for (let length = 1; length < whole.length; length += 1) {
      await using queue = await open();
      assert.equal(await queue.send(whole.subarray(0, length)), 0);
      assert.equal(await queue.explanation(), 6, `${length} bytes`);
    }
    await using queue = await open();
    assert.equal(await queue.send(Buffer.alloc(4096, 0xff)), 0);
    assert.equal(await queue.explanation(), 7);
    await using other = await open();
    const tooLong = await other.connection.command(security(5, 4097));
    assert.equal(tooLong.status, status.invalidField);
    await target.assertWitness();
  });

  test('replayed: a recorded reply opens no other connection', async () => {
    await using first = await open();
    const recorded = reply(hostSide(), await first.challenge(hostSide())).message;
    await first.send(recorded);
    assert.equal((await first.receive())[1], 3);
    await using second = await open();
    await second.challenge(hostSide());
    await second.send(recorded);
    assert.equal(await second.explanation(), 1);
  });

  test('a second Connect on the queue: refused, before and after', async () => {
    await using queue = await open();
    const again = () => queue.connection.fabricsConnect({ ...identity, qid: 0 });
    assert.equal((await again()).status, authenticationRequired);
    await queue.authenticate(hostSide());
    assert.equal((await again()).status, status.commandSequence);
  });

  test('again on a live queue: I/O goes on; when it fails the queue ends, and no other', async () => {
    const { admin, io } = await associate(hostSide());
    await using _admin = admin;
    await using _io = io;
    await io.authenticate(hostSide());
    await io.authenticate(hostSide({ transaction: 2 }));
    assert.equal((await io.connection.command(read())).status, 0);
    const wrong = hostSide({ key: randomBytes(32), transaction: 3 });
    await io.send(reply(wrong, await io.challenge(wrong)).message);
    assert.equal((await io.connection.command(read())).status, authenticationRequired);
    assert.equal(await io.explanation(), 1);
    assert.equal((await admin.connection.command(keepAlive)).status, 0);
  });

  test('rotation: both keys are good, then the new one; what is connected stays', async () => {
    const { admin, io } = await associate(hostSide());
    await using _admin = admin;
    await using _io = io;
    await io.authenticate(hostSide());
    const newer = randomBytes(48);
    const added = await setKey({ role: 'host', secret: secretText(newer, 2) });
    const list = await target.daemon.api<{ items: { fingerprint: string; role: string }[] }>(
      'GET',
      '/v1/host-keys',
    );
    const older = list.body.items.find(
      ({ fingerprint, role }) => role === 'host' && fingerprint !== added,
    );
    for (const each of [{}, { key: newer, transform: 2 }]) {
      await using queue = await open();
      await queue.authenticate(hostSide(each));
    }
    await removeKey(older?.fingerprint ?? '');
    assert.equal((await io.connection.command(read())).status, 0);
    await using queue = await open();
    await queue.send(reply(hostSide(), await queue.challenge(hostSide())).message);
    assert.equal(await queue.explanation(), 1);
    await setKey({ role: 'host', secret: secretText(key, 1), replace: true });
  });

  test('what is told of keys, and what is logged: never a secret', async () => {
    const { body } = await target.daemon.api('GET', '/v1/host-keys');
    const told = JSON.stringify(body) + target.daemon.log;
    for (const each of [key, controllerKey]) {
      assert(!told.includes(each.toString('base64').slice(0, 16)));
      assert(!told.includes(each.toString('hex').slice(0, 16)));
    }
  });
});
