/**
 * Records about portals; the rules of kinds.ts hold.
 *
 * | kind | record | what it says                                                          |
 * |-----:|--------|-----------------------------------------------------------------------|
 * |   10 | portal | an address and port to listen on, and its number for life               |
 * |   11 | ana    | the state of an ANA group through a portal, where it is not optimized   |
 */
import type { RecordKind } from './codec.js';

export interface PortalRecord {
  /** PORTID, 1 to 65535. */
  portalId: number;
  /** An IP address, as canonicalAddress() writes it. */
  address: string;
  port: number;
  discoveryOnly: boolean;
  /**
   * Whether it was added by command. Otherwise the configuration names it, and the record only
   * keeps its number and its states.
   */
  added: boolean;
  drained: boolean;
  createdMs: number;
}

/** States that last. 'change' is never written: what follows it is. */
export const lastingAnaStates = [
  'optimized',
  'non-optimized',
  'inaccessible',
  'persistent-loss',
] as const;
export type LastingAnaState = (typeof lastingAnaStates)[number];

export interface AnaRecord {
  /** PORTID of the portal's record. */
  portalId: number;
  anagrpid: number;
  state: LastingAnaState;
}

export const portalKind: RecordKind<PortalRecord, 'portalId' | 'endpoint', never> = {
  kind: 10,
  name: 'portal',
  version: 1,
  decode: (fields) => ({
    portalId: fields.integer('portalId'),
    address: fields.text('address'),
    port: fields.integer('port'),
    discoveryOnly: fields.flag('discoveryOnly'),
    added: fields.flag('added'),
    drained: fields.flag('drained'),
    createdMs: fields.integer('createdMs'),
  }),
  encode: (value) => ({ ...value }),
  indexes: {
    portalId: ({ portalId }) => String(portalId),
    endpoint: ({ address, port }) => portalKey(address, port),
  },
  groups: {},
};

export const anaKind: RecordKind<AnaRecord, 'group', 'portal'> = {
  kind: 11,
  name: 'ana',
  version: 1,
  decode: (fields) => ({
    portalId: fields.integer('portalId'),
    anagrpid: fields.integer('anagrpid'),
    state: fields.choice('state', lastingAnaStates),
  }),
  encode: (value) => ({ ...value }),
  indexes: { group: ({ portalId, anagrpid }) => anaKey(portalId, anagrpid) },
  groups: { portal: ({ portalId }) => String(portalId) },
};

/** Key of a portal in its index. */
export const portalKey = (address: string, port: number): string => `${address} port ${port}`;
/** Key of the state of a group through a portal. */
export const anaKey = (portalId: number, anagrpid: number): string => `${portalId}/${anagrpid}`;
