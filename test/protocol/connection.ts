/** A raw host: one TCP connection each, PDU by PDU, right or wrong as the test wants it. */
import assert from 'node:assert/strict';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectFields, connect, enable, property, propertySet, sqe } from './commands.js';
import {
  capsuleCmd,
  type Framing,
  h2cData,
  type IcReqFields,
  icReq,
  type Pdu,
  PduReader,
  parseC2hData,
  parseCapsuleResp,
  parseIcResp,
  parseR2t,
  parseTermReq,
  pduType,
  plainFraming,
} from './pdu.js';

const patienceMs = 10_000;

/** A connection; every wait on it fails after ten seconds. */
export class Connection implements AsyncDisposable {
  readonly #socket: Duplex;
  readonly #reader = new PduReader();
  readonly #pdus: Pdu[] = [];
  #wake: () => void = () => {};
  #closed = false;
  #problem: Error | null = null;
  framing: Framing = plainFraming;

  private constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on('data', (piece) => {
      try {
        this.#reader.push(Buffer.from(piece));
        for (let pdu = this.#reader.next(); pdu !== null; pdu = this.#reader.next()) {
          this.#pdus.push(pdu);
        }
      } catch (error) {
        this.#problem = error instanceof Error ? error : new Error(String(error));
      }
      this.#wake();
    });
    // A reset is one of the ways in which the other side may close.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** TCP only. */
  static async dial(port: number): Promise<Connection> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    const connection = new Connection(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return connection;
  }

  /** Over a stream that something else has opened. */
  static over(stream: Duplex): Connection {
    return new Connection(stream);
  }

  /** TCP, ICReq and ICResp. */
  static async open(port: number, fields: IcReqFields = {}): Promise<Connection> {
    const connection = await Connection.dial(port);
    connection.write(icReq(fields));
    await connection.negotiated();
    return connection;
  }

  /** Takes the ICResp that answers an ICReq. */
  async negotiated() {
    const response = parseIcResp(await this.expect(pduType.icResp));
    this.framing = {
      headerDigest: (response.dgst & 1) !== 0,
      dataDigest: (response.dgst & 2) !== 0,
      cpdaBytes: (response.cpda + 1) * 4,
      maxH2cData: response.maxH2cData,
    };
    return response;
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** From now on the other side's bytes are left where they are, or no longer. */
  setReading(reading: boolean): void {
    if (reading) this.#socket.resume();
    else this.#socket.pause();
  }

  /** The other side has closed, or the connection broke. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Half-closes: the other side reads the end of the stream. */
  end(): void {
    this.#socket.end();
  }

  /** PDUs that have come and nobody has read. */
  get waiting(): number {
    return this.#pdus.length;
  }

  /** The next PDU; null: the other side closed. */
  async read(): Promise<Pdu | null> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      if (this.#problem !== null) throw this.#problem;
      const pdu = this.#pdus.shift();
      if (pdu !== undefined) return pdu;
      if (this.#closed) return null;
      await this.#change(deadline);
    }
  }

  #change(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`nothing came within ${patienceMs} ms`)),
        Math.max(1, deadline - Date.now()),
      );
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async expect(type: number): Promise<Pdu> {
    const pdu = await this.read();
    assert.ok(pdu !== null, `the connection was closed instead of a PDU of type ${type}`);
    if (pdu.type === pduType.c2hTermReq && type !== pduType.c2hTermReq) {
      const term = parseTermReq(pdu);
      assert.fail(`C2HTermReq with FES ${term.fes} FEI ${term.fei} instead of type ${type}`);
    }
    assert.equal(pdu.type, type, 'PDU type');
    return pdu;
  }

  /** The C2HTermReq with which the other side ends the connection, and then the end itself. */
  async expectTermReq() {
    const term = parseTermReq(await this.expect(pduType.c2hTermReq));
    // The host closes then (Transport 1.1, 3.4); a controller waits for that, up to 30 seconds.
    this.end();
    assert.equal(await this.read(), null, 'nothing follows a C2HTermReq');
    return term;
  }

  /** Sends a command and sees it through, R2T by R2T. The CID is that of the entry. */
  async command(entry: Buffer, options: { dataOut?: Buffer; inCapsule?: boolean } = {}) {
    const inCapsule = options.inCapsule === true ? (options.dataOut ?? null) : null;
    this.write(capsuleCmd(entry, inCapsule, this.framing));
    return this.completion(options.dataOut ?? Buffer.alloc(0));
  }

  /** Answers R2Ts from `dataOut` and gathers C2HData until the completion. */
  async completion(dataOut: Buffer) {
    const pieces: Buffer[] = [];
    for (;;) {
      const pdu = await this.read();
      assert.ok(pdu !== null, 'the connection was closed during a command');
      if (pdu.type === pduType.capsuleResp) {
        return { ...parseCapsuleResp(pdu), data: Buffer.concat(pieces) };
      }
      if (pdu.type === pduType.c2hData) {
        const { datal, success, cccid } = parseC2hData(pdu);
        assert.equal(pdu.data.length, datal, 'DATAL and the data that came');
        pieces.push(pdu.data);
        if (!success) continue;
        const data = Buffer.concat(pieces);
        return { result: 0n, sqhd: 0, sqid: 0, cid: cccid, status: 0, doNotRetry: false, data };
      }
      assert.equal(pdu.type, pduType.r2t, 'PDU type during a command');
      this.#answer(parseR2t(pdu), dataOut);
    }
  }

  #answer(r2t: { cccid: number; ttag: number; r2to: number; r2tl: number }, dataOut: Buffer): void {
    const end = r2t.r2to + r2t.r2tl;
    for (let datao = r2t.r2to; datao < end; datao += this.framing.maxH2cData) {
      const data = dataOut.subarray(datao, Math.min(end, datao + this.framing.maxH2cData));
      const last = datao + data.length === end;
      this.write(h2cData({ cccid: r2t.cccid, ttag: r2t.ttag, datao, last, data }, this.framing));
    }
  }

  /** Fabrics Connect on this connection. */
  fabricsConnect(fields: ConnectFields) {
    const { entry, data } = connect(fields);
    return this.command(entry, { dataOut: data, inCapsule: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    if (!this.#closed) await new Promise((resolve) => this.#socket.once('close', resolve));
  }
}

/** Who the raw host says it is. */
export interface Identity {
  subnqn: string;
  hostnqn: string;
  hostid: Buffer;
}

/** An enabled controller: its admin queue and one I/O queue. */
export class Association implements AsyncDisposable {
  private constructor(
    readonly admin: Connection,
    readonly io: Connection,
    readonly cntlid: number,
  ) {}

  static async open(
    port: number,
    identity: Identity,
    fields: IcReqFields & { kato?: number } = {},
  ): Promise<Association> {
    const admin = await Connection.open(port, fields);
    const { cntlid } = await openController(admin, identity, fields.kato ?? 0);
    const io = await Connection.open(port, fields);
    const joined = await io.fabricsConnect({ ...identity, qid: 1, cntlid, sqsize: 127 });
    assert.equal(joined.status, 0, 'status of Connect on the I/O queue');
    return new Association(admin, io, cntlid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.io[Symbol.asyncDispose]();
    await this.admin[Symbol.asyncDispose]();
  }
}

/** Connects the admin queue and enables the controller. */
export async function openController(admin: Connection, identity: Identity, kato = 0) {
  const answer = await admin.fabricsConnect({ ...identity, qid: 0, kato });
  assert.equal(answer.status, 0, 'status of Connect on the admin queue');
  const cntlid = Number(answer.result & 0xffffn);
  const enabled = await admin.command(propertySet(property.cc, 4, enable));
  assert.equal(enabled.status, 0, 'status of Property Set of CC');
  return { cntlid };
}

/** A harmless command, to see that an admin queue is alive. */
export const keepAlive = sqe({ opcode: 0x18 });
