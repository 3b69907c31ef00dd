/**
 * Wireshark's dissector as a judge: what hosts and the target say to each other is read by a codec
 * that nobody of ours wrote, and has to mean there what it means here.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connectHost } from '../../lib/host/index.js';
import { Daemon, Workspace } from '../rig/daemon.js';
import { Capture, type PassedPdu } from './capture.js';
import {
  identify,
  ioSqe,
  opcode,
  property,
  propertyGet,
  propertySet,
  shutdown,
  sqe,
  status,
} from './commands.js';
import { Association, Connection, keepAlive, openController } from './connection.js';
import { type DissectedPdu, type Dissection, dissect } from './dissector.js';
import { blockBytes, inCapsuleWrite, newIdentity, pattern, solicitedWrite } from './fixture.js';
import { capsuleCmd, fes, flag, h2cData, h2cTermReq, icReq, parseR2t, pduType } from './pdu.js';

const wellKnown = 'nqn.2014-08.org.nvmexpress.discovery';

let daemon: Daemon;
let subnqn = '';
let nsid = 0;
before(async () => {
  daemon = await Daemon.start({ poolFile: null, discovery: true });
  ({ subnqn, nsid } = await daemon.volume('demo'));
});
after(() => daemon[Symbol.asyncDispose]());

function logPage(lid: number, bytes: number, of = 0): Buffer {
  const dword10 = (lid | ((bytes / 4 - 1) << 16)) >>> 0;
  return sqe({ opcode: opcode.getLogPage, nsid: of, cdw: [dword10], sglLength: bytes });
}

async function adminTraffic(admin: Connection): Promise<void> {
  for (const [offset, bytes] of [
    [property.cap, 8],
    [property.vs, 4],
    [property.cc, 4],
    [property.csts, 4],
  ] as const) {
    assert.equal((await admin.command(propertyGet(offset, bytes))).status, status.success);
  }
  for (const [cns, of] of [
    [0x00, nsid],
    [0x01, 0],
    [0x02, 0],
    [0x03, nsid],
  ] as const) {
    assert.equal((await admin.command(identify(cns, of))).status, status.success);
  }
  for (const [lid, bytes] of [
    // Two entries: of the last one the dissector reads 66 bytes instead of 64.
    [0x01, 128],
    [0x02, 512],
    [0x03, 512],
    [0x04, 4096],
    [0x05, 4096],
    [0x0c, 64],
  ] as const) {
    const answer = await admin.command(logPage(lid, bytes, 0xffffffff));
    assert.equal(answer.status, status.success, `log page ${lid}`);
  }
  for (const fid of [0x02, 0x04, 0x05, 0x06, 0x07, 0x0a, 0x0b, 0x0f]) {
    const answer = await admin.command(sqe({ opcode: opcode.getFeatures, cdw: [fid] }));
    assert.equal(answer.status, status.success, `feature ${fid}`);
  }
  const unknown = await admin.command(sqe({ opcode: 0xc1 }));
  assert.equal(unknown.status, status.invalidOpcode);
  assert.equal((await admin.command(keepAlive)).status, status.success);
}

async function ioTraffic(io: Connection): Promise<void> {
  const blocks = 32;
  const data = pattern(0, blocks, 1);
  const small = inCapsuleWrite(nsid, 64, blockBytes);
  const first = data.subarray(0, blockBytes);
  const done = await io.command(small, { dataOut: first, inCapsule: true });
  assert.equal(done.status, status.success);
  const write = solicitedWrite(nsid, 0, data.length, 9);
  assert.equal((await io.command(write, { dataOut: data })).status, status.success);
  const range = { nsid, slba: 0n, blocks, sglLength: data.length };
  const read = await io.command(ioSqe({ opcode: opcode.read, ...range }));
  assert.ok(read.data.equals(data));
  const compare = await io.command(ioSqe({ opcode: opcode.compare, ...range }), { dataOut: data });
  assert.equal(compare.status, status.success);
  assert.equal((await io.command(sqe({ opcode: opcode.flush, nsid }))).status, status.success);
  const zeroes = ioSqe({ opcode: opcode.writeZeroes, nsid, slba: 8n, blocks: 8 });
  assert.equal((await io.command(zeroes)).status, status.success);
  const beyond = ioSqe({ opcode: opcode.read, ...range, slba: 1n << 40n });
  assert.equal((await io.command(beyond)).status, status.lbaOutOfRange);
}

/** Everything that a host of ours, PDU by PDU, asks of a target and its discovery. */
async function rawHost(port: number, dgst: number): Promise<void> {
  const identity = newIdentity(subnqn);
  {
    await using host = await Association.open(port, identity, { dgst });
    await adminTraffic(host.admin);
    await ioTraffic(host.io);
    await host.admin.command(propertySet(property.cc, 4, shutdown));
    host.io.end();
    host.admin.end();
    assert.equal(await host.io.read(), null);
    assert.equal(await host.admin.read(), null);
  }
  await using discovery = await Connection.open(port, { dgst });
  await openController(discovery, { ...identity, subnqn: wellKnown });
  const page = await discovery.command(logPage(0x70, 3072));
  assert.equal(page.status, status.success);
  discovery.end();
  assert.equal(await discovery.read(), null);
}

/** Each side ends a connection with a TermReq once. */
async function termRequests(port: number): Promise<void> {
  await using first = await Connection.open(port);
  // A second ICReq is sound in itself, so that the dissector has nothing to say about it.
  first.write(icReq());
  assert.equal((await first.expectTermReq()).fes, fes.sequence);
  await using host = await Association.open(port, newIdentity(subnqn));
  const { io } = host;
  const data = pattern(0, 16, 1);
  io.write(capsuleCmd(solicitedWrite(nsid, 0, data.length, 7), null, io.framing));
  const { ttag } = parseR2t(await io.expect(pduType.r2t));
  const wrong = { cccid: 7, ttag: (ttag + 1) & 0xffff, datao: 0, last: true, data };
  io.write(h2cData(wrong, io.framing));
  assert.equal((await io.expectTermReq()).fes, fes.invalidHeaderField);
  host.admin.end();
  await using last = await Connection.open(port);
  last.write(h2cTermReq(fes.sequence, 0, Buffer.alloc(0)));
  last.end();
  assert.equal(await last.read(), null);
}

/** The native host of ours, which writes and reads with several queues at once. */
async function nativeHost(port: number, headerDigest: boolean, dataDigest: boolean): Promise<void> {
  const { hostnqn, hostid } = newIdentity(subnqn);
  await using host = await connectHost({
    ...{ address: '127.0.0.1', port, subnqn, hostnqn, hostid, ioQueues: 2 },
    ...{ headerDigest, dataDigest },
  });
  const namespace = await host.namespace(nsid);
  const lengths = [512 * 8, 128 * 1024, 1024 * 1024];
  const each = lengths.map(async (length, index) => {
    const data = new Uint8Array(pattern(0, length / blockBytes, index));
    await namespace.write(BigInt(index) << 20n, data);
    assert.deepEqual(await namespace.read(BigInt(index) << 20n, length), data);
  });
  await Promise.all(each);
  await namespace.flush();
}

/** The words in which a PDU of the dissector is compared with one of our codec. */
function asDissected({ fields }: DissectedPdu): Record<string, number> {
  const of = (name: string) => Number(fields.get(name));
  const all = {
    type: of('nvme-tcp.type'),
    flags: of('nvme-tcp.flags'),
    hlen: of('nvme-tcp.hlen'),
    pdo: of('nvme-tcp.pdo'),
    plen: of('nvme-tcp.plen'),
  };
  switch (all.type) {
    case pduType.r2t:
      return { ...all, r2to: of('nvme-tcp.r2t.offset'), r2tl: of('nvme-tcp.r2t.length') };
    case pduType.h2cData:
    case pduType.c2hData:
      return { ...all, datao: of('nvme-tcp.data.offset'), datal: of('nvme-tcp.data.length') };
    case pduType.capsuleResp:
      return { ...all, cid: of('nvme.cqe.cid'), status: of('nvme.cqe.status') };
    case pduType.c2hTermReq:
      return { ...all, fes: of('nvme-tcp.c2htermreq.fes') };
    default:
      return all;
  }
}

function asWeReadIt({ pdu }: PassedPdu): Record<string, number> {
  const { type, flags, hlen, pdo, plen, header } = pdu;
  const all = { type, flags, hlen, pdo, plen };
  const u32 = (offset: number) => header.readUInt32LE(offset);
  switch (type) {
    case pduType.r2t:
      return { ...all, r2to: u32(12), r2tl: u32(16) };
    case pduType.h2cData:
    case pduType.c2hData:
      return { ...all, datao: u32(12), datal: u32(16) };
    case pduType.capsuleResp:
      return { ...all, cid: header.readUInt16LE(20), status: header.readUInt16LE(22) };
    case pduType.c2hTermReq:
      return { ...all, fes: header.readUInt16LE(8) };
    default:
      return all;
  }
}

/** By connection and direction: between those the order of a capture is not exact. */
function inOrder<T extends { stream: number; direction: string }, R>(
  pdus: readonly T[],
  read: (pdu: T) => R,
): Map<string, R[]> {
  const lists = new Map<string, R[]>();
  for (const pdu of pdus) {
    const key = `connection ${pdu.stream} ${pdu.direction}`;
    lists.set(key, [...(lists.get(key) ?? []), read(pdu)]);
  }
  return new Map([...lists].sort(([a], [b]) => a.localeCompare(b)));
}

/**
 * Bits that this dissector (Wireshark 4.0, of NVMe 1.4) calls reserved and newer revisions define.
 * What is not in this table must be zero.
 */
const defined = new Map([
  ['nvme.fabrics.cmd.rsvd 40', 'PSDT of Fabrics commands (Base 2.0, 3.3.3.1)'],
  [`nvme.fabrics.cmd.prop_get_set.rsvd0 ${'00'.repeat(34)}5a`, 'SGL1 of an empty transfer'],
  ['nvme.fabrics.prop_get.ccap.rsvd2 2', 'CAP.CRMS: ready with media (Base 2.0, 3.1.3.1)'],
  ['nvme.cmd.identify.ctrl.lpa.rsvd 1', 'LPA bit 5: Supported Log Pages (Base 2.0, 5.17.2.1)'],
  ['nvme.cmd.identify.ctrl.oncs.rsvd 1', 'ONCS bit 8: Copy (Base 2.0, 5.17.2.1)'],
  ['nvme.cmd.identify.ctrl.rsvd3 0100', 'OCFS: Copy descriptor format 0 (Base 2.0, 5.17.2.1)'],
  ['nvme.cmd.get_logpage.cmd_and_eff.cseds.rsvd1 1', 'CSP: one namespace (Base 2.0, 5.16.1.6)'],
  ['nvme.cmd.get_logpage.cmd_and_eff.cseds.rsvd1 2', 'CSP: one controller (Base 2.0, 5.16.1.6)'],
  [`nvme.cmd.get_logpage.identify.rcrd.rsvd0 03${'00'.repeat(21)}`, 'EFLAGS (Base 2.0, 5.16.1.23)'],
]);

/** What a judgement needs to be worth something: PDUs of these types have passed. */
const types = new Set(Object.values(pduType));

describe('Wireshark', () => {
  /** Passes traffic through a capture, and holds what passed against the dissector's reading. */
  async function judge(traffic: (port: number) => Promise<void>): Promise<{
    passed: readonly PassedPdu[];
    dissection: Dissection;
  }> {
    using workspace = new Workspace();
    await using capture = await Capture.start(daemon.port);
    await traffic(capture.port);
    const file = workspace.file('traffic.pcap');
    await capture.write(file);
    const dissection = await dissect(file);
    const { passed } = capture;
    assert.deepEqual(dissection.complaints, []);
    assert.equal(dissection.pdus.length, passed.length, 'PDUs');
    assert.deepEqual(inOrder(dissection.pdus, asDissected), inOrder(passed, asWeReadIt));
    const reserved = new Set(dissection.pdus.flatMap((pdu) => [...pdu.reserved]));
    assert.deepEqual(
      [...reserved].filter((bits) => !defined.has(bits)),
      [],
      'reserved bits that are set',
    );
    return { passed, dissection };
  }

  for (const [dgst, name] of ['no digests', 'header digests', 'data digests', 'both'].entries()) {
    test(`a raw host, ${name}: every PDU is read as we read it, no complaint`, async () => {
      const { passed, dissection } = await judge((port) => rawHost(port, dgst));
      for (const [bit, field] of [
        [flag.hdgst, 'nvme-tcp.hdgst.status'],
        [flag.ddgst, 'nvme-tcp.ddgst.status'],
      ] as const) {
        const digested = passed.filter(({ pdu }) => (pdu.flags & bit) !== 0).length;
        assert.equal(digested > 0, (dgst & bit) !== 0, field);
        const good = dissection.pdus.filter(({ fields }) => fields.get(field) === '1').length;
        assert.equal(good, digested, `${field} is good`);
      }
      const seen = new Set<number>(passed.map(({ pdu }) => pdu.type));
      const terms: number[] = [pduType.h2cTermReq, pduType.c2hTermReq];
      assert.deepEqual([...types].filter((type) => !seen.has(type)).sort(), terms);
    });
  }

  test('TermReqs of both sides: read as we read them, no complaint', async () => {
    const { passed } = await judge(termRequests);
    const ends = passed.map(({ pdu }) => pdu.type).filter((type) => type === 2 || type === 3);
    assert.deepEqual(ends, [pduType.c2hTermReq, pduType.c2hTermReq, pduType.h2cTermReq]);
  });

  for (const digests of [false, true]) {
    test(`the native host, digests ${digests}: both sides are read, no complaint`, async () => {
      const { passed } = await judge((port) => nativeHost(port, digests, digests));
      const data = passed.filter(({ pdu }) => pdu.type === pduType.h2cData);
      const bytes = data.reduce((sum, { pdu }) => sum + pdu.data.length, 0);
      assert.ok(bytes >= 1024 * 1024, `${bytes} bytes by R2T`);
    });
  }
});
