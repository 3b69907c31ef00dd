/** Submission queue entries (NVMe Base 3.3.3.1), as a raw host writes them. */

export const opcode = {
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  compare: 0x05,
  writeZeroes: 0x08,
  datasetManagement: 0x09,
  getLogPage: 0x02,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEventRequest: 0x0c,
  keepAlive: 0x18,
  fabrics: 0x7f,
} as const;

export const fctype = { propertySet: 0x00, connect: 0x01, propertyGet: 0x04, disconnect: 0x08 };

/** SCT << 8 | SC. */
export const status = {
  success: 0x000,
  invalidOpcode: 0x001,
  invalidField: 0x002,
  commandIdConflict: 0x003,
  invalidNamespace: 0x00b,
  commandSequence: 0x00c,
  sglLengthInvalid: 0x00f,
  sglTypeInvalid: 0x011,
  sglOffsetInvalid: 0x016,
  transientTransport: 0x022,
  lbaOutOfRange: 0x080,
  capacityExceeded: 0x081,
  invalidLogPage: 0x109,
  connectInvalidParameters: 0x182,
  connectInvalidHost: 0x184,
  compareFailure: 0x285,
} as const;

export interface SqeFields {
  opcode: number;
  cid?: number;
  nsid?: number;
  /** Dwords 10 to 15. */
  cdw?: readonly number[];
  /** Length in the SGL descriptor; 0 when not given. */
  sglLength?: number;
  /** SGL type and subtype; 5Ah (transport data block) when not given. */
  sglType?: number;
  sglAddress?: bigint;
}

const transportDataBlock = 0x5a;
export const inCapsuleBlock = 0x01;

export function sqe(fields: SqeFields): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt8(fields.opcode, 0);
  // PSDT 01b: SGLs, the only kind that fabrics has.
  bytes.writeUInt8(0x40, 1);
  bytes.writeUInt16LE(fields.cid ?? 0, 2);
  bytes.writeUInt32LE(fields.nsid ?? 0, 4);
  bytes.writeBigUInt64LE(fields.sglAddress ?? 0n, 24);
  bytes.writeUInt32LE(fields.sglLength ?? 0, 32);
  bytes.writeUInt8(fields.sglType ?? transportDataBlock, 39);
  (fields.cdw ?? []).forEach((value, index) => {
    bytes.writeUInt32LE(value >>> 0, 40 + 4 * index);
  });
  return bytes;
}

/** Read, Write, Compare and Write Zeroes: `blocks` counts from one. */
export function ioSqe(fields: {
  opcode: number;
  nsid: number;
  slba: bigint;
  blocks: number;
  /** Bits 31:16 of dword 12, e.g. FUA 4000h. */
  control?: number;
  sglLength?: number;
}): Buffer {
  const low = Number(fields.slba & 0xffffffffn);
  const high = Number(fields.slba >> 32n);
  const dword12 = (((fields.control ?? 0) << 16) | ((fields.blocks - 1) & 0xffff)) >>> 0;
  return sqe({
    opcode: fields.opcode,
    nsid: fields.nsid,
    cdw: [low, high, dword12],
    ...(fields.sglLength === undefined ? {} : { sglLength: fields.sglLength }),
  });
}

export interface ConnectFields {
  qid: number;
  /** 0's based. */
  sqsize?: number;
  recfmt?: number;
  kato?: number;
  cattr?: number;
  cntlid?: number;
  subnqn: string;
  hostnqn: string;
  /** 16 bytes. */
  hostid: Buffer;
}

/** Fabrics Connect (NVMe-oF in Base 6.3): the entry and its 1,024 bytes of data. */
export function connect(fields: ConnectFields): { entry: Buffer; data: Buffer } {
  const entry = sqe({ opcode: opcode.fabrics, sglLength: 1024, sglType: inCapsuleBlock });
  entry.writeUInt8(fctype.connect, 4);
  entry.writeUInt16LE(fields.recfmt ?? 0, 40);
  entry.writeUInt16LE(fields.qid, 42);
  entry.writeUInt16LE(fields.sqsize ?? 31, 44);
  entry.writeUInt8(fields.cattr ?? 0, 46);
  entry.writeUInt32LE(fields.kato ?? 0, 48);
  const data = Buffer.alloc(1024);
  fields.hostid.copy(data, 0);
  data.writeUInt16LE(fields.cntlid ?? 0xffff, 16);
  data.write(fields.subnqn, 256, 'latin1');
  data.write(fields.hostnqn, 512, 'latin1');
  return { entry, data };
}

export function propertySet(offset: number, bytes: 4 | 8, value: bigint): Buffer {
  const entry = sqe({ opcode: opcode.fabrics });
  entry.writeUInt8(fctype.propertySet, 4);
  entry.writeUInt8(bytes === 8 ? 1 : 0, 40);
  entry.writeUInt32LE(offset, 44);
  entry.writeBigUInt64LE(value, 48);
  return entry;
}

export function propertyGet(offset: number, bytes: 4 | 8): Buffer {
  const entry = sqe({ opcode: opcode.fabrics });
  entry.writeUInt8(fctype.propertyGet, 4);
  entry.writeUInt8(bytes === 8 ? 1 : 0, 40);
  entry.writeUInt32LE(offset, 44);
  return entry;
}

export const property = { cap: 0x00, vs: 0x08, cc: 0x14, csts: 0x1c } as const;

/** CC: IOCQES 4, IOSQES 6, EN. */
export const enable = 0x00460001n;
/** CC.SHN: a normal shutdown. */
export const shutdown = 0x00464001n;

export function identify(cns: number, nsid = 0): Buffer {
  return sqe({ opcode: opcode.identify, nsid, cdw: [cns], sglLength: 4096 });
}
