import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cap, Properties } from '../../lib/target/properties.js';
import { statuses } from '../../lib/target/statuses.js';

const enabled = 0x0046_0001; // IOCQES 4, IOSQES 6, EN.

function set(properties: Properties, cc: number) {
  return properties.set({ sizeCode: 0, offset: 0x14, value: BigInt(cc >>> 0) });
}

describe('properties', () => {
  it('CAP: 1,024 entries, contiguous, NVM command set, 4 KiB pages', () => {
    assert.equal(cap & 0xffffn, 1023n);
    assert.equal((cap >> 16n) & 1n, 1n); // CQR
    assert.equal((cap >> 37n) & 0xffn, 1n); // CSS
    assert.equal((cap >> 48n) & 0xffn, 0n); // MPSMIN, MPSMAX
    assert.equal(cap >> 59n, 1n); // CRMS
  });

  it('Get: sizes must fit, and unknown offsets are refused', () => {
    const properties = new Properties('io');
    const cases: [number, number, number][] = [
      [0x00, 1, 0],
      [0x00, 0, statuses.invalidField],
      [0x08, 0, 0],
      [0x08, 1, statuses.invalidField],
      [0x14, 0, 0],
      [0x1c, 0, 0],
      [0x68, 0, 0],
      [0x20, 0, statuses.invalidField],
      [0x04, 0, statuses.invalidField],
      [0x15, 0, statuses.invalidField],
      [0xffff_ffff, 0, statuses.invalidField],
      [0x1c, 2, statuses.invalidField],
    ];
    for (const [offset, sizeCode, status] of cases) {
      const completion = properties.get({ offset, sizeCode, value: 0n });
      assert.equal(completion.status, status, `offset ${offset}, size ${sizeCode}`);
    }
  });

  it('enable: ready at once; disable: a reset', () => {
    const properties = new Properties('io');
    assert.equal(properties.ready, false);
    assert.equal(set(properties, enabled).effect, 'enabled');
    assert.equal(properties.csts, 1);
    assert.equal(set(properties, enabled).effect, 'none');
    assert.equal(set(properties, enabled & ~1).effect, 'reset');
    assert.equal(properties.csts, 0);
  });

  it('enable with what we do not have: CFS until it is disabled', () => {
    for (const cc of [
      enabled | (1 << 4), // CSS
      enabled | (1 << 7), // MPS: 8 KiB
      enabled | (1 << 11), // AMS
      0x0045_0001, // IOSQES 5
      0x0036_0001, // IOCQES 3
      1,
    ]) {
      const properties = new Properties('io');
      assert.equal(set(properties, cc).effect, 'none', cc.toString(16));
      assert.equal(properties.csts, 0b10);
      assert.equal(properties.ready, false);
      assert.equal(set(properties, 0).effect, 'reset');
      assert.equal(properties.csts, 0);
      assert.equal(set(properties, enabled).effect, 'enabled');
    }
  });

  it('discovery: no I/O queue entry sizes are needed', () => {
    assert.equal(set(new Properties('discovery'), 1).effect, 'enabled');
  });

  it('shutdown: complete at once, no commands afterwards, and enable begins anew', () => {
    for (const shn of [1 << 14, 2 << 14]) {
      const properties = new Properties('io');
      set(properties, enabled);
      assert.equal(set(properties, enabled | shn).effect, 'shutdown');
      assert.equal(properties.csts, 0b1001);
      assert.equal(properties.ready, false);
      assert.equal(set(properties, enabled | shn).effect, 'none');
      assert.equal(set(properties, 0).effect, 'reset');
      assert.equal(set(properties, enabled).effect, 'enabled');
      assert.equal(properties.csts, 1);
    }
  });

  it('Set: everything but a 4-byte CC is refused and changes nothing', () => {
    const properties = new Properties('io');
    for (const [offset, sizeCode] of [
      [0x00, 1],
      [0x08, 0],
      [0x1c, 0],
      [0x14, 1],
      [0x68, 0],
      [0x20, 0],
    ] as const) {
      const { completion, effect } = properties.set({ offset, sizeCode, value: 1n });
      assert.equal(completion.status, statuses.invalidField);
      assert.equal(effect, 'none');
    }
    assert.equal(properties.csts, 0);
  });
});
