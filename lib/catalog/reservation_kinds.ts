/**
 * Records about reservations; the rules of kinds.ts hold.
 *
 * | kind | record      | what it says                                                     |
 * |-----:|-------------|------------------------------------------------------------------|
 * |    9 | reservation | who is registered with a namespace, and who holds it; only where the  |
 * |      |             | hosts asked for persistence through power loss                      |
 */
import type { RecordKind } from './codec.js';

export interface ReservationRecord {
  /** The tenant's record id. */
  tenant: bigint;
  nsid: number;
  /** GEN. */
  generation: number;
  /** RTYPE 1 to 6; 0: registrants, but no reservation. */
  type: 0 | 1 | 2 | 3 | 4 | 5 | 6;
  /** HOSTID of the holder, 16 bytes; empty: none, or all registrants. */
  holder: Uint8Array;
  /** HOSTIDs of the registrants, 16 bytes each, in the order of registration. */
  hosts: readonly Uint8Array[];
  /** Their keys, in the same order. */
  keys: readonly bigint[];
}

export const reservationKind: RecordKind<ReservationRecord, 'nsid', never> = {
  kind: 9,
  name: 'reservation',
  version: 1,
  decode: (fields) => {
    const hosts = fields.bytesList('hosts', 16);
    return {
      tenant: fields.u64('tenant'),
      nsid: fields.integer('nsid'),
      generation: fields.integer('generation'),
      type: fields.choice('type', [0, 1, 2, 3, 4, 5, 6]),
      holder: fields.bytesOrNone('holder', 16),
      hosts,
      keys: fields.u64s('keys', hosts.length),
    };
  },
  encode: (value) => ({ ...value }),
  indexes: { nsid: ({ tenant, nsid }) => reservationKey(tenant, nsid) },
  groups: {},
};

/** Key of a namespace's reservations in their index. */
export const reservationKey = (tenant: bigint, nsid: number): string => `${tenant}/${nsid}`;
