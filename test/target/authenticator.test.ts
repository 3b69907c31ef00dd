/** Who has to authenticate, what that lets in, and what is held for those who have not. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { ControllerEndedEvent, ControllerHandle, PortalTls } from '../../lib/native.js';
import type { HostKeys } from '../../lib/target/authentication.js';
import { statuses } from '../../lib/target/statuses.js';
import { Target } from '../../lib/target/target.js';
import { type HostSide, negotiate, reply, tlsPskOf } from './dhchap_host.js';
import { FakeNative } from './fake_native.js';
import { sqe } from './layout.js';

const subnqn = 'nqn.2026-01.dev.ashlar:tenant';
const alice = 'nqn.2026-01.test:alice';
const bob = 'nqn.2026-01.test:bob';
const key = randomBytes(32);

interface ConnectFields {
  qid?: number;
  cntlid?: number;
  peer?: string;
  tlsIdentity?: string;
}

class Bench {
  readonly native = new FakeNative();
  readonly keys = new Map<string, HostKeys>();
  /** What the node is told, in order. */
  readonly told: string[] = [];
  readonly target: Target;
  #command = 0n;

  constructor(tls: PortalTls = 'none') {
    this.keys.set(alice, { host: [{ key, transform: null }], controller: null });
    this.target = new Target({
      native: this.native.addon(),
      runtime: this.native.runtime,
      firmware: '0.1.0',
      discovery: { nqn: 'nqn.2026-01.dev.ashlar:d', serial: 'd', firstGeneration: 1n },
      writeThrough: false,
      tls,
      atomicWriteBytes: 4096,
      cntlids: { first: 1, last: 4000 },
      health: async () => ({ poolFailed: false, freePercent: 50, powerOnHours: 0n }),
      listener: {
        connected: ({ identity }) => this.told.push(`connected ${identity.hostnqn}`),
        disconnected: ({ identity }) => this.told.push(`disconnected ${identity.hostnqn}`),
        refused: (_peer, _portal, { reason }) => this.told.push(`refused ${reason}`),
        failed: (what, error) => this.told.push(`failed ${what}: ${error.message}`),
      },
    });
    this.target.addSubsystem({
      nqn: subnqn,
      serial: 's',
      admits: () => true,
      keysOf: (hostnqn) => this.keys.get(hostnqn) ?? null,
      saveReservations: async () => undefined,
    });
  }

  async listen(): Promise<this> {
    await this.target.listen({ address: '0.0.0.0', port: 0, discoveryOnly: false });
    return this;
  }

  connect(hostnqn: string, fields: ConnectFields = {}): void {
    const command = Buffer.alloc(64);
    command.writeUInt8(0x7f, 0);
    command.writeUInt8(1, 4);
    command.writeUInt16LE(fields.qid ?? 0, 42);
    command.writeUInt16LE(31, 44);
    const data = Buffer.alloc(1024);
    data.writeUInt16LE(fields.cntlid ?? 0xffff, 16);
    data.write(subnqn, 256);
    data.write(hostnqn, 512);
    this.target.handle({
      type: 'connect',
      connect: this.native.connect(hostnqn),
      portalId: 1,
      peer: fields.peer ?? '10.0.0.9:50000',
      local: '10.0.0.1:4420',
      tlsIdentity: fields.tlsIdentity ?? null,
      sqe: new Uint8Array(command),
      data: new Uint8Array(data),
    });
  }

  async accepted(hostnqn: string, peer?: string) {
    this.connect(hostnqn, peer === undefined ? {} : { peer });
    const { controller, authentication } = await this.native.take('accept');
    return { controller: controller as ControllerHandle, authentication };
  }

  /** An Authentication Send, or a Receive where there is no message. */
  async authentication(
    controller: ControllerHandle,
    message: Uint8Array | null,
    queue = { name: 1n, qid: 0 },
  ) {
    this.#command += 1n;
    const length = message?.length ?? 4096;
    this.target.handle({
      type: 'command',
      queue: queue.name,
      qid: queue.qid,
      controller,
      command: this.#command,
      sqe: sqe({ opcode: 0x7f, nsid: message ? 5 : 6, cdw10: 0xe901_0100, cdw11: length }),
      data: message === null ? null : Uint8Array.from(message),
      dataRoomBytes: message === null ? 4096 : 0,
    });
    const { completion, verdict, command } = await this.native.take('authentication');
    assert.equal(command, this.#command);
    return { status: completion.status, data: Buffer.from(completion.data ?? []), verdict };
  }

  /** All messages on one queue pair; the last verdict. */
  async authenticate(controller: ControllerHandle, queue = { name: 1n, qid: 0 }, with_ = key) {
    const host: HostSide = {
      hostnqn: alice,
      subnqn,
      key: with_,
      transform: 0,
      controllerKey: null,
      hashIds: [1],
      groupIds: [0],
      transaction: 9,
    };
    await this.authentication(controller, negotiate(host), queue);
    const { data } = await this.authentication(controller, null, queue);
    await this.authentication(controller, reply(host, data).message, queue);
    return (await this.authentication(controller, null, queue)).verdict;
  }

  /** As authenticate, and generates a PSK, whose identity it returns. */
  async generate(controller: ControllerHandle, secureChannel = 2): Promise<string> {
    const host: HostSide = {
      hostnqn: alice,
      subnqn,
      key,
      transform: 0,
      controllerKey: null,
      hashIds: [1],
      groupIds: [1],
      transaction: 9,
      secureChannel,
    };
    await this.authentication(controller, negotiate(host));
    const { data } = await this.authentication(controller, null);
    const { message, psk } = reply(host, data);
    await this.authentication(controller, message);
    assert.equal((await this.authentication(controller, null)).verdict, 'authenticated');
    assert(psk !== null);
    return tlsPskOf(psk, host).identity;
  }

  end(controller: ControllerHandle, reason: ControllerEndedEvent['reason'], detail: string): void {
    this.target.handle({ type: 'controller-ended', controller, reason, detail });
  }
}

describe('authenticator', () => {
  it('a host with a key has to authenticate, on every queue; one without has not', async () => {
    const bench = await new Bench().listen();
    const a = await bench.accepted(alice);
    const b = await bench.accepted(bob);
    assert.deepEqual([a.authentication, b.authentication], ['required', 'none']);
    assert.deepEqual(bench.told, [`connected ${bob}`]);
    assert.equal(await bench.authenticate(a.controller), 'authenticated');
    assert.deepEqual(bench.told, [`connected ${bob}`, `connected ${alice}`]);
    assert.equal(bench.target.controllers.length, 2);
  });

  it('before it has, it counts as connected to nobody; failing and ending is told once', async () => {
    const bench = await new Bench().listen();
    const a = await bench.accepted(alice);
    assert.equal(bench.target.controllers.length, 0);
    assert.equal(await bench.authenticate(a.controller, undefined, randomBytes(32)), 'refused');
    bench.end(a.controller, 'not-authenticated', 'the host failed to authenticate');
    assert.deepEqual(bench.told, [
      `refused ${alice} failed to authenticate: authentication failed`,
    ]);
    const late = await bench.accepted(alice);
    bench.end(late.controller, 'not-authenticated', 'the host did not authenticate in time');
    assert.match(bench.told[1] ?? '', /did not authenticate in time/);
  });

  it('I/O queues do as the admin queue had to, also when keys come or go meanwhile', async () => {
    for (const [nqn, wanted] of [
      [alice, 'required'],
      [bob, 'none'],
    ] as const) {
      const bench = await new Bench().listen();
      const { controller } = await bench.accepted(nqn);
      if (nqn === alice) await bench.authenticate(controller);
      bench.target.handle({
        type: 'command',
        queue: 1n,
        qid: 0,
        controller,
        command: 100n,
        sqe: sqe({ opcode: 0x7f, nsid: 0, cdw11: 0x14, cdw12: 0x0046_0001 }),
        data: null,
        dataRoomBytes: 0,
      });
      await bench.native.take('complete');
      if (nqn === alice) bench.keys.delete(alice);
      else bench.keys.set(bob, { host: [{ key, transform: null }], controller: null });
      bench.connect(nqn, { qid: 1, cntlid: 1 });
      assert.equal((await bench.native.take('accept')).authentication, wanted);
    }
  });

  it('queues authenticate apart, and another queue pair of a QID begins anew', async () => {
    const bench = await new Bench().listen();
    const { controller } = await bench.accepted(alice);
    await bench.authenticate(controller);
    const io = { name: 2n, qid: 1 };
    assert.equal(await bench.authenticate(controller, io), 'authenticated');
    // Nothing waits for a queue pair that has not begun.
    const other = await bench.authentication(controller, null, { name: 3n, qid: 1 });
    assert.deepEqual([other.verdict, other.data[1]], ['refused', 0xf1]);
    assert.deepEqual(bench.target.controllers.length, 1);
  });

  it('a host without keys that authenticates all the same: Invalid Opcode', async () => {
    const bench = await new Bench().listen();
    const { controller } = await bench.accepted(bob);
    const { status, verdict } = await bench.authentication(controller, Buffer.alloc(72));
    assert.deepEqual([status, verdict], [statuses.invalidOpcode, 'as-before']);
  });

  it('keys that do not open: the Connect fails, and nobody is let in', async () => {
    const bench = await new Bench().listen();
    Object.defineProperty(bench.keys, 'get', {
      value: () => {
        throw new Error('the key file is missing');
      },
    });
    bench.connect(alice);
    const { status } = await bench.native.take('reject');
    assert.equal(status, statuses.internalError);
    assert.match(bench.told[0] ?? '', /key file is missing/);
  });

  it('64 of one address authenticate at a time; more are told Controller Busy', async () => {
    const bench = await new Bench().listen();
    const first = await bench.accepted(alice);
    for (let count = 1; count < 64; count += 1) await bench.accepted(alice);
    bench.connect(alice);
    const { status } = await bench.native.take('reject');
    assert.equal(status, statuses.connectControllerBusy);
    // Neither another address nor a host without a key suffers.
    await bench.accepted(alice, '10.0.0.10:50000');
    await bench.accepted(bob);
    // Whoever has authenticated, or has gone, makes room.
    await bench.authenticate(first.controller);
    const next = await bench.accepted(alice);
    bench.end(next.controller, 'disconnected', 'gone');
    await bench.accepted(alice);
  });

  it('where TLS is required, in plain: ASCR, and over the generated PSK nothing more', async () => {
    const bench = await new Bench('required').listen();
    bench.connect(bob);
    assert.equal((await bench.native.take('reject')).status, statuses.connectInvalidHost);
    const plain = await bench.accepted(alice);
    assert.equal(plain.authentication, 'required-with-tls');
    const tlsIdentity = await bench.generate(plain.controller);
    assert.deepEqual(
      bench.native.generatedKeys.map(({ identity, hash }) => [identity, hash]),
      [[tlsIdentity, 'sha256']],
    );
    bench.connect(alice, { tlsIdentity });
    const secured = await bench.native.take('accept');
    assert.equal(secured.authentication, 'none');
    // Of both kinds of PSK, the host's own alone.
    bench.connect(bob, { tlsIdentity });
    assert.equal((await bench.native.take('reject')).status, statuses.connectInvalidHost);
  });

  it('keys gone between its Connect and the answer: the host is not let in unproven', async () => {
    const bench = await new Bench('required').listen();
    let asked = 0;
    Object.defineProperty(bench.keys, 'get', {
      value: () => {
        asked += 1;
        return asked === 1 ? { host: [{ key, transform: null }], controller: null } : undefined;
      },
    });
    const { authentication } = await bench.accepted(alice);
    assert.equal(authentication, 'required-with-tls');
  });

  it('the last controller over a generated PSK ends: its PSK stays for a while', async () => {
    const bench = await new Bench('allowed').listen();
    const plain = await bench.accepted(alice);
    assert.equal(plain.authentication, 'required');
    const tlsIdentity = await bench.generate(plain.controller);
    bench.end(plain.controller, 'disconnected', 'gone');
    bench.connect(alice, { tlsIdentity });
    const { controller } = await bench.native.take('accept');
    const replaced = await bench.generate(controller as ControllerHandle, 3);
    assert.deepEqual(
      bench.native.generatedKeys.map(({ identity }) => identity),
      [replaced],
    );
    bench.end(controller as ControllerHandle, 'disconnected', 'gone');
    assert.equal(bench.native.generatedKeys.length, 1);
    bench.keys.delete(alice);
    bench.target.hostsChanged();
    assert.equal(bench.native.generatedKeys.length, 0);
  });
});
