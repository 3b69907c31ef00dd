/** Commands with fields at both ends of their ranges: a wrong one fails with its status, alone. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  fctype,
  identify,
  inCapsuleBlock,
  ioSqe,
  opcode,
  property,
  propertyGet,
  propertySet,
  sqe,
  status,
} from './commands.js';
import type { Association } from './connection.js';
import { blockBytes, pattern, Target } from './fixture.js';

let target: Target;
let host: Association;
before(async () => {
  target = await Target.start();
  host = await target.associate();
});
after(async () => {
  await host[Symbol.asyncDispose]();
  await target[Symbol.asyncDispose]();
});

/** A Read, Write or Compare whose SGL fits the number of blocks. */
function transfer(code: number, slba: bigint, blocks: number, nsid = target.nsid): Buffer {
  return ioSqe({ opcode: code, nsid, slba, blocks, sglLength: blocks * blockBytes });
}

async function failsWith(entry: Buffer, expected: number, dataOut?: Buffer): Promise<void> {
  const answer = await host.io.command(entry, dataOut === undefined ? {} : { dataOut });
  assert.equal(answer.status.toString(16), expected.toString(16));
  assert.ok(answer.doNotRetry, 'Do Not Retry: the same command would fail again');
}

describe('the range of a command', () => {
  test('the last block: is written and read', async () => {
    const slba = BigInt(target.sizeBlocks - 1);
    const data = pattern(target.sizeBlocks - 1, 1, 1);
    const written = await host.io.command(transfer(opcode.write, slba, 1), { dataOut: data });
    assert.equal(written.status, 0);
    const read = await host.io.command(transfer(opcode.read, slba, 1));
    assert.ok(read.data.equals(data));
  });

  for (const [name, code] of [
    ['Read', opcode.read],
    ['Write', opcode.write],
    ['Compare', opcode.compare],
  ] as const) {
    test(`${name} of the block behind the last: LBA Out of Range`, () =>
      failsWith(transfer(code, BigInt(target.sizeBlocks), 1), status.lbaOutOfRange));

    test(`${name} over the end by one block: LBA Out of Range`, () =>
      failsWith(transfer(code, BigInt(target.sizeBlocks - 1), 2), status.lbaOutOfRange));

    test(`${name} at SLBA 2^64 − 1, where the sum wraps: LBA Out of Range`, () =>
      failsWith(transfer(code, 2n ** 64n - 1n, 2), status.lbaOutOfRange));

    test(`${name} at SLBA 2^52, where the bytes wrap: LBA Out of Range`, () =>
      failsWith(transfer(code, 2n ** 52n, 1), status.lbaOutOfRange));

    test(`${name} longer than MDTS: Invalid Field`, () =>
      failsWith(transfer(code, 0n, 65536 / 8), status.invalidField));

    test(`${name} whose SGL is a block short: Data SGL Length Invalid`, () =>
      failsWith(
        ioSqe({ opcode: code, nsid: target.nsid, slba: 0n, blocks: 2, sglLength: blockBytes }),
        status.sglLengthInvalid,
      ));
  }

  test('Write Zeroes of the whole volume: is done', async () => {
    const entry = ioSqe({
      opcode: opcode.writeZeroes,
      nsid: target.nsid,
      slba: 1024n,
      blocks: 8192,
    });
    assert.equal((await host.io.command(entry)).status, 0);
    const over = ioSqe({
      opcode: opcode.writeZeroes,
      nsid: target.nsid,
      slba: BigInt(target.sizeBlocks - 1),
      blocks: 2,
    });
    await failsWith(over, status.lbaOutOfRange);
  });
});

describe('the namespace of a command', () => {
  for (const nsid of [0, 0xfffffffe, 0xffffffff]) {
    test(`Read of NSID ${nsid.toString(16)}h: Invalid Namespace or Format`, () =>
      failsWith(transfer(opcode.read, 0n, 1, nsid), status.invalidNamespace));
  }

  test('the NSIDs beside an active one: Invalid Namespace or Format', async () => {
    await failsWith(transfer(opcode.read, 0n, 1, target.nsid + 1), status.invalidNamespace);
    await failsWith(transfer(opcode.write, 0n, 1, target.nsid + 1), status.invalidNamespace);
  });

  test('Flush of NSID FFFFFFFFh: flushes all', async () => {
    const answer = await host.io.command(sqe({ opcode: opcode.flush, nsid: 0xffffffff }));
    assert.equal(answer.status, 0);
  });
});

describe('the form of a command', () => {
  for (const code of [0x03, 0x04, 0x0b, 0x7e, 0x80, 0xff]) {
    test(`I/O opcode ${code.toString(16)}h: Invalid Command Opcode`, () =>
      failsWith(sqe({ opcode: code, nsid: target.nsid }), status.invalidOpcode));
  }

  for (const type of [0x00, 0x0a, 0x10, 0x20, 0x30, 0x40, 0x50, 0xff]) {
    test(`SGL type ${type.toString(16)}h on a Read: SGL Descriptor Type Invalid`, () => {
      const entry = transfer(opcode.read, 0n, 1);
      entry.writeUInt8(type, 39);
      return failsWith(entry, status.sglTypeInvalid);
    });
  }

  test('fused bits: Invalid Field', () => {
    const entry = transfer(opcode.read, 0n, 1);
    entry.writeUInt8(0x41, 1);
    return failsWith(entry, status.invalidField);
  });

  test('PRPs instead of an SGL: Invalid Field', () => {
    const entry = transfer(opcode.read, 0n, 1);
    entry.writeUInt8(0x00, 1);
    return failsWith(entry, status.invalidField);
  });

  test('an in-capsule SGL that points behind the data: SGL Offset Invalid', async () => {
    const entry = transfer(opcode.write, 0n, 1);
    entry.writeUInt8(inCapsuleBlock, 39);
    entry.writeBigUInt64LE(1n, 24);
    const answer = await host.io.command(entry, { dataOut: pattern(0, 1, 1), inCapsule: true });
    assert.equal(answer.status, status.sglOffsetInvalid);
  });

  test('in-capsule data at both ends of its length: 4 bytes fail, 8192 are taken', async () => {
    const entry = transfer(opcode.write, 0n, 2);
    entry.writeUInt8(inCapsuleBlock, 39);
    const taken = await host.io.command(entry, { dataOut: pattern(0, 2, 1), inCapsule: true });
    assert.equal(taken.status, 0);
    const short = transfer(opcode.write, 0n, 1);
    short.writeUInt8(inCapsuleBlock, 39);
    short.writeUInt32LE(4, 32);
    const failed = await host.io.command(short, { dataOut: Buffer.alloc(4), inCapsule: true });
    assert.equal(failed.status, status.sglLengthInvalid);
  });
});

describe('Compare', () => {
  test('equal blocks: succeeds; one other byte: Compare Failure', async () => {
    const data = pattern(2048, 8, 5);
    await host.io.command(transfer(opcode.write, 2048n, 8), { dataOut: data });
    const equal = await host.io.command(transfer(opcode.compare, 2048n, 8), { dataOut: data });
    assert.equal(equal.status, 0);
    const other = Buffer.from(data);
    other.writeUInt8((other.readUInt8(other.length - 1) + 1) & 0xff, other.length - 1);
    const unequal = await host.io.command(transfer(opcode.compare, 2048n, 8), { dataOut: other });
    assert.equal(unequal.status, status.compareFailure);
  });
});

describe('Dataset Management', () => {
  /** NR is 0's based; each range is attributes, blocks, SLBA. */
  function deallocate(ranges: [bigint, number][]): { entry: Buffer; data: Buffer } {
    const data = Buffer.alloc(ranges.length * 16);
    ranges.forEach(([slba, blocks], index) => {
      data.writeUInt32LE(blocks, index * 16 + 4);
      data.writeBigUInt64LE(slba, index * 16 + 8);
    });
    const entry = sqe({
      opcode: opcode.datasetManagement,
      nsid: target.nsid,
      cdw: [ranges.length - 1, 4],
      sglLength: data.length,
    });
    return { entry, data };
  }

  test('256 ranges: read as zeroes afterwards, and their neighbours do not', async () => {
    const data = pattern(4096, 256, 2);
    await host.io.command(transfer(opcode.write, 4096n, 256), { dataOut: data });
    const every = Array.from({ length: 128 }, (_, i): [bigint, number] => [
      4096n + BigInt(2 * i),
      1,
    ]);
    const { entry, data: list } = deallocate([...every, ...every]);
    assert.equal((await host.io.command(entry, { dataOut: list })).status, 0);
    const read = await host.io.command(transfer(opcode.read, 4096n, 256));
    for (let block = 0; block < 256; block += 1) {
      const found = read.data.subarray(block * blockBytes, (block + 1) * blockBytes);
      const expected =
        block % 2 === 0
          ? Buffer.alloc(blockBytes)
          : data.subarray(block * blockBytes, (block + 1) * blockBytes);
      assert.ok(found.equals(expected), `block ${block}`);
    }
  });

  test('a range over the end: LBA Out of Range', async () => {
    const { entry, data } = deallocate([[BigInt(target.sizeBlocks - 1), 2]]);
    await failsWith(entry, status.lbaOutOfRange, data);
  });

  test('more ranges than the data holds: Data SGL Length Invalid', async () => {
    const { entry, data } = deallocate([[0n, 1]]);
    entry.writeUInt32LE(255, 40);
    await failsWith(entry, status.sglLengthInvalid, data);
  });
});

describe('admin commands', () => {
  const admin = async (entry: Buffer) => (await host.admin.command(entry)).status;

  test('an unknown opcode: Invalid Command Opcode', async () => {
    for (const code of [0x00, 0x01, 0x04, 0x05, 0x7e, 0xc0, 0xff]) {
      assert.equal(await admin(sqe({ opcode: code })), status.invalidOpcode, `opcode ${code}`);
    }
  });

  test('Identify with a CNS that nobody defined: Invalid Field', async () => {
    assert.equal(await admin(identify(0xff)), status.invalidField);
  });

  test('Identify Namespace of an NSID out of range: Invalid Namespace or Format', async () => {
    for (const nsid of [0, 0xfffffffe]) {
      assert.equal(await admin(identify(0x00, nsid)), status.invalidNamespace, `NSID ${nsid}`);
    }
  });

  test('Get Log Page with an unknown page: Invalid Log Page', async () => {
    const entry = sqe({ opcode: opcode.getLogPage, cdw: [0xff | (127 << 16)], sglLength: 512 });
    assert.equal(await admin(entry), status.invalidLogPage);
  });

  test('Set Features with an unknown feature: Invalid Field', async () => {
    assert.equal(await admin(sqe({ opcode: opcode.setFeatures, cdw: [0x7f] })), 0x002);
  });

  test('properties: CAP, VS and CSTS are read, unknown ones refused', async () => {
    const cap = await host.admin.command(propertyGet(property.cap, 8));
    assert.equal(cap.status, 0);
    assert.ok(Number(cap.result & 0xffffn) >= 127, 'CAP.MQES');
    const vs = await host.admin.command(propertyGet(property.vs, 4));
    assert.ok(vs.result >= 0x10300n, `VS ${vs.result.toString(16)}`);
    const csts = await host.admin.command(propertyGet(property.csts, 4));
    assert.equal(csts.result & 3n, 1n, 'ready, not failed');
    const unknown = await host.admin.command(propertyGet(0x1000, 4));
    assert.equal(unknown.status, status.invalidField);
    const readOnly = await host.admin.command(propertySet(property.cap, 8, 0n));
    assert.equal(readOnly.status, status.invalidField);
  });

  test('a Fabrics type that nobody defined: an error, and the queue lives', async () => {
    const entry = sqe({ opcode: opcode.fabrics });
    entry.writeUInt8(0x7f, 4);
    const answer = await host.admin.command(entry);
    assert.notEqual(answer.status, 0);
    assert.equal(await admin(sqe({ opcode: opcode.keepAlive })), 0);
  });

  test('a second Connect on a connected queue: is refused', async () => {
    const entry = sqe({ opcode: opcode.fabrics, sglLength: 1024, sglType: inCapsuleBlock });
    entry.writeUInt8(fctype.connect, 4);
    const data = Buffer.alloc(1024);
    const answer = await host.admin.command(entry, { dataOut: data, inCapsule: true });
    assert.equal(answer.status, status.commandSequence);
  });

  test('nothing of all this was noticed by another host', () => target.assertWitness());
});
