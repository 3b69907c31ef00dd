/**
 * Records about TLS; the rules of kinds.ts hold.
 *
 * | kind | record | what it says                                                          |
 * |-----:|--------|-----------------------------------------------------------------------|
 * |   13 | psk    | a configured PSK with which a host may connect over TLS, wrapped        |
 */
import type { RecordKind } from './codec.js';
import { wrappedBytes } from './key_kinds.js';

export const pskTransforms = ['none', 'sha256', 'sha384'] as const;

export interface PskRecord {
  /** The tenant's record id. */
  tenant: bigint;
  /** NQN of the host. */
  host: string;
  /** With which hash the retained PSK is made of it. */
  transform: (typeof pskTransforms)[number];
  /** Bytes of the key: 32 or 48. */
  keyBytes: 32 | 48;
  /** See lib/secrets. */
  wrapped: Uint8Array;
  createdMs: number;
}

export const pskKind: RecordKind<PskRecord, never, 'host'> = {
  kind: 13,
  name: 'psk',
  version: 1,
  secretFields: ['wrapped'],
  decode: (fields) => {
    const keyBytes = fields.choice('keyBytes', [32, 48]);
    return {
      tenant: fields.u64('tenant'),
      host: fields.text('host'),
      transform: fields.choice('transform', pskTransforms),
      keyBytes,
      wrapped: fields.bytes('wrapped', wrappedBytes(keyBytes)),
      createdMs: fields.integer('createdMs'),
    };
  },
  encode: (value) => ({ ...value }),
  indexes: {},
  groups: { host: ({ host }) => host },
};
