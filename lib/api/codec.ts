/** The two encodings of the API, JSON and MessagePack, chosen by Content-Type and Accept. */
import { Packr } from 'msgpackr';

export type Encoding = 'json' | 'msgpack';

export const mediaTypes = { json: 'application/json', msgpack: 'application/msgpack' } as const;
/** Media types of problem documents (RFC 9457 names the first one). */
export const problemTypes = {
  json: 'application/problem+json',
  msgpack: 'application/msgpack',
} as const;

/** Names under which MessagePack is sent in the wild. */
export const msgpackTypes = [
  'application/msgpack',
  'application/x-msgpack',
  'application/vnd.msgpack',
];

// Plain maps (no record extension), and 64-bit integers as numbers: any decoder can read it.
const packr = new Packr({ useRecords: false, int64AsType: 'number', mapsAsObjects: true });

/** Which encoding an Accept header asks for; JSON unless it names MessagePack. */
export function encodingFor(accept: string | undefined): Encoding {
  const wanted = (accept ?? '').toLowerCase();
  return msgpackTypes.some((type) => wanted.includes(type)) ? 'msgpack' : 'json';
}

export function encode(value: unknown, encoding: Encoding): Buffer {
  return encoding === 'msgpack' ? packr.pack(value) : Buffer.from(JSON.stringify(value));
}

/** Throws an Error when the bytes are not a whole document. */
export function decode(bytes: Uint8Array, encoding: Encoding): unknown {
  if (encoding === 'msgpack') return packr.unpack(bytes);
  const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
  return value;
}

/**
 * A 64-bit number as the API sends it. Capacities stay below 2^48 and identifiers below 2^32, so
 * they are exact; a counter above 2^53 is rounded to the nearest double (one part in 10^16).
 */
export function toInteger(value: bigint): number {
  return Number(value);
}
