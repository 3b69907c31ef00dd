/**
 * The export stream, byte by byte: header and records as values, and back. FORMAT.md beside this
 * file is the description; a test compares both with bytes written down by hand.
 */
import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
import { AshlarError } from '../errors.js';

/** Eight letters. */
export const magic = 'ASHLAREX';
/** The newest layout that this code reads, and the one that it writes. */
export const streamVersion = 1;
/** Bits that a reader must understand; a stream with another one is refused. */
export const features = { zstd: 1 } as const;
const knownFeatures = features.zstd;

/** Bytes of a header before the names and the checksum. */
export const headerFixedBytes = 128;
export const checksumBytes = 4;
export const recordHeaderBytes = 32;
/** Data of one record, before compression. */
export const maxDataBytes = 1 << 20;
export const endPayloadBytes = 64;
/** Offsets and lengths are whole blocks, but for a length that ends at the volume's end. */
export const mapBlockBytes = 4096n;
const maxNameBytes = 255;

export interface StreamHeader {
  kind: 'full' | 'difference';
  /** Names the contents: the same for every export of the same snapshot since the same base. */
  streamUuid: Uint8Array;
  volumeUuid: Uint8Array;
  volumeName: string;
  snapshotUuid: Uint8Array;
  snapshotName: string;
  /** The snapshot that the difference starts at; null in a full stream. */
  baseUuid: Uint8Array | null;
  /** Size of the volume at the snapshot. */
  sizeBytes: bigint;
  /** Its size at the base; 0 in a full stream. */
  baseSizeBytes: bigint;
  blockBytes: 512 | 4096;
  /** What lies below is not in this stream: it continues an earlier one. 0: from the start. */
  fromOffset: bigint;
  /** When the snapshot was made. */
  snapshotCreatedMs: number;
  /** When this stream was written. */
  createdMs: number;
}

/** Codes of records on the wire. */
export const recordTypes = { raw: 1, zstd: 2, zero: 3, resume: 4, end: 5 } as const;
export type RecordType = keyof typeof recordTypes;

export interface RecordHeader {
  type: RecordType;
  /** Bytes of payload that follow. */
  storedBytes: number;
  sequence: bigint;
  offset: bigint;
  length: bigint;
}

/** What the end record says of everything before it. */
export interface StreamTotals {
  dataRecords: bigint;
  zeroRecords: bigint;
  dataBytes: bigint;
  zeroBytes: bigint;
}

/** A stream that cannot be believed. */
export function corrupt(what: string, cause?: unknown): AshlarError {
  return new AshlarError('stream-corrupt', `the stream is damaged: ${what}`, { cause });
}

/**
 * The identity of a stream's contents. Both snapshots never change, so neither does what differs
 * between them, and an interrupted import can go on with another export of the same.
 */
export function streamUuidOf(snapshotUuid: Uint8Array, baseUuid: Uint8Array | null): Uint8Array {
  const hash = createHash('sha256').update('ashlar export stream').update(snapshotUuid);
  const uuid = new Uint8Array(
    hash
      .update(baseUuid ?? new Uint8Array(16))
      .digest()
      .subarray(0, 16),
  );
  // RFC 9562, version 8: made from what it names.
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80;
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return uuid;
}

/** CRC-32 (ISO-HDLC) of `bytes`, going on from that of what came before. */
export function checksum(bytes: Uint8Array, before: number): number {
  return zlib.crc32(bytes, before);
}

export function encodeHeader(header: StreamHeader): Buffer {
  const volumeName = Buffer.from(header.volumeName);
  const snapshotName = Buffer.from(header.snapshotName);
  if (volumeName.length > maxNameBytes || snapshotName.length > maxNameBytes) {
    throw new RangeError('a name in the stream header is over 255 bytes');
  }
  const namesBytes = volumeName.length + snapshotName.length;
  const bytes = Buffer.alloc(headerFixedBytes + namesBytes + checksumBytes);
  bytes.write(magic, 0, 'latin1');
  bytes.writeUInt16LE(streamVersion, 8);
  bytes.writeUInt16LE(bytes.length, 10);
  bytes.writeUInt32LE(features.zstd, 12);
  bytes.set(header.streamUuid, 16);
  bytes.set(header.volumeUuid, 32);
  bytes.set(header.snapshotUuid, 48);
  if (header.baseUuid !== null) bytes.set(header.baseUuid, 64);
  bytes.writeBigUInt64LE(header.sizeBytes, 80);
  bytes.writeBigUInt64LE(header.baseSizeBytes, 88);
  bytes.writeBigUInt64LE(header.fromOffset, 96);
  bytes.writeBigUInt64LE(BigInt(header.snapshotCreatedMs), 104);
  bytes.writeBigUInt64LE(BigInt(header.createdMs), 112);
  bytes.writeUInt32LE(header.blockBytes, 120);
  bytes.writeUInt8(header.kind === 'full' ? 1 : 2, 124);
  bytes.writeUInt8(volumeName.length, 125);
  bytes.writeUInt8(snapshotName.length, 126);
  bytes.set(volumeName, headerFixedBytes);
  bytes.set(snapshotName, headerFixedBytes + volumeName.length);
  const end = bytes.length - checksumBytes;
  bytes.writeUInt32LE(checksum(bytes.subarray(0, end), 0), end);
  return bytes;
}

/**
 * How long the header is, from its first {@link headerFixedBytes}.
 * @throws AshlarError stream-corrupt (no export stream), stream-newer-format.
 */
export function headerLength(fixed: Buffer): number {
  if (fixed.toString('latin1', 0, 8) !== magic) {
    throw new AshlarError(
      'stream-corrupt',
      'this is not an export stream: it does not begin with its magic; give what ' +
        '"ashlar volume export" wrote',
    );
  }
  const version = fixed.readUInt16LE(8);
  if (version > streamVersion) {
    throw new AshlarError(
      'stream-newer-format',
      `the stream has version ${version}, this Ashlar reads up to ${streamVersion}; ` +
        'use the version that wrote it, or a newer one',
    );
  }
  const length = fixed.readUInt16LE(10);
  const names = fixed.readUInt8(125) + fixed.readUInt8(126);
  if (version === 0 || length !== headerFixedBytes + names + checksumBytes) {
    throw corrupt(`its header of ${length} bytes has no valid length`);
  }
  return length;
}

/** @throws AshlarError stream-corrupt, stream-newer-format. */
export function decodeHeader(bytes: Buffer): StreamHeader {
  const end = bytes.length - checksumBytes;
  if (bytes.readUInt32LE(end) !== checksum(bytes.subarray(0, end), 0)) {
    throw corrupt('its header does not match its checksum');
  }
  const unknown = bytes.readUInt32LE(12) & ~knownFeatures;
  if (unknown !== 0) {
    const bits = (unknown >>> 0).toString(16);
    throw new AshlarError(
      'stream-newer-format',
      `the stream needs features ${bits}h, which this Ashlar does not know; use a newer version`,
    );
  }
  const kind = ([undefined, 'full', 'difference'] as const)[bytes.readUInt8(124)];
  const blockBytes = bytes.readUInt32LE(120);
  if (kind === undefined) throw corrupt(`its kind ${bytes.readUInt8(124)} is none`);
  if (blockBytes !== 512 && blockBytes !== 4096) throw corrupt(`its block size is ${blockBytes}`);
  const names = headerFixedBytes + bytes.readUInt8(125);
  const uuid = (at: number): Uint8Array => new Uint8Array(bytes.subarray(at, at + 16));
  const header: StreamHeader = {
    kind,
    streamUuid: uuid(16),
    volumeUuid: uuid(32),
    volumeName: bytes.toString('utf8', headerFixedBytes, names),
    snapshotUuid: uuid(48),
    snapshotName: bytes.toString('utf8', names, end),
    baseUuid: kind === 'full' ? null : uuid(64),
    sizeBytes: bytes.readBigUInt64LE(80),
    baseSizeBytes: bytes.readBigUInt64LE(88),
    blockBytes,
    fromOffset: bytes.readBigUInt64LE(96),
    snapshotCreatedMs: Number(bytes.readBigUInt64LE(104)),
    createdMs: Number(bytes.readBigUInt64LE(112)),
  };
  checkHeader(header);
  return header;
}

/** What a checksum cannot tell: that the fields fit each other. */
function checkHeader(header: StreamHeader): void {
  const { sizeBytes, blockBytes, fromOffset, streamUuid, snapshotUuid, baseUuid } = header;
  if (sizeBytes === 0n || sizeBytes % BigInt(blockBytes) !== 0n) {
    throw corrupt(`its volume of ${sizeBytes} bytes is not whole blocks of ${blockBytes}`);
  }
  if (fromOffset % mapBlockBytes !== 0n || fromOffset > sizeBytes) {
    throw corrupt(`it begins at ${fromOffset} of ${sizeBytes} bytes`);
  }
  if (!Buffer.from(streamUuid).equals(streamUuidOf(snapshotUuid, baseUuid))) {
    throw corrupt('its UUID is not that of its snapshots');
  }
}

/** A record's header, without its payload and checksum. */
export function encodeRecordHeader(record: RecordHeader): Buffer {
  const bytes = Buffer.alloc(recordHeaderBytes);
  bytes.writeUInt8(recordTypes[record.type], 0);
  bytes.writeUInt32LE(record.storedBytes, 4);
  bytes.writeBigUInt64LE(record.sequence, 8);
  bytes.writeBigUInt64LE(record.offset, 16);
  bytes.writeBigUInt64LE(record.length, 24);
  return bytes;
}

/**
 * Only as far as it is needed to read on: a type that there is, and a payload within bounds.
 * @throws AshlarError stream-corrupt.
 */
export function decodeRecordHeader(bytes: Buffer, where: string): RecordHeader {
  const code = bytes.readUInt8(0);
  const type = recordTypeOf(code);
  const storedBytes = bytes.readUInt32LE(4);
  if (type === null || bytes.readUIntLE(1, 3) !== 0) {
    throw corrupt(`${where} has no valid type (${code})`);
  }
  if (storedBytes > maxStoredBytes(type)) {
    throw corrupt(`${where} says ${storedBytes} bytes follow, over its limit`);
  }
  return {
    type,
    storedBytes,
    sequence: bytes.readBigUInt64LE(8),
    offset: bytes.readBigUInt64LE(16),
    length: bytes.readBigUInt64LE(24),
  };
}

function recordTypeOf(code: number): RecordType | null {
  switch (code) {
    case recordTypes.raw:
      return 'raw';
    case recordTypes.zstd:
      return 'zstd';
    case recordTypes.zero:
      return 'zero';
    case recordTypes.resume:
      return 'resume';
    case recordTypes.end:
      return 'end';
    default:
      return null;
  }
}

function maxStoredBytes(type: RecordType): number {
  switch (type) {
    case 'raw':
    case 'zstd':
      return maxDataBytes;
    case 'end':
      return endPayloadBytes;
    case 'zero':
    case 'resume':
      return 0;
  }
}

export function encodeEnd(totals: StreamTotals, digest: Uint8Array): Buffer {
  const bytes = Buffer.alloc(endPayloadBytes);
  bytes.writeBigUInt64LE(totals.dataRecords, 0);
  bytes.writeBigUInt64LE(totals.zeroRecords, 8);
  bytes.writeBigUInt64LE(totals.dataBytes, 16);
  bytes.writeBigUInt64LE(totals.zeroBytes, 24);
  bytes.set(digest, 32);
  return bytes;
}

export function decodeEnd(bytes: Buffer): { totals: StreamTotals; digest: Buffer } {
  return {
    totals: {
      dataRecords: bytes.readBigUInt64LE(0),
      zeroRecords: bytes.readBigUInt64LE(8),
      dataBytes: bytes.readBigUInt64LE(16),
      zeroBytes: bytes.readBigUInt64LE(24),
    },
    digest: bytes.subarray(32, 64),
  };
}
