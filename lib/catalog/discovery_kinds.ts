/**
 * Records about discovery; the rules of kinds.ts hold.
 *
 * | kind | record    | what it says                                                       |
 * |-----:|-----------|--------------------------------------------------------------------|
 * |   14 | referral  | another node's discovery service that hosts are told of              |
 * |   15 | discovery | where versions of the discovery page continue; there is only one     |
 */
import type { RecordKind } from './codec.js';

export interface ReferralRecord {
  /** An IP address without a zone. */
  address: string;
  port: number;
  /** PORTID that the other node gives that portal; 0: not known. */
  portalId: number;
  createdMs: number;
}

export interface DiscoveryGenerationRecord {
  /** The next start gives versions (GENCTR) above this; none above it was given before. */
  generation: bigint;
}

export const referralKind: RecordKind<ReferralRecord, 'endpoint', never> = {
  kind: 14,
  name: 'referral',
  version: 1,
  decode: (fields) => ({
    address: fields.text('address'),
    port: fields.integer('port'),
    portalId: fields.integer('portalId'),
    createdMs: fields.integer('createdMs'),
  }),
  encode: (value) => ({ ...value }),
  indexes: { endpoint: ({ address, port }) => referralKey(address, port) },
  groups: {},
};

export const discoveryGenerationKind: RecordKind<DiscoveryGenerationRecord, 'single', never> = {
  kind: 15,
  name: 'discovery',
  version: 1,
  decode: (fields) => ({ generation: fields.u64('generation') }),
  encode: (value) => ({ ...value }),
  indexes: { single: () => 'generation' },
  groups: {},
};

/** Key of a referral in its index. */
export const referralKey = (address: string, port: number): string => `${address} port ${port}`;
