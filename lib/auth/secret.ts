/**
 * Secrets of DH-HMAC-CHAP (Base 2.0, 8.13.5.8): `DHHC-1:hh:base64:`, where `hh` says how the key is
 * transformed before use: 00 not at all, 01 to 03 by HMAC with SHA-256, SHA-384 or SHA-512.
 */
import {
  formatKey,
  generateKey,
  type InterchangeForm,
  type InterchangeKey,
  parseKey,
} from '../interchange.js';
import { type HashName, hashes, hmac } from './digests.js';

/** The key has 32, 48 or 64 bytes. */
export type Secret = InterchangeKey<HashName>;

const form: InterchangeForm<HashName> = {
  prefix: 'DHHC',
  hashes,
  madeBy: '"ashlar host key generate" or "nvme gen-dhchap-key"',
};

/** @throws AshlarError invalid-argument; `what` names the secret there. */
export function parseSecret(text: string, what: string): Secret {
  return parseKey(form, text, what);
}

export function formatSecret(secret: Secret): string {
  return formatKey(form, secret);
}

/** A new random secret, as long as the hash that transforms it. */
export function generateSecret(transform: HashName): Secret {
  return generateKey(form, transform);
}

/** The key that responses are computed with (8.13.5.7): bound to the NQN of who owns the secret. */
export function transformKey({ key, transform }: Secret, nqn: string): Uint8Array {
  if (transform === null) return key;
  return hmac(transform, key, [nqn, 'NVMe-over-Fabrics']);
}
