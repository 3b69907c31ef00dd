/** Fabrics Connect (Base 6.3): decoding and the rules that need nothing but the command. */
import { FieldReader } from '../bytes.js';
import { maxQueueEntries } from './limits.js';
import { decodeNqnField, nqnProblem } from './nqn.js';
import { decodeSqe } from './sqe.js';
import { type Status, statuses } from './statuses.js';

export interface ConnectRequest {
  qid: number;
  /** Entries of the submission queue (SQSIZE is 0's based). */
  queueEntries: number;
  /** CATTR bit 2. */
  disableFlowControl: boolean;
  /** Milliseconds, for QID 0; 0: no Keep Alive. */
  katoMs: number;
  hostId: Uint8Array;
  /** FFFFh: any controller (dynamic model). */
  cntlid: number;
  subnqn: string;
  hostnqn: string;
}

/** A refused Connect: status, and dword 0 of the completion. */
export interface ConnectRefusal {
  status: Status;
  result: bigint;
  /** For the log. */
  reason: string;
}

/** CNTLID of an admin Connect in the dynamic controller model. */
export const anyCntlid = 0xffff;

/** Offsets for IPO: in the command (IATTR 0) or in its data (IATTR 1). */
export const connectFields = {
  qid: { offset: 42, inData: false },
  sqsize: { offset: 44, inData: false },
  cntlid: { offset: 16, inData: true },
  hostid: { offset: 0, inData: true },
  subnqn: { offset: 256, inData: true },
  hostnqn: { offset: 512, inData: true },
} as const;
export type ConnectField = keyof typeof connectFields;

/** Connect Invalid Parameters: IPO in bits 15:0, IATTR in bit 16 (Base Figure 384). */
export function invalidParameter(field: ConnectField, reason: string): ConnectRefusal {
  const { offset, inData } = connectFields[field];
  const result = BigInt(offset | (inData ? 1 << 16 : 0));
  return { status: statuses.connectInvalidParameters, result, reason };
}

export function connectRefusal(status: Status, reason: string): ConnectRefusal {
  return { status, result: 0n, reason };
}

/** Of "address:port". */
export function addressOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(':'));
}

/**
 * @param sqeBytes the 64-byte command.
 * @param data the Connect data; native code has made sure that it is 1,024 bytes.
 */
export function decodeConnect(
  sqeBytes: Uint8Array,
  data: Uint8Array,
): { request: ConnectRequest } | { refusal: ConnectRefusal } {
  const { fields } = decodeSqe(sqeBytes);
  if (data.length !== 1024) throw new RangeError(`Connect data of ${data.length} bytes`);
  const recfmt = fields.u16(40);
  if (recfmt !== 0) {
    const reason = `RECFMT ${recfmt} is not 0`;
    return { refusal: connectRefusal(statuses.connectIncompatibleFormat, reason) };
  }
  const qid = fields.u16(42);
  const sqsize = fields.u16(44);
  if (sqsize === 0 || sqsize > maxQueueEntries - 1) {
    const reason = `SQSIZE ${sqsize} is not 1 to ${maxQueueEntries - 1}`;
    return { refusal: invalidParameter('sqsize', reason) };
  }
  const body = new FieldReader(data);
  const subnqn = decodeNqnField(data.subarray(256, 512));
  if (subnqn === null || nqnProblem(subnqn) !== null) {
    return { refusal: invalidParameter('subnqn', 'SUBNQN is not an NQN') };
  }
  const hostnqn = decodeNqnField(data.subarray(512, 768));
  if (hostnqn === null || nqnProblem(hostnqn) !== null) {
    return { refusal: invalidParameter('hostnqn', 'HOSTNQN is not an NQN') };
  }
  const cntlid = body.u16(16);
  if (qid === 0 && cntlid !== anyCntlid) {
    const reason = `CNTLID ${cntlid} on the admin queue, FFFFh is needed`;
    return { refusal: invalidParameter('cntlid', reason) };
  }
  return {
    request: {
      qid,
      queueEntries: sqsize + 1,
      disableFlowControl: (fields.u8(46) & (1 << 2)) !== 0,
      katoMs: qid === 0 ? fields.u32(48) : 0,
      hostId: data.slice(0, 16),
      cntlid,
      subnqn,
      hostnqn,
    },
  };
}
