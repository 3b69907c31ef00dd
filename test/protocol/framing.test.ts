/**
 * What a target does about PDUs that are wrong in their header or come at the wrong time: the
 * connection ends with a C2HTermReq that names the fault, and every other connection goes on.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ioSqe, opcode } from './commands.js';
import { Connection, keepAlive } from './connection.js';
import { blockBytes, inCapsuleWrite, pattern, Target } from './fixture.js';
import {
  capsuleCmd,
  crc32c,
  fes,
  flag,
  h2cData,
  h2cTermReq,
  type IcReqFields,
  icReq,
  parseCapsuleResp,
  parseIcResp,
  patched,
  pduType,
  plainFraming,
} from './pdu.js';

let target: Target;
before(async () => {
  target = await Target.start();
});
after(() => target[Symbol.asyncDispose]());

const at = { type: 0, flags: 1, hlen: 2, pdo: 3, plen: 4, pfv: 8, hpda: 10 };

interface Fault {
  name: string;
  /** What is sent; the valid PDU before it is spoilt is the table's own. */
  bytes: (connection: Connection) => Buffer;
  fes: number;
  /** Null: the spec reserves FEI for this status, and it is zero. */
  fei: number | null;
}

const header = (name: string, bytes: Buffer, field: number): Fault => ({
  name,
  bytes: () => bytes,
  fes: fes.invalidHeaderField,
  fei: field,
});

describe('the first PDU', () => {
  const valid = icReq();
  const faults: Fault[] = [
    ...[0x08, 0x0a, 0x7f, 0xff].map((type) =>
      header(`reserved type ${type}`, patched(valid, at.type, 1, type), at.type),
    ),
    ...[pduType.icResp, pduType.c2hTermReq, pduType.capsuleResp, pduType.c2hData, pduType.r2t].map(
      (type) =>
        header(`type ${type}, which only hosts receive`, patched(valid, 0, 1, type), at.type),
    ),
    header('flag HDGSTF', patched(valid, at.flags, 1, flag.hdgst), at.flags),
    header('flag DDGSTF', patched(valid, at.flags, 1, flag.ddgst), at.flags),
    ...[0, 127, 129, 255].map((hlen) =>
      header(`HLEN ${hlen}`, patched(valid, at.hlen, 1, hlen), at.hlen),
    ),
    ...[0, 127, 129, 0xffffffff].map((plen) =>
      header(`PLEN ${plen}`, patched(valid, at.plen, 4, plen), at.plen),
    ),
    header('HPDA 32', icReq({ hpda: 32 }), at.hpda),
    header('HPDA 255', icReq({ hpda: 255 }), at.hpda),
    ...[1, 0xffff].map((pfv) => ({
      name: `PFV ${pfv}`,
      bytes: () => icReq({ pfv }),
      fes: fes.unsupportedParameter,
      fei: at.pfv,
    })),
    {
      name: 'a CapsuleCmd instead of an ICReq',
      bytes: () => capsuleCmd(keepAlive, null, plainFraming),
      fes: fes.sequence,
      fei: null,
    },
    {
      name: 'an H2CData instead of an ICReq',
      bytes: () =>
        h2cData({ cccid: 0, ttag: 0, datao: 0, last: true, data: Buffer.alloc(4) }, plainFraming),
      fes: fes.sequence,
      fei: null,
    },
  ];
  for (const fault of faults) {
    test(`${fault.name}: ends with FES ${fault.fes}`, async () => {
      await using connection = await Connection.dial(target.port);
      const bytes = fault.bytes(connection);
      connection.write(bytes);
      const term = await connection.expectTermReq();
      assert.deepEqual({ fes: term.fes, fei: term.fei }, { fes: fault.fes, fei: fault.fei ?? 0 });
      assert.ok(term.quoted.length >= 8, 'the common header at least is quoted');
      assert.ok(
        term.quoted.equals(bytes.subarray(0, term.quoted.length)),
        'what is quoted is the offending header',
      );
      await target.assertWitness();
    });
  }

  const accepted: [string, IcReqFields][] = [
    ['HPDA 0', { hpda: 0 }],
    ['HPDA 31', { hpda: 31 }],
    ['MAXR2T 0', { maxR2t: 0 }],
    ['MAXR2T FFFFFFFFh', { maxR2t: 0xffffffff }],
    ['no digest', { dgst: 0 }],
    ['a header digest', { dgst: 1 }],
    ['a data digest', { dgst: 2 }],
    ['both digests', { dgst: 3 }],
  ];
  for (const [name, fields] of accepted) {
    test(`ICReq with ${name}: is answered with what it asks for`, async () => {
      await using connection = await Connection.dial(target.port);
      connection.write(icReq(fields));
      const response = parseIcResp(await connection.expect(pduType.icResp));
      assert.equal(response.pfv, 0);
      assert.equal(response.dgst, fields.dgst ?? 0);
      assert.ok(response.cpda <= 31, `CPDA ${response.cpda}`);
      assert.ok(response.maxH2cData >= 4096, `MAXH2CDATA ${response.maxH2cData}`);
      assert.equal(response.maxH2cData % 4, 0);
    });
  }
});

describe('a PDU after the ICReq', () => {
  const command = capsuleCmd(keepAlive, null, plainFraming);
  const withData = capsuleCmd(keepAlive, Buffer.alloc(512), plainFraming);
  const faults: Fault[] = [
    { name: 'a second ICReq', bytes: () => icReq(), fes: fes.sequence, fei: null },
    header('reserved type 0Ah', patched(command, at.type, 1, 0x0a), at.type),
    header('an R2T from a host', patched(command, at.type, 1, pduType.r2t), at.type),
    header('CapsuleCmd: HDGSTF not negotiated', patched(command, 1, 1, flag.hdgst), at.flags),
    header('CapsuleCmd: DDGSTF not negotiated', patched(withData, 1, 1, flag.ddgst), at.flags),
    ...[0, 71, 73, 255].map((hlen) =>
      header(`CapsuleCmd: HLEN ${hlen}`, patched(command, at.hlen, 1, hlen), at.hlen),
    ),
    ...[0, 8, 71, 72 + 8193, 0xffffffff].map((plen) =>
      header(
        `CapsuleCmd: PLEN ${plen}`,
        patched(patched(command, at.pdo, 1, plen > 72 ? 72 : 0), at.plen, 4, plen),
        at.plen,
      ),
    ),
    ...[0, 4, 71, 73, 74, 255].map((pdo) =>
      header(`CapsuleCmd: PDO ${pdo}`, patched(withData, at.pdo, 1, pdo), at.pdo),
    ),
    header('CapsuleCmd: PDO behind PLEN', capsuleCmdWithPdoBehindPlen(), at.plen),
  ];
  for (const fault of faults) {
    test(`${fault.name}: ends with FES ${fault.fes}`, async () => {
      await using connection = await Connection.open(target.port);
      connection.write(fault.bytes(connection));
      const term = await connection.expectTermReq();
      assert.deepEqual({ fes: term.fes, fei: term.fei }, { fes: fault.fes, fei: fault.fei ?? 0 });
      await target.assertWitness();
    });
  }

  test('an H2CTermReq: the connection is closed without a word', async () => {
    await using connection = await Connection.open(target.port);
    connection.write(h2cTermReq(fes.sequence, 0, Buffer.alloc(24)));
    assert.equal(await connection.read(), null);
    await target.assertWitness();
  });

  test('a host that does not close after its C2HTermReq: is cut off in time', async () => {
    await using connection = await Connection.open(target.port);
    connection.write(patched(command, at.type, 1, 0x0a));
    await connection.expect(pduType.c2hTermReq);
    assert.equal(await connection.read(), null);
    await target.assertWitness();
  });

  test('a TCP connection that says nothing: is closed in time', async () => {
    // The target gives ten seconds, the connection's own patience is as long.
    await using connection = await Connection.dial(target.port);
    const first = await connection.read().catch(() => connection.read());
    assert.equal(first, null);
    await target.assertWitness();
  });

  test('a connection that ends in the middle of a PDU: is forgotten', async () => {
    await using connection = await Connection.open(target.port);
    connection.write(command.subarray(0, 40));
    connection.end();
    assert.equal(await connection.read(), null);
    await target.assertWitness();
  });
});

function capsuleCmdWithPdoBehindPlen(): Buffer {
  return patched(patched(capsuleCmd(keepAlive, null, plainFraming), 3, 1, 76), 4, 4, 76);
}

describe('digests', () => {
  test('a wrong header digest: ends with FES 3 and the digest that came', async () => {
    await using connection = await Connection.open(target.port, { dgst: 1 });
    const command = capsuleCmd(keepAlive, null, connection.framing);
    const right = crc32c(command.subarray(0, 72));
    const wrong = (right ^ 0x80000000) >>> 0;
    connection.write(patched(command, 72, 4, wrong));
    const term = await connection.expectTermReq();
    assert.deepEqual({ fes: term.fes, fei: term.fei }, { fes: fes.headerDigest, fei: wrong });
    await target.assertWitness();
  });

  test('a header digest negotiated and not sent: ends with FES 1 at the flags', async () => {
    await using connection = await Connection.open(target.port, { dgst: 1 });
    connection.write(capsuleCmd(keepAlive, null, plainFraming));
    const term = await connection.expectTermReq();
    assert.deepEqual({ fes: term.fes, fei: term.fei }, { fes: fes.invalidHeaderField, fei: 1 });
  });

  test('a wrong data digest in a capsule: fails the command, not the connection', async () => {
    await using host = await target.associate({ dgst: 3 });
    const entry = inCapsuleWrite(target.nsid, 8, blockBytes);
    const command = capsuleCmd(entry, pattern(8, 1, 1), host.io.framing);
    host.io.write(patched(command, command.length - 4, 4, 0));
    const answer = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
    assert.equal(answer.status, 0x022, 'Transient Transport Error');
    assert.equal(answer.doNotRetry, false);
    const again = await host.io.command(entry, { dataOut: pattern(8, 1, 1), inCapsule: true });
    assert.equal(again.status, 0);
  });

  for (const dgst of [0, 1, 2, 3]) {
    test(`with DGST ${dgst}: what is written is read back with right digests`, async () => {
      await using host = await target.associate({ dgst });
      const data = pattern(64, 32, dgst);
      const range = { nsid: target.nsid, slba: 64n, blocks: 32, sglLength: data.length };
      const write = ioSqe({ opcode: opcode.write, ...range });
      assert.equal((await host.io.command(write, { dataOut: data })).status, 0);
      const read = await host.io.command(ioSqe({ opcode: opcode.read, ...range }));
      assert.equal(read.status, 0);
      assert.ok(read.data.equals(data));
    });
  }
});

describe('the stream', () => {
  test('PDUs that come byte by byte: mean what they mean in one piece', async () => {
    await using host = await target.associate({ dgst: 3 });
    const data = pattern(16, 1, 7);
    const command = capsuleCmd(inCapsuleWrite(target.nsid, 16, blockBytes), data, host.io.framing);
    for (let index = 0; index < command.length; index += 1) {
      host.io.write(command.subarray(index, index + 1));
      // A turn of the event loop each, so that the pieces go out apart.
      if (index < 200 || index > command.length - 100) await new Promise(setImmediate);
    }
    const answer = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
    assert.equal(answer.status, 0);
    const range = { nsid: target.nsid, slba: 16n, blocks: 1, sglLength: blockBytes };
    const read = await host.io.command(ioSqe({ opcode: opcode.read, ...range }));
    assert.ok(read.data.equals(data));
  });

  test('a PDU split in two at every byte of its header: is taken', async () => {
    await using host = await target.associate({ dgst: 3 });
    for (let cut = 1; cut < 80; cut += 1) {
      const data = pattern(17, 1, cut);
      const entry = inCapsuleWrite(target.nsid, 17, blockBytes);
      const command = capsuleCmd(entry, data, host.io.framing);
      host.io.write(command.subarray(0, cut));
      await new Promise(setImmediate);
      host.io.write(command.subarray(cut));
      const answer = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
      assert.equal(answer.status, 0, `cut at byte ${cut}`);
    }
  });

  test('a queue full of commands in one segment: each is answered once', async () => {
    await using host = await target.associate();
    const commands = Array.from({ length: 127 }, (_, cid) => {
      const entry = inCapsuleWrite(target.nsid, cid, blockBytes);
      entry.writeUInt16LE(cid, 2);
      return capsuleCmd(entry, pattern(cid, 1, 3), host.io.framing);
    });
    host.io.write(Buffer.concat(commands));
    const cids = new Set<number>();
    for (let count = 0; count < commands.length; count += 1) {
      const answer = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
      assert.equal(answer.status, 0);
      cids.add(answer.cid);
    }
    assert.equal(cids.size, commands.length);
  });

  test('HPDA 31: data to the host starts at a multiple of 128 bytes', async () => {
    await using host = await target.associate({ hpda: 31 });
    const range = { nsid: target.nsid, slba: 0n, blocks: 1, sglLength: blockBytes };
    host.io.write(capsuleCmd(ioSqe({ opcode: opcode.read, ...range }), null, host.io.framing));
    const pdu = await host.io.expect(pduType.c2hData);
    assert.equal(pdu.pdo % 128, 0, `PDO ${pdu.pdo}`);
    assert.equal(pdu.data.length, blockBytes);
  });
});
