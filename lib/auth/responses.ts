/** What DH-HMAC-CHAP computes: responses (Base 2.0, 8.13.5.4 and 8.13.5.5), PSKs (8.13.5.9). */
import { digest, type HashName, hmac } from './digests.js';

export interface ResponseInput {
  /** Selected by the challenge. */
  hash: HashName;
  /** The transformed key of who answers. */
  key: Uint8Array;
  /** C1, which the host answers, or C2, which the controller answers. */
  challenge: Uint8Array;
  /** null: the null group. */
  sessionKey: Uint8Array | null;
  /** S1 or S2, of the message that carried the challenge. */
  sequence: number;
  transaction: number;
  /** SC_C of the negotiation. */
  secureChannel: number;
  hostnqn: string;
  subnqn: string;
}

/** What the host answers C1 with. */
export function hostResponse(input: ResponseInput): Buffer {
  return respond(input, 'HostHost', input.hostnqn, input.subnqn);
}

/** What the controller answers C2 with. SC_C is not part of it: the spec has a zero there. */
export function controllerResponse(input: ResponseInput): Buffer {
  return respond({ ...input, secureChannel: 0 }, 'Controller', input.subnqn, input.hostnqn);
}

/**
 * The PSK that host and controller have in common after a transaction that concatenates a secure
 * channel: as long as the hash. The spec keys HMAC with the hash of the session key; HMAC does that
 * itself with a key beyond its block, of 64 or 128 bytes, and the shortest session key has 256.
 */
export function generatedPsk(
  hash: HashName,
  sessionKey: Uint8Array,
  challenge1: Uint8Array,
  challenge2: Uint8Array,
): Buffer {
  return hmac(hash, sessionKey, [challenge1, challenge2]);
}

function respond(input: ResponseInput, role: string, own: string, other: string): Buffer {
  const { hash, key, challenge, sessionKey, sequence, transaction, secureChannel } = input;
  const numbers = Buffer.alloc(7);
  numbers.writeUInt32LE(sequence, 0);
  numbers.writeUInt16LE(transaction, 4);
  numbers.writeUInt8(secureChannel, 6);
  const augmented = sessionKey === null ? challenge : augment(hash, sessionKey, challenge);
  return hmac(hash, key, [augmented, numbers, role, own, Uint8Array.of(0), other]);
}

/** Ca: the challenge, bound to the Diffie-Hellman exchange. */
function augment(hash: HashName, sessionKey: Uint8Array, challenge: Uint8Array): Buffer {
  return hmac(hash, digest(hash, sessionKey), [challenge]);
}
