/**
 * Configured PSKs in the form in which people hand them over (TCP 3.6.1.5), the PSK Interchange
 * Format: `NVMeTLSkey-1:hh:base64:`, where `hh` says how a retained PSK is made of it: 00 by taking
 * it as it is, 01 and 02 with SHA-256 and SHA-384.
 */
import {
  formatKey,
  generateKey,
  type InterchangeForm,
  type InterchangeKey,
  parseKey,
  refusedKey,
} from '../interchange.js';

/** Hash functions of the two cipher suites of NVMe/TCP: AES-128-GCM and AES-256-GCM. */
export const pskHashNames = ['sha256', 'sha384'] as const;
export type PskHash = (typeof pskHashNames)[number];

/** The digits of interchange forms and of identities, and the length of a key. */
export const pskHashes: Readonly<Record<PskHash, { id: number; bytes: number }>> = {
  sha256: { id: 1, bytes: 32 },
  sha384: { id: 2, bytes: 48 },
};

/** The key has 32 or 48 bytes; without a transform it is the retained PSK already. */
export type ConfiguredPsk = InterchangeKey<PskHash>;

const form: InterchangeForm<PskHash> = {
  prefix: 'NVMeTLSkey',
  hashes: pskHashes,
  madeBy: '"ashlar host psk generate" or "nvme gen-tls-key"',
};
const otherVersion = /^NVMeTLSkey-([^1]):[0-9a-fA-F]{2}:[A-Za-z0-9+/]+={0,2}:$/;

/** The hash function of the cipher suite that a key of this length is for. */
export function hashOfLength(bytes: number): PskHash | null {
  return pskHashNames.find((name) => pskHashes[name].bytes === bytes) ?? null;
}

/** @throws AshlarError invalid-argument; `what` names the PSK there. */
export function parsePsk(text: string, what: string): ConfiguredPsk {
  const [, version] = otherVersion.exec(text.trim()) ?? [];
  if (version === undefined) return parseKey(form, text, what);
  throw refusedKey(form, what, `is of version ${version}; known is 1`);
}

export function formatPsk(psk: ConfiguredPsk): string {
  return formatKey(form, psk);
}

/** A new random PSK, as long as the hash that transforms it. */
export function generatePsk(transform: PskHash): ConfiguredPsk {
  return generateKey(form, transform);
}
