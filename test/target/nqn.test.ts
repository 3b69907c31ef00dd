/** NQNs (Base 4.5): what follows the rules, and what is said of what does not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeNqnField, nqnProblem } from '../../lib/target/nqn.js';

const uuid = '5e3a9a1c-0b7d-4c41-9d0e-6a3f2b1c4d5e';
const longest = `nqn.2026-01.dev.ashlar:${'x'.repeat(200)}`;

describe('an NQN', () => {
  it('that follows the rules: nothing is said', () => {
    const fine = [
      'nqn.2014-08.org.nvmexpress.discovery',
      `nqn.2014-08.org.nvmexpress:uuid:${uuid}`,
      `nqn.2014-08.org.nvmexpress:uuid:${uuid.toUpperCase()}`,
      'nqn.1988-11.com.dell:powerstore:00:a0b1c2',
      'nqn.2016-06.io.spdk:cnode1',
      'nqn.2026-12.dev.ashlar',
      'nqn.2026-01.dev.ashlar:größe-日本',
      'nqn.2026-01.1and1.xn--bcher-kva:a:b:c',
      longest,
    ];
    for (const nqn of fine) assert.equal(nqnProblem(nqn), null, nqn);
    assert.equal(longest.length, 223);
  });

  it('that is broken: the rule is named', () => {
    const form = /is not of the form 'nqn\.yyyy-mm\.reverse\.domain:name'/;
    const uuidRule = /does not have a UUID after 'nqn\.2014-08\.org\.nvmexpress:uuid:'/;
    const broken: [string, RegExp][] = [
      ['', /is empty/],
      [`${longest}x`, /is 224 bytes long; an NQN has at most 223/],
      // 200 letters of two bytes each: bytes count, not letters.
      [`nqn.2026-01.dev.ashlar:${'ü'.repeat(101)}`, /is 225 bytes long/],
      ['iqn.2026-01.dev.ashlar:a', form],
      ['NQN.2026-01.dev.ashlar:a', form],
      ['nqn.2026-00.dev.ashlar:a', form],
      ['nqn.2026-13.dev.ashlar:a', form],
      ['nqn.2026-1.dev.ashlar:a', form],
      ['nqn.202-01.dev.ashlar:a', form],
      ['nqn.2026-01', form],
      ['nqn.2026-01.', form],
      ['nqn.2026-01.dev..ashlar:a', form],
      ['nqn.2026-01.dev.ashlar:', form],
      ['nqn.2026-01.dev_ashlar:a', form],
      ['nqn.2026-01.dev.ashlar:a b', form],
      ['nqn.2026-01.dev.ashlar:a\n', form],
      ['nqn.2026-01.dev.ashlar:a\u0007', form],
      [' nqn.2026-01.dev.ashlar:a', form],
      ['nqn.2014-08.org.nvmexpress:uuid:', uuidRule],
      [`nqn.2014-08.org.nvmexpress:uuid:${uuid}0`, uuidRule],
      [`nqn.2014-08.org.nvmexpress:uuid:{${uuid}}`, uuidRule],
      [`nqn.2014-08.org.nvmexpress:uuid:${uuid.replaceAll('-', '')}`, uuidRule],
      [`nqn.2014-08.org.nvmexpress:uuid:${uuid.replace('5e3a', 'gggg')}`, uuidRule],
    ];
    for (const [nqn, problem] of broken) {
      assert.match(nqnProblem(nqn) ?? 'nothing', problem, JSON.stringify(nqn));
    }
  });
});

describe('an NQN in a field of Connect data', () => {
  const field = (...bytes: number[]): Uint8Array => {
    const padded = new Uint8Array(256);
    padded.set(bytes);
    return padded;
  };

  it('ends at its terminator, and follows the rules on length and letters', () => {
    assert.equal(decodeNqnField(field(0x6e, 0x71, 0x6e, 0, 0x78)), 'nqn');
    assert.equal(decodeNqnField(field(...Array<number>(223).fill(0x61))), 'a'.repeat(223));
  });

  it('that is broken: none', () => {
    assert.equal(decodeNqnField(field()), null, 'empty');
    assert.equal(decodeNqnField(field(...Array<number>(224).fill(0x61))), null, 'too long');
    assert.equal(decodeNqnField(new Uint8Array(256).fill(0x61)), null, 'no terminator');
    assert.equal(decodeNqnField(field(0x6e, 0xc3, 0x28)), null, 'not UTF-8');
    assert.equal(decodeNqnField(field(0x6e, 0xed, 0xa0, 0x80)), null, 'a surrogate');
  });
});
