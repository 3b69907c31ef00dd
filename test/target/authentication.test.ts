/** Authentication of a queue pair, message by message, against a host of the tests' own. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Secret } from '../../lib/auth/secret.js';
import type { QueueVerdict } from '../../lib/native.js';
import {
  type HostKeys,
  type Parties,
  QueueAuthentication,
} from '../../lib/target/authentication.js';
import type { GeneratedPsk } from '../../lib/target/generated_psks.js';
import { statuses } from '../../lib/target/statuses.js';
import { empty, failure2, type HostSide, negotiate, reply, success2 } from './dhchap_host.js';
import { sqe } from './layout.js';

const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:6b1f2a4e-0000-4000-8000-000000000001';
const subnqn = 'nqn.2026-01.dev.ashlar:6b1f2a4e-0000-4000-8000-000000000002';
const hostKey = randomBytes(32);
const controllerKey = randomBytes(48);
const secret = (key: Buffer, transform: Secret['transform']): Secret => ({
  key: Uint8Array.from(key),
  transform,
});

interface Told {
  status: number;
  verdict: QueueVerdict;
  data: Buffer;
  failure: string | null;
}

class Bench {
  now = 0;
  keys: HostKeys | null = {
    host: [secret(hostKey, 'sha256')],
    controller: secret(controllerKey, 'sha384'),
  };
  readonly host: HostSide = {
    hostnqn,
    subnqn,
    key: hostKey,
    transform: 1,
    controllerKey: null,
    hashIds: [1, 2, 3],
    groupIds: [0],
    transaction: 0x1234,
  };
  readonly queue: QueueAuthentication;

  readonly generated: GeneratedPsk[] = [];
  /** Whether a generated PSK is kept. */
  room = true;

  constructor(authenticated = false, channel: Parties['channel'] = 'new', channelRequired = false) {
    this.queue = new QueueAuthentication(
      {
        hostnqn,
        subnqn,
        keys: () => this.keys,
        now: () => this.now,
        channel,
        channelRequired,
        generated: (psk) => {
          // The bytes are overwritten when this has returned.
          this.generated.push({ ...psk, psk: Uint8Array.from(psk.psk) });
          return this.room;
        },
      },
      authenticated,
    );
  }

  send(message: Uint8Array, lengthBytes = message.length): Told {
    return this.#command(5, lengthBytes, Uint8Array.from(message), 0);
  }

  receive(roomBytes = 4096, lengthBytes = roomBytes): Told {
    return this.#command(6, lengthBytes, null, roomBytes);
  }

  #command(fctype: number, length: number, data: Uint8Array | null, dataRoomBytes: number): Told {
    const bytes = sqe({ opcode: 0x7f, nsid: fctype, cdw10: 0xe901_0100, cdw11: length });
    return this.raw(bytes, data, dataRoomBytes);
  }

  raw(bytes: Uint8Array, data: Uint8Array | null, dataRoomBytes: number): Told {
    const { completion, verdict, failure } = this.queue.answer({ sqe: bytes, data, dataRoomBytes });
    return {
      status: completion.status,
      verdict,
      failure,
      data: Buffer.from(completion.data ?? []),
    };
  }

  /** Up to the challenge. */
  challenge(): Buffer {
    assert.equal(this.send(negotiate(this.host)).status, 0);
    const { status, data, verdict } = this.receive();
    assert.deepEqual([status, data[0], data[1], verdict], [0, 1, 1, 'as-before']);
    return data;
  }

  /** To the end; what the last command meant for the queue. */
  authenticate(): QueueVerdict {
    const { message, expected } = reply(this.host, this.challenge());
    assert.equal(this.send(message).status, 0);
    const told = this.receive();
    assert.equal(told.data[1], 3);
    assert.equal(told.data.readUInt16LE(4), this.host.transaction);
    if (expected === null) {
      assert.deepEqual([told.data.length, told.data[8]], [16, 0]);
      return told.verdict;
    }
    assert.equal(told.verdict, 'as-before');
    assert.equal(told.data[8], 1);
    assert.deepEqual(told.data.subarray(16), expected);
    return this.send(success2(this.host)).verdict;
  }

  /** The explanation of the AUTH_Failure1 that Receive gets, after which the queue ends. */
  explanation(transaction = this.host.transaction): number {
    const { status, data, verdict, failure } = this.receive();
    assert.deepEqual([status, verdict, data.length], [0, 'refused', 8]);
    assert.deepEqual([data[0], data[1], data[6]], [0, 0xf1, 1]);
    assert.equal(data.readUInt16LE(4), transaction);
    assert.match(failure ?? '', /failed to authenticate/);
    return data.readUInt8(7);
  }
}

describe('authentication', () => {
  for (const hashId of [1, 2, 3]) {
    for (const groupId of [0, 1, 2, 3]) {
      it(`hash ${hashId}, group ${groupId}, one way and both ways: authenticated`, () => {
        for (const key of [null, { key: controllerKey, transform: 2 }]) {
          const bench = new Bench();
          Object.assign(bench.host, {
            hashIds: [hashId],
            groupIds: [groupId],
            controllerKey: key,
          });
          assert.equal(bench.authenticate(), 'authenticated');
        }
      });
    }
  }

  it('groups of 6144 and 8192 bits: authenticated', () => {
    for (const groupId of [4, 5]) {
      const bench = new Bench();
      bench.host.groupIds = [groupId];
      assert.equal(bench.authenticate(), 'authenticated');
    }
  });

  it('everything offered: SHA-512 and ffdhe3072 are taken; null is the last choice', () => {
    const bench = new Bench();
    bench.host.groupIds = [0, 1, 2, 3, 4, 5];
    const challenge = bench.challenge();
    assert.deepEqual([challenge[8], challenge[9], challenge[6]], [3, 2, 64]);
    const other = new Bench();
    other.host.groupIds = [0, 1];
    assert.equal(other.challenge()[9], 1);
  });

  it('hashes and groups that nobody knows among those offered: they are passed over', () => {
    const bench = new Bench();
    Object.assign(bench.host, { hashIds: [0, 9, 1], groupIds: [0xee, 0] });
    assert.equal(bench.authenticate(), 'authenticated');
  });

  it('nothing in common: the explanation says what of it', () => {
    const rows: [Partial<HostSide>, number, number][] = [
      [{ hashIds: [0, 4] }, 0, 4],
      [{ hashIds: [] }, 0, 4],
      [{ groupIds: [6] }, 0, 5],
      [{ groupIds: [] }, 0, 5],
      [{}, 1, 3],
    ];
    for (const [fields, secureChannel, wanted] of rows) {
      const bench = new Bench();
      Object.assign(bench.host, fields);
      bench.send(negotiate(bench.host, secureChannel));
      assert.equal(bench.explanation(), wanted);
    }
    const bench = new Bench();
    const another = negotiate(bench.host);
    another[8] = 2;
    bench.send(another);
    assert.equal(bench.explanation(), 2);
  });

  it('a wrong key, of the host or of the controller: refused, and the host hears it', () => {
    const bench = new Bench();
    bench.host.key = randomBytes(32);
    bench.send(reply(bench.host, bench.challenge()).message);
    assert.equal(bench.explanation(), 1);
    // Nothing more is taken.
    assert.equal(bench.send(negotiate(bench.host)).status, statuses.commandSequenceError);
    const other = new Bench();
    other.host.controllerKey = { key: randomBytes(48), transform: 2 };
    const { message, expected } = reply(other.host, other.challenge());
    other.send(message);
    const { data } = other.receive();
    assert.notDeepEqual(data.subarray(16), expected);
    const told = other.send(failure2(other.host));
    assert.deepEqual([told.status, told.verdict], [0, 'refused']);
  });

  it('the controller is asked to prove itself and has no key: refused', () => {
    const bench = new Bench();
    bench.keys = { host: [secret(hostKey, 'sha256')], controller: null };
    bench.host.controllerKey = { key: controllerKey, transform: 2 };
    bench.send(reply(bench.host, bench.challenge()).message);
    assert.equal(bench.explanation(), 1);
  });

  it('two keys: either is good; the one that is taken away is not', () => {
    const older = randomBytes(64);
    const bench = new Bench(true);
    const keys: Secret[] = [secret(hostKey, 'sha256'), secret(older, null)];
    bench.keys = { host: keys, controller: null };
    assert.equal(bench.authenticate(), 'authenticated');
    Object.assign(bench.host, { key: older, transform: 0, transaction: 7 });
    assert.equal(bench.authenticate(), 'authenticated');
    keys.pop();
    const { message } = reply(bench.host, bench.challenge());
    assert.equal(bench.send(message).verdict, 'suspended');
    assert.equal(bench.explanation(), 1);
  });

  it('all keys taken away in the middle: refused', () => {
    const bench = new Bench();
    const { message } = reply(bench.host, bench.challenge());
    bench.keys = null;
    bench.send(message);
    assert.equal(bench.explanation(), 1);
  });

  it('replayed: no challenge comes twice, and an old reply does not answer a new one', () => {
    const bench = new Bench(true);
    const first = bench.challenge();
    const old = reply(bench.host, first).message;
    const second = bench.challenge();
    assert.notDeepEqual(first.subarray(16), second.subarray(16));
    assert.notEqual(first.readUInt32LE(12), second.readUInt32LE(12));
    bench.send(old);
    assert.equal(bench.explanation(), 1);
  });

  it('our own response sent back as the host’s: refused', () => {
    const same = new Bench();
    same.keys = { host: [secret(hostKey, null)], controller: secret(hostKey, null) };
    Object.assign(same.host, { transform: 0, controllerKey: { key: hostKey, transform: 0 } });
    const { message } = reply(same.host, same.challenge());
    same.send(message);
    const ours = same.receive().data.subarray(16);
    const victim = new Bench();
    victim.keys = same.keys;
    const forged = reply(same.host, victim.challenge()).message;
    forged.set(ours, 16);
    victim.send(forged);
    assert.equal(victim.explanation(), 1);
  });

  it('wrong order: each message where another belongs is an incorrect message', () => {
    const { host } = new Bench();
    const messages = {
      reply: reply(host, new Bench().challenge()).message,
      success2: success2(host),
      challenge: empty(1, 1, host.transaction, 100),
      success1: empty(1, 3, host.transaction, 16),
      failure1: empty(0, 0xf1, host.transaction, 8),
      negotiate: negotiate(host),
    };
    const places: [string, (bench: Bench) => unknown, string[]][] = [
      ['at first', () => null, ['negotiate']],
      ['before the challenge is read', (bench) => bench.send(negotiate(bench.host)), []],
      ['after the challenge', (bench) => bench.challenge(), ['reply']],
    ];
    for (const [place, arrange, right] of places) {
      for (const [name, message] of Object.entries(messages)) {
        if (right.includes(name)) continue;
        const bench = new Bench();
        arrange(bench);
        const told = bench.send(message);
        assert.deepEqual([told.status, told.verdict], [0, 'as-before'], `${name} ${place}`);
        assert.equal(bench.explanation(), 7, `${name} ${place}`);
      }
    }
  });

  it('Receive where there is nothing to receive: an incorrect message', () => {
    assert.equal(new Bench().explanation(0), 7);
    const bench = new Bench();
    bench.challenge();
    assert.equal(bench.explanation(), 7);
  });

  it('another transaction: an incorrect payload', () => {
    const bench = new Bench();
    const { message } = reply(bench.host, bench.challenge());
    message.writeUInt16LE(0x1235, 4);
    bench.send(message);
    assert.equal(bench.explanation(), 6);
  });

  it('cut anywhere: an incorrect payload or message, and never an authenticated queue', () => {
    const { host } = new Bench();
    for (let length = 1; length < 72; length += 1) {
      const bench = new Bench();
      bench.send(negotiate(host).subarray(0, length));
      assert.equal(bench.explanation(length < 6 ? 0 : undefined), 6, `negotiate of ${length}`);
    }
    const size = new Bench();
    const whole = reply(size.host, size.challenge()).message.length;
    for (let length = 1; length < whole; length += 1) {
      const bench = new Bench();
      bench.send(reply(bench.host, bench.challenge()).message.subarray(0, length));
      assert.equal(bench.explanation(), 6, `reply of ${length}`);
    }
  });

  it('lengths in a reply that contradict it: an incorrect payload', () => {
    const changes: ((message: Buffer) => void)[] = [
      (message) => message.writeUInt8(32, 6),
      (message) => message.writeUInt8(0, 6),
      (message) => message.writeUInt8(255, 6),
      (message) => message.writeUInt16LE(0xffff, 10),
      (message) => message.writeUInt16LE(255, 10),
      (message) => message.fill(0, 16 + 128),
      (message) => message.fill(0xff, 16 + 128),
    ];
    for (const [index, change] of changes.entries()) {
      const bench = new Bench();
      bench.host.groupIds = [1];
      const { message } = reply(bench.host, bench.challenge());
      change(message);
      bench.send(message);
      assert.equal(bench.explanation(), 6, `change ${index}`);
    }
  });

  it('bytes after a message mean nothing', () => {
    const bench = new Bench();
    bench.send(Buffer.concat([negotiate(bench.host), Buffer.alloc(100, 0xff)]));
    const { message } = reply(bench.host, bench.receive().data);
    bench.send(Buffer.concat([message, Buffer.alloc(100, 0xff)]));
    assert.equal(bench.receive().verdict, 'authenticated');
  });

  it('fields of the command: SECP, SPSP, TL and AL are judged, and nothing moves on', () => {
    const bench = new Bench();
    const message = Uint8Array.from(negotiate(bench.host));
    for (const cdw10 of [0, 0xe900_0100, 0xe901_0000, 0xea01_0100, 0xe902_0100]) {
      const bytes = sqe({ opcode: 0x7f, nsid: 5, cdw10, cdw11: message.length });
      assert.equal(bench.raw(bytes, message, 0).status, statuses.invalidField);
    }
    assert.equal(bench.send(message, 0).status, statuses.invalidField);
    assert.equal(bench.send(message, 71).status, statuses.dataSglLengthInvalid);
    assert.equal(bench.receive(64, 65).status, statuses.dataSglLengthInvalid);
    assert.equal(bench.send(message).status, 0);
    assert.equal(bench.receive(79).status, statuses.invalidField);
    assert.equal(bench.receive(80).data.length, 80);
  });

  it('too late: a reply after 30 s is refused', () => {
    const bench = new Bench();
    const { message } = reply(bench.host, bench.challenge());
    bench.now += 30_001;
    bench.send(message);
    assert.equal(bench.explanation(), 1);
  });

  it('again on an open queue: at any time, and a failure suspends it at once', () => {
    const bench = new Bench(true);
    assert.equal(bench.authenticate(), 'authenticated');
    bench.challenge();
    bench.send(negotiate(bench.host));
    bench.host.transaction += 1;
    assert.equal(bench.authenticate(), 'authenticated');
    const told = bench.send(success2(bench.host));
    assert.deepEqual([told.status, told.verdict], [0, 'suspended']);
    assert.equal(bench.explanation(), 7);
  });
});

describe('secure channel concatenation', () => {
  for (const [hashIds, hash] of [
    [[1, 2, 3], 'sha256'],
    [[3, 2], 'sha384'],
  ] as const) {
    for (const groupId of [1, 2]) {
      for (const controllerSide of [null, { key: controllerKey, transform: 2 }]) {
        const ways = controllerSide === null ? 'one way' : 'both ways';
        it(`${hash}, group ${groupId}, ${ways}: both sides have the same PSK`, () => {
          const bench = new Bench();
          Object.assign(bench.host, {
            hashIds: [...hashIds],
            groupIds: [0, groupId],
            controllerKey: controllerSide,
            secureChannel: 2,
          });
          const { message, expected, psk } = reply(bench.host, bench.challenge());
          bench.send(message);
          const told = bench.receive();
          assert.deepEqual([told.data[1], told.data[8]], [3, expected === null ? 0 : 1]);
          if (expected === null) assert.equal(told.verdict, 'authenticated');
          else assert.equal(bench.send(success2(bench.host)).verdict, 'authenticated');
          const [made, ...others] = bench.generated;
          assert.equal(others.length, 0);
          assert.deepEqual([made?.hash, Buffer.from(made?.psk ?? [])], [hash, psk]);
          assert.deepEqual(made?.provenBy, secret(hostKey, 'sha256'));
        });
      }
    }
  }

  it('SC_C left out of the response, as Linux 6.16 does: taken', () => {
    const bench = new Bench();
    Object.assign(bench.host, { groupIds: [1], secureChannel: 2, forgetsChannel: true });
    assert.equal(bench.authenticate(), 'authenticated');
    assert.equal(bench.generated.length, 1);
  });

  it('SC_C taken out of the negotiation on its way: the host is refused', () => {
    const bench = new Bench();
    Object.assign(bench.host, { groupIds: [1], secureChannel: 2 });
    bench.send(negotiate(bench.host, 0));
    bench.send(reply(bench.host, bench.receive().data).message);
    assert.equal(bench.explanation(), 1);
    assert.equal(bench.generated.length, 0);
  });

  it('what this queue pair may not have, or has to: a mismatch', () => {
    const rows: [Parties['channel'], boolean, number][] = [
      ['none', false, 1],
      ['none', false, 2],
      ['none', false, 3],
      ['new', false, 1],
      ['new', false, 3],
      ['new', false, 255],
      ['new', true, 0],
      ['replacement', false, 2],
    ];
    for (const [channel, required, secureChannel] of rows) {
      const bench = new Bench(false, channel, required);
      Object.assign(bench.host, { groupIds: [1], secureChannel });
      bench.send(negotiate(bench.host));
      assert.equal(bench.explanation(), 3, `${channel}, ${required}, ${secureChannel}`);
    }
    for (const [channel, required, secureChannel] of [
      ['new', true, 2],
      ['replacement', false, 3],
      ['replacement', false, 0],
    ] as const) {
      const bench = new Bench(false, channel, required);
      Object.assign(bench.host, { groupIds: [1], secureChannel });
      assert.equal(bench.authenticate(), 'authenticated', `${channel}, ${secureChannel}`);
      assert.equal(bench.generated.length, secureChannel === 0 ? 0 : 1);
    }
  });

  it('no exchange, or no hash of a cipher suite: nothing in common', () => {
    const rows: [Partial<HostSide>, number][] = [
      [{ groupIds: [0] }, 5],
      [{ groupIds: [1], hashIds: [3] }, 4],
    ];
    for (const [fields, wanted] of rows) {
      const bench = new Bench();
      Object.assign(bench.host, { secureChannel: 2, ...fields });
      bench.send(negotiate(bench.host));
      assert.equal(bench.explanation(), wanted);
    }
  });

  it('no C2: an incorrect payload; a wrong key, or no room: failed, and no PSK', () => {
    const without = new Bench();
    Object.assign(without.host, { groupIds: [1], secureChannel: 2 });
    const { message } = reply(without.host, without.challenge());
    message[8] = 0;
    without.send(message);
    assert.equal(without.explanation(), 6);
    const wrong = new Bench();
    Object.assign(wrong.host, { groupIds: [1], secureChannel: 2, key: randomBytes(32) });
    wrong.send(reply(wrong.host, wrong.challenge()).message);
    assert.equal(wrong.explanation(), 1);
    assert.deepEqual([without.generated, wrong.generated], [[], []]);
    const full = new Bench();
    full.room = false;
    Object.assign(full.host, { groupIds: [1], secureChannel: 2 });
    full.send(reply(full.host, full.challenge()).message);
    assert.equal(full.explanation(), 1);
  });
});
