/** UUIDs: 16 bytes in records and on the wire, lower-case text for people. */
import { randomFillSync } from 'node:crypto';

const textForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuidText(text: string): boolean {
  return textForm.test(text);
}

export function uuidText(bytes: Uint8Array): string {
  const hex = hexText(bytes);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

/** @param text for which {@link isUuidText} holds. */
export function uuidBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll('-', ''), 'hex'));
}

export function hexText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** A random UUID (RFC 9562, version 4). */
export function randomUuidBytes(): Uint8Array {
  const bytes = randomFillSync(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes;
}
