/**
 * Secrets of tokens: 256 random bits, of which SHA-256 is kept. Slow hashes are for what people
 * choose; nobody guesses 2^256, and a fast one lets every request be checked.
 */
import { createHash, randomBytes } from 'node:crypto';

/** By which scanners of leaked secrets, and people, know one. */
const prefix = 'ashlar_';
const secretBytes = 32;

export function newSecret(): string {
  return `${prefix}${randomBytes(secretBytes).toString('base64url')}`;
}

export function hashOf(secret: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(secret).digest());
}
