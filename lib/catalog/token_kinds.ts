/**
 * Records about who may call the API; the rules of kinds.ts hold.
 *
 * | kind | record | what it says                                                          |
 * |-----:|--------|-----------------------------------------------------------------------|
 * |   16 | token  | a bearer token, or the subject of a certificate, and what it may        |
 */
import type { RecordKind } from './codec.js';

export const roles = ['admin', 'tenant-admin', 'viewer'] as const;
/** What a caller may; see lib/access. */
export type Role = (typeof roles)[number];

export interface TokenRecord {
  name: string;
  role: Role;
  /** The tenant's record id; 0: the node. */
  tenant: bigint;
  /** SHA-256 of the secret; empty: a certificate stands for it. */
  hash: Uint8Array;
  /** Of the secret before the last rotation; empty: none. */
  oldHash: Uint8Array;
  /** Until when that one is good. */
  oldUntilMs: number;
  /** Subject of the certificate; empty: a secret stands for it. */
  subject: string;
  createdMs: number;
  /** 0: never. */
  expiresMs: number;
}

export const tokenKind: RecordKind<TokenRecord, 'name' | 'hash' | 'oldHash' | 'subject', 'tenant'> =
  {
    kind: 16,
    name: 'token',
    version: 1,
    secretFields: ['hash', 'oldHash'],
    decode: (fields) => ({
      name: fields.text('name'),
      role: fields.choice('role', roles),
      tenant: fields.u64('tenant'),
      hash: fields.bytesOrNone('hash', 32),
      oldHash: fields.bytesOrNone('oldHash', 32),
      oldUntilMs: fields.integer('oldUntilMs'),
      subject: fields.text('subject'),
      createdMs: fields.integer('createdMs'),
      expiresMs: fields.integer('expiresMs'),
    }),
    encode: (value) => ({ ...value }),
    indexes: {
      name: ({ tenant, name }) => tokenKey(tenant, name),
      hash: ({ hash }) => hexOrNone(hash),
      oldHash: ({ oldHash }) => hexOrNone(oldHash),
      subject: ({ subject }) => (subject === '' ? null : subject),
    },
    groups: { tenant: ({ tenant }) => String(tenant) },
  };

/** Key of a token's name in its index: unique within a tenant, or within the node. */
export const tokenKey = (tenant: bigint, name: string): string => `${tenant}/${name}`;

function hexOrNone(bytes: Uint8Array): string | null {
  return bytes.length === 0 ? null : Buffer.from(bytes).toString('hex');
}
