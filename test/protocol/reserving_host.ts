/** A raw host that reserves namespaces (NVMe Base 7.2 to 7.5). */
import assert from 'node:assert/strict';
import { inCapsuleBlock, ioSqe, opcode, sqe } from './commands.js';
import { Association, type Identity } from './connection.js';
import { blockBytes, pattern } from './fixture.js';

export const code = { register: 0x0d, report: 0x0e, acquire: 0x11, release: 0x15 } as const;
/** Reservation Conflict. */
export const conflict = 0x083;

/** Sends reservation commands, and says their statuses. */
export class ReservingHost implements AsyncDisposable {
  private constructor(
    readonly association: Association,
    readonly identity: Identity,
    readonly nsid: number,
  ) {}

  static async connect(
    target: { port: number; nsid: number },
    identity: Identity,
  ): Promise<ReservingHost> {
    return new ReservingHost(await Association.open(target.port, identity), identity, target.nsid);
  }

  async #send(opcode_: number, cdw10: number, keys: readonly bigint[]): Promise<number> {
    const data = Buffer.alloc(keys.length * 8);
    keys.forEach((key, index) => {
      data.writeBigUInt64LE(key, index * 8);
    });
    const sgl = { sglLength: data.length, sglType: inCapsuleBlock };
    const entry = sqe({ opcode: opcode_, nsid: this.nsid, cdw: [cdw10], ...sgl });
    const answer = await this.association.io.command(entry, { dataOut: data, inCapsule: true });
    return answer.status;
  }

  /** CPTPL 10b: reservations do not persist; 11b: they do; 00b: as before. */
  register(key: bigint, cptpl = 0b00): Promise<number> {
    return this.#send(code.register, (cptpl << 30) >>> 0, [0n, key]);
  }
  unregister(key: bigint): Promise<number> {
    return this.#send(code.register, 1, [key, 0n]);
  }
  acquire(type: number, key: bigint): Promise<number> {
    return this.#send(code.acquire, type << 8, [key, 0n]);
  }
  preempt(type: number, key: bigint, victim: bigint, abort = false): Promise<number> {
    return this.#send(code.acquire, (type << 8) | (abort ? 2 : 1), [key, victim]);
  }
  release(type: number, key: bigint): Promise<number> {
    return this.#send(code.release, type << 8, [key]);
  }
  clear(key: bigint): Promise<number> {
    return this.#send(code.release, 1, [key]);
  }

  async report(bytes = 4096) {
    const cdw = [bytes / 4 - 1, 1];
    const entry = sqe({ opcode: code.report, nsid: this.nsid, cdw, sglLength: bytes });
    const { data, status: answered } = await this.association.io.command(entry);
    assert.equal(answered, 0, 'status of Reservation Report');
    const count = data.readUInt16LE(5);
    return {
      generation: data.readUInt32LE(0),
      type: data.readUInt8(4),
      ptpls: data.readUInt8(9),
      registrants: Array.from({ length: count }, (_, index) => {
        const at = 64 + index * 64;
        return {
          cntlid: data.readUInt16LE(at),
          holds: data.readUInt8(at + 2) === 1,
          key: data.readBigUInt64LE(at + 8),
          hostid: data.subarray(at + 16, at + 32).toString('hex'),
        };
      }),
    };
  }

  async #io(opcode_: number): Promise<number> {
    const range = { nsid: this.nsid, slba: 0n, blocks: 1, sglLength: blockBytes };
    const dataOut = opcode_ === opcode.write ? pattern(0, 1, 1) : Buffer.alloc(0);
    return (await this.association.io.command(ioSqe({ opcode: opcode_, ...range }), { dataOut }))
      .status;
  }
  write(): Promise<number> {
    return this.#io(opcode.write);
  }
  read(): Promise<number> {
    return this.#io(opcode.read);
  }

  /** Parks an Asynchronous Event Request; resolves to its dword 0 when an event comes. */
  async event(): Promise<number> {
    const entry = sqe({ opcode: opcode.asyncEventRequest, cid: 77 });
    return Number((await this.association.admin.command(entry)).result & 0xffff_ffffn);
  }

  async notice(retain = false) {
    const cdw = [0x80 | (retain ? 1 << 15 : 0) | ((64 / 4 - 1) << 16)];
    const entry = sqe({ opcode: opcode.getLogPage, cdw, sglLength: 64 });
    const { data } = await this.association.admin.command(entry);
    return {
      count: data.readBigUInt64LE(0),
      type: data.readUInt8(8),
      more: data.readUInt8(9),
      nsid: data.readUInt32LE(12),
    };
  }

  async mask(bits: number): Promise<void> {
    const cdw = [0x82, bits];
    const entry = sqe({ opcode: opcode.setFeatures, nsid: this.nsid, cdw });
    assert.equal((await this.association.admin.command(entry)).status, 0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.association[Symbol.asyncDispose]();
  }
}
