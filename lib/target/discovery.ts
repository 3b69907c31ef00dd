/** The Discovery Log Page (Base 5.16.1.23; TCP Transport 3.1.2) and its records. */
import { isIPv6 } from 'node:net';
import { FieldWriter } from './bytes.js';

/** SUBTYPE. */
const subtypes = { referral: 1, nvm: 2, current: 3 } as const;

export interface DiscoveryRecord {
  subtype: keyof typeof subtypes;
  /** Text of an address; IPv6 when it has a colon. */
  address: string;
  port: number;
  portalId: number;
  subnqn: string;
}

/** TREQ: no secure channel needed; the host may ask for no SQ flow control. */
const treq = 0b10 | (1 << 2);
/** The least that ASQSZ may say (Base Figure 264). */
const adminQueueEntries = 32;
/** EFLAGS bit 1: this discovery controller keeps persistent connections (EPCSD). */
const persistentConnections = 1 << 1;

/** The whole page: a header of 1,024 bytes and 1,024 bytes a record. */
export function encodeDiscoveryLog(
  records: readonly DiscoveryRecord[],
  generation: bigint,
): Uint8Array {
  const page = new FieldWriter(1024 * (records.length + 1));
  page.u64(0, generation).u64(8, BigInt(records.length)).u16(16, 0); // RECFMT 0
  for (const [index, record] of records.entries()) {
    const at = 1024 * (index + 1);
    page
      .u8(at, 3) // TRTYPE: TCP
      .u8(at + 1, isIPv6(bareAddress(record.address)) ? 2 : 1) // ADRFAM
      .u8(at + 2, subtypes[record.subtype])
      .u8(at + 3, treq)
      .u16(at + 4, record.portalId)
      .u16(at + 6, 0xffff) // CNTLID: dynamic
      .u16(at + 8, adminQueueEntries) // ASQSZ
      .u16(at + 10, record.subtype === 'current' ? persistentConnections : 0) // EFLAGS
      .ascii(at + 32, 32, String(record.port)) // TRSVCID
      .text(at + 256, 256, record.subnqn)
      .ascii(at + 512, 256, record.address) // TRADDR
      .u8(at + 768, 0); // TSAS: SECTYPE 0, no security
  }
  return page.bytes;
}

/** Without the zone of a link-local IPv6 address. */
function bareAddress(address: string): string {
  return address.split('%')[0] ?? address;
}

/** Whether a portal listens on all addresses of the machine. */
export function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/**
 * The address that a record gives for a portal: its own, or for a wildcard the one through which
 * the asking host came, when the portal listens on that family; null when none is known.
 */
export function discoveryAddress(portalAddress: string, reached: string | null): string | null {
  if (!isWildcard(portalAddress)) return portalAddress;
  if (reached === null || isWildcard(reached)) return null;
  if (portalAddress === '0.0.0.0' && isIPv6(bareAddress(reached))) return null;
  return reached;
}
