/**
 * Configured PSKs in the form in which people hand them over (TCP 3.6.1.5), the PSK Interchange
 * Format: `NVMeTLSkey-1:hh:base64:`, where the base64 holds the key and its CRC-32, and `hh` says
 * how a retained PSK is made of it: 00 by taking it as it is, 01 and 02 with SHA-256 and SHA-384.
 *
 * No message of an error here quotes a key or a part of one.
 */
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { AshlarError } from '../errors.js';

/** Hash functions of the two cipher suites of NVMe/TCP: AES-128-GCM and AES-256-GCM. */
export const pskHashNames = ['sha256', 'sha384'] as const;
export type PskHash = (typeof pskHashNames)[number];

interface Hash {
  /** The digits of interchange forms and of identities. */
  id: number;
  bytes: number;
}

export const pskHashes: Readonly<Record<PskHash, Hash>> = {
  sha256: { id: 1, bytes: 32 },
  sha384: { id: 2, bytes: 48 },
};

export interface ConfiguredPsk {
  /** 32 or 48 bytes. */
  key: Uint8Array;
  /** null: it is the retained PSK already. */
  transform: PskHash | null;
}

const form = /^NVMeTLSkey-(.):([0-9a-fA-F]{2}):([A-Za-z0-9+/]+={0,2}):$/;
const crcBytes = 4;

/** The hash function of the cipher suite that a key of this length is for. */
export function hashOfLength(bytes: number): PskHash | null {
  return pskHashNames.find((name) => pskHashes[name].bytes === bytes) ?? null;
}

/**
 * @param what names the PSK in messages, e.g. "the PSK of nqn…" or a file.
 * @throws AshlarError invalid-argument, saying what is wrong with it.
 */
export function parsePsk(text: string, what: string): ConfiguredPsk {
  const [, version, digits, base64] = form.exec(text.trim()) ?? [];
  if (version === undefined || digits === undefined || base64 === undefined) {
    throw refused(what, "is not of the form 'NVMeTLSkey-1:hh:base64:' (mind the colon at its end)");
  }
  if (version !== '1') throw refused(what, `is of version ${version}; known is 1`);
  const id = Number.parseInt(digits, 16);
  const transform = pskHashNames.find((name) => pskHashes[name].id === id) ?? null;
  if (id !== 0 && transform === null) {
    throw refused(what, `says hash ${digits}; known are 00 (none), 01 and 02`);
  }
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64) throw refused(what, 'is not valid base64');
  const length = bytes.length - crcBytes;
  if (hashOfLength(length) === null) {
    throw refused(what, `holds a key of ${Math.max(length, 0)} bytes; 32 and 48 are allowed`);
  }
  if (transform !== null && length !== pskHashes[transform].bytes) {
    const wanted = pskHashes[transform].bytes;
    throw refused(what, `holds a key of ${length} bytes; hash ${digits} takes ${wanted}`);
  }
  const key = Uint8Array.from(bytes.subarray(0, length));
  if (bytes.readUInt32LE(length) !== crc32(key)) {
    throw refused(what, 'is damaged: its checksum does not match');
  }
  return { key, transform };
}

export function formatPsk({ key, transform }: ConfiguredPsk): string {
  const bytes = Buffer.alloc(key.length + crcBytes);
  bytes.set(key);
  bytes.writeUInt32LE(crc32(key), key.length);
  const id = transform === null ? 0 : pskHashes[transform].id;
  return `NVMeTLSkey-1:0${id}:${bytes.toString('base64')}:`;
}

/** A new random PSK, as long as the hash that transforms it. */
export function generatePsk(transform: PskHash): ConfiguredPsk {
  return { key: Uint8Array.from(randomBytes(pskHashes[transform].bytes)), transform };
}

function refused(what: string, problem: string): AshlarError {
  return new AshlarError(
    'invalid-argument',
    `${what} ${problem}; make one with "ashlar host psk generate" or "nvme gen-tls-key"`,
  );
}
