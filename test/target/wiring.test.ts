/** How the target decides: who is let in, what each host sees and hears of. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CommandCompletion, ControllerHandle } from '../../lib/native.js';
import type { HostKeys } from '../../lib/target/authentication.js';
import type { HostAccess, TargetNamespace } from '../../lib/target/namespace.js';
import { discoveryNqn } from '../../lib/target/nqn.js';
import { noReservations } from '../../lib/target/reservations.js';
import { statuses } from '../../lib/target/statuses.js';
import type { Subsystem } from '../../lib/target/subsystem.js';
import { Target, type TargetListener } from '../../lib/target/target.js';
import { tlsPsks } from '../../lib/tls/derive.js';
import { generatePsk } from '../../lib/tls/psk.js';
import { FakeNative } from './fake_native.js';
import { ascii, le, sqe } from './layout.js';

const subnqn = 'nqn.2026-01.dev.ashlar:tenant';
const ownDiscoveryNqn = 'nqn.2026-01.dev.ashlar:discovery:1';
const alice = 'nqn.2026-01.test:alice';
const bob = 'nqn.2026-01.test:bob';

class Bench {
  readonly native = new FakeNative();
  readonly refusals: string[] = [];
  readonly keys = new Map<string, HostKeys>();
  readonly failures: string[] = [];
  /** NSID and number of registrants, each time that reservations were saved. */
  readonly saved: [number, number][] = [];
  saveFails: Error | null = null;
  readonly target: Target;
  readonly subsystem: Subsystem;
  #command = 0n;

  constructor(cntlids = { first: 1, last: 3 }) {
    const listener: TargetListener = {
      connected: () => undefined,
      disconnected: () => undefined,
      refused: (_peer, _portal, { reason }) => this.refusals.push(reason),
      failed: (what, error) => this.failures.push(`${what}: ${error.message}`),
    };
    this.target = new Target({
      native: this.native.addon(),
      runtime: this.native.runtime,
      firmware: '0.1.0',
      discovery: { nqn: ownDiscoveryNqn, serial: 'd', firstGeneration: 100n },
      writeThrough: false,
      tls: 'allowed',
      atomicWriteBytes: 4096,
      cntlids,
      health: async () => ({ poolFailed: false, freePercent: 50, powerOnHours: 0n }),
      listener,
    });
    this.subsystem = this.target.addSubsystem({
      nqn: subnqn,
      serial: 's',
      admits: () => false,
      keysOf: (hostnqn) => this.keys.get(hostnqn) ?? null,
      saveReservations: async (nsid, { registrants }) => {
        if (this.saveFails !== null) throw this.saveFails;
        this.saved.push([nsid, registrants.size]);
      },
    });
  }

  async listen(discoveryOnly = false): Promise<this> {
    await this.target.listen({ address: '0.0.0.0', port: 0, discoveryOnly });
    return this;
  }

  namespace(
    nsid: number,
    grants: Record<string, HostAccess>,
    sizeBytes = 1n << 30n,
    frozen = false,
  ) {
    const namespace: TargetNamespace = {
      nsid,
      uuid: new Uint8Array(16),
      nguid: new Uint8Array(16),
      sizeBytes,
      blockBytes: 4096,
      anagrpid: 1,
      volume: this.native.volume(`volume ${nsid}`),
      meter: null,
      frozen,
      access: (hostnqn) => grants[hostnqn] ?? null,
      usedBytes: async () => 0n,
    };
    return this.subsystem.setNamespace(namespace);
  }

  connect(fields: {
    hostnqn: string;
    subnqn?: string;
    qid?: number;
    cntlid?: number;
    hostid?: number;
    kato?: number;
    portalId?: number;
    tlsIdentity?: string;
  }): void {
    const command = Buffer.alloc(64);
    command.writeUInt8(0x7f, 0);
    command.writeUInt8(1, 4);
    command.writeUInt16LE(fields.qid ?? 0, 42);
    command.writeUInt16LE(31, 44);
    command.writeUInt32LE(fields.kato ?? 0, 48);
    const data = Buffer.alloc(1024);
    data.fill(fields.hostid ?? 1, 0, 16);
    data.writeUInt16LE(fields.cntlid ?? 0xffff, 16);
    data.write(fields.subnqn ?? subnqn, 256);
    data.write(fields.hostnqn, 512);
    this.target.handle({
      type: 'connect',
      connect: this.native.connect(fields.hostnqn),
      portalId: fields.portalId ?? 1,
      peer: '10.0.0.9:50000',
      local: '10.0.0.1:40000',
      tlsIdentity: fields.tlsIdentity ?? null,
      sqe: new Uint8Array(command),
      data: new Uint8Array(data),
    });
  }

  /** Connects and enables. */
  async associate(hostnqn: string, nqn = subnqn): Promise<ControllerHandle> {
    this.connect({ hostnqn, subnqn: nqn });
    const { controller } = await this.native.take('accept');
    const handle = controller as ControllerHandle;
    await this.admin(handle, propertySet(0x0046_0001));
    return handle;
  }

  async admin(controller: ControllerHandle, bytes: Uint8Array): Promise<CommandCompletion> {
    this.#command += 1n;
    const command = this.#command;
    this.target.handle({
      type: 'command',
      queue: 1n,
      qid: 0,
      controller,
      command,
      sqe: bytes,
      data: null,
      dataRoomBytes: 1 << 20,
    });
    const told = await this.native.take('complete');
    assert.equal(told.command, command);
    return told.completion;
  }

  async listeningTo(controller: ControllerHandle, events: number): Promise<ControllerHandle> {
    const { status } = await this.admin(controller, sqe({ opcode: 9, cdw10: 0x0b, cdw11: events }));
    assert.equal(status, 0);
    return controller;
  }

  async nsids(controller: ControllerHandle): Promise<number[]> {
    const { data } = await this.admin(controller, sqe({ opcode: 6, cdw10: 2 }));
    const all = Array.from({ length: 8 }, (_, at) =>
      Number(le(data ?? new Uint8Array(), at * 4, 4)),
    );
    return all.filter((nsid) => nsid !== 0);
  }

  log(controller: ControllerHandle, lid: number, bytes = 4096): Promise<CommandCompletion> {
    return this.admin(controller, sqe({ opcode: 2, cdw10: lid | ((bytes / 4 - 1) << 16) }));
  }

  events(): number {
    return this.native.told.filter(({ call }) => call === 'event').length;
  }
}

function propertySet(cc: number): Uint8Array {
  const bytes = Buffer.from(sqe({ opcode: 0x7f }));
  bytes.writeUInt8(0, 4);
  bytes.writeUInt32LE(0x14, 44);
  bytes.writeBigUInt64LE(BigInt(cc), 48);
  return new Uint8Array(bytes);
}

describe('who is let in', () => {
  it('a host without any grant: as if the subsystem did not exist', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    bench.connect({ hostnqn: bob });
    const hidden = await bench.native.take('reject');
    bench.connect({ hostnqn: bob, subnqn: 'nqn.2026-01.dev.ashlar:none' });
    const absent = await bench.native.take('reject');
    assert.equal(hidden.status, statuses.connectInvalidParameters);
    assert.deepEqual([hidden.status, hidden.result], [absent.status, absent.result]);
  });

  it('a discovery portal: discovery and nothing else', async () => {
    const bench = await new Bench().listen(true);
    await bench.namespace(1, { [alice]: 'read-write' });
    bench.connect({ hostnqn: alice });
    assert.equal((await bench.native.take('reject')).status, statuses.connectInvalidParameters);
    bench.connect({ hostnqn: alice, subnqn: discoveryNqn });
    await bench.native.take('accept');
    assert.equal((await bench.native.take('keep-alive')).timeoutMs, 120_000);
  });

  it('CNTLIDs go round the range of the node; when all are taken: busy', async () => {
    const bench = await new Bench({ first: 7, last: 9 }).listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const first = await bench.associate(alice);
    await bench.associate(alice);
    const detail = '';
    bench.target.handle({
      type: 'controller-ended',
      controller: first,
      reason: 'disconnected',
      detail,
    });
    await bench.associate(alice);
    await bench.associate(alice);
    assert.deepEqual(
      bench.native.created.map(({ cntlid }) => cntlid),
      [7, 8, 9, 7],
    );
    bench.connect({ hostnqn: alice });
    assert.equal((await bench.native.take('reject')).status, statuses.connectControllerBusy);
  });

  it('I/O queues: only of the same host and HOSTID, when enabled, as many as granted', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write', [bob]: 'read-write' });
    bench.connect({ hostnqn: alice });
    const controller = (await bench.native.take('accept')).controller as ControllerHandle;
    const rejected = async (fields: Parameters<Bench['connect']>[0]) => {
      bench.connect({ qid: 1, cntlid: 1, ...fields });
      const { status, result } = await bench.native.take('reject');
      return [status, result];
    };
    assert.deepEqual(await rejected({ hostnqn: alice }), [statuses.commandSequenceError, 0n]);
    await bench.admin(controller, propertySet(0x0046_0001));
    await bench.admin(controller, sqe({ opcode: 9, cdw10: 7, cdw11: 0x0001_0001 }));
    const invalid = statuses.connectInvalidParameters;
    assert.deepEqual(await rejected({ hostnqn: bob }), [invalid, 0x1_0200n]);
    assert.deepEqual(await rejected({ hostnqn: alice, hostid: 2 }), [invalid, 0x1_0000n]);
    assert.deepEqual(await rejected({ hostnqn: alice, cntlid: 2 }), [invalid, 0x1_0010n]);
    assert.deepEqual(await rejected({ hostnqn: alice, qid: 3 }), [invalid, 42n]);
    bench.connect({ hostnqn: alice, qid: 2, cntlid: 1 });
    assert.equal((await bench.native.take('accept')).controller, controller);
  });

  it('over TLS: the PSK of that host for that subsystem, and nobody else', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write', [bob]: 'read-write' });
    const psk = generatePsk('sha256');
    bench.target.setTlsPsks([...tlsPsks(psk, alice, subnqn), ...tlsPsks(psk, alice, discoveryNqn)]);
    assert.equal(bench.native.tlsKeys.length, 8);
    const tlsIdentity = `NVMe0R01 ${alice} ${subnqn}`;
    assert.ok(bench.native.tlsKeys.some(({ identity }) => identity === tlsIdentity));
    const refused = async (fields: Parameters<Bench['connect']>[0]) => {
      bench.connect(fields);
      assert.equal((await bench.native.take('reject')).status, statuses.connectInvalidHost);
    };
    await refused({ hostnqn: bob, tlsIdentity });
    await refused({ hostnqn: alice, subnqn: discoveryNqn, tlsIdentity });
    bench.connect({ hostnqn: alice, tlsIdentity });
    const { controller } = await bench.native.take('accept');
    await bench.admin(controller as ControllerHandle, propertySet(0x0046_0001));
    await refused({ hostnqn: alice, qid: 1, cntlid: 1 });
    bench.connect({ hostnqn: alice, qid: 1, cntlid: 1, tlsIdentity });
    assert.equal((await bench.native.take('accept')).controller, controller);
    bench.target.setTlsPsks([]);
    await refused({ hostnqn: alice, qid: 2, cntlid: 1, tlsIdentity });
    assert.match(bench.refusals.at(-1) ?? '', /was removed meanwhile/);
  });

  it('a plain admin queue: its I/O queues are plain as well', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    bench.target.setTlsPsks(tlsPsks(generatePsk('sha384'), alice, subnqn));
    await bench.associate(alice);
    const tlsIdentity = `NVMe0R02 ${alice} ${subnqn}`;
    bench.connect({ hostnqn: alice, qid: 1, cntlid: 1, tlsIdentity });
    assert.equal((await bench.native.take('reject')).status, statuses.connectInvalidHost);
  });

  it('before it is enabled a controller takes Fabrics commands only', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    bench.connect({ hostnqn: alice });
    const controller = (await bench.native.take('accept')).controller as ControllerHandle;
    const completion = await bench.admin(controller, sqe({ opcode: 6, cdw10: 1 }));
    assert.equal(completion.status, statuses.commandSequenceError);
    assert.equal(completion.doNotRetry, true);
  });

  it('a host that leaves while namespaces are attached: no controller stays behind', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    let settle: () => void = () => undefined;
    bench.native.settle = new Promise((resolve) => {
      settle = resolve;
    });
    bench.connect({ hostnqn: alice });
    const [controller] = bench.target.controllers;
    assert.ok(controller !== undefined);
    const { handle } = controller.identity;
    bench.target.handle({
      type: 'controller-ended',
      controller: handle,
      reason: 'destroyed',
      detail: '',
    });
    settle();
    await bench.native.settle;
    assert.equal(bench.target.controllers.length, 0);
    assert.equal(
      bench.native.told.some(({ call }) => call === 'accept'),
      false,
    );
  });
});

describe('what a host sees', () => {
  it('exactly what it was granted, and read-only where that was said', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    await bench.namespace(2, { [alice]: 'read-only', [bob]: 'read-write' });
    const a = await bench.associate(alice);
    const b = await bench.associate(bob);
    assert.deepEqual(await bench.nsids(a), [1, 2]);
    assert.deepEqual(await bench.nsids(b), [2]);
    const attached = bench.native.attached.get(a)?.map(({ nsid, readOnly }) => [nsid, readOnly]);
    assert.deepEqual(attached, [
      [1, false],
      [2, true],
    ]);
    const hidden = await bench.admin(b, sqe({ opcode: 6, cdw10: 0, nsid: 1 }));
    assert.equal(
      hidden.data?.every((byte) => byte === 0),
      true,
    );
  });

  it('a reservation of another host: refuses at once, is no change of the namespace', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const a = await bench.associate(alice);
    const rules = () => bench.native.attached.get(a)?.map(({ reservation }) => reservation);
    assert.deepEqual(rules(), ['none']);
    const [own, other] = ['01'.repeat(16), '02'.repeat(16)];
    const register = { kind: 'register', action: 'register', ptpl: 'keep' } as const;
    const mine = { ...register, ignoreExistingKey: false, currentKey: 0n, newKey: 7n };
    const acquire = { kind: 'acquire', action: 'acquire', currentKey: 7n, preemptKey: 0n } as const;
    const { subsystem } = bench;
    assert.equal(await subsystem.reserve(1, other, mine), 0);
    assert.equal(await subsystem.reserve(1, other, { ...acquire, type: 1 }), 0);
    assert.deepEqual(rules(), ['writes-refused']);
    assert.equal(bench.target.controllers[0]?.changedNamespaces(false).size, 0);
    const late = await bench.associate(alice);
    assert.equal(bench.native.attached.get(late)?.[0]?.reservation, 'writes-refused');
    assert.equal(await subsystem.clearReservations(1), 1);
    assert.deepEqual(rules(), ['none']);
    assert.equal(await subsystem.reserve(1, own, mine), 0);
    assert.equal(await subsystem.reserve(1, own, { ...acquire, type: 2 }), 0);
    assert.deepEqual(rules(), ['none']);
    await subsystem.removeNamespace(1);
    assert.equal(subsystem.reservationsOf(1).held?.holder, own, 'it stays while one waits');
    await subsystem.forgetReservations(1);
    assert.equal(subsystem.reservationsOf(1), noReservations);
    const late2 = await subsystem.reserve(1, own, mine);
    assert.equal(late2, statuses.invalidNamespaceOrFormat, 'nothing comes back to life');
    assert.equal(subsystem.reservationsOf(1), noReservations);
  });

  it('a reservation that persists: durable before anyone judges by it, undone if it is not', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const a = await bench.associate(alice);
    const host = '02'.repeat(16);
    const register = { kind: 'register', action: 'register', ptpl: 'on' } as const;
    const keys = { ignoreExistingKey: false, currentKey: 0n, newKey: 7n };
    const acquire = { kind: 'acquire', action: 'acquire', type: 2, currentKey: 7n } as const;
    await bench.subsystem.reserve(1, host, { ...register, ...keys });
    assert.deepEqual(bench.saved, [[1, 1]]);
    bench.saveFails = new Error('the device is gone');
    const lost = bench.subsystem.reserve(1, host, { ...acquire, preemptKey: 0n });
    await assert.rejects(lost, /device is gone/);
    assert.equal(bench.subsystem.reservationsOf(1).held, null);
    assert.equal(bench.native.attached.get(a)?.[0]?.reservation, 'none');
    bench.saveFails = null;
    assert.equal(await bench.subsystem.setPersistence(1, false), 0);
    assert.deepEqual(bench.saved, [
      [1, 1],
      [1, 1],
    ]);
    await bench.subsystem.reserve(1, host, { ...acquire, preemptKey: 0n });
    assert.equal(bench.saved.length, 2, 'without persistence nothing is written');
  });

  it('grant, resize, removal: one event until the list is read, with every NSID', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const a = await bench.listeningTo(await bench.associate(alice), 0x900);
    await bench.namespace(5, { [alice]: 'read-write' });
    const raised = await bench.native.take('event');
    assert.deepEqual(raised.event, { eventType: 2, information: 0, logPage: 4 });
    await bench.namespace(1, { [alice]: 'read-write' }, 2n << 30n);
    await bench.subsystem.removeNamespace(5);
    const list = await bench.log(a, 4);
    assert.deepEqual([le(list.data ?? new Uint8Array(), 0, 8)], [0x5_0000_0001n]);
    assert.equal((await bench.native.take('clear')).event.logPage, 4);
    const empty = await bench.log(a, 4);
    assert.equal(
      empty.data?.every((byte) => byte === 0),
      true,
    );
    assert.deepEqual(await bench.nsids(a), [1]);
  });

  it('a change that concerns others is not heard of', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    await bench.listeningTo(await bench.associate(alice), 0x900);
    await bench.namespace(2, { [bob]: 'read-write' });
    assert.equal(bench.events(), 0);
  });

  it('events that the host did not ask for are not raised, but the list is kept', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const a = await bench.associate(alice);
    await bench.namespace(2, { [alice]: 'read-write' });
    assert.equal(bench.events(), 0);
    assert.equal(le((await bench.log(a, 4)).data ?? new Uint8Array(), 0, 4), 2n);
  });

  it('a removal resolves only when native code has no command of it under way', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    await bench.associate(alice);
    let settle: () => void = () => undefined;
    bench.native.settle = new Promise((resolve) => {
      settle = resolve;
    });
    let removed = false;
    const removal = bench.subsystem.removeNamespace(1).then(() => {
      removed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(removed, false);
    settle();
    await removal;
  });

  it('ANA: a change is heard on that portal alone, and the log tells the state', async () => {
    const bench = await (await new Bench().listen()).listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const a = await bench.listeningTo(await bench.associate(alice), 0x900);
    await bench.target.setAna(2, 1, 'inaccessible');
    assert.equal(bench.events(), 0);
    await bench.target.setAna(1, 1, 'non-optimized');
    assert.equal((await bench.native.take('event')).event.information, 3);
    const { data } = await bench.log(a, 0x0c);
    const log = data ?? new Uint8Array();
    assert.deepEqual([le(log, 0, 8), le(log, 8, 2), le(log, 16, 4)], [1n, 1n, 1n]);
    assert.deepEqual([le(log, 20, 4), log[32], le(log, 48, 4)], [1n, 2, 1n]);
  });

  it('a reset: features and changes start anew', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const a = await bench.listeningTo(await bench.associate(alice), 0x900);
    await bench.namespace(2, { [alice]: 'read-write' });
    await bench.admin(a, propertySet(0));
    await bench.admin(a, propertySet(0x0046_0001));
    assert.equal((await bench.admin(a, sqe({ opcode: 0x0a, cdw10: 0x0b }))).result, 0n);
    assert.equal(le((await bench.log(a, 4)).data ?? new Uint8Array(), 0, 4), 0n);
  });
});

describe('discovery', () => {
  it('lists what this host may see, at the address through which it came', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const records = async (hostnqn: string) => {
      const handle = await bench.associate(hostnqn, discoveryNqn);
      const { data } = await bench.log(handle, 0x70, 4096);
      const log = data ?? new Uint8Array();
      return Array.from({ length: Number(le(log, 8, 8)) }, (_, index) => {
        const at = 1024 * (index + 1);
        const name = ascii(log, at + 256, 256).split('\0')[0];
        return [
          log[at + 2],
          name,
          ascii(log, at + 512, 256).trim(),
          ascii(log, at + 32, 32).trim(),
        ];
      });
    };
    const current = [3, ownDiscoveryNqn, '10.0.0.1', '40000'];
    assert.deepEqual(await records(alice), [current, [2, subnqn, '10.0.0.1', '40000']]);
    assert.deepEqual(await records(bob), [current]);
  });

  it('a grant moves the generation counter and raises the event', async () => {
    const bench = await new Bench().listen();
    const b = await bench.listeningTo(await bench.associate(bob, discoveryNqn), 0x8000_0000);
    const generation = async () =>
      le((await bench.log(b, 0x70, 1024)).data ?? new Uint8Array(), 0, 8);
    const before = await generation();
    await bench.namespace(1, { [bob]: 'read-write' });
    const { event } = await bench.native.take('event');
    assert.deepEqual(event, { eventType: 2, information: 0xf0, logPage: 0x70 });
    assert.ok((await generation()) > before);
  });

  it('write protection: of a snapshot for ever, of a read-only grant, and none', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    await bench.namespace(2, { [alice]: 'read-only' });
    await bench.namespace(3, { [alice]: 'read-only' }, 1n << 30n, true);
    const a = await bench.associate(alice);
    const feature = (opcode: number, nsid: number) =>
      bench.admin(a, sqe({ opcode, nsid, cdw10: 0x84 }));
    assert.equal((await feature(0x0a, 1)).result, 0n);
    assert.equal((await feature(0x0a, 2)).result, 1n);
    assert.equal((await feature(0x0a, 3)).result, 3n);
    assert.equal((await feature(0x0a, 4)).status, statuses.invalidNamespaceOrFormat);
    assert.equal((await feature(0x09, 2)).status, statuses.featureNotChangeable);
  });

  it('admin commands of no use: refused; the error log is native', async () => {
    const bench = await new Bench().listen();
    await bench.namespace(1, { [alice]: 'read-write' });
    const a = await bench.associate(alice);
    const format = await bench.admin(a, sqe({ opcode: 0x80, nsid: 1 }));
    assert.deepEqual([format.status, format.doNotRetry], [statuses.invalidOpcode, true]);
    assert.equal((await bench.log(a, 0x70)).status, statuses.invalidLogPage);
    const entry = { errorCount: 2n, sqid: 0, cid: 7, statusField: 2, parameterLocation: 0 };
    bench.native.errors = {
      errorCount: 2n,
      entries: [{ ...entry, lba: 0n, nsid: 1, opcode: 0x80 }],
    };
    const { data } = await bench.log(a, 1);
    assert.equal(le(data ?? new Uint8Array(), 0, 8), 2n);
    const smart = await bench.log(a, 2);
    assert.equal(le(smart.data ?? new Uint8Array(), 176, 8), 2n);
    assert.deepEqual(bench.failures, []);
  });
});
