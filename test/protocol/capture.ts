/**
 * A relay between hosts and a target that writes down what passes, as a capture file.
 *
 * No packet is sniffed, so no privilege is needed: each piece that the relay hands on becomes a
 * TCP segment with headers of its own (pcap, LINKTYPE_RAW), in the order in which it passed.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { type Pdu, PduReader } from './pdu.js';

export type Direction = 'toController' | 'toHost';

/** A PDU that passed, as the tests' own codec reads it. */
export interface PassedPdu {
  stream: number;
  direction: Direction;
  pdu: Pdu;
}

/** Ports in the capture: of the target, and of the host of the first connection. */
export const capturedPort = 4420;
const firstHostPort = 50_000;

/** What fits one IPv4 packet beside the headers. */
const maxSegmentBytes = 65_000;
const flags = { fin: 0x01, syn: 0x02, ack: 0x10 } as const;

class Recording {
  readonly #packets: Buffer[] = [];

  segment(
    stream: number,
    direction: Direction,
    sequence: [number, number],
    flag: number,
    data: Buffer,
  ): void {
    const toController = direction === 'toController';
    const hostPort = firstHostPort + stream;
    const packet = Buffer.alloc(16 + 40 + data.length);
    const length = 40 + data.length;
    // A microsecond from packet to packet: the order is what counts.
    packet.writeUInt32LE(this.#packets.length, 4);
    packet.writeUInt32LE(length, 8);
    packet.writeUInt32LE(length, 12);
    packet.writeUInt8(0x45, 16);
    packet.writeUInt16BE(length, 18);
    packet.writeUInt8(64, 24);
    packet.writeUInt8(6, 25);
    packet.set([10, 0, 0, toController ? 1 : 2], 28);
    packet.set([10, 0, 0, toController ? 2 : 1], 32);
    packet.writeUInt16BE(toController ? hostPort : capturedPort, 36);
    packet.writeUInt16BE(toController ? capturedPort : hostPort, 38);
    packet.writeUInt32BE(sequence[0] >>> 0, 40);
    packet.writeUInt32BE(sequence[1] >>> 0, 44);
    packet.writeUInt8(5 << 4, 48);
    packet.writeUInt8(flag, 49);
    packet.writeUInt16BE(65_535, 50);
    packet.set(data, 56);
    this.#packets.push(packet);
  }

  write(file: string): void {
    const head = Buffer.alloc(24);
    head.writeUInt32LE(0xa1b2c3d4, 0);
    head.writeUInt16LE(2, 4);
    head.writeUInt16LE(4, 6);
    head.writeUInt32LE(0x40000, 16);
    head.writeUInt32LE(101, 20);
    fs.writeFileSync(file, Buffer.concat([head, ...this.#packets]));
  }
}

/** One relayed connection: what was counted of each side, for the numbers of the next segment. */
class Stream {
  readonly #next = { toController: 0, toHost: 0 };
  readonly #readers = { toController: new PduReader(), toHost: new PduReader() };

  constructor(
    private readonly index: number,
    private readonly recording: Recording,
    private readonly passed: PassedPdu[],
  ) {
    this.#segment('toController', flags.syn, Buffer.alloc(0));
    this.#segment('toHost', flags.syn | flags.ack, Buffer.alloc(0));
    this.#segment('toController', flags.ack, Buffer.alloc(0));
  }

  data(direction: Direction, piece: Buffer): void {
    for (let at = 0; at < piece.length; at += maxSegmentBytes) {
      this.#segment(direction, flags.ack, piece.subarray(at, at + maxSegmentBytes));
    }
    const reader = this.#readers[direction];
    reader.push(piece);
    for (let pdu = reader.next(); pdu !== null; pdu = reader.next()) {
      this.passed.push({ stream: this.index, direction, pdu });
    }
  }

  end(direction: Direction): void {
    this.#segment(direction, flags.fin | flags.ack, Buffer.alloc(0));
  }

  #segment(direction: Direction, flag: number, data: Buffer): void {
    const other = direction === 'toHost' ? 'toController' : 'toHost';
    const numbers: [number, number] = [this.#next[direction], this.#next[other]];
    this.recording.segment(this.index, direction, numbers, flag, data);
    const counted = (flag & (flags.syn | flags.fin)) === 0 ? 0 : 1;
    this.#next[direction] += data.length + counted;
  }
}

export class Capture implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #recording = new Recording();
  readonly #open = new Set<Promise<unknown>>();
  readonly #sockets = new Set<net.Socket>();
  #streams = 0;
  /** Every PDU that passed, in order. */
  readonly passed: PassedPdu[] = [];

  private constructor(targetPort: number) {
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (host) => {
      const port = { port: targetPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true };
      const target = net.connect(port);
      const stream = new Stream(this.#streams++, this.#recording, this.passed);
      this.#open.add(this.#pass(host, target, stream, 'toController'));
      this.#open.add(this.#pass(target, host, stream, 'toHost'));
    });
  }

  static async start(targetPort: number): Promise<Capture> {
    const capture = new Capture(targetPort);
    capture.#server.listen(0, '127.0.0.1');
    await once(capture.#server, 'listening');
    return capture;
  }

  /** Where hosts connect. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async #pass(from: net.Socket, to: net.Socket, stream: Stream, direction: Direction) {
    this.#sockets.add(from);
    const closed = new Promise((resolve) => from.once('close', resolve));
    from.on('error', () => to.destroy()); // A reset goes on as one.
    from.on('data', (piece: Buffer) => {
      stream.data(direction, piece);
      to.write(piece);
    });
    from.once('end', () => {
      stream.end(direction);
      to.end();
    });
    await closed;
  }

  /** Waits until every connection has ended on both sides, then writes the file. */
  async write(file: string): Promise<void> {
    await Promise.all(this.#open);
    this.#recording.write(file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
