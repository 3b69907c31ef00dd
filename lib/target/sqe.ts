/**
 * The submission queue entry (Base 3.3.3.1) and the admin commands laid over it, decoded from the
 * 64 bytes that native code hands on.
 */
import { FieldReader } from '../bytes.js';

/** Admin opcodes that reach TypeScript (Base 5, Figure 138). */
export const adminOpcodes = {
  getLogPage: 0x02,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEventRequest: 0x0c,
  keepAlive: 0x18,
  fabrics: 0x7f,
} as const;

/** Fabrics command types (Base 6, Figure 385). */
export const fabricsTypes = {
  propertySet: 0x00,
  connect: 0x01,
  propertyGet: 0x04,
  authSend: 0x05,
  authReceive: 0x06,
  disconnect: 0x08,
} as const;

export interface Sqe {
  opcode: number;
  cid: number;
  nsid: number;
  /** Fabrics commands: FCTYPE, which lies where others have the first byte of NSID. */
  fctype: number;
  cdw10: number;
  cdw11: number;
  cdw12: number;
  cdw13: number;
  cdw14: number;
  cdw15: number;
  /** For fields that a command lays out otherwise. */
  fields: FieldReader;
}

/** @param bytes exactly 64 bytes. */
export function decodeSqe(bytes: Uint8Array): Sqe {
  if (bytes.length !== 64) throw new RangeError(`an SQE of ${bytes.length} bytes, not 64`);
  const fields = new FieldReader(bytes);
  return {
    opcode: fields.u8(0),
    cid: fields.u16(2),
    nsid: fields.u32(4),
    fctype: fields.u8(4),
    cdw10: fields.u32(40),
    cdw11: fields.u32(44),
    cdw12: fields.u32(48),
    cdw13: fields.u32(52),
    cdw14: fields.u32(56),
    cdw15: fields.u32(60),
    fields,
  };
}

/** Whether it is an Authentication Send or Receive (Base 8.13). */
export function isAuthentication(bytes: Uint8Array): boolean {
  const { opcode, fctype } = decodeSqe(bytes);
  const { authSend, authReceive } = fabricsTypes;
  return opcode === adminOpcodes.fabrics && (fctype === authSend || fctype === authReceive);
}

/** Identify (Base 5.17). */
export interface IdentifyCommand {
  cns: number;
  cntid: number;
  nsid: number;
  /** CNS-specific identifier. */
  cnssid: number;
  /** Command set identifier; 0 is NVM. */
  csi: number;
}

export function decodeIdentify(sqe: Sqe): IdentifyCommand {
  return {
    cns: sqe.cdw10 & 0xff,
    cntid: sqe.cdw10 >>> 16,
    nsid: sqe.nsid,
    cnssid: sqe.cdw11 & 0xffff,
    csi: sqe.cdw11 >>> 24,
  };
}

/** Get Log Page (Base 5.16). */
export interface GetLogPageCommand {
  lid: number;
  /** Log specific parameter. */
  lsp: number;
  /** Retain asynchronous event. */
  rae: boolean;
  /** Bytes asked for; NUMD is 0's based and counts dwords. Up to 16 GiB, so check it. */
  lengthBytes: number;
  /** LPO; with `offsetIsIndex` an index into the page's entries instead. */
  offset: bigint;
  offsetIsIndex: boolean;
  /** Log specific identifier. */
  lsi: number;
  csi: number;
  nsid: number;
}

export function decodeGetLogPage(sqe: Sqe): GetLogPageCommand {
  const numdl = sqe.cdw10 >>> 16;
  const numdu = sqe.cdw11 & 0xffff;
  return {
    lid: sqe.cdw10 & 0xff,
    lsp: (sqe.cdw10 >>> 8) & 0x7f,
    rae: ((sqe.cdw10 >>> 15) & 1) === 1,
    lengthBytes: (numdu * 65_536 + numdl + 1) * 4,
    offset: (BigInt(sqe.cdw13) << 32n) | BigInt(sqe.cdw12),
    offsetIsIndex: ((sqe.cdw14 >>> 23) & 1) === 1,
    lsi: sqe.cdw11 >>> 16,
    csi: sqe.cdw14 >>> 24,
    nsid: sqe.nsid,
  };
}

/** Property Get and Property Set (Base 6.4 and 6.6). */
export interface PropertyCommand {
  /** Bits 2:0 of ATTRIB: 0 is 4 bytes, 1 is 8 bytes, others are reserved. */
  sizeCode: number;
  offset: number;
  value: bigint;
}

export function decodeProperty(sqe: Sqe): PropertyCommand {
  return {
    sizeCode: sqe.fields.u8(40) & 0x7,
    offset: sqe.fields.u32(44),
    value: sqe.fields.u64(48),
  };
}

/** Get Features and Set Features (Base 5.15 and 5.27). */
export interface FeatureCommand {
  fid: number;
  /** Get only: 0 current, 1 default, 2 saved, 3 capabilities. */
  select: number;
  /** Set only. */
  save: boolean;
  nsid: number;
  cdw11: number;
  cdw12: number;
}

export function decodeFeature(sqe: Sqe): FeatureCommand {
  return {
    fid: sqe.cdw10 & 0xff,
    select: (sqe.cdw10 >>> 8) & 0x7,
    save: sqe.cdw10 >>> 31 === 1,
    nsid: sqe.nsid,
    cdw11: sqe.cdw11,
    cdw12: sqe.cdw12,
  };
}
