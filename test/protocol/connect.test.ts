/** Fabrics Connect: each wrong field is refused by name, and the connection ends no other. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type ConnectFields, connect, property, propertyGet, sqe, status } from './commands.js';
import { Association, Connection, openController } from './connection.js';
import { newIdentity, Target } from './fixture.js';
import { capsuleCmd, parseCapsuleResp, pduType } from './pdu.js';

let target: Target;
before(async () => {
  target = await Target.start();
});
after(() => target[Symbol.asyncDispose]());

const invalid = status.connectInvalidParameters;
/** IPO in bits 15:0; bit 16 (IATTR): an offset in the data, not in the command. */
const inData = (offset: number) => BigInt(offset | 0x10000);
const inCommand = (offset: number) => BigInt(offset);

describe('Connect on the admin queue', () => {
  const cases: [string, Partial<ConnectFields>, number, bigint | null][] = [
    ['RECFMT 1', { recfmt: 1 }, 0x180, null],
    ['SQSIZE 0', { sqsize: 0 }, invalid, inCommand(44)],
    ['SQSIZE FFFFh', { sqsize: 0xffff }, invalid, inCommand(44)],
    ['CNTLID 0', { cntlid: 0 }, invalid, inData(16)],
    ['CNTLID FFFEh (static model)', { cntlid: 0xfffe }, invalid, inData(16)],
    ['an empty SUBNQN', { subnqn: '' }, invalid, inData(256)],
    ['an unknown SUBNQN', { subnqn: 'nqn.2014-08.org.example:none' }, invalid, inData(256)],
    ['a SUBNQN that is no NQN', { subnqn: 'x'.repeat(255) }, invalid, inData(256)],
    ['a SUBNQN without end', { subnqn: `nqn.${'x'.repeat(252)}` }, invalid, inData(256)],
    ['an empty HOSTNQN', { hostnqn: '' }, invalid, inData(512)],
    ['a HOSTNQN without end', { hostnqn: `nqn.${'x'.repeat(252)}` }, invalid, inData(512)],
    ['QID 1 before any admin queue', { qid: 1, cntlid: 1 }, invalid, null],
  ];
  for (const [name, fields, expected, result] of cases) {
    test(`${name}: is refused`, async () => {
      await using connection = await Connection.open(target.port);
      const identity = newIdentity(target.identity.subnqn);
      const answer = await connection.fabricsConnect({ ...identity, qid: 0, ...fields });
      assert.equal(answer.status.toString(16), expected.toString(16));
      if (result !== null) assert.equal(answer.result.toString(16), result.toString(16));
      await target.assertWitness();
    });
  }

  test('data that is a byte short: is refused', async () => {
    await using connection = await Connection.open(target.port);
    const { entry, data } = connect({ ...newIdentity(target.identity.subnqn), qid: 0 });
    entry.writeUInt32LE(1023, 32);
    connection.write(capsuleCmd(entry, data.subarray(0, 1023), connection.framing));
    const answer = parseCapsuleResp(await connection.expect(pduType.capsuleResp));
    assert.notEqual(answer.status, 0);
  });

  test('another command first: Command Sequence Error', async () => {
    await using connection = await Connection.open(target.port);
    const answer = await connection.command(propertyGet(property.cap, 8));
    assert.equal(answer.status, status.commandSequence);
    await target.assertWitness();
  });
});

describe('Connect on an I/O queue', () => {
  async function refused(fields: Partial<ConnectFields>, expected: number) {
    const identity = newIdentity(target.identity.subnqn);
    await using host = await Association.open(target.port, identity);
    await using queue = await Connection.open(target.port);
    const { cntlid } = host;
    const answer = await queue.fabricsConnect({ ...identity, qid: 2, cntlid, ...fields });
    assert.equal(answer.status.toString(16), expected.toString(16));
    await target.assertWitness();
  }

  test('CNTLID of nobody: Connect Invalid Parameters', () => refused({ cntlid: 0xfff0 }, invalid));
  test('CNTLID FFFFh: Connect Invalid Parameters', () => refused({ cntlid: 0xffff }, invalid));
  test('QID 129: Connect Invalid Parameters', () => refused({ qid: 129 }, invalid));
  test('QID FFFFh: Connect Invalid Parameters', () => refused({ qid: 0xffff }, invalid));
  test('SQSIZE 0: Connect Invalid Parameters', () => refused({ sqsize: 0 }, invalid));
  test('a QID that is connected: Command Sequence Error', () =>
    refused({ qid: 1 }, status.commandSequence));
  test('another HOSTNQN than the admin queue: Connect Invalid Parameters', () =>
    refused({ hostnqn: newIdentity('').hostnqn }, invalid));
  test('another HOSTID than the admin queue: Connect Invalid Parameters', () =>
    refused({ hostid: newIdentity('').hostid }, invalid));

  test('before the controller is enabled: is refused', async () => {
    const identity = newIdentity(target.identity.subnqn);
    await using admin = await Connection.open(target.port);
    const answer = await admin.fabricsConnect({ ...identity, qid: 0 });
    const cntlid = Number(answer.result & 0xffffn);
    await using queue = await Connection.open(target.port);
    const joined = await queue.fabricsConnect({ ...identity, qid: 1, cntlid });
    assert.notEqual(joined.status, 0);
    await target.assertWitness();
  });

  test("the witness's controller: cannot be joined by another host", async () => {
    await using queue = await Connection.open(target.port);
    const identity = newIdentity(target.identity.subnqn);
    const { cntlid } = target.witness;
    const answer = await queue.fabricsConnect({ ...identity, qid: 2, cntlid });
    assert.equal(answer.status, invalid);
    await target.assertWitness();
  });
});

describe('an association', () => {
  test('whose admin queue closes: loses its I/O queues too', async () => {
    const identity = newIdentity(target.identity.subnqn);
    const host = await Association.open(target.port, identity);
    await host.admin[Symbol.asyncDispose]();
    assert.equal(await host.io.read(), null);
    await target.assertWitness();
  });

  test('with KATO 1 s and a silent host: ends; with Keep Alives it lives on', async () => {
    const silent = await target.associate({ kato: 1000 });
    const lively = await target.associate({ kato: 1000 });
    const beat = setInterval(() => {
      lively.admin.command(sqe({ opcode: 0x18 })).catch(() => {});
    }, 250);
    try {
      assert.equal(await silent.admin.read(), null);
      const read = await lively.io.command(sqe({ opcode: 0x00, nsid: target.nsid }));
      assert.equal(read.status, 0);
    } finally {
      clearInterval(beat);
      await silent[Symbol.asyncDispose]();
      await lively[Symbol.asyncDispose]();
    }
    await target.assertWitness();
  });

  test('100 opened and dropped at once: leave nothing behind', async () => {
    const opened = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const admin = await Connection.open(target.port);
        await openController(admin, newIdentity(target.identity.subnqn));
        return admin;
      }),
    );
    await Promise.all(opened.map((admin) => admin[Symbol.asyncDispose]()));
    await target.assertWitness();
    // Only the witness is left once the target has seen the ends of the others.
    for (let tries = 0; ; tries += 1) {
      const { controllers } = await target.daemon.call<{ controllers: number }>(
        'GET',
        '/v1/status',
      );
      if (controllers === 1) break;
      assert.ok(tries < 200, `${controllers} controllers are left`);
      await target.assertWitness();
    }
  });
});
