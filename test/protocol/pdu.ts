/**
 * An NVMe/TCP PDU codec of the tests' own (NVMe/TCP Transport 1.1, section 3.6), written from the
 * specification. It shares nothing with native/tcp, so that a mistake there is not made here too,
 * and it encodes what is wrong as willingly as what is right.
 */

export const pduType = {
  icReq: 0x00,
  icResp: 0x01,
  h2cTermReq: 0x02,
  c2hTermReq: 0x03,
  capsuleCmd: 0x04,
  capsuleResp: 0x05,
  h2cData: 0x06,
  c2hData: 0x07,
  r2t: 0x09,
} as const;

export const flag = { hdgst: 0x01, ddgst: 0x02, last: 0x04, success: 0x08 } as const;

/** FES of a TermReq, 3.6.2.5. */
export const fes = {
  invalidHeaderField: 0x01,
  sequence: 0x02,
  headerDigest: 0x03,
  outOfRange: 0x04,
  limitExceeded: 0x05,
  unsupportedParameter: 0x06,
} as const;

/** What ICReq and ICResp settled. */
export interface Framing {
  headerDigest: boolean;
  dataDigest: boolean;
  /** PDO of a PDU to the controller is a multiple of this many bytes. */
  cpdaBytes: number;
  maxH2cData: number;
}

export const plainFraming: Framing = {
  headerDigest: false,
  dataDigest: false,
  cpdaBytes: 4,
  maxH2cData: 0,
};

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

/** CRC32C (RFC 3720, appendix B.4) as the digests carry it. */
export function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (crcTable[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** A PDU as it came. */
export interface Pdu {
  type: number;
  flags: number;
  hlen: number;
  pdo: number;
  plen: number;
  /** HLEN bytes, common header included. */
  header: Buffer;
  data: Buffer;
}

/** Cuts a stream into PDUs and verifies what digests come with them. */
export class PduReader {
  #bytes = Buffer.alloc(0);

  push(piece: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, piece]);
  }

  /** Bytes of a PDU that is not whole yet. */
  get rest(): Buffer {
    return this.#bytes;
  }

  /** The next whole PDU; null: more bytes are needed. */
  next(): Pdu | null {
    if (this.#bytes.length < 8) return null;
    const plen = this.#bytes.readUInt32LE(4);
    if (plen < 8) throw new Error(`a PDU with PLEN ${plen} came`);
    if (this.#bytes.length < plen) return null;
    const whole = this.#bytes.subarray(0, plen);
    this.#bytes = this.#bytes.subarray(plen);
    return parsePdu(whole);
  }
}

function parsePdu(bytes: Buffer): Pdu {
  const type = bytes.readUInt8(0);
  const flags = bytes.readUInt8(1);
  const hlen = bytes.readUInt8(2);
  const pdo = bytes.readUInt8(3);
  const header = bytes.subarray(0, hlen);
  if ((flags & flag.hdgst) !== 0 && bytes.readUInt32LE(hlen) !== crc32c(header)) {
    throw new Error(`a PDU of type ${type} came with a wrong header digest`);
  }
  const digested = (flags & flag.ddgst) !== 0;
  // A TermReq has its data right after the header; PDO is reserved there.
  const isTermReq = type === pduType.c2hTermReq;
  const start = isTermReq ? hlen : pdo;
  const end = bytes.length - (digested ? 4 : 0);
  const data = start === 0 ? Buffer.alloc(0) : bytes.subarray(start, end);
  if (digested && bytes.readUInt32LE(end) !== crc32c(data)) {
    throw new Error(`a PDU of type ${type} came with a wrong data digest`);
  }
  return { type, flags, hlen, pdo, plen: bytes.length, header, data };
}

/** Fields of an ICReq; all valid when not given. */
export interface IcReqFields {
  pfv?: number;
  hpda?: number;
  dgst?: number;
  maxR2t?: number;
}

export function icReq({ pfv = 0, hpda = 0, dgst = 0, maxR2t = 0 }: IcReqFields = {}): Buffer {
  const bytes = Buffer.alloc(128);
  bytes.writeUInt8(pduType.icReq, 0);
  bytes.writeUInt8(128, 2);
  bytes.writeUInt32LE(128, 4);
  bytes.writeUInt16LE(pfv, 8);
  bytes.writeUInt8(hpda, 10);
  bytes.writeUInt8(dgst, 11);
  bytes.writeUInt32LE(maxR2t, 12);
  return bytes;
}

/** The fields of an ICResp. */
export function parseIcResp(pdu: Pdu) {
  return {
    pfv: pdu.header.readUInt16LE(8),
    cpda: pdu.header.readUInt8(10),
    dgst: pdu.header.readUInt8(11),
    maxH2cData: pdu.header.readUInt32LE(12),
  };
}

/** Puts header, digests, padding and data together; `header` holds the PSH, its CH is filled in. */
function assemble(
  type: number,
  flags: number,
  header: Buffer,
  data: Buffer | null,
  framing: Framing,
): Buffer {
  const headerDigest = framing.headerDigest ? 4 : 0;
  const dataDigest = framing.dataDigest && data !== null ? 4 : 0;
  const align = framing.cpdaBytes;
  const pdo = data === null ? 0 : Math.ceil((header.length + headerDigest) / align) * align;
  const plen = data === null ? header.length + headerDigest : pdo + data.length + dataDigest;
  header.writeUInt8(type, 0);
  header.writeUInt8(
    flags | (headerDigest > 0 ? flag.hdgst : 0) | (dataDigest > 0 ? flag.ddgst : 0),
    1,
  );
  header.writeUInt8(header.length, 2);
  header.writeUInt8(pdo, 3);
  header.writeUInt32LE(plen, 4);
  const bytes = Buffer.alloc(plen);
  header.copy(bytes, 0);
  if (headerDigest > 0) bytes.writeUInt32LE(crc32c(header), header.length);
  if (data !== null) {
    data.copy(bytes, pdo);
    if (dataDigest > 0) bytes.writeUInt32LE(crc32c(data), pdo + data.length);
  }
  return bytes;
}

/** A CapsuleCmd, with in-capsule data or without (null). */
export function capsuleCmd(sqe: Buffer, data: Buffer | null, framing: Framing): Buffer {
  return assemble(
    pduType.capsuleCmd,
    0,
    Buffer.concat([Buffer.alloc(8), sqe]),
    data !== null && data.length > 0 ? data : null,
    framing,
  );
}

export interface H2cDataFields {
  cccid: number;
  ttag: number;
  datao: number;
  /** The field; what is sent is `data`. */
  datal?: number;
  last: boolean;
  data: Buffer;
}

export function h2cData(fields: H2cDataFields, framing: Framing): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt16LE(fields.cccid, 8);
  header.writeUInt16LE(fields.ttag, 10);
  header.writeUInt32LE(fields.datao, 12);
  header.writeUInt32LE(fields.datal ?? fields.data.length, 16);
  return assemble(pduType.h2cData, fields.last ? flag.last : 0, header, fields.data, framing);
}

export function h2cTermReq(status: number, fei: number, quoted: Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(24), quoted]);
  bytes.writeUInt8(pduType.h2cTermReq, 0);
  bytes.writeUInt8(24, 2);
  bytes.writeUInt32LE(bytes.length, 4);
  bytes.writeUInt16LE(status, 8);
  bytes.writeUInt32LE(fei, 10);
  return bytes;
}

/** The fields of an R2T. */
export function parseR2t(pdu: Pdu) {
  return {
    cccid: pdu.header.readUInt16LE(8),
    ttag: pdu.header.readUInt16LE(10),
    r2to: pdu.header.readUInt32LE(12),
    r2tl: pdu.header.readUInt32LE(16),
  };
}

/** The fields of a C2HData. */
export function parseC2hData(pdu: Pdu) {
  return {
    cccid: pdu.header.readUInt16LE(8),
    datao: pdu.header.readUInt32LE(12),
    datal: pdu.header.readUInt32LE(16),
    last: (pdu.flags & flag.last) !== 0,
    success: (pdu.flags & flag.success) !== 0,
  };
}

/** The completion in a CapsuleResp. Status: SCT << 8 | SC. */
export function parseCapsuleResp(pdu: Pdu) {
  const status = pdu.header.readUInt16LE(8 + 14);
  return {
    result: pdu.header.readBigUInt64LE(8),
    sqhd: pdu.header.readUInt16LE(8 + 8),
    sqid: pdu.header.readUInt16LE(8 + 10),
    cid: pdu.header.readUInt16LE(8 + 12),
    status: (status >> 1) & 0x7ff,
    doNotRetry: (status & 0x8000) !== 0,
  };
}

/** What a C2HTermReq says, and the header that it quotes. */
export function parseTermReq(pdu: Pdu) {
  return {
    fes: pdu.header.readUInt16LE(8),
    fei: pdu.header.readUInt32LE(10),
    quoted: pdu.data,
  };
}

/** A copy of a PDU with one little-endian field overwritten; digests are left as they were. */
export function patched(pdu: Buffer, offset: number, width: 1 | 2 | 4, value: number): Buffer {
  const copy = Buffer.from(pdu);
  copy.writeUIntLE(value, offset, width);
  return copy;
}
