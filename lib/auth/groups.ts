/**
 * Diffie-Hellman groups of DH-HMAC-CHAP (Base 2.0, 8.13.5.2): the finite fields of RFC 7919.
 *
 * Their primes follow from a formula, p = 2^b − 2^(b−64) + (⌊2^(b−130) e⌋ + X) 2^64 − 1 with a
 * small X per size, and so are computed instead of copied. They are safe primes, p = 2q + 1, and
 * the generator 2 makes the subgroup of order q.
 */
import { createDiffieHellman } from 'node:crypto';

export const groupNames = [
  'null',
  'ffdhe2048',
  'ffdhe3072',
  'ffdhe4096',
  'ffdhe6144',
  'ffdhe8192',
] as const;
export type GroupName = (typeof groupNames)[number];
export type FieldName = Exclude<GroupName, 'null'>;

interface Group {
  /** DHgID in messages. */
  id: number;
  /** Of a public value and of the session key; 0: no exchange. */
  bytes: number;
}

export const groups: Readonly<Record<GroupName, Group>> = {
  null: { id: 0, bytes: 0 },
  ffdhe2048: { id: 1, bytes: 256 },
  ffdhe3072: { id: 2, bytes: 384 },
  ffdhe4096: { id: 3, bytes: 512 },
  ffdhe6144: { id: 4, bytes: 768 },
  ffdhe8192: { id: 5, bytes: 1024 },
};

export function groupOfId(id: number): GroupName | null {
  return groupNames.find((name) => groups[name].id === id) ?? null;
}

/** X of RFC 7919, appendix A. */
const offsets: Readonly<Record<FieldName, bigint>> = {
  ffdhe2048: 560316n,
  ffdhe3072: 2625351n,
  ffdhe4096: 5736041n,
  ffdhe6144: 15705020n,
  ffdhe8192: 10965728n,
};

const primes = new Map<FieldName, bigint>();

/** The prime of a group; computed once. */
export function primeOf(group: FieldName): bigint {
  const known = primes.get(group);
  if (known !== undefined) return known;
  const bits = BigInt(groups[group].bytes * 8);
  const middle = scaledE(bits - 130n) + offsets[group];
  const prime = (1n << bits) - (1n << (bits - 64n)) + (middle << 64n) - 1n;
  primes.set(group, prime);
  return prime;
}

/** ⌊2^shift e⌋ by the series of 1/n!, with 64 bits to spare for what its divisions cut off. */
function scaledE(shift: bigint): bigint {
  const spare = 64n;
  let sum = 0n;
  let term = 1n << (shift + spare);
  for (let n = 1n; term > 0n; n += 1n) {
    sum += term;
    term /= n;
  }
  return sum >> spare;
}

/** One side's half of an exchange. */
export interface Exchange {
  /** As long as the group's prime. */
  readonly publicValue: Uint8Array;
  /**
   * The shared secret, as long as the prime; null when the peer's value is none that an honest peer
   * sends: of another length, or outside 2 to p − 2, where the secret would be known to anyone.
   */
  sessionKey(peerValue: Uint8Array): Uint8Array | null;
}

export function beginExchange(group: FieldName): Exchange {
  const prime = primeOf(group);
  const { bytes } = groups[group];
  const diffieHellman = createDiffieHellman(toBytes(prime, bytes), 2);
  const publicValue = padded(diffieHellman.generateKeys(), bytes);
  return {
    publicValue,
    sessionKey(peerValue) {
      if (peerValue.length !== bytes) return null;
      const value = BigInt(`0x${Buffer.from(peerValue).toString('hex')}`);
      if (value < 2n || value > prime - 2n) return null;
      return padded(diffieHellman.computeSecret(peerValue), bytes);
    },
  };
}

function toBytes(value: bigint, length: number): Buffer {
  return Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex');
}

function padded(value: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(value, length - value.length);
  return result;
}
