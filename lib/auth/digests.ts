/** Hash functions of DH-HMAC-CHAP (Base 2.0, 8.13.5.1) and what is computed with them. */
import { createHash, createHmac } from 'node:crypto';

export const hashNames = ['sha256', 'sha384', 'sha512'] as const;
export type HashName = (typeof hashNames)[number];

interface Hash {
  /** HashID in messages, and the digits after `DHHC-1:` in secrets. */
  id: number;
  bytes: number;
}

export const hashes: Readonly<Record<HashName, Hash>> = {
  sha256: { id: 1, bytes: 32 },
  sha384: { id: 2, bytes: 48 },
  sha512: { id: 3, bytes: 64 },
};

export function hashOfId(id: number): HashName | null {
  return hashNames.find((name) => hashes[name].id === id) ?? null;
}

export function digest(hash: HashName, data: Uint8Array): Buffer {
  return createHash(hash).update(data).digest();
}

/** HMAC over the parts as if they were one; strings are their UTF-8 bytes. */
export function hmac(
  hash: HashName,
  key: Uint8Array,
  parts: readonly (Uint8Array | string)[],
): Buffer {
  const code = createHmac(hash, key);
  for (const part of parts) code.update(part);
  return code.digest();
}
