/**
 * Keys in the form in which people hand them over (Base 2.0, 8.13.5.8; TCP 3.6.1.5):
 * `PREFIX-1:hh:base64:`, where the base64 holds the key and its CRC-32, and `hh` says with which
 * hash it is transformed before use, 00 with none.
 *
 * No message of an error here quotes a key or a part of one.
 */
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { AshlarError } from './errors.js';

/** A kind of key. */
export interface InterchangeForm<Hash extends string> {
  prefix: string;
  /** The digits of each hash, and how long a key is that it transforms; in ascending order. */
  hashes: Readonly<Record<Hash, { id: number; bytes: number }>>;
  /** What makes such keys, for messages. */
  madeBy: string;
}

export interface InterchangeKey<Hash extends string> {
  /** As long as one of the hashes wants. */
  key: Uint8Array;
  /** null: the key is used as it is. */
  transform: Hash | null;
}

const crcBytes = 4;

/**
 * @param what names the key in messages, e.g. "the secret of nqn…" or a file.
 * @throws AshlarError invalid-argument, saying what is wrong with it.
 */
export function parseKey<Hash extends string>(
  form: InterchangeForm<Hash>,
  text: string,
  what: string,
): InterchangeKey<Hash> {
  const { prefix } = form;
  const whole = new RegExp(`^${prefix}-1:([0-9a-fA-F]{2}):([A-Za-z0-9+/]+={0,2}):$`);
  const [, digits, base64] = whole.exec(text.trim()) ?? [];
  const refused = (problem: string) => refusedKey(form, what, problem);
  if (digits === undefined || base64 === undefined) {
    throw refused(`is not of the form '${prefix}-1:hh:base64:' (mind the colon at its end)`);
  }
  const names = namesOf(form);
  const id = Number.parseInt(digits, 16);
  const transform = names.find((name) => form.hashes[name].id === id) ?? null;
  if (id !== 0 && transform === null) {
    const known = ['00 (none)', ...names.map((name) => `0${form.hashes[name].id}`)];
    throw refused(`says hash ${digits}; known are ${listed(known)}`);
  }
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64) throw refused('is not valid base64');
  const length = bytes.length - crcBytes;
  const lengths = names.map((name) => form.hashes[name].bytes);
  if (!lengths.includes(length)) {
    const held = Math.max(length, 0);
    throw refused(`holds a key of ${held} bytes; ${listed(lengths)} are allowed`);
  }
  if (transform !== null && length !== form.hashes[transform].bytes) {
    const wanted = form.hashes[transform].bytes;
    throw refused(`holds a key of ${length} bytes; hash ${digits} takes ${wanted}`);
  }
  const key = Uint8Array.from(bytes.subarray(0, length));
  if (bytes.readUInt32LE(length) !== crc32(key)) {
    throw refused('is damaged: its checksum does not match');
  }
  return { key, transform };
}

export function formatKey<Hash extends string>(
  { prefix, hashes }: InterchangeForm<Hash>,
  { key, transform }: InterchangeKey<Hash>,
): string {
  const bytes = Buffer.alloc(key.length + crcBytes);
  bytes.set(key);
  bytes.writeUInt32LE(crc32(key), key.length);
  const id = transform === null ? 0 : hashes[transform].id;
  return `${prefix}-1:0${id}:${bytes.toString('base64')}:`;
}

/** A new random key, as long as the hash that transforms it. */
export function generateKey<Hash extends string>(
  { hashes }: InterchangeForm<Hash>,
  transform: Hash,
): InterchangeKey<Hash> {
  return { key: Uint8Array.from(randomBytes(hashes[transform].bytes)), transform };
}

export function refusedKey(
  { madeBy }: InterchangeForm<string>,
  what: string,
  problem: string,
): AshlarError {
  return new AshlarError('invalid-argument', `${what} ${problem}; make one with ${madeBy}`);
}

function namesOf<Hash extends string>({ hashes }: InterchangeForm<Hash>): Hash[] {
  return Object.keys(hashes) as Hash[];
}

/** "a, b and c". */
function listed(items: readonly (string | number)[]): string {
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}
