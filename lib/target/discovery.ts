/** The Discovery Log Page (Base 5.16.1.23; TCP Transport 3.1.2) and its records. */
import { isIPv6 } from 'node:net';
import { FieldWriter } from '../bytes.js';
import type { PortalTls } from '../native.js';
import { maxQueueEntries } from './limits.js';
import type { LogPage } from './logs.js';
import { discoveryNqn } from './nqn.js';
import type { Portal } from './portals.js';

/** SUBTYPE. */
const subtypes = { referral: 1, nvm: 2, current: 3 } as const;

export interface DiscoveryRecord {
  subtype: keyof typeof subtypes;
  /** Text of an address; IPv6 when it has a colon. */
  address: string;
  port: number;
  portalId: number;
  subnqn: string;
  /** What this host is told of TLS; null: not known of another node. */
  tls: PortalTls | null;
}

/** Another node's discovery service, which hosts may ask as well. */
export interface Referral {
  address: string;
  port: number;
  /** PORTID there; 0 when not known. */
  portalId: number;
}

/**
 * TREQ bits 1:0, whether hosts need a secure channel, and TSAS SECTYPE, which one there is. "Not
 * required" (10b) is for hosts that can have it: nvme-cli then asks the kernel for TLS, and a
 * kernel without it, or without a PSK, refuses to connect at all. So the others are told nothing.
 */
const secureChannels: Readonly<Record<PortalTls, { treq: number; sectype: number }>> = {
  none: { treq: 0b00, sectype: 0 },
  allowed: { treq: 0b10, sectype: 2 }, // TLS 1.3
  required: { treq: 0b01, sectype: 2 },
};
/** TREQ bit 2: the host may ask for no SQ flow control. */
const flowControlOptional = 1 << 2;
/** The least that ASQSZ may say (Base Figure 264): all that is known of another node. */
const leastQueueEntries = 32;
/** EFLAGS bit 0, DUPRETINFO: every record with it leads to the same records. */
const duplicateInformation = 1 << 0;
/** EFLAGS bit 1, EPCSD: this discovery controller keeps persistent connections. */
const persistentConnections = 1 << 1;

/** Bytes of a record, and of the header before the first one. */
const recordBytes = 1024;

/**
 * The page of some records. A part of it is built when it is read, so that a host that reads a
 * long page piece by piece costs each record once.
 */
export class DiscoveryLog implements LogPage {
  readonly records: readonly DiscoveryRecord[];
  /** GENCTR. */
  readonly generation: bigint;

  constructor(records: readonly DiscoveryRecord[], generation: bigint) {
    this.records = records;
    this.generation = generation;
  }

  get length(): number {
    return recordBytes * (this.records.length + 1);
  }

  subarray(start: number, end: number): Uint8Array {
    const first = Math.floor(start / recordBytes);
    const last = Math.ceil(Math.min(end, this.length) / recordBytes);
    const page = new FieldWriter(recordBytes * Math.max(0, last - first));
    for (let index = first; index < last; index += 1) {
      const at = recordBytes * (index - first);
      const record = this.records[index - 1];
      if (record === undefined) this.#writeHeader(page, at);
      else writeRecord(page, at, record);
    }
    return page.bytes.subarray(start - recordBytes * first, end - recordBytes * first);
  }

  #writeHeader(page: FieldWriter, at: number): void {
    page
      .u64(at, this.generation)
      .u64(at + 8, BigInt(this.records.length))
      .u16(at + 16, 0); // RECFMT 0
  }
}

function writeRecord(page: FieldWriter, at: number, record: DiscoveryRecord): void {
  const ours = record.subtype !== 'referral';
  const channel = record.tls === null ? null : secureChannels[record.tls];
  const eflags = record.subtype === 'current' ? duplicateInformation | persistentConnections : 0;
  page
    .u8(at, 3) // TRTYPE: TCP
    .u8(at + 1, isIPv6(bareAddress(record.address)) ? 2 : 1) // ADRFAM
    .u8(at + 2, subtypes[record.subtype])
    .u8(at + 3, channel === null ? 0 : channel.treq | flowControlOptional) // TREQ
    .u16(at + 4, record.portalId)
    .u16(at + 6, 0xffff) // CNTLID: dynamic
    .u16(at + 8, ours ? maxQueueEntries : leastQueueEntries) // ASQSZ
    .u16(at + 10, eflags)
    .ascii(at + 32, 32, String(record.port)) // TRSVCID
    .text(at + 256, 256, record.subnqn)
    .ascii(at + 512, 256, record.address) // TRADDR
    .u8(at + 768, channel?.sectype ?? 0); // TSAS
}

/** What a node has to tell. */
export interface Discoverable {
  portals: readonly Portal[];
  referrals: readonly Referral[];
  /** NQN of this node's own discovery subsystem. */
  ownNqn: string;
}

/**
 * The records of one host: this discovery service as the host reached it and through the portals
 * that serve nothing else, every portal of each subsystem that the host may see (but no drained
 * one, which hosts are to leave), and other nodes.
 *
 * @param reached the portal and the address of ours that the host came through.
 * @param hasPsk whether the host could come over TLS.
 */
export function discoveryRecords(
  { portals, referrals, ownNqn }: Discoverable,
  reached: { portalId: number; localAddress: string | null },
  subnqns: readonly string[],
  hasPsk: boolean,
): DiscoveryRecord[] {
  const current: DiscoveryRecord[] = [];
  const nvm: DiscoveryRecord[] = [];
  for (const portal of portals) {
    const { portalId, discoveryOnly } = portal;
    const address =
      portal.advertised?.address ?? discoveryAddress(portal.address, reached.localAddress);
    if (address === null) continue;
    const tls = portal.tls === 'allowed' && !hasPsk ? 'none' : portal.tls;
    const place = { address, port: portal.advertised?.port ?? portal.port, portalId, tls };
    const record: DiscoveryRecord = { subtype: 'current', ...place, subnqn: ownNqn };
    if (portalId === reached.portalId) current.unshift(record);
    else if (discoveryOnly) current.push(record);
    if (discoveryOnly || portal.drained) continue;
    for (const subnqn of subnqns) nvm.push({ subtype: 'nvm', ...place, subnqn });
  }
  const others = referrals.map((referral): DiscoveryRecord => {
    return { subtype: 'referral', ...referral, subnqn: discoveryNqn, tls: null };
  });
  return [...current, ...nvm, ...others];
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
