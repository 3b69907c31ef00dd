/** Commands Supported and Effects is exactly what is dispatched: every opcode is tried. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fctype, inCapsuleBlock, ioSqe, opcode, sqe, status } from './commands.js';
import type { Association, Connection } from './connection.js';
import { blockBytes, Target } from './fixture.js';

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

const allOpcodes = [...Array(256).keys()];

/** The entries of the log that say "supported" (CSUPP): of the admin queue, and of I/O queues. */
async function supported(): Promise<{ admin: number[]; io: number[] }> {
  const bytes = 4096;
  const cdw = [0x05 | ((bytes / 4 - 1) << 16)];
  const entry = sqe({ opcode: opcode.getLogPage, cdw, sglLength: bytes });
  const { data } = await host.admin.command(entry);
  assert.equal(data.length, bytes);
  const of = (at: number) =>
    allOpcodes.filter((code) => (data.readUInt32LE(at + code * 4) & 1) === 1);
  return { admin: of(0), io: of(1024) };
}

/** The opcodes that are answered with something else than Invalid Command Opcode. */
async function dispatched(queue: Connection): Promise<number[]> {
  const found: number[] = [];
  for (const code of allOpcodes) {
    // NSID 1 is, for Fabrics commands, the type Connect: out of sequence, but known.
    assert.equal(fctype.connect, 1);
    // An Asynchronous Event Request would wait; data, which it must not carry, has it answered.
    const dataOut = Buffer.alloc(code === opcode.asyncEventRequest ? 4 : 0);
    const inCapsule = dataOut.length > 0;
    const sglType = inCapsule ? { sglType: inCapsuleBlock, sglLength: dataOut.length } : {};
    const entry = sqe({ opcode: code, nsid: 1, ...sglType });
    const answer = await queue.command(entry, { dataOut, inCapsule });
    if (answer.status !== status.invalidOpcode) found.push(code);
  }
  return found;
}

describe('Commands Supported and Effects', () => {
  test('admin commands: what the log says is what is dispatched', async () => {
    assert.deepEqual(await dispatched(host.admin), (await supported()).admin);
  });

  test('I/O commands: what the log says is what is dispatched', async () => {
    assert.deepEqual(await dispatched(host.io), (await supported()).io);
  });

  test('what would destroy data or firmware is in no log', async () => {
    const { admin, io } = await supported();
    const never = {
      firmwareCommit: 0x10,
      firmwareDownload: 0x11,
      namespaceManagement: 0x0d,
      namespaceAttachment: 0x15,
      formatNvm: 0x80,
      sanitize: 0x84,
    };
    for (const [name, code] of Object.entries(never)) assert.ok(!admin.includes(code), name);
    assert.ok(!io.includes(0x04), 'Write Uncorrectable');
  });
});

test('error log: a read beyond the end of the volume is in it, and SMART counts it', async () => {
  const page = async (lid: number, bytes: number) => {
    const cdw = [lid | ((bytes / 4 - 1) << 16)];
    const entry = sqe({ opcode: opcode.getLogPage, nsid: 0xffffffff, cdw, sglLength: bytes });
    return (await host.admin.command(entry)).data;
  };
  const before = (await page(0x02, 512)).readBigUInt64LE(176);
  const slba = BigInt(target.sizeBlocks);
  const fields = { nsid: target.nsid, slba, blocks: 1, sglLength: blockBytes };
  const answer = await host.io.command(ioSqe({ opcode: opcode.read, ...fields }));
  assert.equal(answer.status, status.lbaOutOfRange);
  const newest = await page(0x01, 64);
  assert.equal(newest.readBigUInt64LE(0), before + 1n);
  assert.equal(newest.readUInt16LE(8), 1, 'SQID');
  assert.equal(newest.readUInt16LE(12), (status.lbaOutOfRange << 1) | 0x8000, 'status and DNR');
  assert.equal(newest.readUInt16LE(14), 40, 'the byte at fault: SLBA');
  assert.equal(newest.readBigUInt64LE(16), slba);
  assert.equal(newest.readUInt32LE(24), target.nsid);
  assert.equal((await page(0x02, 512)).readBigUInt64LE(176), before + 1n);
});
