/** Reservations between real hosts: who may write, who is told, and what a restart leaves. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runProgram } from '../rig/daemon.js';
import { inCapsuleBlock, sqe, status } from './commands.js';
import { newIdentity, Target } from './fixture.js';
import { code, conflict, ReservingHost as Host } from './reserving_host.js';

async function hosts(target: Target, count: number): Promise<Host[]> {
  const all: Host[] = [];
  for (let index = 0; index < count; index += 1) {
    all.push(await Host.connect(target, newIdentity(target.identity.subnqn)));
  }
  return all;
}

async function withHosts(
  count: number,
  body: (hosts: [Host, Host, Host], target: Target) => Promise<void>,
): Promise<void> {
  await using target = await Target.start();
  const all = await hosts(target, count);
  try {
    await body(all as [Host, Host, Host], target);
  } finally {
    for (const host of all) await host[Symbol.asyncDispose]();
  }
}

/** The event of an unread log page 80h: type 6, information 0. */
const logPageAvailable = 0x80_00_06;

describe('reservations between hosts', () => {
  test('Write Exclusive: the holder writes, the others only read, until it is released', () =>
    withHosts(2, async ([a, b]) => {
      assert.equal(await a.acquire(1, 1n), conflict, 'not registered');
      assert.equal(await a.register(1n), 0);
      assert.equal(await a.acquire(1, 1n), 0);
      assert.deepEqual([await a.write(), await a.read()], [0, 0]);
      assert.deepEqual([await b.write(), await b.read()], [conflict, 0]);
      assert.equal(await b.release(1, 1n), conflict, 'another host has no key here');
      assert.equal(await a.release(1, 1n), 0);
      assert.deepEqual([await b.write(), await b.read()], [0, 0]);
    }));

  test('Exclusive Access: the others do not even read', () =>
    withHosts(2, async ([a, b]) => {
      assert.equal(await a.register(1n), 0);
      assert.equal(await a.acquire(2, 1n), 0);
      assert.deepEqual([await b.write(), await b.read()], [conflict, conflict]);
      assert.equal((await b.report()).type, 2, 'but they may ask who holds it');
    }));

  test('every type: registrants and strangers do what the table of the specification says', () =>
    withHosts(3, async ([a, b, c]) => {
      assert.equal(await a.register(1n), 0);
      assert.equal(await b.register(2n), 0);
      // [write, read] of a registrant that does not hold it, and of a stranger.
      const none = [0, 0];
      const expected = new Map([
        [1, { registrant: [conflict, 0], stranger: [conflict, 0] }],
        [2, { registrant: [conflict, conflict], stranger: [conflict, conflict] }],
        [3, { registrant: none, stranger: [conflict, 0] }],
        [4, { registrant: none, stranger: [conflict, conflict] }],
        [5, { registrant: none, stranger: [conflict, 0] }],
        [6, { registrant: none, stranger: [conflict, conflict] }],
      ]);
      for (const [type, { registrant, stranger }] of expected) {
        assert.equal(await a.acquire(type, 1n), 0);
        assert.deepEqual([await a.write(), await a.read()], none, `type ${type}, holder`);
        assert.deepEqual([await b.write(), await b.read()], registrant, `type ${type}, registrant`);
        assert.deepEqual([await c.write(), await c.read()], stranger, `type ${type}, stranger`);
        assert.equal(await a.release(type, 1n), 0);
      }
    }));

  test('two paths of one host: one registration, both report, both hold', () =>
    withHosts(2, async ([a, b], target) => {
      await using path = await Host.connect(target, a.identity);
      assert.equal(await a.register(1n), 0);
      assert.equal(await path.acquire(2, 1n), 0);
      assert.deepEqual([await a.write(), await path.write()], [0, 0]);
      assert.equal(await b.write(), conflict);
      const { registrants } = await a.report();
      const hostid = a.identity.hostid.toString('hex');
      assert.deepEqual(
        registrants.map((entry) => [entry.hostid, entry.key, entry.holds]),
        [
          [hostid, 1n, true],
          [hostid, 1n, true],
        ],
      );
      const cntlids = [a.association.cntlid, path.association.cntlid];
      assert.deepEqual(registrants.map(({ cntlid }) => cntlid).sort(), cntlids.sort());
    }));

  test('preempt: the victim loses its registration and hears of it, the new holder writes', () =>
    withHosts(2, async ([a, b]) => {
      assert.equal(await a.register(1n), 0);
      assert.equal(await b.register(2n), 0);
      assert.equal(await a.acquire(1, 1n), 0);
      const heard = a.event();
      assert.equal(await b.preempt(1, 2n, 1n), 0);
      assert.equal(await heard, logPageAvailable);
      const notice = await a.notice();
      assert.deepEqual([notice.type, notice.more, notice.nsid], [1, 0, a.nsid]);
      assert.deepEqual([await a.write(), await b.write()], [conflict, 0]);
      assert.equal(await a.acquire(1, 1n), conflict);
      const { registrants, generation } = await b.report();
      assert.deepEqual([registrants.length, generation], [1, 3]);
    }));

  test('preempt and abort: after it no write of the victim lands any more', () =>
    withHosts(2, async ([a, b]) => {
      assert.equal(await a.register(1n), 0);
      assert.equal(await b.register(2n), 0);
      assert.equal(await a.acquire(3, 1n), 0);
      const writes = Promise.all(Array.from({ length: 1 }, () => a.write()));
      assert.equal(await b.preempt(1, 2n, 1n, true), 0);
      for (const ended of await writes) assert.ok(ended === 0 || ended === conflict);
      assert.equal(await a.write(), conflict);
    }));

  test('notices: read one by one, each announced, a retained one stays, an empty page at last', () =>
    withHosts(2, async ([a, b]) => {
      assert.equal(await a.register(1n), 0);
      assert.equal(await b.register(2n), 0);
      assert.equal(await a.acquire(3, 1n), 0);
      const first = b.event();
      assert.equal(await a.release(3, 1n), 0); // Reservation Released
      assert.equal(await a.clear(1n), 0); // Reservation Preempted
      assert.equal(await first, logPageAvailable);
      const retained = await b.notice(true);
      assert.deepEqual([retained.count, retained.type, retained.more], [1n, 2, 1]);
      assert.deepEqual(await b.notice(), retained);
      assert.equal(await b.event(), logPageAvailable, 'there is another one');
      const second = await b.notice();
      assert.deepEqual([second.count, second.type, second.more], [2n, 3, 0]);
      const empty = await b.notice();
      assert.deepEqual([empty.count, empty.type], [0n, 0]);
    }));

  test('a masked notice is never heard of', () =>
    withHosts(2, async ([a, b]) => {
      assert.equal(await a.register(1n), 0);
      assert.equal(await b.register(2n), 0);
      await b.mask(0b0100); // Reservation Released
      assert.equal(await a.acquire(3, 1n), 0);
      assert.equal(await a.release(3, 1n), 0);
      assert.equal((await b.notice()).type, 0);
      assert.equal(await a.clear(1n), 0);
      assert.equal((await b.notice()).type, 3);
    }));

  test('commands that make no sense: each its own status, and nothing changes', () =>
    withHosts(1, async ([a]) => {
      assert.equal(await a.register(1n), 0);
      assert.equal(await a.acquire(0, 1n), status.invalidField, 'type 0');
      assert.equal(await a.acquire(7, 1n), status.invalidField, 'type 7');
      assert.equal(await a.preempt(1, 1n, 0n), status.invalidField, 'PRKEY 0');
      assert.equal(await a.register(2n), conflict, 'another key without replacing it');
      const { io } = a.association;
      const ask = async (fields: Parameters<typeof sqe>[0], dataOut = Buffer.alloc(16)) => {
        const inCapsule = dataOut.length > 0;
        const sgl = inCapsule ? { sglType: inCapsuleBlock, sglLength: dataOut.length } : {};
        return (await io.command(sqe({ ...sgl, ...fields }), { dataOut, inCapsule })).status;
      };
      const { nsid } = a;
      assert.equal(await ask({ opcode: code.register, nsid: 99 }), status.invalidNamespace);
      assert.equal(await ask({ opcode: code.register, nsid, cdw: [3] }), status.invalidField);
      assert.equal(
        await ask({ opcode: code.register, nsid, cdw: [0x4000_0000] }),
        status.invalidField,
        'CPTPL 01b',
      );
      const short = Buffer.alloc(8);
      assert.equal(await ask({ opcode: code.acquire, nsid }, short), status.sglLengthInvalid);
      const none = Buffer.alloc(0);
      assert.equal(await ask({ opcode: code.release, nsid }, none), status.sglLengthInvalid);
      const report = { opcode: code.report, nsid, sglLength: 64, sglType: 0x5a };
      assert.equal(await ask({ ...report, cdw: [15, 0] }, none), 0x018, 'without EDS');
      assert.equal(await ask({ ...report, cdw: [16, 1] }, none), status.sglLengthInvalid);
      const { registrants, type, generation } = await a.report();
      assert.deepEqual([registrants.length, type, generation], [1, 0, 1]);
    }));
});

test('a restart: what persists through power loss is there, and enforced; the rest is gone', async () => {
  await using target = await Target.start({ poolFile: 'pool' });
  const [a, b] = [newIdentity(target.identity.subnqn), newIdentity(target.identity.subnqn)];
  const kept = 0b11;
  const lost = 0b10;
  for (const [cptpl, remains] of [
    [kept, true],
    [lost, false],
  ] as const) {
    {
      await using first = await Host.connect(target, a);
      if (!remains) assert.equal(await first.clear(5n), 0, 'of the round before');
      assert.equal(await first.register(5n, cptpl), 0);
      assert.equal(await first.acquire(1, 5n), 0);
    }
    await target.daemon.kill();
    await target.daemon.start();
    await using second = await Host.connect(target, b);
    const { type, ptpls, registrants } = await second.report();
    assert.deepEqual([type, ptpls, registrants.length], remains ? [1, 1, 1] : [0, 0, 0]);
    assert.equal(registrants[0]?.cntlid, remains ? 0xffff : undefined, 'not here yet');
    assert.equal(await second.write(), remains ? conflict : 0);
    await using back = await Host.connect(target, a);
    assert.equal(await back.write(), 0);
    if (remains) assert.equal((await second.report()).registrants[0]?.key, 5n);
  }
});

test('a deleted volume takes its reservations along, also over a restart', async () => {
  await using target = await Target.start({ poolFile: 'pool' });
  {
    await using host = await Host.connect(target, target.identity);
    assert.equal(await host.register(5n, 0b11), 0);
    assert.equal(await host.acquire(1, 5n), 0);
  }
  const gone = await target.daemon.api('DELETE', '/v1/volumes/demo?force=true');
  assert.equal(gone.status, 204);
  await target.daemon.kill();
  await target.daemon.start();
  assert.equal((await target.daemon.api('GET', '/v1/volumes')).status, 200);
});

test('seen and cleared by a person: the table names who holds it, and others may write then', () =>
  withHosts(2, async ([a, b], target) => {
    const ashlar = async (...args: string[]): Promise<string[]> => {
      const socket = ['--socket', target.daemon.socket];
      const { code, out, err } = await runProgram(['reservation', ...args, ...socket]);
      const lines = `${out}${err}`.trimEnd().split('\n');
      return [String(code), ...lines.map((line) => line.trim().replaceAll(/ +/g, ' '))];
    };
    assert.deepEqual(await ashlar('list'), ['0', 'No host has reserved anything.']);
    assert.equal(await a.register(0x1234n), 0);
    assert.equal(await a.acquire(1, 0x1234n), 0);
    const [, heading, row] = await ashlar('list');
    assert.equal(heading, 'VOLUME TENANT TYPE PERSISTENT HOLDS KEY HOST');
    assert.equal(row, `demo default write-exclusive no yes 0x1234 ${a.identity.hostnqn}`);
    const told = a.event();
    assert.deepEqual(await ashlar('clear', 'demo'), [
      '0',
      "'demo' is free again; 1 host was registered.",
    ]);
    assert.equal(await told, logPageAvailable);
    assert.equal((await a.notice()).type, 3);
    assert.equal(await b.write(), 0);
    assert.deepEqual(await ashlar('clear', 'demo'), ['0', "No host was registered with 'demo'."]);
    const unknown = await ashlar('clear', 'nothing');
    assert.match(unknown.join(' '), /^3 .*volume 'nothing' does not exist/);
  }));
