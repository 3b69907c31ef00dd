/**
 * How secrets are kept: AES-256-GCM under the key of the key file, as nonce (12 bytes), ciphertext,
 * tag (16). What a secret is for goes in as additional data, so that a record whose bytes were
 * moved to another host, role or tenant does not open.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { AshlarError } from '../errors.js';

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/** What a tenant is told instead of where the node has its key. */
export const keysUnreadable = {
  toTenants: 'the node cannot read the secrets of hosts that it keeps; ask its admin',
};

/** @param identity what the secret is for; the same is needed to unwrap it. */
export function wrap(wrappingKey: Uint8Array, secret: Uint8Array, identity: string): Uint8Array {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, wrappingKey, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(identity));
  const sealed = [nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()];
  return Uint8Array.from(Buffer.concat(sealed));
}

/** @throws AshlarError conflict: wrapped by another key, for something else, or damaged. */
export function unwrap(wrappingKey: Uint8Array, wrapped: Uint8Array, identity: string): Uint8Array {
  const nonce = wrapped.subarray(0, nonceBytes);
  const tag = wrapped.subarray(wrapped.length - tagBytes);
  const decipher = createDecipheriv(algorithm, wrappingKey, nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(identity));
  decipher.setAuthTag(tag);
  try {
    const sealed = wrapped.subarray(nonceBytes, wrapped.length - tagBytes);
    return Uint8Array.from(Buffer.concat([decipher.update(sealed), decipher.final()]));
  } catch (cause) {
    throw new AshlarError(
      'conflict',
      'a kept secret does not open: the key file (pool.keyFile) is not the one that it was ' +
        'wrapped with, or the record is damaged',
      { cause, ...keysUnreadable },
    );
  }
}
