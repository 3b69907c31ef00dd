/** Wireshark's dissector, by way of tshark, over a capture file. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { capturedPort, type Direction } from './capture.js';

/** One PDU as the dissector reads it. */
export interface DissectedPdu {
  stream: number;
  direction: Direction;
  /** By the dissector's names, e.g. nvme-tcp.plen; of a name that occurs often, the first. */
  fields: Map<string, string>;
  /** Fields for reserved bits that are not zero, as `name value`. */
  reserved: Set<string>;
}

export interface Dissection {
  pdus: DissectedPdu[];
  /** What it complains about, from warnings upwards. */
  complaints: string[];
}

/** PI_WARN; notes and chats are about TCP. */
const warning = 0x600000;

/** Reads tshark's PDML line by line: each line is one element. */
class PdmlReader {
  readonly pdus: DissectedPdu[] = [];
  readonly complaints: string[] = [];
  #frame = 0;
  #stream = -1;
  #direction: Direction = 'toController';
  #message = '';
  #pdu: DissectedPdu | null = null;

  line(line: string): void {
    const name = attribute(line, 'name');
    if (line.includes('<packet>')) {
      this.#frame += 1;
      this.#pdu = null;
    } else if (line.includes('<proto ')) {
      if (name === 'nvme-tcp') this.#begin();
      if (name === '_ws.malformed') this.#complain(attribute(line, 'showname'));
    } else if (line.includes('<field ')) {
      this.#field(name, line);
    }
  }

  #begin(): void {
    this.#pdu = {
      stream: this.#stream,
      direction: this.#direction,
      fields: new Map(),
      reserved: new Set(),
    };
    this.pdus.push(this.#pdu);
  }

  #field(name: string, line: string): void {
    const show = attribute(line, 'show');
    if (name === 'tcp.stream') this.#stream = Number(show);
    if (name === 'tcp.srcport') {
      this.#direction = Number(show) === capturedPort ? 'toHost' : 'toController';
    }
    if (name === '_ws.expert.message') this.#message = show;
    if (name === '_ws.expert.severity' && Number(show) >= warning) this.#complain(this.#message);
    if (this.#pdu === null) return;
    if (!this.#pdu.fields.has(name)) this.#pdu.fields.set(name, show);
    const value = attribute(line, 'value');
    if (/rsvd|reserved/.test(name) && !/^0*$/.test(value)) {
      this.#pdu.reserved.add(`${name} ${value}`);
    }
  }

  #complain(what: string): void {
    this.complaints.push(`frame ${this.#frame}: ${what}`);
  }
}

function attribute(line: string, name: string): string {
  const start = line.indexOf(` ${name}="`);
  if (start < 0) return '';
  const from = start + name.length + 3;
  return line.slice(from, line.indexOf('"', from));
}

/** @throws Error when tshark fails. */
export async function dissect(file: string): Promise<Dissection> {
  const args = [
    ...['-n', '-r', file, '-T', 'pdml', '-d', `tcp.port==${capturedPort},nvme-tcp`],
    ...['-o', 'nvme-tcp.check_hdgst:TRUE', '-o', 'nvme-tcp.check_ddgst:TRUE'],
  ];
  const child = spawn('tshark', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let err = '';
  child.stderr.on('data', (piece: Buffer) => {
    err += piece.toString();
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const reader = new PdmlReader();
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => reader.line(line));
  const code = await ended;
  if (code !== 0) throw new Error(`tshark ended with ${code}: ${err}`);
  return { pdus: reader.pdus, complaints: reader.complaints };
}
