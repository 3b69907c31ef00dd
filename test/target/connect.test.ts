import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeConnect } from '../../lib/target/connect.js';
import { nqnProblem } from '../../lib/target/nqn.js';
import { statuses } from '../../lib/target/statuses.js';

interface Fields {
  recfmt?: number;
  qid?: number;
  sqsize?: number;
  cattr?: number;
  kato?: number;
  cntlid?: number;
  subnqn?: string | Uint8Array;
  hostnqn?: string | Uint8Array;
}

const subnqn = 'nqn.2026-01.dev.ashlar:0f9e7a52-92f5-4b39-8a51-0b6a2a3b0e11';
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:9b5d0a12-7f33-4a6f-8f49-3f8f5c5f0c01';

function decode(fields: Fields) {
  const command = Buffer.alloc(64);
  command.writeUInt8(0x7f, 0);
  command.writeUInt8(1, 4);
  command.writeUInt16LE(fields.recfmt ?? 0, 40);
  command.writeUInt16LE(fields.qid ?? 0, 42);
  command.writeUInt16LE(fields.sqsize ?? 31, 44);
  command.writeUInt8(fields.cattr ?? 0, 46);
  command.writeUInt32LE(fields.kato ?? 0, 48);
  const data = Buffer.alloc(1024);
  for (let index = 0; index < 16; index += 1) data[index] = index;
  data.writeUInt16LE(fields.cntlid ?? 0xffff, 16);
  data.set(nqnField(fields.subnqn ?? subnqn), 256);
  data.set(nqnField(fields.hostnqn ?? hostnqn), 512);
  return decodeConnect(new Uint8Array(command), new Uint8Array(data));
}

function nqnField(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value;
}

function refusal(fields: Fields): { status: number; result: string } | null {
  const decoded = decode(fields);
  if ('request' in decoded) return null;
  const { status, result } = decoded.refusal;
  return { status, result: `0x${result.toString(16)}` };
}

describe('connect', () => {
  it('what Linux sends on the admin queue is taken as it is', () => {
    const decoded = decode({ kato: 5000, cattr: 4 });
    assert.ok('request' in decoded);
    assert.deepEqual(decoded.request, {
      qid: 0,
      queueEntries: 32,
      disableFlowControl: true,
      katoMs: 5000,
      hostId: Uint8Array.from({ length: 16 }, (_, index) => index),
      cntlid: 0xffff,
      subnqn,
      hostnqn,
    });
  });

  it('fields out of their ranges: IPO and IATTR name the field', () => {
    const invalid = (result: string) => ({ status: statuses.connectInvalidParameters, result });
    const cases: [Fields, { status: number; result: string } | null][] = [
      [{ recfmt: 1 }, { status: statuses.connectIncompatibleFormat, result: '0x0' }],
      [{ recfmt: 0xffff }, { status: statuses.connectIncompatibleFormat, result: '0x0' }],
      [{ sqsize: 0 }, invalid('0x2c')],
      [{ sqsize: 1 }, null],
      [{ sqsize: 1023 }, null],
      [{ sqsize: 1024 }, invalid('0x2c')],
      [{ sqsize: 0xffff }, invalid('0x2c')],
      [{ cntlid: 0 }, invalid('0x10010')],
      [{ cntlid: 0xfffe }, invalid('0x10010')],
      [{ qid: 1, cntlid: 5 }, null],
      [{ subnqn: '' }, invalid('0x10100')],
      [{ subnqn: 'nqn.2026-01.dev.ashlar' }, null],
      [{ hostnqn: '' }, invalid('0x10200')],
      [{ hostnqn: 'iqn.2026-01.dev.ashlar' }, invalid('0x10200')],
    ];
    for (const [fields, expected] of cases) {
      assert.deepEqual(refusal(fields), expected, JSON.stringify(fields));
    }
  });

  it('NQN fields: 223 bytes pass, 224 do not, nor 256 without a terminator, nor bad UTF-8', () => {
    const base = 'nqn.2026-01.dev.ashlar:';
    const long = base + 'x'.repeat(223 - base.length);
    assert.equal(refusal({ hostnqn: long }), null);
    assert.equal(refusal({ hostnqn: `${long}x` })?.result, '0x10200');
    assert.equal(refusal({ hostnqn: Buffer.alloc(256, 0x61) })?.result, '0x10200');
    const broken = Buffer.from(`${base}\xff`, 'latin1');
    assert.equal(refusal({ hostnqn: broken })?.result, '0x10200');
  });
});

describe('NQN rules', () => {
  it('names the rule that is broken', () => {
    const cases: [string, RegExp | null][] = [
      [hostnqn, null],
      ['nqn.2014-08.org.nvmexpress.discovery', null],
      ['nqn.2026-01.dev.ashlar:a b', /form/],
      ['nqn.2026-13.dev.ashlar:a', /form/],
      ['nqn.26-01.dev.ashlar:a', /form/],
      ['', /empty/],
      [`nqn.2014-08.org.nvmexpress:uuid:${'0'.repeat(36)}`, /UUID/],
      [`nqn.2026-01.dev.ashlar:${'x'.repeat(201)}`, /224 bytes/],
    ];
    for (const [nqn, expected] of cases) {
      const problem = nqnProblem(nqn);
      if (expected === null) assert.equal(problem, null, nqn);
      else assert.match(problem ?? '', expected, nqn);
    }
  });
});
