/** A target on a pool in memory, and a witness: a host that must not notice what others do. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Daemon, type DaemonOptions } from '../rig/daemon.js';
import { inCapsuleBlock, ioSqe, opcode, sqe } from './commands.js';
import { Association, type Identity, keepAlive } from './connection.js';

/** A host that nobody has seen yet. */
export function newIdentity(subnqn: string): Identity {
  const uuid = randomUUID();
  return {
    subnqn,
    hostnqn: `nqn.2014-08.org.nvmexpress:uuid:${uuid}`,
    hostid: Buffer.from(uuid.replaceAll('-', ''), 'hex'),
  };
}

export const blockBytes = 4096;

/** Blocks of bytes that tell where they were written and in which round. */
export function pattern(slba: number, blocks: number, round: number): Buffer {
  const bytes = Buffer.alloc(blocks * blockBytes);
  for (let at = 0; at < bytes.length; at += 8) {
    bytes.writeUInt32LE((slba * blockBytes + at) >>> 0, at);
    bytes.writeUInt32LE(round, at + 4);
  }
  return bytes;
}

export class Target implements AsyncDisposable {
  #round = 0;

  private constructor(
    readonly daemon: Daemon,
    readonly identity: Identity,
    readonly nsid: number,
    readonly sizeBlocks: number,
    readonly witness: Association,
  ) {}

  static async start(options: Partial<DaemonOptions> = {}): Promise<Target> {
    const daemon = await Daemon.start({ poolFile: null, ...options });
    const identity = newIdentity(await daemon.subnqn());
    const { nsid, sizeBytes } = await daemon.volume('demo');
    const witness = await Association.open(daemon.port, newIdentity(identity.subnqn));
    return new Target(daemon, identity, nsid, sizeBytes / blockBytes, witness);
  }

  get port(): number {
    return this.daemon.port;
  }

  /** An association of its own for one test. */
  associate(fields: Parameters<typeof Association.open>[2] = {}): Promise<Association> {
    return Association.open(this.port, newIdentity(this.identity.subnqn), fields);
  }

  /** The witness, connected before, writes and reads back, and its controller is alive. */
  async assertWitness(): Promise<void> {
    const round = ++this.#round;
    const slba = this.sizeBlocks - 1;
    const data = pattern(slba, 1, round);
    const range = { nsid: this.nsid, slba: BigInt(slba), blocks: 1, sglLength: blockBytes };
    const written = await this.witness.io.command(ioSqe({ opcode: opcode.write, ...range }), {
      dataOut: data,
    });
    assert.equal(written.status, 0, "status of the witness's write");
    const read = await this.witness.io.command(ioSqe({ opcode: opcode.read, ...range }));
    assert.equal(read.status, 0, "status of the witness's read");
    assert.ok(read.data.equals(data), 'the witness reads what it wrote');
    const alive = await this.witness.admin.command(keepAlive);
    assert.equal(alive.status, 0, "status of the witness's Keep Alive");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.witness[Symbol.asyncDispose]();
    await this.daemon[Symbol.asyncDispose]();
  }
}

/** A Write whose data travels in the capsule. */
export function inCapsuleWrite(nsid: number, slba: number, bytes: number): Buffer {
  const entry = ioSqe({
    opcode: opcode.write,
    nsid,
    slba: BigInt(slba),
    blocks: bytes / blockBytes,
    sglLength: bytes,
  });
  entry.writeUInt8(inCapsuleBlock, 39);
  return entry;
}

/** A Write whose data travels by R2T. */
export function solicitedWrite(nsid: number, slba: number, bytes: number, cid = 0): Buffer {
  const entry = ioSqe({
    opcode: opcode.write,
    nsid,
    slba: BigInt(slba),
    blocks: bytes / blockBytes,
    sglLength: bytes,
  });
  entry.writeUInt16LE(cid, 2);
  return entry;
}

export const flushAll = (nsid: number) => sqe({ opcode: opcode.flush, nsid });
