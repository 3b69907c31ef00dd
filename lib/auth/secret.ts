/**
 * Secrets in the form in which people hand them over (Base 2.0, 8.13.5.8): `DHHC-1:hh:base64:`,
 * where the base64 holds the key and its CRC-32, and `hh` says how the key is transformed before
 * use: 00 not at all, 01 to 03 by HMAC with SHA-256, SHA-384 or SHA-512.
 *
 * No message of an error here quotes a secret or a part of one.
 */
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { AshlarError } from '../errors.js';
import { type HashName, hashes, hashOfId, hmac } from './digests.js';

export interface Secret {
  /** 32, 48 or 64 bytes. */
  key: Uint8Array;
  /** null: the key is used as it is. */
  transform: HashName | null;
}

const form = /^DHHC-1:([0-9a-fA-F]{2}):([A-Za-z0-9+/]+={0,2}):$/;
const keyLengths = [32, 48, 64];
const crcBytes = 4;

/**
 * @param what names the secret in messages, e.g. "the secret of nqn…" or a file.
 * @throws AshlarError invalid-argument, saying what is wrong with it.
 */
export function parseSecret(text: string, what: string): Secret {
  const trimmed = text.trim();
  const [, digits, base64] = form.exec(trimmed) ?? [];
  if (digits === undefined || base64 === undefined) {
    throw refused(what, "is not of the form 'DHHC-1:hh:base64:' (mind the colon at its end)");
  }
  const id = Number.parseInt(digits, 16);
  const transform = hashOfId(id);
  if (id !== 0 && transform === null) {
    throw refused(what, `says hash ${digits}; known are 00 (none), 01, 02 and 03`);
  }
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64) throw refused(what, 'is not valid base64');
  const length = bytes.length - crcBytes;
  if (!keyLengths.includes(length)) {
    const held = Math.max(length, 0);
    throw refused(what, `holds a key of ${held} bytes; 32, 48 and 64 are allowed`);
  }
  if (transform !== null && length !== hashes[transform].bytes) {
    const wanted = hashes[transform].bytes;
    throw refused(what, `holds a key of ${length} bytes; hash ${digits} takes ${wanted}`);
  }
  const key = Uint8Array.from(bytes.subarray(0, length));
  if (bytes.readUInt32LE(length) !== crc32(key)) {
    throw refused(what, 'is damaged: its checksum does not match');
  }
  return { key, transform };
}

export function formatSecret({ key, transform }: Secret): string {
  const bytes = Buffer.alloc(key.length + crcBytes);
  bytes.set(key);
  bytes.writeUInt32LE(crc32(key), key.length);
  const id = transform === null ? 0 : hashes[transform].id;
  return `DHHC-1:0${id}:${bytes.toString('base64')}:`;
}

/** A new random secret, as long as the hash that transforms it. */
export function generateSecret(transform: HashName): Secret {
  return { key: Uint8Array.from(randomBytes(hashes[transform].bytes)), transform };
}

/** The key that responses are computed with (8.13.5.7): bound to the NQN of who owns the secret. */
export function transformKey({ key, transform }: Secret, nqn: string): Uint8Array {
  if (transform === null) return key;
  return hmac(transform, key, [nqn, 'NVMe-over-Fabrics']);
}

function refused(what: string, problem: string): AshlarError {
  return new AshlarError(
    'invalid-argument',
    `${what} ${problem}; make one with "ashlar host key generate" or "nvme gen-dhchap-key"`,
  );
}
