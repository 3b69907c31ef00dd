/**
 * A small NVMe/TCP target in memory, over the tests' own codec, that does what a good one would not:
 * forgets writes, serves another block, claims more than it has, goes away.
 */
import { once } from 'node:events';
import net from 'node:net';
import { fctype, opcode, status } from '../protocol/commands.js';
import { flag, type Pdu, PduReader, pduType } from '../protocol/pdu.js';

export interface Script {
  /** Blocks of 4 KiB that it claims, and that it has. */
  claimedBlocks: number;
  blocks: number;
  /** What a read gives; what was written when not given. */
  read?: (lba: number, stored: Buffer) => Buffer;
  /** Whether a write, the nth, is kept. */
  keeps?: (nth: number) => boolean;
  /** Answers no more after so many I/Os, and ends all connections. */
  dieAfter?: number;
}

export const scriptedNqn = 'nqn.2014-08.org.example:scripted';
const blockBytes = 4096;
const ready = 0x1;
const shutdownComplete = 0x8;

export class ScriptedTarget implements AsyncDisposable {
  readonly #script: Script;
  readonly #server = net.createServer((socket) => this.#serve(socket));
  readonly #sockets = new Set<net.Socket>();
  readonly #blocks = new Map<number, Buffer>();
  #ios = 0;
  #writes = 0;

  private constructor(script: Script) {
    this.#script = script;
  }

  static async start(script: Script): Promise<ScriptedTarget> {
    const target = new ScriptedTarget(script);
    target.#server.listen(0, '127.0.0.1');
    await once(target.#server, 'listening');
    return target;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Ends all connections and listens no more. */
  die(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.die();
  }

  #serve(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    const reader = new PduReader();
    const queue = { admin: false, shutDown: false };
    socket.on('data', (piece: Buffer) => {
      reader.push(piece);
      for (let pdu = reader.next(); pdu !== null; pdu = reader.next()) {
        if (pdu.type === pduType.icReq) socket.write(icResp());
        else if (pdu.type === pduType.capsuleCmd) socket.write(this.#answer(pdu, queue));
      }
    });
  }

  #answer(pdu: Pdu, queue: { admin: boolean; shutDown: boolean }): Buffer {
    const sqe = pdu.header.subarray(8, 72);
    const cid = sqe.readUInt16LE(2);
    const code = sqe.readUInt8(0);
    if (code === opcode.fabrics) return this.#fabrics(sqe, cid, queue);
    if (queue.admin) return admin(sqe, cid, code, this.#script.claimedBlocks);
    return this.#io(sqe, cid, code, pdu.data);
  }

  #fabrics(sqe: Buffer, cid: number, queue: { admin: boolean; shutDown: boolean }): Buffer {
    switch (sqe.readUInt8(4)) {
      case fctype.connect:
        queue.admin = sqe.readUInt16LE(42) === 0;
        return capsuleResp(cid, 0, 1n);
      case fctype.propertyGet: {
        const csts = ready | (queue.shutDown ? shutdownComplete : 0);
        const cap = (1n << 37n) | (20n << 24n) | 1023n;
        return capsuleResp(cid, 0, sqe.readUInt32LE(44) === 0 ? cap : BigInt(csts));
      }
      default:
        queue.shutDown = (sqe.readUInt32LE(48) & 0xc000) !== 0;
        return capsuleResp(cid, 0);
    }
  }

  #io(sqe: Buffer, cid: number, code: number, data: Buffer): Buffer {
    this.#ios += 1;
    if (this.#script.dieAfter !== undefined && this.#ios > this.#script.dieAfter) {
      this.die();
      return Buffer.alloc(0);
    }
    const lba = Number(sqe.readBigUInt64LE(40));
    const blocks = sqe.readUInt16LE(48) + 1;
    if (lba + blocks > this.#script.blocks) return capsuleResp(cid, status.lbaOutOfRange);
    const range = Array.from({ length: blocks }, (_, i) => lba + i);
    if (code === opcode.read) {
      const pieces = range.map((at) => {
        const stored = this.#blocks.get(at) ?? Buffer.alloc(blockBytes);
        return this.#script.read?.(at, stored) ?? stored;
      });
      return Buffer.concat([c2hData(cid, Buffer.concat(pieces)), capsuleResp(cid, 0)]);
    }
    this.#writes += 1;
    if (code === opcode.write && this.#script.keeps?.(this.#writes) !== false) {
      range.forEach((at, i) => {
        this.#blocks.set(at, Buffer.from(data.subarray(i * blockBytes, (i + 1) * blockBytes)));
      });
    }
    return capsuleResp(cid, 0);
  }
}

function admin(sqe: Buffer, cid: number, code: number, claimedBlocks: number): Buffer {
  if (code === opcode.setFeatures) return capsuleResp(cid, 0, 0x0007_0007n);
  if (code !== opcode.identify) return capsuleResp(cid, 0);
  const page = Buffer.alloc(4096);
  switch (sqe.readUInt8(40)) {
    case 0x00:
      for (const at of [0, 8]) page.writeBigUInt64LE(BigInt(claimedBlocks), at);
      page.writeUInt8(12, 130);
      break;
    case 0x01:
      page.write('Scripted target', 24);
      page.writeUInt8(3, 77);
      // 32 KiB of data in a capsule: no R2T is ever needed.
      page.writeUInt32LE((64 + 32_768) / 16, 1792);
      break;
    default:
      page.writeUInt32LE(1, 0);
  }
  return Buffer.concat([c2hData(cid, page), capsuleResp(cid, 0)]);
}

function icResp(): Buffer {
  const bytes = Buffer.alloc(128);
  bytes.writeUInt8(pduType.icResp, 0);
  bytes.writeUInt8(128, 2);
  bytes.writeUInt32LE(128, 4);
  bytes.writeUInt32LE(65_536, 12);
  return bytes;
}

function capsuleResp(cid: number, failed: number, result = 0n): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt8(pduType.capsuleResp, 0);
  bytes.writeUInt8(24, 2);
  bytes.writeUInt32LE(24, 4);
  bytes.writeBigUInt64LE(result, 8);
  bytes.writeUInt16LE(cid, 20);
  bytes.writeUInt16LE(failed << 1, 22);
  return bytes;
}

function c2hData(cid: number, data: Buffer): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt8(pduType.c2hData, 0);
  header.writeUInt8(flag.last, 1);
  header.writeUInt8(24, 2);
  header.writeUInt8(24, 3);
  header.writeUInt32LE(24 + data.length, 4);
  header.writeUInt16LE(cid, 8);
  header.writeUInt32LE(0, 12);
  header.writeUInt32LE(data.length, 16);
  return Buffer.concat([header, data]);
}
