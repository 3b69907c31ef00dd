/** Verify, Copy and fused Compare and Write against the real store. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { inCapsuleBlock, ioSqe, opcode, sqe, status } from './commands.js';
import type { Association } from './connection.js';
import { blockBytes, pattern, Target } from './fixture.js';
import { capsuleCmd } from './pdu.js';

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

function transfer(code: number, slba: number, blocks: number): Buffer {
  const sglLength = blocks * blockBytes;
  return ioSqe({ opcode: code, nsid: target.nsid, slba: BigInt(slba), blocks, sglLength });
}

async function write(slba: number, data: Buffer): Promise<void> {
  const entry = transfer(opcode.write, slba, data.length / blockBytes);
  assert.equal((await host.io.command(entry, { dataOut: data })).status, 0);
}

async function read(slba: number, blocks: number): Promise<Buffer> {
  return (await host.io.command(transfer(opcode.read, slba, blocks))).data;
}

/** A half of a fused pair (FUSE 01b or 10b), its block in the capsule. */
function half(code: number, fuse: number, cid: number, slba: number, data: Buffer): Buffer {
  const entry = sqe({
    opcode: code,
    cid,
    nsid: target.nsid,
    cdw: [slba, 0, 0],
    sglLength: data.length,
    sglType: inCapsuleBlock,
  });
  entry.writeUInt8(0x40 | fuse, 1);
  return capsuleCmd(entry, data, host.io.framing);
}

/** The statuses of the Compare and of the Write. */
async function compareAndWrite(slba: number, old: Buffer, fresh: Buffer): Promise<number[]> {
  const first = half(opcode.compare, 1, 1, slba, old);
  host.io.write(Buffer.concat([first, half(opcode.write, 2, 2, slba, fresh)]));
  const one = await host.io.completion(Buffer.alloc(0));
  const two = await host.io.completion(Buffer.alloc(0));
  assert.deepEqual([one.cid, two.cid], [1, 2]);
  return [one.status, two.status];
}

test('Verify: of data, of a hole, and beyond the end', async () => {
  await write(10, pattern(10, 4, 1));
  const verify = async (slba: number, blocks: number) => {
    const entry = { opcode: 0x0c, nsid: target.nsid, slba: BigInt(slba), blocks };
    const answer = await host.io.command(ioSqe(entry));
    assert.equal(answer.data.length, 0);
    return answer.status;
  };
  assert.equal(await verify(10, 4), 0);
  assert.equal(await verify(0, 256), 0);
  assert.equal(await verify(target.sizeBlocks, 1), status.lbaOutOfRange);
});

test('Copy: blocks and a hole, over chunks: what was there is there', async () => {
  const data = pattern(100, 40, 2);
  await write(100, data);
  await write(1000, pattern(1000, 64, 3)); // What the hole must replace.
  const ranges = Buffer.alloc(64);
  ranges.writeBigUInt64LE(100n, 8);
  ranges.writeUInt16LE(39, 16);
  ranges.writeBigUInt64LE(5000n, 40); // Never written.
  ranges.writeUInt16LE(19, 48);
  const cdw = [1000, 0, 1];
  const entry = sqe({ opcode: 0x19, nsid: target.nsid, cdw, sglLength: ranges.length });
  assert.equal((await host.io.command(entry, { dataOut: ranges })).status, 0);
  const copied = await read(1000, 64);
  assert.ok(copied.subarray(0, data.length).equals(data));
  assert.ok(copied.subarray(data.length, 60 * blockBytes).equals(Buffer.alloc(20 * blockBytes)));
  assert.ok(
    copied.subarray(60 * blockBytes).equals(pattern(1000, 64, 3).subarray(60 * blockBytes)),
  );
});

test('fused Compare and Write: on a hole, on data, and when another was faster', async () => {
  const [first, second] = [pattern(300, 1, 4), pattern(300, 1, 5)];
  assert.deepEqual(await compareAndWrite(300, Buffer.alloc(blockBytes), first), [0, 0]);
  assert.deepEqual(await compareAndWrite(300, first, second), [0, 0]);
  assert.deepEqual(await compareAndWrite(300, first, first), [status.compareFailure, 0x009]);
  assert.ok((await read(300, 1)).equals(second));
  await target.assertWitness();
});
