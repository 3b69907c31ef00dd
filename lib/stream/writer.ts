/** Writes an export stream: each call gives the bytes to send next. */
import { createHash, type Hash } from 'node:crypto';
import {
  checksum,
  checksumBytes,
  encodeEnd,
  encodeHeader,
  encodeRecordHeader,
  type RecordType,
  type StreamHeader,
  type StreamTotals,
} from './format.js';

/** Data as it goes into a record: compressed, or as it is when that is not smaller. */
export interface PackedData {
  type: 'raw' | 'zstd';
  bytes: Uint8Array;
}

export class StreamWriter {
  readonly header: StreamHeader;
  readonly #digest: Hash = createHash('sha256');
  readonly #totals: StreamTotals = {
    dataRecords: 0n,
    zeroRecords: 0n,
    dataBytes: 0n,
    zeroBytes: 0n,
  };
  #sequence = 0n;
  #checksum = 0;

  constructor(header: StreamHeader) {
    this.header = header;
  }

  get totals(): Readonly<StreamTotals> {
    return this.#totals;
  }

  /** First of all. */
  begin(): Buffer {
    const bytes = encodeHeader(this.header);
    // The checksum of each record goes on from the one before it, which ties them into this stream.
    this.#checksum = bytes.readUInt32LE(bytes.length - checksumBytes);
    this.#digest.update(bytes);
    return bytes;
  }

  data(offset: bigint, length: number, packed: PackedData): Buffer {
    this.#totals.dataRecords += 1n;
    this.#totals.dataBytes += BigInt(length);
    return this.#record(packed.type, offset, BigInt(length), packed.bytes);
  }

  zero(offset: bigint, length: bigint): Buffer {
    this.#totals.zeroRecords += 1n;
    this.#totals.zeroBytes += length;
    return this.#record('zero', offset, length, new Uint8Array(0));
  }

  /** Everything below `offset` has been sent. */
  resume(offset: bigint): Buffer {
    return this.#record('resume', offset, 0n, new Uint8Array(0));
  }

  /** Last of all. */
  end(): Buffer {
    const payload = encodeEnd(this.#totals, this.#digest.copy().digest());
    return this.#record('end', this.header.sizeBytes, 0n, payload);
  }

  #record(type: RecordType, offset: bigint, length: bigint, payload: Uint8Array): Buffer {
    const storedBytes = payload.length;
    const header = encodeRecordHeader({
      type,
      storedBytes,
      sequence: this.#sequence,
      offset,
      length,
    });
    const bytes = Buffer.allocUnsafe(header.length + storedBytes + checksumBytes);
    bytes.set(header, 0);
    bytes.set(payload, header.length);
    const end = bytes.length - checksumBytes;
    this.#checksum = checksum(bytes.subarray(0, end), this.#checksum);
    bytes.writeUInt32LE(this.#checksum, end);
    this.#digest.update(bytes);
    this.#sequence += 1n;
    return bytes;
  }
}
