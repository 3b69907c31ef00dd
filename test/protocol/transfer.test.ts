/** R2T and H2CData: what a target asks for, and what it does when something else comes. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ioSqe, opcode } from './commands.js';
import type { Association } from './connection.js';
import { blockBytes, pattern, solicitedWrite, Target } from './fixture.js';
import {
  capsuleCmd,
  fes,
  flag,
  h2cData,
  parseCapsuleResp,
  parseR2t,
  patched,
  pduType,
} from './pdu.js';

let target: Target;
before(async () => {
  target = await Target.start();
});
after(() => target[Symbol.asyncDispose]());

const at = { flags: 1, plen: 4, cccid: 8, ttag: 10, datao: 12, datal: 16 };
const bytes = 16 * blockBytes;

/** A Write of 64 KiB for which the target has sent its R2T. */
async function solicited(host: Association) {
  host.io.write(capsuleCmd(solicitedWrite(target.nsid, 0, bytes, 7), null, host.io.framing));
  const r2t = parseR2t(await host.io.expect(pduType.r2t));
  assert.deepEqual(
    { cccid: r2t.cccid, r2to: r2t.r2to, r2tl: r2t.r2tl },
    { cccid: 7, r2to: 0, r2tl: bytes },
  );
  return r2t;
}

interface Fault {
  name: string;
  /** Spoils the H2CData that would have been right: all 64 KiB at once, last. */
  spoil: (ttag: number, framing: Association['io']['framing']) => Buffer;
  fes: number;
  fei: number;
}

describe('an H2CData', () => {
  const whole = { cccid: 7, datao: 0, last: true, data: pattern(0, 16, 1) };
  const part = (datao: number, length: number, last: boolean) => ({
    cccid: 7,
    datao,
    last,
    data: whole.data.subarray(0, length),
  });
  const faults: Fault[] = [
    ...[1, 2, 0xffff].map((step) => ({
      name: `TTAG ${step} above the one asked for`,
      spoil: (ttag: number, framing: Association['io']['framing']) =>
        h2cData({ ...whole, ttag: (ttag + step) & 0xffff }, framing),
      fes: fes.invalidHeaderField,
      fei: at.ttag,
    })),
    ...[6, 8, 0xffff].map((cccid) => ({
      name: `CCCID ${cccid} of another command`,
      spoil: (ttag: number, framing: Association['io']['framing']) =>
        h2cData({ ...whole, ttag, cccid }, framing),
      fes: fes.invalidHeaderField,
      fei: at.cccid,
    })),
    {
      name: 'DATAO beyond what was asked for',
      spoil: (ttag, framing) => h2cData({ ...part(bytes, 4096, true), ttag }, framing),
      fes: fes.outOfRange,
      fei: 0,
    },
    {
      name: 'data that runs over what was asked for',
      spoil: (ttag, framing) => h2cData({ ...part(bytes - 4096, 8192, true), ttag }, framing),
      fes: fes.outOfRange,
      fei: 0,
    },
    {
      name: 'DATAO + DATAL that wraps around',
      spoil: (ttag, framing) => h2cData({ ...part(0xfffff000, 8192, true), ttag }, framing),
      fes: fes.outOfRange,
      fei: 0,
    },
    {
      name: 'DATAO FFFFFFFCh',
      spoil: (ttag, framing) => h2cData({ ...part(0xfffffffc, 4, true), ttag }, framing),
      fes: fes.outOfRange,
      fei: 0,
    },
    {
      name: 'DATAO that is not a multiple of four',
      spoil: (ttag, framing) => h2cData({ ...part(2, 4096, false), ttag }, framing),
      fes: fes.invalidHeaderField,
      fei: at.datao,
    },
    {
      name: 'DATAL less than the data',
      spoil: (ttag, framing) => h2cData({ ...whole, ttag, datal: bytes - 4 }, framing),
      fes: fes.invalidHeaderField,
      fei: at.datal,
    },
    {
      name: 'DATAL more than the data',
      spoil: (ttag, framing) => h2cData({ ...whole, ttag, datal: bytes + 4 }, framing),
      fes: fes.invalidHeaderField,
      fei: at.datal,
    },
    {
      name: 'flag LAST_PDU before the end',
      spoil: (ttag, framing) => h2cData({ ...part(0, 4096, true), ttag }, framing),
      fes: fes.invalidHeaderField,
      fei: at.flags,
    },
    {
      name: 'no flag LAST_PDU at the end',
      spoil: (ttag, framing) => h2cData({ ...whole, ttag, last: false }, framing),
      fes: fes.invalidHeaderField,
      fei: at.flags,
    },
    {
      name: 'flag HDGSTF not negotiated',
      spoil: (ttag, framing) =>
        patched(h2cData({ ...whole, ttag }, framing), at.flags, 1, flag.last | flag.hdgst),
      fes: fes.invalidHeaderField,
      fei: at.flags,
    },
    {
      name: 'more than MAXH2CDATA',
      spoil: (ttag, framing) =>
        patched(h2cData({ ...whole, ttag }, framing), at.plen, 4, 24 + framing.maxH2cData + 4),
      fes: fes.limitExceeded,
      fei: 0,
    },
    {
      name: 'PLEN FFFFFFFFh',
      spoil: (ttag, framing) => patched(h2cData({ ...whole, ttag }, framing), 4, 4, 0xffffffff),
      fes: fes.limitExceeded,
      fei: 0,
    },
  ];
  for (const fault of faults) {
    test(`${fault.name}: ends with FES ${fault.fes}`, async () => {
      await using host = await target.associate();
      const { ttag } = await solicited(host);
      host.io.write(fault.spoil(ttag, host.io.framing));
      const term = await host.io.expectTermReq();
      assert.deepEqual({ fes: term.fes, fei: term.fei }, { fes: fault.fes, fei: fault.fei });
      await target.assertWitness();
    });
  }

  for (const ttag of [0, 1, 0xfffe, 0xffff]) {
    test(`nobody asked for, TTAG ${ttag}: ends with FES 1 at the TTAG`, async () => {
      await using host = await target.associate();
      host.io.write(h2cData({ ...whole, ttag }, host.io.framing));
      const term = await host.io.expectTermReq();
      assert.deepEqual(
        { fes: term.fes, fei: term.fei },
        { fes: fes.invalidHeaderField, fei: at.ttag },
      );
      await target.assertWitness();
    });
  }

  test('that repeats what came already: ends with an error', async () => {
    await using host = await target.associate();
    const { ttag } = await solicited(host);
    const piece = h2cData({ ...part(0, 4096, false), ttag }, host.io.framing);
    host.io.write(Buffer.concat([piece, piece]));
    const term = await host.io.expectTermReq();
    assert.ok(term.fes === fes.outOfRange || term.fes === fes.invalidHeaderField);
    await target.assertWitness();
  });

  test('that leaves a gap: ends with an error', async () => {
    await using host = await target.associate();
    const { ttag } = await solicited(host);
    host.io.write(h2cData({ ...part(4096, 4096, false), ttag }, host.io.framing));
    const term = await host.io.expectTermReq();
    assert.ok(term.fes === fes.outOfRange || term.fes === fes.invalidHeaderField);
    await target.assertWitness();
  });

  test('with a wrong data digest: fails its command with Transient Transport Error', async () => {
    await using host = await target.associate({ dgst: 3 });
    const { ttag } = await solicited(host);
    const pdu = h2cData({ ...whole, ttag }, host.io.framing);
    host.io.write(patched(pdu, pdu.length - 4, 4, 0));
    const answer = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
    assert.deepEqual({ cid: answer.cid, status: answer.status }, { cid: 7, status: 0x022 });
    const again = await host.io.command(solicitedWrite(target.nsid, 0, bytes), {
      dataOut: whole.data,
    });
    assert.equal(again.status, 0);
  });

  test('in pieces of four bytes and of whatever is left: is one write', async () => {
    await using host = await target.associate();
    const { ttag } = await solicited(host);
    const cuts = [0, 4, 8, 4096, 4100, 60000, bytes];
    const pieces = cuts.slice(1).map((end, index) => {
      const start = cuts[index] ?? 0;
      const data = whole.data.subarray(start, end);
      return h2cData({ cccid: 7, ttag, datao: start, last: end === bytes, data }, host.io.framing);
    });
    host.io.write(Buffer.concat(pieces));
    const answer = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
    assert.equal(answer.status, 0);
    const read = await host.io.command(
      ioSqe({ opcode: opcode.read, nsid: target.nsid, slba: 0n, blocks: 16, sglLength: bytes }),
    );
    assert.ok(read.data.equals(whole.data));
  });
});

describe('R2T', () => {
  test('MAXR2T 0: one at a time, and together they ask for every byte once', async () => {
    await using host = await target.associate({ maxR2t: 0 });
    const length = 256 * blockBytes;
    const data = pattern(256, 256, 9);
    host.io.write(capsuleCmd(solicitedWrite(target.nsid, 256, length, 3), null, host.io.framing));
    let next = 0;
    while (next < length) {
      const r2t = parseR2t(await host.io.expect(pduType.r2t));
      assert.equal(r2t.r2to, next, 'R2TO follows on');
      // Nothing else may come before the data that this one asked for.
      assert.equal(await quiet(host), true, 'a second R2T while one is open');
      const end = r2t.r2to + r2t.r2tl;
      for (let datao = r2t.r2to; datao < end; ) {
        const piece = data.subarray(datao, Math.min(end, datao + host.io.framing.maxH2cData));
        const last = datao + piece.length === end;
        const fields = { cccid: 3, ttag: r2t.ttag, datao, last, data: piece };
        host.io.write(h2cData(fields, host.io.framing));
        datao += piece.length;
      }
      next = end;
    }
    assert.equal(next, length);
    const answer = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
    assert.equal(answer.status, 0);
  });

  test('two writes at once: each gets its own TTAG and its own data', async () => {
    await using host = await target.associate({ maxR2t: 3 });
    for (const cid of [1, 2]) {
      const entry = solicitedWrite(target.nsid, 512 + cid * 16, bytes, cid);
      host.io.write(capsuleCmd(entry, null, host.io.framing));
    }
    const r2ts = [parseR2t(await host.io.expect(pduType.r2t))];
    r2ts.push(parseR2t(await host.io.expect(pduType.r2t)));
    assert.notEqual(r2ts[0]?.ttag, r2ts[1]?.ttag);
    // Interleaved, the later command first.
    for (const { cccid, ttag } of r2ts.toReversed()) {
      const data = pattern(512 + cccid * 16, 16, cccid);
      host.io.write(h2cData({ cccid, ttag, datao: 0, last: true, data }, host.io.framing));
    }
    for (let count = 0; count < 2; count += 1) {
      const answer = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
      assert.equal(answer.status, 0);
    }
    for (const cid of [1, 2]) {
      const slba = 512 + cid * 16;
      const range = { nsid: target.nsid, slba: BigInt(slba), blocks: 16, sglLength: bytes };
      const read = await host.io.command(ioSqe({ opcode: opcode.read, ...range }));
      assert.ok(read.data.equals(pattern(slba, 16, cid)), `the data of command ${cid}`);
    }
  });
});

/** A round trip on another queue: what the target had to say before, it has said by then. */
async function quiet(host: Association): Promise<boolean> {
  await target.assertWitness();
  await new Promise(setImmediate);
  return host.io.waiting === 0;
}
