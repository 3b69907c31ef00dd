/** Discovery over real sockets: pages, versions, events, referrals, and what a restart keeps. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon } from '../rig/daemon.js';
import { opcode, sqe, status } from './commands.js';
import { Connection, type Identity, keepAlive, openController } from './connection.js';
import { newIdentity } from './fixture.js';
import { capsuleCmd, parseCapsuleResp, pduType } from './pdu.js';

const wellKnown = 'nqn.2014-08.org.nvmexpress.discovery';

interface DiscoveryRecord {
  subtype: number;
  eflags: number;
  subnqn: string;
  traddr: string;
  trsvcid: string;
}

interface DiscoveryPage {
  genctr: bigint;
  numrec: number;
  records: DiscoveryRecord[];
}

function logCommand(offset: number, bytes: number, rae: boolean): Buffer {
  const numd = bytes / 4 - 1;
  const dword10 = 0x70 | (rae ? 1 << 15 : 0) | ((numd & 0xffff) << 16);
  return sqe({
    opcode: opcode.getLogPage,
    cdw: [dword10, numd >>> 16, offset],
    sglLength: bytes,
  });
}

const text = (bytes: Buffer) => bytes.toString('latin1').replace(/[\0 ]+$/, '');

function parsePage(page: Buffer): DiscoveryPage {
  const numrec = Number(page.readBigUInt64LE(8));
  const records = Array.from({ length: numrec }, (_, index) => {
    const record = page.subarray(1024 * (index + 1), 1024 * (index + 2));
    return {
      subtype: record.readUInt8(2),
      eflags: record.readUInt16LE(10),
      subnqn: text(record.subarray(256, 512)),
      traddr: text(record.subarray(512, 768)),
      trsvcid: text(record.subarray(32, 64)),
    };
  });
  return { genctr: page.readBigUInt64LE(0), numrec, records };
}

/** A discovery controller, enabled. */
class Discovery implements AsyncDisposable {
  private constructor(
    readonly admin: Connection,
    readonly identity: Identity,
  ) {}

  static async open(port: number, identity: Identity, kato = 0): Promise<Discovery> {
    const admin = await Connection.open(port);
    await openController(admin, identity, kato);
    return new Discovery(admin, identity);
  }

  async read(offset: number, bytes: number, rae = false) {
    return this.admin.command(logCommand(offset, bytes, rae));
  }

  async page(rae = false): Promise<DiscoveryPage> {
    const { status: failed, data } = await this.read(0, 64 * 1024, rae);
    assert.equal(failed, 0, 'status of Get Log Page');
    return parsePage(data);
  }

  /** Asks to hear of changes and parks an Asynchronous Event Request under a CID. */
  async listen(cid: number): Promise<void> {
    const configuration = [0x0b, 0x8000_0000];
    const { status: failed } = await this.admin.command(
      sqe({ opcode: opcode.setFeatures, cdw: configuration }),
    );
    assert.equal(failed, 0, 'status of Asynchronous Event Configuration');
    this.park(cid);
  }

  park(cid: number): void {
    const request = sqe({ opcode: opcode.asyncEventRequest, cid });
    this.admin.write(capsuleCmd(request, null, this.admin.framing));
  }

  /** The event that ends a parked request: dword 0 of its completion. */
  async event(cid: number): Promise<bigint> {
    const response = parseCapsuleResp(await this.admin.expect(pduType.capsuleResp));
    assert.equal(response.cid, cid, 'CID of the event');
    assert.equal(response.status, 0, 'status of the event');
    return response.result & 0xffff_ffffn;
  }

  /** A command that ends after this call proves that no event came before it. */
  async quiet(): Promise<void> {
    const alive = await this.admin.command(keepAlive);
    assert.equal(alive.status, 0, 'status of Keep Alive');
    assert.equal(alive.cid, 0, 'the completion is of Keep Alive: no event came');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.admin[Symbol.asyncDispose]();
  }
}

/** Notice (2), Discovery Log Page Change (F0h), page 70h. */
const discoveryChange = 0x0070_f002n;

const events = 7;
let daemon: Daemon;
let subnqn: string;
before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool.ashlar', discovery: true });
  subnqn = await daemon.subnqn();
  await daemon.call('DELETE', '/v1/grants/demo/*');
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
});

const grant = (host: string) => daemon.call('POST', '/v1/grants', { volume: 'demo', host });
/** Nor does it know the subsystem any more. */
const revoke = (host: string) => daemon.call('DELETE', `/v1/hosts/${encodeURIComponent(host)}`);
const nvmOf = ({ records }: DiscoveryPage) => records.filter(({ subtype }) => subtype === 2);

test('discovery: at both portals, by both NQNs: the same subsystem, this service and its NQN', async () => {
  const identity = newIdentity(wellKnown);
  await grant(identity.hostnqn);
  const own = new Set<string>();
  for (const port of [daemon.port, daemon.discoveryPort]) {
    await using discovery = await Discovery.open(port, identity);
    const { data } = await discovery.admin.command(
      sqe({ opcode: opcode.identify, cdw: [1], sglLength: 4096 }),
    );
    own.add(text(data.subarray(768, 1024)));
    const page = await discovery.page();
    assert.deepEqual(
      nvmOf(page).map((record) => [record.subnqn, record.traddr, record.trsvcid, record.eflags]),
      [[subnqn, '127.0.0.1', String(daemon.port), 0]],
    );
    const current = page.records.filter(({ subtype }) => subtype === 3);
    assert.equal(current[0]?.trsvcid, String(port), 'first, as it was reached');
    for (const record of current)
      assert.deepEqual([record.eflags, own.has(record.subnqn)], [3, true]);
  }
  const [ownNqn, ...others] = own;
  assert.deepEqual(others, []);
  assert.match(ownNqn ?? '', /^nqn\.2026-01\.dev\.ashlar:discovery:[0-9a-f-]{36}$/);
  await using unique = await Discovery.open(daemon.port, { ...identity, subnqn: ownNqn ?? '' });
  assert.equal(nvmOf(await unique.page()).length, 1);
  await revoke(identity.hostnqn);
});

test('discovery: a grant: the host is told once, reading clears, others hear nothing', async () => {
  const identity = newIdentity(wellKnown);
  await using host = await Discovery.open(daemon.discoveryPort, identity, 30_000);
  await using other = await Discovery.open(daemon.discoveryPort, newIdentity(wellKnown), 30_000);
  await host.listen(events);
  await other.listen(events);
  const [before, othersBefore] = [await host.page(), await other.page()];
  await grant(identity.hostnqn);
  assert.equal(await host.event(events), discoveryChange);
  host.park(events);
  await revoke(identity.hostnqn);
  await host.quiet();
  const after = await host.page(true);
  assert.ok(after.genctr > before.genctr);
  await grant(identity.hostnqn);
  await host.quiet();
  assert.equal(nvmOf(await host.page()).length, 1, 'reading with RAE cleared ends the event');
  await revoke(identity.hostnqn);
  assert.equal(await host.event(events), discoveryChange, 'and the next change is a new one');
  await other.quiet();
  assert.equal((await other.page()).genctr, othersBefore.genctr);
});

test('discovery: a page that changes while it is read in parts: told by GENCTR', async () => {
  const identity = newIdentity(wellKnown);
  await grant(identity.hostnqn);
  await using host = await Discovery.open(daemon.port, identity);
  const header = (await host.read(0, 1024, true)).data;
  const numrec = Number(header.readBigUInt64LE(8));
  await revoke(identity.hostnqn);
  const rest = await host.read(1024, 1024 * numrec, true);
  assert.equal(rest.status, status.success);
  const page = parsePage(Buffer.concat([header, rest.data]));
  assert.equal(nvmOf(page).length, 1, 'the records that the header counts');
  const again = parsePage((await host.read(0, 64 * 1024, false)).data);
  assert.ok(again.genctr > page.genctr);
  assert.deepEqual(nvmOf(again), []);
  const beyond = await host.read(1024 * (again.numrec + 1) + 4, 4, true);
  assert.equal(beyond.status, status.invalidField);
});

test('discovery: referrals: added and removed: every host is told of the other node', async () => {
  await using host = await Discovery.open(daemon.port, newIdentity(wellKnown), 30_000);
  await host.page();
  await host.listen(events);
  const referrals = async () => {
    const { records } = await host.page();
    return records
      .filter(({ subtype }) => subtype === 1)
      .map(({ subnqn: nqn, traddr, trsvcid }) => [nqn, traddr, trsvcid]);
  };
  await daemon.call('POST', '/v1/referrals', { address: '192.0.2.7' });
  assert.equal(await host.event(events), discoveryChange);
  host.park(events);
  assert.deepEqual(await referrals(), [[wellKnown, '192.0.2.7', '8009']]);
  await daemon.call('DELETE', `/v1/referrals/${encodeURIComponent('192.0.2.7:8009')}`);
  assert.equal(await host.event(events), discoveryChange);
  assert.deepEqual(await referrals(), []);
});

test('discovery: KATO, then silence: ended; the persistent one stays; one host has 64 at most', async () => {
  const identity = newIdentity(wellKnown);
  await using silent = await Discovery.open(daemon.port, identity, 1000);
  await using persistent = await Discovery.open(daemon.port, identity, 3_600_000);
  assert.equal(await silent.admin.read(), null, 'closed');
  await persistent.quiet();
  const all: Connection[] = [];
  try {
    let answer = { status: 0 };
    while (answer.status === 0 && all.length < 70) {
      const connection = await Connection.open(daemon.port);
      all.push(connection);
      answer = await connection.fabricsConnect({ ...identity, qid: 0 });
    }
    assert.deepEqual([all.length, answer.status], [64, 0x181], 'Controller Busy');
  } finally {
    for (const connection of all) await connection[Symbol.asyncDispose]();
  }
});

test('discovery: restarts: referrals are kept, GENCTR goes on, and hosts find the same NQN', async () => {
  const identity = newIdentity(wellKnown);
  await daemon.call('POST', '/v1/referrals', { address: '2001:DB8:0::7', port: 4420, portalId: 3 });
  const read = async () => {
    await using discovery = await Discovery.open(daemon.port, identity);
    return await discovery.page();
  };
  let before = await read();
  for (const end of ['stop', 'kill'] as const) {
    await daemon[end]();
    await daemon.start();
    const page = await read();
    assert.ok(page.genctr > before.genctr, `${end}: ${page.genctr} is over ${before.genctr}`);
    assert.deepEqual(page.records, before.records);
    assert.equal(page.records.at(-1)?.traddr, '2001:db8::7');
    before = page;
  }
});
