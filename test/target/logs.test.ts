import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DiscoveryLog, discoveryAddress } from '../../lib/target/discovery.js';
import {
  cutLogPage,
  encodeAna,
  encodeChangedNamespaces,
  encodeCommandEffects,
  encodeErrorLog,
  encodeFirmwareSlot,
  encodeSmart,
  encodeSupportedLogPages,
  hasLogPage,
} from '../../lib/target/logs.js';
import { parseEndpoint } from '../../lib/target/portals.js';
import { decodeGetLogPage, decodeSqe } from '../../lib/target/sqe.js';
import { statuses } from '../../lib/target/statuses.js';
import { ascii, assertFields, le, sqe } from './layout.js';

function logCommand(fields: {
  /** The SMART log when not given. */
  lid?: number;
  lengthBytes: number;
  offset?: bigint;
  index?: boolean;
  rae?: boolean;
}) {
  const numd = fields.lengthBytes / 4 - 1;
  const offset = fields.offset ?? 0n;
  const bytes = sqe({
    opcode: 2,
    cdw10: (fields.lid ?? 0x02) | (fields.rae === true ? 1 << 15 : 0) | ((numd & 0xffff) << 16),
    cdw11: numd >>> 16,
    cdw12: Number(offset & 0xffff_ffffn),
    cdw13: Number(offset >> 32n),
    cdw14: fields.index === true ? 1 << 23 : 0,
  });
  return decodeGetLogPage(decodeSqe(bytes));
}

const page = Uint8Array.from({ length: 64 }, (_, index) => index + 1);

describe('get log page', () => {
  it('NUMDL and NUMDU: 4 bytes, 256 KiB, and the largest', () => {
    assert.equal(logCommand({ lengthBytes: 4 }).lengthBytes, 4);
    assert.equal(logCommand({ lengthBytes: 262_144 }).lengthBytes, 262_144);
    assert.equal(logCommand({ lengthBytes: 262_148 }).lengthBytes, 262_148);
    const largest = decodeGetLogPage(
      decodeSqe(sqe({ opcode: 2, cdw10: 0xffff_0000, cdw11: 0xffff })),
    );
    assert.equal(largest.lengthBytes, 2 ** 34);
  });

  it('a part of a page: what lies beyond its end reads as zeroes', () => {
    const cut = (offset: bigint, lengthBytes: number) =>
      cutLogPage(logCommand({ lengthBytes, offset }), page, 4096);
    assert.deepEqual(cut(0n, 4).data, Uint8Array.of(1, 2, 3, 4));
    assert.deepEqual(cut(60n, 8).data, Uint8Array.of(61, 62, 63, 64, 0, 0, 0, 0));
    assert.deepEqual(cut(64n, 4).data, Uint8Array.of(0, 0, 0, 0));
  });

  it('offsets past the end, odd ones, index offsets, and too little room: refused', () => {
    const status = (offset: bigint, lengthBytes: number, room: number, index = false) =>
      cutLogPage(logCommand({ lengthBytes, offset, index }), page, room).status;
    assert.equal(status(68n, 4, 4096), statuses.invalidField);
    assert.equal(status(2n, 4, 4096), statuses.invalidField);
    assert.equal(status(1n << 63n, 4, 4096), statuses.invalidField);
    assert.equal(status(0n, 4, 4096, true), statuses.invalidField);
    assert.equal(status(0n, 8, 4), statuses.dataSglLengthInvalid);
    assert.equal(status(0n, 2 ** 20 + 4, 2 ** 24), statuses.dataSglLengthInvalid);
  });
});

describe('log pages', () => {
  it('ANA: is read in pieces to its largest size, beyond what the groups of today fill', () => {
    const log = encodeAna([], 0n, false);
    const cut = (offset: bigint) =>
      cutLogPage(logCommand({ lid: 0x0c, lengthBytes: 4096, offset }), log, 4096);
    for (const offset of [0n, 4096n, 65_536n, 69_648n]) {
      assert.equal(cut(offset).status, statuses.success, `offset ${offset}`);
    }
    assert.equal(cut(69_652n).status, statuses.invalidField);
  });

  it('ANA: groups ascend, each with its NSIDs; with RGO none has NSIDs', () => {
    const groups = [
      { anagrpid: 9, state: 'change' as const, changeCount: 3n, nsids: [] },
      { anagrpid: 1, state: 'optimized' as const, changeCount: 0n, nsids: [7, 2] },
    ];
    const log = encodeAna(groups, 12n, false);
    assert.equal(log.length, 16 + 32 + 8 + 32);
    assertFields(
      log,
      [
        [0, 8, 12n],
        [8, 2, 2n],
        [16, 4, 1n],
        [20, 4, 2n],
        [32, 1, 1n],
        [48, 4, 2n],
        [52, 4, 7n],
        [56, 4, 9n],
        [64, 8, 3n],
        [72, 1, 0xfn],
      ],
      assert.equal,
    );
    const groupsOnly = encodeAna(groups, 12n, true);
    assert.equal(groupsOnly.length, 16 + 64);
    assert.equal(le(groupsOnly, 20, 4), 0n);
    assert.equal(le(groupsOnly, 48, 4), 9n);
  });

  it('changed namespaces: ascending; over 1,024 of them "all"', () => {
    const few = encodeChangedNamespaces(new Set([9, 3]));
    assert.equal(few.length, 4096);
    assertFields(
      few,
      [
        [0, 4, 3n],
        [4, 4, 9n],
      ],
      assert.equal,
    );
    const many = new Set(Array.from({ length: 1024 }, (_, index) => index + 1));
    assert.equal(le(encodeChangedNamespaces(many), 4092, 4), 1024n);
    many.add(5000);
    assertFields(encodeChangedNamespaces(many), [[0, 4, 0xffff_ffffn]], assert.equal);
  });

  it('commands supported and effects: writes change content, Format is absent', () => {
    const effects = encodeCommandEffects();
    assert.equal(effects.length, 4096);
    assert.equal(le(effects, 0x06 * 4, 4) & 1n, 1n);
    assert.equal(le(effects, 0x80 * 4, 4), 0n);
    assert.equal(le(effects, 1024 + 4, 4) & 0b11n, 0b11n);
    assert.equal(le(effects, 1024 + 8, 4) & 0b11n, 0b01n);
  });

  it('supported log pages: discovery has its own', () => {
    const listed = (kind: 'io' | 'discovery') => {
      const log = encodeSupportedLogPages(kind);
      return Array.from({ length: 256 }, (_, lid) => lid).filter(
        (lid) => le(log, lid * 4, 1) === 1n,
      );
    };
    assert.deepEqual(listed('discovery'), [0x00, 0x70]);
    assert.deepEqual(listed('io'), [0, 1, 2, 3, 4, 5, 0x0c, 0x12, 0x13, 0x80]);
  });

  it('telemetry and what else tells of device internals: not there, for either kind', () => {
    const telemetry = [0x07, 0x08];
    const deviceInternals = [0x06, 0x09, 0x0a, 0x0b, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x81];
    for (const lid of [...telemetry, ...deviceInternals]) {
      assert.ok(!hasLogPage('io', lid) && !hasLogPage('discovery', lid), `${lid}`);
    }
    assert.equal((encodeSupportedLogPages('io')[0x07 * 4] ?? 0) & 1, 0);
  });

  it('SMART: a failed pool is a critical warning; spare is what is free', () => {
    const healthy = { poolFailed: false, freePercent: 42.9, powerOnHours: 5n, errorLogEntries: 2n };
    assertFields(
      encodeSmart(healthy),
      [
        [3, 1, 42n],
        [128, 8, 5n],
        [176, 8, 2n],
      ],
      assert.equal,
    );
    assert.equal(encodeSmart({ ...healthy, poolFailed: true })[0], 4);
  });

  it('error log: newest first, 64 bytes each, every field at its place', () => {
    const entry = (errorCount: bigint) => ({
      errorCount,
      sqid: 2,
      cid: 7,
      statusField: 0x8004,
      parameterLocation: 40,
      lba: 9n,
      nsid: 3,
      opcode: 0x02,
    });
    const log = encodeErrorLog([entry(2n), entry(1n)], 64);
    assert.equal(log.length, 4096);
    assert.equal(le(log, 64, 8), 1n);
    assertFields(
      log.slice(0, 64),
      [
        [0, 8, 2n],
        [8, 2, 2n],
        [10, 2, 7n],
        [12, 2, 0x8004n],
        [14, 2, 40n],
        [16, 8, 9n],
        [24, 4, 3n],
        [29, 1, 3n], // TRTYPE
        [31, 1, 2n], // the opcode
        [63, 1, 1n], // Log Page Version
      ],
      assert.equal,
    );
  });

  it('firmware slot: slot 1 is active', () => {
    const log = encodeFirmwareSlot('0.1.0');
    assert.equal(log[0], 1);
    assert.equal(ascii(log, 8, 8), '0.1.0   ');
  });
});

describe('discovery log', () => {
  const nvm = { subtype: 'nvm', tls: 'none' } as const;
  const current = { subtype: 'current', tls: 'none' } as const;
  const referral = { subtype: 'referral', tls: null } as const;

  it('a header and a record for each, strings padded as the spec says', () => {
    const whole = new DiscoveryLog(
      [
        { ...nvm, address: '10.0.0.7', port: 4420, portalId: 3, subnqn: 'nqn.2026-01.a.b' },
        { ...current, address: 'fe80::1%eth0', port: 8009, portalId: 4, subnqn: 'nqn.x' },
        { ...referral, address: '10.0.0.8', port: 8009, portalId: 0, subnqn: 'nqn.y' },
      ],
      9n,
    );
    const log = whole.subarray(0, whole.length);
    assert.equal(log.length, 4096);
    assert.deepEqual([le(log, 0, 8), le(log, 8, 8), le(log, 16, 2)], [9n, 3n, 0n]);
    assert.deepEqual([...log.slice(1024, 1028)], [3, 1, 2, 4]);
    assert.deepEqual([le(log, 1028, 2), le(log, 1030, 2), le(log, 1032, 2)], [3n, 0xffffn, 1024n]);
    assert.equal(ascii(log, 1056, 32), '4420'.padEnd(32));
    assert.equal(ascii(log, 1280, 16), 'nqn.2026-01.a.b\0');
    assert.equal(ascii(log, 1536, 256), '10.0.0.7'.padEnd(256));
    assert.deepEqual([...log.slice(2048, 2052)], [3, 2, 3, 4]);
    assert.equal(le(log, 2058, 2), 3n);
    assert.deepEqual([...log.slice(3072, 3076)], [3, 1, 1, 0]);
    assert.deepEqual([le(log, 3080, 2), le(log, 3082, 2)], [32n, 0n]);
  });

  it('any part of the page: the same bytes as of the whole', () => {
    const record = (port: number) => {
      return { ...nvm, address: '10.0.0.7', port, portalId: 1, subnqn: 'nqn.a' };
    };
    const page = new DiscoveryLog([record(1), record(2), record(3)], 1n);
    const whole = Buffer.from(page.subarray(0, page.length));
    assert.equal(whole.length, 4096);
    for (let start = 0; start <= 4096; start += 12) {
      for (const length of [4, 1020, 1024, 1028, 2048, 4096]) {
        const part = page.subarray(start, start + length);
        assert.ok(whole.subarray(start, start + length).equals(part), `${length} at ${start}`);
      }
    }
  });

  it('a wildcard portal is given by the address through which the host came', () => {
    assert.equal(discoveryAddress('192.0.2.1', '10.0.0.1'), '192.0.2.1');
    assert.equal(discoveryAddress('0.0.0.0', '10.0.0.1'), '10.0.0.1');
    assert.equal(discoveryAddress('0.0.0.0', 'fe80::1'), null);
    assert.equal(discoveryAddress('::', 'fe80::1'), 'fe80::1');
    assert.equal(discoveryAddress('::', '10.0.0.1'), '10.0.0.1');
    assert.equal(discoveryAddress('::', null), null);
  });

  it('endpoints of native events: IPv4, IPv6, and IPv4 mapped into IPv6', () => {
    assert.deepEqual(parseEndpoint('10.0.0.1:4420'), { address: '10.0.0.1', port: 4420 });
    assert.deepEqual(parseEndpoint('[fe80::1]:8009'), { address: 'fe80::1', port: 8009 });
    assert.deepEqual(parseEndpoint('[::ffff:10.0.0.1]:1'), { address: '10.0.0.1', port: 1 });
    assert.equal(parseEndpoint('nowhere'), null);
  });
});
