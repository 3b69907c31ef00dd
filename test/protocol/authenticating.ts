/** A raw host's queue pair that authenticates, and the text of its secrets. */
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { type HostSide, negotiate, reply, success2 } from '../target/dhchap_host.js';
import { inCapsuleBlock, opcode, sqe } from './commands.js';
import { Connection, type Identity } from './connection.js';

export function secretText(bytes: Buffer, hash: number): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(bytes));
  return `DHHC-1:0${hash}:${Buffer.concat([bytes, sum]).toString('base64')}:`;
}

/** One queue pair that was told to authenticate. */
export class Queue implements AsyncDisposable {
  private constructor(
    readonly connection: Connection,
    readonly cntlid: number,
  ) {}

  /** @param authreq what Connect has to be answered with: ATR (2), or ATR and ASCR (6). */
  static async open(
    port: number,
    identity: Identity,
    fields: { qid?: number; cntlid?: number } = {},
    authreq = 2n,
  ): Promise<Queue> {
    const connection = await Connection.open(port);
    const answer = await connection.fabricsConnect({ ...identity, qid: 0, ...fields });
    assert.equal(answer.status, 0, 'status of Connect');
    assert.equal(answer.result >> 16n, authreq, 'AUTHREQ');
    return new Queue(connection, Number(answer.result & 0xffffn));
  }

  /** Of an open queue, which may authenticate again. */
  static over(connection: Connection, cntlid: number): Queue {
    return new Queue(connection, cntlid);
  }

  async send(message: Buffer): Promise<number> {
    const entry = security(5, message.length);
    entry.writeUInt8(inCapsuleBlock, 39);
    return (await this.connection.command(entry, { dataOut: message, inCapsule: true })).status;
  }

  async receive(bytes = 4096) {
    const { status: code, data } = await this.connection.command(security(6, bytes));
    assert.equal(code, 0, 'status of Authentication Receive');
    return data;
  }

  async challenge(host: HostSide): Promise<Buffer> {
    assert.equal(await this.send(negotiate(host)), 0);
    const challenge = await this.receive();
    assert.deepEqual([challenge[0], challenge[1]], [1, 1], 'a challenge');
    return challenge;
  }

  /** @returns the generated PSK, of a host that asks for one. */
  async authenticate(host: HostSide): Promise<Buffer | null> {
    const { message, expected, psk } = reply(host, await this.challenge(host));
    assert.equal(await this.send(message), 0);
    const success = await this.receive();
    assert.equal(success[1], 3, 'Success1');
    if (expected === null) return psk;
    assert.deepEqual(success.subarray(16), expected, "the controller's response");
    assert.equal(await this.send(success2(host)), 0);
    return psk;
  }

  /** The explanation of AUTH_Failure1, after which the other side closes. */
  async explanation(): Promise<number> {
    const failure = await this.receive();
    assert.deepEqual([failure[0], failure[1], failure[6]], [0, 0xf1, 1]);
    assert.equal(await this.connection.read(), null, 'the connection ends');
    return failure.readUInt8(7);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.connection[Symbol.asyncDispose]();
  }
}

export function security(type: number, bytes: number): Buffer {
  return sqe({ opcode: opcode.fabrics, nsid: type, cdw: [0xe901_0100, bytes], sglLength: bytes });
}
