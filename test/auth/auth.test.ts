/** DH-HMAC-CHAP, the pure part: held against a derivation of its own and published primes. */
import assert from 'node:assert/strict';
import { createDiffieHellman, createHash, createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { hashes, hashNames, hashOfId } from '../../lib/auth/digests.js';
import {
  beginExchange,
  type FieldName,
  groupNames,
  groups,
  primeOf,
} from '../../lib/auth/groups.js';
import * as messages from '../../lib/auth/messages.js';
import { controllerResponse, generatedPsk, hostResponse } from '../../lib/auth/responses.js';
import { formatSecret, generateSecret, parseSecret, transformKey } from '../../lib/auth/secret.js';

const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:6b1f2a4e-0000-4000-8000-000000000001';
const subnqn = 'nqn.2026-01.dev.ashlar:6b1f2a4e-0000-4000-8000-000000000002';
const fields = groupNames.filter((name): name is FieldName => name !== 'null');

/** The last 64 bits before the closing ones, RFC 7919, appendix A: where a wrong X shows. */
const tails: Record<FieldName, string> = {
  ffdhe2048: '886b423861285c97',
  ffdhe3072: '25e41d2b66c62e37',
  ffdhe4096: 'c68a007e5e655f6a',
  ffdhe6144: 'a40e329cd0e40e65',
  ffdhe8192: 'd68c8bb7c5c6424c',
};

function refusal(text: string): string {
  try {
    parseSecret(text, 'the secret');
  } catch (error) {
    assert(error instanceof Error);
    return error.message;
  }
  throw new Error(`taken: ${text}`);
}

function encoded(id: string, key: Uint8Array, crc = crc32(key)): string {
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(crc);
  return `DHHC-1:${id}:${Buffer.concat([key, tail]).toString('base64')}:`;
}

for (const field of fields) {
  test(`groups: ${field}: the prime of RFC 7919`, () => {
    const hex = primeOf(field).toString(16);
    assert.equal(hex.length, groups[field].bytes * 2);
    assert(hex.startsWith('ffffffffffffffffadf85458a2bb4a9aafdc5620273d3cf1'));
    assert(hex.endsWith(`${tails[field]}ffffffffffffffff`));
  });

  test(`groups: ${field}: public values outside 2 to p - 2 are refused`, () => {
    const exchange = beginExchange(field);
    const { bytes } = groups[field];
    const prime = primeOf(field);
    const value = (n: bigint) => Buffer.from(n.toString(16).padStart(bytes * 2, '0'), 'hex');
    for (const n of [0n, 1n, prime - 1n, prime, prime + 1n]) {
      assert.equal(exchange.sessionKey(value(n)), null);
    }
    assert.equal(exchange.sessionKey(value(2n).subarray(1)), null);
    assert.equal(exchange.sessionKey(Buffer.concat([Buffer.alloc(1), value(2n)])), null);
    assert.equal(exchange.sessionKey(value(2n))?.length, bytes);
    assert.equal(exchange.sessionKey(value(prime - 2n))?.length, bytes);
  });
}

for (const hash of hashNames) {
  for (const group of groupNames) {
    test(`responses: ${hash}, ${group}: as another derivation has them`, () => {
      const key = randomBytes(hashes[hash].bytes);
      const challenge = randomBytes(hashes[hash].bytes);
      let sessionKey: Uint8Array | null = null;
      let augmented: Uint8Array = challenge;
      if (group !== 'null') {
        const ours = beginExchange(group);
        const bytes = groups[group].bytes;
        const peer = createDiffieHellman(
          Buffer.from(primeOf(group).toString(16), 'hex'),
          Buffer.from([2]),
        );
        const peerValue = Buffer.alloc(bytes);
        const generated = peer.generateKeys();
        generated.copy(peerValue, bytes - generated.length);
        sessionKey = ours.sessionKey(peerValue);
        const short = peer.computeSecret(ours.publicValue);
        const shared = Buffer.concat([Buffer.alloc(bytes - short.length), short]);
        assert.deepEqual(sessionKey && Buffer.from(sessionKey), shared);
        augmented = createHmac(hash, createHash(hash).update(shared).digest())
          .update(challenge)
          .digest();
      }
      const common = { hash, key, challenge, sessionKey, hostnqn, subnqn };
      const numbers = { sequence: 0x01020304, transaction: 0x0506, secureChannel: 7 };
      const tail = (role: string) => Buffer.from(role, 'latin1');
      const of = (channel: number, text: string) =>
        createHmac(hash, key)
          .update(Buffer.concat([augmented, Buffer.from([4, 3, 2, 1, 6, 5, channel]), tail(text)]))
          .digest();
      assert.deepEqual(
        hostResponse({ ...common, ...numbers }),
        of(7, `HostHost${hostnqn}\0${subnqn}`),
      );
      assert.deepEqual(
        controllerResponse({ ...common, ...numbers }),
        of(0, `Controller${subnqn}\0${hostnqn}`),
      );
    });
  }

  test(`secret: ${hash}: generated, formatted and parsed again is the same`, () => {
    const secret = generateSecret(hash);
    assert.deepEqual(parseSecret(`${formatSecret(secret)}\n`, 'the secret'), secret);
    assert.deepEqual(
      transformKey(secret, hostnqn),
      createHmac(hash, secret.key).update(`${hostnqn}NVMe-over-Fabrics`).digest(),
    );
    assert.deepEqual(transformKey({ ...secret, transform: null }, hostnqn), secret.key);
  });
}

test('secret: CRC-32 of the check string is that of IEEE 802.3', () => {
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
});

test('secret: malformed: the message names the fault and never the secret', () => {
  const key = Buffer.alloc(32, 0xa5);
  const good = encoded('01', key);
  const cases: [string, RegExp][] = [
    ['', /not of the form/],
    [good.slice(0, -1), /not of the form/],
    [good.replace('DHHC-1', 'DHHC-2'), /not of the form/],
    [encoded('04', key), /says hash 04/],
    [encoded('ff', key), /says hash ff/],
    [encoded('02', key), /32 bytes; hash 02 takes 48/],
    [encoded('00', key.subarray(1)), /31 bytes; 32, 48 and 64/],
    [encoded('00', Buffer.alloc(65)), /65 bytes/],
    ['DHHC-1:00:AAA=:', /0 bytes/],
    ['DHHC-1:00:AAAAA:', /not valid base64/],
    [encoded('01', key, 1), /damaged/],
  ];
  for (const [text, wanted] of cases) {
    const message = refusal(text);
    assert.match(message, wanted);
    assert(!message.includes('paWl'));
  }
});

test('messages: each: what was encoded is decoded, and a byte less is refused', () => {
  const response = randomBytes(48);
  const challenge = randomBytes(48);
  const publicValue = randomBytes(256);
  const cutAnywhere = (bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown) => {
    assert(bytes.length <= messages.maxMessageBytes);
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(decode(bytes.subarray(0, length)), null);
    }
  };
  const negotiate = {
    transaction: 9,
    secureChannel: 0,
    protocols: [{ hashIds: [1, 2, 3], groupIds: [0, 5] }],
  };
  const bytes = messages.encodeNegotiate(negotiate);
  assert.deepEqual(messages.decodeNegotiate(bytes), negotiate);
  cutAnywhere(bytes, messages.decodeNegotiate);
  const asked = {
    transaction: 9,
    hash: 'sha384' as const,
    group: 'ffdhe2048' as const,
    sequence: 77,
    challenge: Uint8Array.from(challenge),
    publicValue: Uint8Array.from(publicValue),
  };
  assert.deepEqual(messages.decodeChallenge(messages.encodeChallenge(asked)), asked);
  cutAnywhere(messages.encodeChallenge(asked), messages.decodeChallenge);
  const reply = {
    transaction: 9,
    response: Uint8Array.from(response),
    challengeValid: true,
    sequence: 78,
    challenge: Uint8Array.from(challenge),
    publicValue: Uint8Array.from(publicValue),
  };
  const decodeReply = (b: Uint8Array) => messages.decodeReply(b, 'sha384');
  assert.deepEqual(decodeReply(messages.encodeReply(reply)), reply);
  cutAnywhere(messages.encodeReply(reply), decodeReply);
  assert.equal(messages.decodeReply(messages.encodeReply(reply), 'sha256'), null);
  const success = { transaction: 9, hashBytes: 48, response: Uint8Array.from(response) };
  assert.deepEqual(messages.decodeSuccess1(messages.encodeSuccess1(success)), success);
  cutAnywhere(messages.encodeSuccess1(success), messages.decodeSuccess1);
  const failure = messages.encodeFailure('failure1', 9, messages.explanations.groupNotUsable);
  assert.deepEqual(messages.decodeFailure(failure), {
    transaction: 9,
    reason: 1,
    explanation: 5,
  });
  assert.deepEqual(messages.decodeHeader(failure), {
    authType: 0,
    authId: 0xf1,
    transaction: 9,
  });
});

test('messages: negotiate: NAPD, HALEN and DHLEN past their ends are refused', () => {
  const bytes = messages.encodeNegotiate({
    transaction: 1,
    secureChannel: 0,
    protocols: [{ hashIds: [1], groupIds: [0] }],
  });
  for (const [offset, value] of [
    [7, 0],
    [7, 2],
    [10, 31],
    [11, 31],
  ] as const) {
    const broken = Uint8Array.from(bytes);
    broken[offset] = value;
    assert.equal(messages.decodeNegotiate(broken), null);
  }
  assert.equal(hashOfId(0), null);
  assert.equal(hashOfId(4), null);
});

// Computed by another program, in Python, and what Linux's own test of these inputs has.
for (const [hash, wanted] of [
  ['sha256', '1733c59fa7f48fcf37f5f26fc4ff0268ad4f78e030f4f3b0bfd1d47e7bb1447a'],
  [
    'sha384',
    'f14b2dd3234c459694d3bc63f8968bd6b37c2c6de849e22e118749001ce4bbe8640b9e3a748cb11ce4b1d71d359cce39',
  ],
] as const) {
  test(`generated PSK: ${hash}: the known answer`, () => {
    const { bytes } = hashes[hash];
    const filled = (from: (index: number) => number) =>
      Uint8Array.from({ length: bytes }, (_, index) => from(index));
    const key = filled((index) => 65 + index);
    const psk = generatedPsk(
      hash,
      key,
      filled((index) => index),
      filled((index) => 255 - index),
    );
    assert.equal(psk.toString('hex'), wanted);
  });
}

test('generated PSK: HMAC hashes a session key of any group itself', () => {
  for (const hash of hashNames) {
    const session = randomBytes(256);
    const [c1, c2] = [randomBytes(hashes[hash].bytes), randomBytes(hashes[hash].bytes)];
    const hashed = createHash(hash).update(session).digest();
    assert.deepEqual(generatedPsk(hash, session, c1, c2), generatedPsk(hash, hashed, c1, c2));
  }
});
