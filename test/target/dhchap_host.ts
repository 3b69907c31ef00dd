/**
 * The host's side of DH-HMAC-CHAP, written from the figures of Base 2.0, 8.13, with arithmetic of
 * its own: of the product it shares nothing but the primes, which have a test against RFC 7919.
 */
import { createDiffieHellman, createHash, createHmac, randomBytes } from 'node:crypto';
import { type FieldName, groups, primeOf } from '../../lib/auth/groups.js';

const hashNames = ['', 'sha256', 'sha384', 'sha512'] as const;
const fieldNames = Object.keys(groups).filter((name): name is FieldName => name !== 'null');

export interface HostSide {
  hostnqn: string;
  subnqn: string;
  /** Key and the hash (1 to 3; 0: none) that it is transformed with. */
  key: Buffer;
  transform: number;
  /** null: the controller need not prove itself. */
  controllerKey: { key: Buffer; transform: number } | null;
  hashIds: number[];
  groupIds: number[];
  transaction: number;
}

export function negotiate(host: HostSide, secureChannel = 0): Buffer {
  const message = Buffer.alloc(72);
  message.writeUInt16LE(host.transaction, 4);
  message[6] = secureChannel;
  message[7] = 1;
  message[8] = 1;
  message[10] = host.hashIds.length;
  message[11] = host.groupIds.length;
  message.set(host.hashIds, 12);
  message.set(host.groupIds, 42);
  return message;
}

export const success2 = ({ transaction }: HostSide): Buffer => empty(1, 4, transaction, 16);
export const failure2 = ({ transaction }: HostSide): Buffer => empty(0, 0xf0, transaction, 8);

export function empty(type: number, id: number, transaction: number, bytes: number): Buffer {
  const message = Buffer.alloc(bytes);
  message[0] = type;
  message[1] = id;
  message.writeUInt16LE(transaction, 4);
  return message;
}

/** What the host says to a challenge, and what it expects in return. */
export interface Replied {
  message: Buffer;
  /** The response that Success1 has to carry; null: none was asked for. */
  expected: Buffer | null;
}

export function reply(host: HostSide, challenge: Buffer): Replied {
  const hash = hashNames[challenge[8] ?? 0] ?? '';
  const hashBytes = challenge.readUInt8(6);
  const groupId = challenge.readUInt8(9);
  const controllerValue = challenge.subarray(16 + hashBytes);
  const { publicValue, shared } = exchange(groupId, controllerValue);
  const numbers = (sequence: Buffer) =>
    Buffer.concat([sequence, challenge.subarray(4, 6), Buffer.alloc(1)]);
  const response = hmac(hash, transformed(host.key, host.transform, host.hostnqn), [
    augmented(hash, challenge.subarray(16, 16 + hashBytes), shared),
    numbers(challenge.subarray(12, 16)),
    Buffer.from(`HostHost${host.hostnqn}\0${host.subnqn}`),
  ]);
  const asks = host.controllerKey;
  const challenge2 = asks === null ? Buffer.alloc(hashBytes) : randomBytes(hashBytes);
  const sequence2 = Buffer.alloc(4);
  if (asks !== null) sequence2.writeUInt32LE(0x01020304);
  const message = Buffer.concat([Buffer.alloc(16), response, challenge2, publicValue]);
  message[0] = 1;
  message[1] = 2;
  challenge.copy(message, 4, 4, 6);
  message[6] = hashBytes;
  message[8] = asks === null ? 0 : 1;
  message.writeUInt16LE(publicValue.length, 10);
  sequence2.copy(message, 12);
  if (asks === null) return { message, expected: null };
  const expected = hmac(hash, transformed(asks.key, asks.transform, host.subnqn), [
    augmented(hash, challenge2, shared),
    numbers(sequence2),
    Buffer.from(`Controller${host.subnqn}\0${host.hostnqn}`),
  ]);
  return { message, expected };
}

function exchange(groupId: number, controllerValue: Buffer) {
  const name = fieldNames.find((each) => groups[each].id === groupId);
  if (name === undefined) return { publicValue: Buffer.alloc(0), shared: null };
  const { bytes } = groups[name];
  const prime = Buffer.from(primeOf(name).toString(16), 'hex');
  const own = createDiffieHellman(prime, Buffer.from([2]));
  const padded = (value: Buffer) => Buffer.concat([Buffer.alloc(bytes - value.length), value]);
  const publicValue = padded(own.generateKeys());
  return { publicValue, shared: padded(own.computeSecret(controllerValue)) };
}

function augmented(hash: string, challenge: Buffer, shared: Buffer | null): Buffer {
  if (shared === null) return challenge;
  return hmac(hash, createHash(hash).update(shared).digest(), [challenge]);
}

function transformed(key: Buffer, transform: number, nqn: string): Buffer {
  const hash = hashNames[transform] ?? '';
  return hash === '' ? key : hmac(hash, key, [Buffer.from(`${nqn}NVMe-over-Fabrics`)]);
}

function hmac(hash: string, key: Buffer, parts: Buffer[]): Buffer {
  return createHmac(hash, key).update(Buffer.concat(parts)).digest();
}
