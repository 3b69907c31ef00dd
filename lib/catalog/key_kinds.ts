/**
 * Records about keys; the rules of kinds.ts hold.
 *
 * | kind | record   | what it says                                                        |
 * |-----:|----------|---------------------------------------------------------------------|
 * |   12 | host key | a secret that a host and this node know each other by, wrapped         |
 */
import type { RecordKind } from './codec.js';

export const hostKeyRoles = ['host', 'controller'] as const;
/** Who proves itself with the key: the host, or this node's controller to the host. */
export type HostKeyRole = (typeof hostKeyRoles)[number];

export interface HostKeyRecord {
  /** The tenant's record id. */
  tenant: bigint;
  nqn: string;
  role: HostKeyRole;
  /** Hash that transforms it: 1 to 3 for SHA-256, 384 and 512; 0: none. */
  hash: 0 | 1 | 2 | 3;
  /** Of the key. */
  lengthBytes: 32 | 48 | 64;
  /** The start of the SHA-256 of the secret's text, in hexadecimal: by which people name it. */
  fingerprint: string;
  /** The key: see lib/secrets/wrapping.ts. */
  wrapped: Uint8Array;
  createdMs: number;
}

export const hostKeyKind: RecordKind<HostKeyRecord, 'fingerprint', 'host' | 'tenant'> = {
  kind: 12,
  name: 'host key',
  version: 1,
  secretFields: ['wrapped'],
  decode: (fields) => {
    const lengthBytes = fields.choice('lengthBytes', [32, 48, 64]);
    return {
      tenant: fields.u64('tenant'),
      nqn: fields.text('nqn'),
      role: fields.choice('role', hostKeyRoles),
      hash: fields.choice('hash', [0, 1, 2, 3]),
      lengthBytes,
      fingerprint: fields.text('fingerprint'),
      wrapped: fields.bytes('wrapped', wrappedBytes(lengthBytes)),
      createdMs: fields.integer('createdMs'),
    };
  },
  encode: (value) => ({ ...value }),
  indexes: {
    fingerprint: ({ tenant, nqn, role, fingerprint }) => `${tenant}/${role}/${fingerprint}/${nqn}`,
  },
  groups: {
    host: ({ tenant, nqn }) => keysOfHost(tenant, nqn),
    tenant: ({ tenant }) => String(tenant),
  },
};

/** With a nonce of 12 bytes and a tag of 16. */
export const wrappedBytes = (lengthBytes: number): number => 12 + lengthBytes + 16;

/** Key of a host's keys in their group. */
export const keysOfHost = (tenant: bigint, nqn: string): string => `${tenant}/${nqn}`;
