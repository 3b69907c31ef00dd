/** PSKs of TLS, the pure part: known answers that a program in another language computed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { generatedTlsPsk, isGenerated, tlsPsks } from '../../lib/tls/derive.js';
import { formatPsk, generatePsk, parsePsk, pskHashes, pskHashNames } from '../../lib/tls/psk.js';

const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:6b1f2a4e-0000-4000-8000-000000000001';
const subnqn = 'nqn.2026-01.dev.ashlar:6b1f2a4e-0000-4000-8000-000000000002';
const names = `${hostnqn} ${subnqn}`;

const keyOf = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => (7 * i + 3) & 255);

interface KnownAnswer {
  text: string;
  /** The identity but for the names in its middle, and the TLS PSK; older hosts' last. */
  psks: [start: string, end: string, psk: string][];
}

const answers: KnownAnswer[] = [
  {
    text: 'NVMeTLSkey-1:00:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dyVhg6h:',
    psks: [
      ['NVMe0R01', '', '142f2bd0c7800d0efce7ab903aaf8eeab375166d66d71078a4eb98015c4979f8'],
      [
        'NVMe1R01',
        ' oyB4nY4mETtfVfwaeSmdJQN6RNQLY20mFXOOkwpJoaM=',
        'e27c370ecdef3ba171d956965c64a3e915146e9f6d7cf0c900e5d59a2b17f15b',
      ],
      ['NVMe0R01', '', '77014db42e91699c8bea9916a120f0b317600e2819ec37e5f4d5f713e4ef5890'],
      [
        'NVMe1R01',
        ' oyB4nY4mETtfVfwaeSmdJQN6RNQLY20mFXOOkwpJoaM=',
        '88b1d8d55a82bc7085fa8074ce1e7b64ed50a67b9915f8d6d6d0fe70c7224341',
      ],
    ],
  },
  {
    text: 'NVMeTLSkey-1:01:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dyVhg6h:',
    psks: [
      ['NVMe0R01', '', '5524104c120ec9217abb2952e19b258fae77fe7457819e2d2a4fbc135744744f'],
      [
        'NVMe1R01',
        ' 4Y8pG3LXI8Pkzm4poHPfv40B6lGI5FGo3SrkE0/klgQ=',
        '8723d616d45e2a12aecbe72394ae5f2266a1e0d950476e8dd449ffcbcc731a54',
      ],
      ['NVMe0R01', '', 'ede4cda0cf5fe85354d6e63e8ccf2434c863dad9f5fc3654162e6634b43a6f38'],
      [
        'NVMe1R01',
        ' DCtWG3WwLCrDMXjF+9DOCOeBg6gYcC/fC/b3j0tD+FY=',
        'a8230f69e973901f3d0e81630f97e5ba7a4af42ea0a19197728a427f5d6f7d85',
      ],
    ],
  },
  {
    text: 'NVMeTLSkey-1:02:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dzj6vH4/wYNFBsiKTA3PkVMRdxyRQ==:',
    psks: [
      [
        'NVMe0R02',
        '',
        '05b3567f87c23ef43c3c69a5f497532c3b78d1eb07ff62f184d73b5e8f719a04' +
          'd11afff9d1488b3301a8b9c96b8a05fd',
      ],
      [
        'NVMe1R02',
        ' f6x/nPz0PEAF2gZUpxuecYue6Fp+GQrrLERxomIrhDvP4lkat1w8PdUuYR8GA9ac',
        '26f24c762cc655a95d1072f0072f6e0d6a44700a178d8e6d7b4b9c7ccf49d9c6' +
          'c7f5ef9d1ac708da36a9fad99150629a',
      ],
      [
        'NVMe0R02',
        '',
        '9856ed271539b5907f5c011a9613add638dabd0debdf3a0142671672c98983ea' +
          'f66c5ddcca71bb593595fa6a060d31d0',
      ],
      [
        'NVMe1R02',
        ' 6DB7O3z10/BF2O8z429AVCsEvWfHgiDKweMAk7jOlWgwjNs+BxxogwlLI0XfZBJB',
        'a094d7c575b00b30c539be49d1d1d87d593b07d093b6f8fa48168fe1b190046c' +
          'eabe1206d930d6e6c245c9c9333625b5',
      ],
    ],
  },
];

function refusal(text: string): string {
  try {
    parsePsk(text, 'the PSK');
  } catch (error) {
    assert(error instanceof Error);
    return error.message;
  }
  throw new Error(`taken: ${text}`);
}

function encoded(head: string, key: Uint8Array, crc = crc32(key)): string {
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(crc);
  return `${head}:${Buffer.concat([key, tail]).toString('base64')}:`;
}

for (const { text, psks } of answers) {
  const [, hash = ''] = text.split(':');

  test(`interchange form, hash ${hash}: read and written, to the letter`, () => {
    const psk = parsePsk(`  ${text}\n`, 'the PSK');
    assert.deepEqual(psk.key, keyOf(psk.key.length));
    assert.equal(formatPsk(psk), text);
  });

  test(`derivation, hash ${hash}: identities and TLS PSKs are the known ones`, () => {
    const derived = tlsPsks(parsePsk(text, 'the PSK'), hostnqn, subnqn);
    assert.deepEqual(
      derived.map(({ identity, psk }) => [identity, Buffer.from(psk).toString('hex')]),
      psks.map(([start, end, psk]) => [`${start} ${names}${end}`, psk]),
    );
    for (const psk of derived) {
      assert.deepEqual([psk.hostnqn, psk.subnqn], [hostnqn, subnqn]);
      assert.equal(psk.psk.length, pskHashes[psk.hash].bytes);
    }
  });
}

test('derivation: identity beyond 255 bytes: only older hosts can have made version 0 of it', () => {
  const long = `nqn.2026-01.example:${'h'.repeat(180)}`;
  const versions = tlsPsks({ key: keyOf(32), transform: 'sha256' }, long, subnqn).map((psk) =>
    psk.identity.slice(0, 8),
  );
  assert.deepEqual(versions, ['NVMe1R01', 'NVMe0R01', 'NVMe1R01']);
});

test('derivation: another host, another subsystem: another TLS PSK each', () => {
  const psk = { key: keyOf(32), transform: 'sha256' } as const;
  const of = (host: string, sub: string) =>
    tlsPsks(psk, host, sub).map((entry) => Buffer.from(entry.psk).toString('hex'));
  const all = [...of(hostnqn, subnqn), ...of(`${hostnqn}x`, subnqn), ...of(hostnqn, `${subnqn}x`)];
  assert.equal(new Set(all).size, 12);
});

test('generated PSKs: as long as their hash, never twice, read back as they were', () => {
  for (const hash of pskHashNames) {
    const psk = generatePsk(hash);
    assert.equal(psk.key.length, pskHashes[hash].bytes);
    assert.notDeepEqual(generatePsk(hash), psk);
    assert.deepEqual(parsePsk(formatPsk(psk), 'it'), psk);
  }
});

test('malformed PSKs: each refusal says what is wrong, and never the key', () => {
  const head = 'NVMeTLSkey-1:01';
  const cases: [text: string, says: RegExp][] = [
    ['', /is not of the form/],
    ['DHHC-1:01:AAAA:', /is not of the form/],
    [encoded(head, keyOf(32)).slice(0, -1), /mind the colon/],
    [`${encoded(head, keyOf(32))}x`, /is not of the form/],
    [encoded('NVMeTLSkey-2:01', keyOf(32)), /is of version 2/],
    [encoded('NVMeTLSkey-1:03', keyOf(32)), /says hash 03/],
    [encoded('NVMeTLSkey-1:ff', keyOf(32)), /says hash ff/],
    [encoded(head, keyOf(31)), /a key of 31 bytes/],
    [encoded(head, keyOf(0)), /a key of 0 bytes/],
    [encoded(head, keyOf(48)), /a key of 48 bytes; hash 01 takes 32/],
    [encoded('NVMeTLSkey-1:02', keyOf(32)), /a key of 32 bytes; hash 02 takes 48/],
    [encoded('NVMeTLSkey-1:00', keyOf(64)), /32 and 48 are allowed/],
    [encoded(head, keyOf(32), 1), /is damaged/],
    [`${head}:AAAA=AAA:`, /is not of the form/],
    [`${head}:AAAAA:`, /is not valid base64/],
  ];
  for (const [text, says] of cases) {
    const message = refusal(text);
    assert.match(message, says);
    const base64 = text.split(':')[2] ?? '';
    if (base64.length > 8) assert(!message.includes(base64.slice(0, 8)), message);
  }
});

// Computed by another program, in Python, and what Linux's own test of these inputs has.
const generated = [
  {
    hash: 'sha256',
    psk: '1733c59fa7f48fcf37f5f26fc4ff0268ad4f78e030f4f3b0bfd1d47e7bb1447a',
    identity: 'NVMe1G01 hostnqn subsysnqn OldoKuTfKddMuyCznAZojkWD7P4D9/AtzDzLimtOxqI=',
    tls: '3c17da628474a04d2247c4cab47968c915388193f7c071bd9489cc3666cd7cc8',
  },
  {
    hash: 'sha384',
    psk:
      'f14b2dd3234c459694d3bc63f8968bd6b37c2c6de849e22e118749001ce4bbe8' +
      '640b9e3a748cb11ce4b1d71d359cce39',
    identity:
      'NVMe1G02 hostnqn subsysnqn ' +
      'cffMWk8TSS7HOQebjgYEIkrPrjWPV4JE5cdPB8WhEvY4JBW5YynKyv66XscN4A9n',
    tls:
      '2774753233537b3fa50eb7d16a8e43457d85f4906c005b2236616c5d80939d08' +
      '98fff15bb8b77119d2be0aac423e7590',
  },
] as const;

for (const { hash, psk, identity, tls } of generated) {
  test(`generated PSK: ${hash}: the known identity and TLS PSK`, () => {
    const made = generatedTlsPsk(hash, Buffer.from(psk, 'hex'), 'hostnqn', 'subsysnqn');
    assert.equal(made.identity, identity);
    assert.equal(Buffer.from(made.psk).toString('hex'), tls);
    assert.deepEqual([made.hash, made.hostnqn, made.subnqn], [hash, 'hostnqn', 'subsysnqn']);
    assert.equal(isGenerated(made.identity), true);
    assert.equal(isGenerated(`NVMe1R01 ${hostnqn} ${subnqn} x`), false);
  });
}

test('generated PSK: of another length than its hash: our own mistake', () => {
  assert.throws(() => generatedTlsPsk('sha384', keyOf(32), hostnqn, subnqn), RangeError);
});
