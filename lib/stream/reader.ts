/**
 * Reads an export stream and believes nothing that is not proved: every record is given out only
 * after its checksum, its number and its place have been found right.
 */
import { createHash, type Hash } from 'node:crypto';
import { toAshlarError } from '../errors.js';
import {
  checksum,
  checksumBytes,
  corrupt,
  decodeEnd,
  decodeHeader,
  decodeRecordHeader,
  endPayloadBytes,
  headerFixedBytes,
  headerLength,
  mapBlockBytes,
  maxDataBytes,
  type RecordHeader,
  recordHeaderBytes,
  type StreamHeader,
  type StreamTotals,
} from './format.js';
import type { PackedData } from './writer.js';

export type StreamRecord =
  /** `packed` is compressed or not; {@link unpack} gives the data. */
  | { kind: 'data'; offset: bigint; length: number; packed: PackedData }
  | { kind: 'zero'; offset: bigint; length: bigint }
  | { kind: 'resume'; offset: bigint }
  | { kind: 'end'; totals: StreamTotals };

/** Bytes as they come, given out in pieces of a wanted length. */
class ByteSource {
  readonly #source: AsyncIterator<Uint8Array>;
  #pieces: Uint8Array[] = [];
  #held = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly so many; fewer when the source ends. */
  async take(length: number): Promise<Buffer> {
    while (this.#held < length) {
      const next = await this.#source.next();
      if (next.done === true) break;
      this.#pieces.push(next.value);
      this.#held += next.value.length;
    }
    return this.#cut(Math.min(length, this.#held));
  }

  #cut(length: number): Buffer {
    const [first] = this.#pieces;
    this.#held -= length;
    if (first !== undefined && first.length > length) {
      this.#pieces[0] = first.subarray(length);
      return Buffer.from(first.buffer, first.byteOffset, length);
    }
    const taken: Uint8Array[] = [];
    let missing = length;
    let used = 0;
    for (const piece of this.#pieces) {
      if (missing === 0) break;
      if (piece.length > missing) {
        taken.push(piece.subarray(0, missing));
        this.#pieces[used] = piece.subarray(missing);
        missing = 0;
        break;
      }
      taken.push(piece);
      missing -= piece.length;
      used += 1;
    }
    this.#pieces = this.#pieces.slice(used);
    return Buffer.concat(taken, length);
  }
}

export class StreamReader {
  readonly header: StreamHeader;
  readonly #source: ByteSource;
  readonly #digest: Hash = createHash('sha256');
  readonly #totals: StreamTotals = {
    dataRecords: 0n,
    zeroRecords: 0n,
    dataBytes: 0n,
    zeroBytes: 0n,
  };
  #checksum: number;
  #sequence = 0n;
  /** Everything below has been given out. */
  #offset: bigint;
  #bytes: number;

  private constructor(source: ByteSource, head: Buffer) {
    this.header = decodeHeader(head);
    this.#source = source;
    this.#checksum = head.readUInt32LE(head.length - checksumBytes);
    this.#offset = this.header.fromOffset;
    this.#bytes = head.length;
    this.#digest.update(head);
  }

  /**
   * Reads and proves the header.
   * @throws AshlarError stream-corrupt, stream-newer-format, and what the source throws.
   */
  static async open(bytes: AsyncIterable<Uint8Array>): Promise<StreamReader> {
    const source = new ByteSource(bytes);
    const fixed = await source.take(headerFixedBytes);
    if (fixed.length === 0) throw corrupt('it is empty; did the export fail?');
    if (fixed.length < headerFixedBytes) throw corrupt(`it ends within its header`);
    const length = headerLength(fixed);
    const rest = await source.take(length - headerFixedBytes);
    const head = Buffer.concat([fixed, rest]);
    if (head.length < length) throw corrupt(`it ends within its header`);
    return new StreamReader(source, head);
  }

  /** Everything of the volume below this offset has been given out. */
  get offset(): bigint {
    return this.#offset;
  }

  /** Bytes of the stream read and proved. */
  get bytes(): number {
    return this.#bytes;
  }

  get totals(): Readonly<StreamTotals> {
    return this.#totals;
  }

  /**
   * The records, the end last. Nothing may follow the end.
   * @throws AshlarError stream-corrupt.
   */
  async *records(): AsyncGenerator<StreamRecord, void, void> {
    for (;;) {
      const record = await this.#next();
      yield record;
      if (record.kind === 'end') return;
    }
  }

  async #next(): Promise<StreamRecord> {
    const where = `record ${this.#sequence} (after offset ${this.#offset})`;
    const head = await this.#take(recordHeaderBytes, where);
    const record = decodeRecordHeader(head, where);
    const rest = await this.#take(record.storedBytes + checksumBytes, where);
    const payload = rest.subarray(0, record.storedBytes);
    const sum = checksum(payload, checksum(head, this.#checksum));
    if (rest.readUInt32LE(record.storedBytes) !== sum) {
      throw corrupt(`${where} does not match its checksum`);
    }
    if (record.sequence !== this.#sequence) {
      throw corrupt(`${where} is numbered ${record.sequence}; one is missing or out of order`);
    }
    this.#checkPlace(record, where);
    const digest = record.type === 'end' ? this.#digest.copy().digest() : null;
    this.#digest.update(head);
    this.#digest.update(rest);
    this.#checksum = sum;
    this.#sequence += 1n;
    this.#bytes += head.length + rest.length;
    if (digest !== null) await this.#checkEnd(payload, digest);
    return this.#body(record, payload);
  }

  async #take(length: number, where: string): Promise<Buffer> {
    const bytes = await this.#source.take(length);
    if (bytes.length < length) {
      throw corrupt(`it ends within ${where}: the export was interrupted`);
    }
    return bytes;
  }

  /** Records ascend, do not overlap, stay within the volume, and hold whole blocks. */
  #checkPlace({ type, offset, length, storedBytes }: RecordHeader, where: string): void {
    const { sizeBytes } = this.header;
    const end = offset + length;
    const wrong = (what: string) => corrupt(`${where} ${what}`);
    if (offset < this.#offset) throw wrong(`goes back to offset ${offset}`);
    if (end > sizeBytes) throw wrong(`ends at ${end}, beyond the volume's ${sizeBytes}`);
    if (type === 'end') {
      if (offset !== sizeBytes || storedBytes !== endPayloadBytes) throw wrong('is no valid end');
      return;
    }
    if (offset % mapBlockBytes !== 0n && offset !== sizeBytes) throw wrong(`begins at ${offset}`);
    if (type === 'resume') {
      if (length !== 0n) throw wrong(`is a resume point of ${length} bytes`);
      return;
    }
    const whole = length % mapBlockBytes === 0n || end === sizeBytes;
    if (length === 0n || !whole) throw wrong(`has ${length} bytes, not whole blocks`);
    if (type === 'zero') return;
    if (length > BigInt(maxDataBytes)) throw wrong(`has ${length} bytes, over the limit`);
    if (type === 'raw' && BigInt(storedBytes) !== length) throw wrong('is not as long as it says');
  }

  #body(record: RecordHeader, payload: Buffer): StreamRecord {
    const { type, offset, length } = record;
    this.#offset = offset + length;
    switch (type) {
      case 'raw':
      case 'zstd':
        this.#totals.dataRecords += 1n;
        this.#totals.dataBytes += length;
        return { kind: 'data', offset, length: Number(length), packed: { type, bytes: payload } };
      case 'zero':
        this.#totals.zeroRecords += 1n;
        this.#totals.zeroBytes += length;
        return { kind: 'zero', offset, length };
      case 'resume':
        return { kind: 'resume', offset };
      case 'end':
        return { kind: 'end', totals: { ...this.#totals } };
    }
  }

  async #checkEnd(payload: Buffer, digest: Buffer): Promise<void> {
    const said = decodeEnd(payload);
    for (const [name, count] of Object.entries(this.#totals)) {
      const other = Object.entries(said.totals).find(([each]) => each === name)?.[1];
      if (other !== count) throw corrupt(`its end counts ${name} ${other}, there were ${count}`);
    }
    if (!said.digest.equals(digest)) throw corrupt('it does not match its digest');
    const more = await this.#source.take(1);
    if (more.length > 0) throw corrupt('something follows its end');
  }
}

/** The data of a record. @throws AshlarError stream-corrupt. */
export async function unpack(
  record: Extract<StreamRecord, { kind: 'data' }>,
  zstd: { decompress(frame: Uint8Array, length: number): Promise<Uint8Array> },
): Promise<Uint8Array> {
  if (record.packed.type === 'raw') return record.packed.bytes;
  try {
    return await zstd.decompress(record.packed.bytes, record.length);
  } catch (thrown) {
    const why = toAshlarError(thrown).message;
    throw corrupt(`the data at offset ${record.offset} cannot be unpacked: ${why}`, thrown);
  }
}
