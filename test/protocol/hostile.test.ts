/**
 * Hosts that are many, slow, or never finish anything: the witness is served all the while, another
 * host still gets in, and the daemon's memory stays within a bound.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ioSqe, opcode, sqe, status } from './commands.js';
import { Connection } from './connection.js';
import { blockBytes, flushAll, pattern, solicitedWrite, Target } from './fixture.js';
import { capsuleCmd, h2cData, icReq, parseCapsuleResp, parseR2t, pduType } from './pdu.js';

const reactors = 2;
/** Of limits.h: connections without a queue that one address may have on a reactor. */
const newcomersPerAddress = 256;

let target: Target;
before(async () => {
  target = await Target.start({ reactors });
});
after(() => target[Symbol.asyncDispose]());

/** Resident memory of the daemon, bytes. */
function memory(): number {
  const text = fs.readFileSync(`/proc/${target.daemon.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(text)?.[1]) * 1024;
}

/** What `work` adds to the daemon's memory, at its highest after any step of it. */
async function growth(work: (step: () => void) => Promise<void>): Promise<number> {
  const before = memory();
  let most = before;
  await work(() => {
    most = Math.max(most, memory());
  });
  return most - before;
}

const mib = 2 ** 20;

describe('10,000 connections', () => {
  const waves: { name: string; say: (connection: Connection) => void }[] = [
    { name: 'that say nothing', say: () => {} },
    { name: 'with half an ICReq', say: (each) => each.write(icReq().subarray(0, 64)) },
    { name: 'with an ICReq and no Connect', say: (each) => each.write(icReq()) },
    { name: 'half-closed at once', say: (each) => each.end() },
    { name: 'with bytes of something else', say: (each) => each.write(Buffer.alloc(64, 0x47)) },
  ];
  const perWave = 2000;

  for (const { name, say } of waves) {
    test(`2,000 ${name}: bounded, the witness is served, another host gets in`, async () => {
      const open: Connection[] = [];
      const grown = await growth(async (step) => {
        for (let i = 0; i < perWave; i += 250) {
          const dialed = Array.from({ length: 250 }, () => Connection.dial(target.port));
          for (const each of await Promise.all(dialed)) {
            say(each);
            open.push(each);
          }
          await target.assertWitness();
          await using newcomer = await target.associate();
          const flushed = await newcomer.io.command(flushAll(target.nsid));
          assert.equal(flushed.status, 0, 'status of a Flush of the host that came meanwhile');
          step();
        }
      });
      const kept = open.filter((each) => !each.closed).length;
      await Promise.all(open.map((each) => each[Symbol.asyncDispose]()));
      assert.ok(kept <= reactors * newcomersPerAddress, `${kept} of them were open at the end`);
      assert.ok(grown < 64 * mib, `memory grew by ${Math.round(grown / mib)} MiB`);
      await target.assertWitness();
    });
  }
});

describe('a host', () => {
  test('that reads nothing: holds its share, and has every answer when it reads again', async () => {
    await using slow = await target.associate();
    const length = mib;
    const count = 100;
    const grown = await growth(async (step) => {
      slow.io.setReading(false);
      for (let cid = 0; cid < count; cid += 1) {
        const entry = ioSqe({
          opcode: opcode.read,
          nsid: target.nsid,
          slba: 0n,
          blocks: length / blockBytes,
          sglLength: length,
        });
        entry.writeUInt16LE(cid, 2);
        slow.io.write(capsuleCmd(entry, null, slow.io.framing));
      }
      for (let i = 0; i < 50; i += 1) await target.assertWitness();
      step();
    });
    assert.ok(grown < 64 * mib, `memory grew by ${Math.round(grown / mib)} MiB`);
    slow.io.setReading(true);
    const cids = new Set<number>();
    let bytes = 0;
    while (cids.size < count) {
      const pdu = await slow.io.read();
      assert.ok(pdu !== null, 'the connection was closed');
      bytes += pdu.data.length;
      if (pdu.type !== pduType.capsuleResp) continue;
      const { cid, status: code } = parseCapsuleResp(pdu);
      assert.equal(code, 0);
      cids.add(cid);
    }
    assert.equal(bytes, count * length);
  });

  test('that answers no R2T: keeps nobody else from writing', async () => {
    await using stuck = await target.associate();
    const grown = await growth(async (step) => {
      for (let cid = 0; cid < 100; cid += 1) {
        const write = solicitedWrite(target.nsid, cid * 16, 16 * blockBytes, cid);
        stuck.io.write(capsuleCmd(write, null, stuck.io.framing));
      }
      const first = parseR2t(await stuck.io.expect(pduType.r2t));
      assert.equal(first.cccid, 0);
      for (let i = 0; i < 50; i += 1) await target.assertWitness();
      step();
    });
    assert.ok(grown < 64 * mib, `memory grew by ${Math.round(grown / mib)} MiB`);
  });

  test('whose command and data come byte by byte: is waited for, and nobody else is', async () => {
    await using slow = await target.associate();
    const data = pattern(7, 1, 99);
    const command = capsuleCmd(solicitedWrite(target.nsid, 7, blockBytes), null, slow.io.framing);
    const trickle = async (bytes: Buffer, each: number) => {
      for (let at = 0; at < bytes.length; at += each) {
        slow.io.write(bytes.subarray(at, at + each));
        await target.assertWitness();
      }
    };
    await trickle(command, 1);
    const { cccid, ttag } = parseR2t(await slow.io.expect(pduType.r2t));
    const transfer = h2cData({ cccid, ttag, datao: 0, last: true, data }, slow.io.framing);
    await trickle(transfer.subarray(0, 64), 1);
    await trickle(transfer.subarray(64), 512);
    const answer = parseCapsuleResp(await slow.io.expect(pduType.capsuleResp));
    assert.equal(answer.status, 0);
  });

  test('that uses a CID again before its answer: the second fails, the first goes on', async () => {
    await using host = await target.associate();
    const write = solicitedWrite(target.nsid, 3, blockBytes, 5);
    host.io.write(capsuleCmd(write, null, host.io.framing));
    const { cccid, ttag } = parseR2t(await host.io.expect(pduType.r2t));
    host.io.write(
      capsuleCmd(sqe({ opcode: opcode.flush, nsid: target.nsid, cid: 5 }), null, host.io.framing),
    );
    const conflict = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
    assert.equal(conflict.status, status.commandIdConflict);
    const data = pattern(3, 1, 1);
    host.io.write(h2cData({ cccid, ttag, datao: 0, last: true, data }, host.io.framing));
    const written = parseCapsuleResp(await host.io.expect(pduType.capsuleResp));
    assert.equal(written.cid, 5);
    assert.equal(written.status, 0);
    await target.assertWitness();
  });
});
