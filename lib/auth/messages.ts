/**
 * Messages of authentication (Base 2.0, 8.13.3 to 8.13.5): encoders for both ends, and decoders
 * that take whatever bytes came. Little-endian; a message may be followed by more bytes, which
 * mean nothing.
 */
import { FieldReader, FieldWriter } from '../bytes.js';
import { type HashName, hashes, hashOfId } from './digests.js';
import { type GroupName, groupOfId, groups } from './groups.js';

/** AUTH_TYPE. */
export const authTypes = { common: 0x00, dhHmacChap: 0x01 } as const;

/** AUTH_ID: of common messages Negotiate, Failure2 and Failure1; of DH-HMAC-CHAP the others. */
export const authIds = {
  negotiate: 0x00,
  challenge: 0x01,
  reply: 0x02,
  success1: 0x03,
  success2: 0x04,
  failure2: 0xf0,
  failure1: 0xf1,
} as const;

/**
 * SC_C (Base 2.1, 8.3.4.4.1): what a transaction is to leave behind. 01h is of Base 2.0, where
 * nobody implemented it.
 */
export const secureChannels = { none: 0x00, newTlsPsk: 0x02, replaceTlsPsk: 0x03 } as const;

/** Reason code explanations; the reason code itself is always 01h, authentication failure. */
export const explanations = {
  failed: 0x01,
  protocolNotUsable: 0x02,
  secureChannelMismatch: 0x03,
  hashNotUsable: 0x04,
  groupNotUsable: 0x05,
  incorrectPayload: 0x06,
  incorrectMessage: 0x07,
} as const;
export type Explanation = (typeof explanations)[keyof typeof explanations];

/** The protocol identifier of DH-HMAC-CHAP in a descriptor. */
const dhHmacChapId = 0x01;
const descriptorBytes = 64;
/** Where the DH group identifiers of a descriptor begin, after the hash identifiers. */
const hashIdsMax = 30;
const groupIdsMax = 30;

/** The largest message: a reply with SHA-512 and ffdhe8192. */
export const maxMessageBytes = 16 + 2 * 64 + 1024;

export interface Header {
  authType: number;
  authId: number;
  transaction: number;
}

export interface Negotiate {
  transaction: number;
  /** SC_C: one of {@link secureChannels}, or anything else. */
  secureChannel: number;
  /** One an authentication protocol descriptor that is DH-HMAC-CHAP; ids that nobody knows too. */
  protocols: { hashIds: number[]; groupIds: number[] }[];
}

export interface Challenge {
  transaction: number;
  hash: HashName;
  group: GroupName;
  sequence: number;
  challenge: Uint8Array;
  publicValue: Uint8Array;
}

export interface Reply {
  transaction: number;
  response: Uint8Array;
  /** CVALID. */
  challengeValid: boolean;
  /** S2; 0: the controller need not authenticate itself. */
  sequence: number;
  challenge: Uint8Array;
  publicValue: Uint8Array;
}

export interface Success1 {
  transaction: number;
  hashBytes: number;
  /** null: RVALID is clear. */
  response: Uint8Array | null;
}

export interface Failure {
  transaction: number;
  reason: number;
  explanation: number;
}

/** null: too short to be a message. */
export function decodeHeader(bytes: Uint8Array): Header | null {
  if (bytes.length < 6) return null;
  const fields = new FieldReader(bytes);
  return { authType: fields.u8(0), authId: fields.u8(1), transaction: fields.u16(4) };
}

// ---- AUTH_Negotiate -----------------------------------------------------------------------------

export function encodeNegotiate(message: Negotiate): Uint8Array {
  const { protocols, secureChannel, transaction } = message;
  const bytes = 8 + protocols.length * descriptorBytes;
  const page = begin(bytes, authTypes.common, authIds.negotiate, transaction)
    .u8(6, secureChannel)
    .u8(7, protocols.length);
  for (const [index, { hashIds, groupIds }] of protocols.entries()) {
    const at = 8 + index * descriptorBytes;
    page
      .u8(at, dhHmacChapId)
      .u8(at + 2, hashIds.length)
      .u8(at + 3, groupIds.length)
      .raw(at + 4, Uint8Array.from(hashIds))
      .raw(at + 4 + hashIdsMax, Uint8Array.from(groupIds));
  }
  return page.bytes;
}

/** null: NAPD, HALEN or DHLEN say more than there is. */
export function decodeNegotiate(bytes: Uint8Array): Negotiate | null {
  if (bytes.length < 8) return null;
  const fields = new FieldReader(bytes);
  const count = fields.u8(7);
  if (count === 0 || bytes.length < 8 + count * descriptorBytes) return null;
  const protocols: Negotiate['protocols'] = [];
  for (let index = 0; index < count; index += 1) {
    const at = 8 + index * descriptorBytes;
    if (fields.u8(at) !== dhHmacChapId) continue;
    const hashCount = fields.u8(at + 2);
    const groupCount = fields.u8(at + 3);
    if (hashCount > hashIdsMax || groupCount > groupIdsMax) return null;
    const groupsAt = at + 4 + hashIdsMax;
    protocols.push({
      hashIds: [...bytes.subarray(at + 4, at + 4 + hashCount)],
      groupIds: [...bytes.subarray(groupsAt, groupsAt + groupCount)],
    });
  }
  return { transaction: fields.u16(4), secureChannel: fields.u8(6), protocols };
}

// ---- DH-HMAC-CHAP_Challenge ---------------------------------------------------------------------

export function encodeChallenge(message: Challenge): Uint8Array {
  const { hash, group, challenge, publicValue } = message;
  const hashBytes = hashes[hash].bytes;
  const bytes = 16 + hashBytes + publicValue.length;
  return begin(bytes, authTypes.dhHmacChap, authIds.challenge, message.transaction)
    .u8(6, hashBytes)
    .u8(8, hashes[hash].id)
    .u8(9, groups[group].id)
    .u16(10, publicValue.length)
    .u32(12, message.sequence)
    .raw(16, challenge)
    .raw(16 + hashBytes, publicValue).bytes;
}

/** null: a field contradicts another one, or names what is not known. */
export function decodeChallenge(bytes: Uint8Array): Challenge | null {
  if (bytes.length < 16) return null;
  const fields = new FieldReader(bytes);
  const hash = hashOfId(fields.u8(8));
  const group = groupOfId(fields.u8(9));
  if (hash === null || group === null) return null;
  const hashBytes = fields.u8(6);
  const valueBytes = fields.u16(10);
  if (hashBytes !== hashes[hash].bytes || valueBytes !== groups[group].bytes) return null;
  if (bytes.length < 16 + hashBytes + valueBytes) return null;
  return {
    transaction: fields.u16(4),
    hash,
    group,
    sequence: fields.u32(12),
    challenge: bytes.slice(16, 16 + hashBytes),
    publicValue: bytes.slice(16 + hashBytes, 16 + hashBytes + valueBytes),
  };
}

// ---- DH-HMAC-CHAP_Reply -------------------------------------------------------------------------

export function encodeReply(message: Reply): Uint8Array {
  const { response, challenge, publicValue } = message;
  const hashBytes = response.length;
  const bytes = 16 + 2 * hashBytes + publicValue.length;
  return begin(bytes, authTypes.dhHmacChap, authIds.reply, message.transaction)
    .u8(6, hashBytes)
    .u8(8, message.challengeValid ? 1 : 0)
    .u16(10, publicValue.length)
    .u32(12, message.sequence)
    .raw(16, response)
    .raw(16 + hashBytes, challenge)
    .raw(16 + 2 * hashBytes, publicValue).bytes;
}

/**
 * @param hash the hash of the challenge.
 * @returns null when HL is not the hash's, or the message ends before its values do.
 */
export function decodeReply(bytes: Uint8Array, hash: HashName): Reply | null {
  if (bytes.length < 16) return null;
  const fields = new FieldReader(bytes);
  const hashBytes = fields.u8(6);
  const valueBytes = fields.u16(10);
  if (hashBytes !== hashes[hash].bytes) return null;
  if (bytes.length < 16 + 2 * hashBytes + valueBytes) return null;
  const valueAt = 16 + 2 * hashBytes;
  return {
    transaction: fields.u16(4),
    response: bytes.slice(16, 16 + hashBytes),
    challengeValid: (fields.u8(8) & 1) === 1,
    sequence: fields.u32(12),
    challenge: bytes.slice(16 + hashBytes, valueAt),
    publicValue: bytes.slice(valueAt, valueAt + valueBytes),
  };
}

// ---- DH-HMAC-CHAP_Success1 and Success2 ---------------------------------------------------------

export function encodeSuccess1(message: Success1): Uint8Array {
  const { response, hashBytes, transaction } = message;
  const bytes = 16 + (response === null ? 0 : hashBytes);
  const page = begin(bytes, authTypes.dhHmacChap, authIds.success1, transaction).u8(6, hashBytes);
  return response === null ? page.bytes : page.u8(8, 1).raw(16, response).bytes;
}

export function decodeSuccess1(bytes: Uint8Array): Success1 | null {
  if (bytes.length < 16) return null;
  const fields = new FieldReader(bytes);
  const hashBytes = fields.u8(6);
  const valid = (fields.u8(8) & 1) === 1;
  if (valid && bytes.length < 16 + hashBytes) return null;
  const response = valid ? bytes.slice(16, 16 + hashBytes) : null;
  return { transaction: fields.u16(4), hashBytes, response };
}

export function encodeSuccess2(transaction: number): Uint8Array {
  return begin(16, authTypes.dhHmacChap, authIds.success2, transaction).bytes;
}

// ---- AUTH_Failure1 and AUTH_Failure2 ------------------------------------------------------------

export function encodeFailure(
  which: 'failure1' | 'failure2',
  transaction: number,
  explanation: Explanation,
): Uint8Array {
  return begin(8, authTypes.common, authIds[which], transaction).u8(6, 0x01).u8(7, explanation)
    .bytes;
}

export function decodeFailure(bytes: Uint8Array): Failure | null {
  if (bytes.length < 8) return null;
  const fields = new FieldReader(bytes);
  return {
    transaction: fields.u16(4),
    reason: fields.u8(6),
    explanation: fields.u8(7),
  };
}

/** What an explanation means, for logs. */
export function explanationText(explanation: number): string {
  switch (explanation) {
    case explanations.failed:
      return 'authentication failed';
    case explanations.protocolNotUsable:
      return 'authentication protocol not usable';
    case explanations.secureChannelMismatch:
      return 'secure channel concatenation mismatch';
    case explanations.hashNotUsable:
      return 'hash function not usable';
    case explanations.groupNotUsable:
      return 'DH group not usable';
    case explanations.incorrectPayload:
      return 'incorrect payload';
    case explanations.incorrectMessage:
      return 'incorrect protocol message';
    default:
      return `explanation ${explanation}`;
  }
}

// ---- Pieces -------------------------------------------------------------------------------------

function begin(bytes: number, authType: number, authId: number, transaction: number): FieldWriter {
  return new FieldWriter(bytes).u8(0, authType).u8(1, authId).u16(4, transaction);
}
