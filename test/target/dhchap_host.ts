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
  /** SC_C; 0 when not given. With another one C2 comes in any case, and makes a PSK. */
  secureChannel?: number;
  /** Leaves SC_C out of the response, as Linux 6.16 and 6.17 do. */
  forgetsChannel?: boolean;
}

export function negotiate(host: HostSide, secureChannel = host.secureChannel ?? 0): Buffer {
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
  /** What both sides can make of it by now; null: no secure channel, or no exchange. */
  psk: Buffer | null;
}

export function reply(host: HostSide, challenge: Buffer): Replied {
  const hash = hashNames[challenge[8] ?? 0] ?? '';
  const hashBytes = challenge.readUInt8(6);
  const groupId = challenge.readUInt8(9);
  const controllerValue = challenge.subarray(16 + hashBytes);
  const { publicValue, shared } = exchange(groupId, controllerValue);
  const channel = host.secureChannel ?? 0;
  const numbers = (sequence: Buffer, sc: number) =>
    Buffer.concat([sequence, challenge.subarray(4, 6), Buffer.of(sc)]);
  const response = hmac(hash, transformed(host.key, host.transform, host.hostnqn), [
    augmented(hash, challenge.subarray(16, 16 + hashBytes), shared),
    numbers(challenge.subarray(12, 16), host.forgetsChannel === true ? 0 : channel),
    Buffer.from(`HostHost${host.hostnqn}\0${host.subnqn}`),
  ]);
  const asks = host.controllerKey;
  const has2 = asks !== null || channel !== 0;
  const challenge2 = has2 ? randomBytes(hashBytes) : Buffer.alloc(hashBytes);
  const sequence2 = Buffer.alloc(4);
  if (asks !== null) sequence2.writeUInt32LE(0x01020304);
  const message = Buffer.concat([Buffer.alloc(16), response, challenge2, publicValue]);
  message[0] = 1;
  message[1] = 2;
  challenge.copy(message, 4, 4, 6);
  message[6] = hashBytes;
  message[8] = has2 ? 1 : 0;
  message.writeUInt16LE(publicValue.length, 10);
  sequence2.copy(message, 12);
  const challenge1 = challenge.subarray(16, 16 + hashBytes);
  const psk =
    channel === 0 || shared === null
      ? null
      : hmac(hash, createHash(hash).update(shared).digest(), [challenge1, challenge2]);
  if (asks === null) return { message, expected: null, psk };
  const expected = hmac(hash, transformed(asks.key, asks.transform, host.subnqn), [
    augmented(hash, challenge2, shared),
    numbers(sequence2, 0),
    Buffer.from(`Controller${host.subnqn}\0${host.hostnqn}`),
  ]);
  return { message, expected, psk };
}

/** The identity and the TLS PSK of a generated PSK (TCP 3.6.1.2 and 3.6.1.3). */
export function tlsPskOf(psk: Buffer, { hostnqn, subnqn }: Pick<HostSide, 'hostnqn' | 'subnqn'>) {
  const [hash, digits] = psk.length === 32 ? ['sha256', '01'] : ['sha384', '02'];
  const names = Buffer.from(`${hostnqn} ${subnqn} NVMe-over-Fabrics`);
  const digest = hmac(hash, psk, [names]).toString('base64');
  const label = Buffer.from('tls13 nvme-tls-psk');
  const context = Buffer.from(`${digits} ${digest}`);
  const sizes = [Buffer.of(0, psk.length, label.length), Buffer.of(context.length)] as const;
  const extracted = hmac(hash, Buffer.alloc(psk.length), [psk]);
  const expanded = hmac(hash, extracted, [sizes[0], label, sizes[1], context, Buffer.of(1)]);
  return { identity: `NVMe1G${digits} ${hostnqn} ${subnqn} ${digest}`, psk: expanded };
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
