/**
 * Get Log Page (Base 5.16): which page, which part of it. Each page is built whole, then cut by
 * LPO and NUMD; what lies beyond its end reads as zeroes.
 */

import { exactly, FieldWriter } from '../bytes.js';
import type { AnaState, CommandCompletion, ErrorLogEntry } from '../native.js';
import { supportedFeatures } from './features.js';
import { changedNamespacesMax, maxAnaGroups, maxNamespaces, maxTransferBytes } from './limits.js';
import { adminOpcodes, type GetLogPageCommand } from './sqe.js';
import { refuse, statuses, succeed } from './statuses.js';

/** Log page identifiers (Base Figure 202). */
export const logPages = {
  supportedLogPages: 0x00,
  error: 0x01,
  smart: 0x02,
  firmwareSlot: 0x03,
  changedNamespaces: 0x04,
  commandEffects: 0x05,
  ana: 0x0c,
  featureEffects: 0x12,
  managementEffects: 0x13,
  discovery: 0x70,
  reservationNotification: 0x80,
} as const;

const ioControllerPages: readonly number[] = Object.values(logPages).filter(
  (lid) => lid !== logPages.discovery,
);
const discoveryControllerPages: readonly number[] = [
  logPages.supportedLogPages,
  logPages.discovery,
];

/** Whether a controller of this kind has the page. */
export function hasLogPage(kind: 'io' | 'discovery', lid: number): boolean {
  return (kind === 'io' ? ioControllerPages : discoveryControllerPages).includes(lid);
}

/**
 * The ANA log at its largest. Hosts work that out from Identify (NANAGRPID, MNAN) and read so far,
 * in pieces, whatever the groups of the moment fill.
 */
const largestAnaBytes = 16 + maxAnaGroups * 32 + maxNamespaces * 4;

/** A page, or what can be asked for its parts; beyond `length` there is nothing. */
export interface LogPage {
  readonly length: number;
  subarray(start: number, end: number): Uint8Array;
}

/**
 * The part of `page` that the command asks for.
 * @param roomBytes what the host's SGL has room for.
 */
export function cutLogPage(
  command: GetLogPageCommand,
  page: LogPage,
  roomBytes: number,
): CommandCompletion {
  // OT 1 counts entries; no page of ours says that it supports that (LPA bit 2 is for bytes).
  if (command.offsetIsIndex) return refuse(statuses.invalidField);
  const end = command.lid === logPages.ana ? largestAnaBytes : page.length;
  if ((command.offset & 3n) !== 0n || command.offset > BigInt(end)) {
    return refuse(statuses.invalidField);
  }
  if (command.lengthBytes > roomBytes || command.lengthBytes > maxTransferBytes) {
    return refuse(statuses.dataSglLengthInvalid);
  }
  const offset = Number(command.offset);
  const part = page.subarray(offset, offset + command.lengthBytes);
  return succeed(0n, exactly(part, command.lengthBytes));
}

/** Supported Log Pages (Base 5.16.1.1): a dword each, LSUPP in bit 0. */
export function encodeSupportedLogPages(kind: 'io' | 'discovery'): Uint8Array {
  const page = new FieldWriter(1024);
  const lids = kind === 'io' ? ioControllerPages : discoveryControllerPages;
  for (const lid of lids) page.u32(lid * 4, 1);
  return page.bytes;
}

/** The error log (Base 5.16.1.2, Figure 206): newest first, 64 bytes each. */
export function encodeErrorLog(entries: readonly ErrorLogEntry[], capacity: number): Uint8Array {
  const page = new FieldWriter(64 * capacity);
  for (const [index, entry] of entries.slice(0, capacity).entries()) {
    const at = index * 64;
    page
      .u64(at, entry.errorCount)
      .u16(at + 8, entry.sqid)
      .u16(at + 10, entry.cid)
      .u16(at + 12, entry.statusField)
      .u16(at + 14, entry.parameterLocation)
      .u64(at + 16, entry.lba)
      .u32(at + 24, entry.nsid)
      .u8(at + 29, 3) // TRTYPE: TCP
      .u8(at + 30, 0) // CSI: NVM
      .u8(at + 31, entry.opcode)
      .u8(at + 63, 1); // Log Page Version: CSI and the opcode are there
  }
  return page.bytes;
}

export interface SmartInput {
  /** The pool stopped acknowledging: reliability is gone. */
  poolFailed: boolean;
  /** Percent of the pool's chunks that are free, 0 to 100. */
  freePercent: number;
  powerOnHours: bigint;
  errorLogEntries: bigint;
}

/**
 * SMART / Health (Base 5.16.1.3, Figure 207). Transfer counts read 0, which means "not reported":
 * counts of the node would show one tenant what another one does.
 */
export function encodeSmart(input: SmartInput): Uint8Array {
  const sparePercent = Math.max(0, Math.min(100, Math.floor(input.freePercent)));
  return new FieldWriter(512)
    .u8(0, input.poolFailed ? 1 << 2 : 0) // Critical Warning: reliability degraded
    .u16(1, 0) // Composite Temperature: none
    .u8(3, sparePercent) // Available Spare
    .u64(128, input.powerOnHours)
    .u64(176, input.errorLogEntries).bytes; // Number of Error Information Log Entries
}

/** Firmware Slot Information (Base 5.16.1.4): slot 1 is active, and the only one. */
export function encodeFirmwareSlot(firmware: string): Uint8Array {
  return new FieldWriter(512).u8(0, 1).ascii(8, 8, firmware).bytes;
}

/** Changed Namespace List (Base 5.16.1.5); over 1,024 changes its first entry says "all". */
export function encodeChangedNamespaces(nsids: ReadonlySet<number>): Uint8Array {
  const page = new FieldWriter(changedNamespacesMax * 4);
  if (nsids.size > changedNamespacesMax) return page.u32(0, 0xffff_ffff).bytes;
  const ascending = [...nsids].sort((a, b) => a - b);
  for (const [index, nsid] of ascending.entries()) page.u32(index * 4, nsid);
  return page.bytes;
}

/** Supported; for Write and its like also "logical block content change". */
const supported = 1;
const changesContent = supported | (1 << 1);
/** Scope, bits 31:20: of a namespace, or of a controller. */
const ofNamespace = 1 << 20;
const ofController = 1 << 21;

/** Commands Supported and Effects (Base 5.16.1.6) for the NVM command set. */
export function encodeCommandEffects(): Uint8Array {
  const page = new FieldWriter(4096);
  const admin = (opcode: number): FieldWriter => page.u32(opcode * 4, supported | ofController);
  const io = (opcode: number, effects: number): FieldWriter =>
    page.u32(1024 + opcode * 4, effects | ofNamespace);
  for (const opcode of Object.values(adminOpcodes)) admin(opcode);
  io(0x00, supported); // Flush
  io(0x01, changesContent); // Write
  io(0x02, supported); // Read
  io(0x05, supported); // Compare
  io(0x08, changesContent); // Write Zeroes
  io(0x09, changesContent); // Dataset Management
  io(0x0c, supported); // Verify
  io(0x0d, supported); // Reservation Register
  io(0x0e, supported); // Reservation Report
  io(0x11, supported); // Reservation Acquire
  io(0x15, supported); // Reservation Release
  io(0x19, changesContent); // Copy
  page.u32(1024 + 0x7f * 4, supported | ofController); // Fabrics (Disconnect)
  return page.bytes;
}

/** Feature Identifiers Supported and Effects (Base 5.16.1.13). */
export function encodeFeatureEffects(): Uint8Array {
  const page = new FieldWriter(1024);
  for (const fid of supportedFeatures) page.u32(fid * 4, supported | ofController);
  return page.bytes;
}

/** NVMe-MI Commands Supported and Effects (Base 5.16.1.14): none. */
export function encodeManagementEffects(): Uint8Array {
  return new Uint8Array(4096);
}

/** Asymmetric Namespace Access states (Base 8.1.3). */
const anaStateCodes: Readonly<Record<AnaState, number>> = {
  optimized: 0x1,
  'non-optimized': 0x2,
  inaccessible: 0x3,
  'persistent-loss': 0x4,
  change: 0xf,
};

export interface AnaGroup {
  anagrpid: number;
  state: AnaState;
  /** Of this group's descriptor. */
  changeCount: bigint;
  /** Namespaces of the group that the host sees. */
  nsids: readonly number[];
}

/** ANA log (Base 5.16.1.11); `groupsOnly` is LSP bit 0 (RGO): no NSIDs. */
export function encodeAna(
  groups: readonly AnaGroup[],
  changeCount: bigint,
  groupsOnly: boolean,
): Uint8Array {
  const ascending = [...groups].sort((a, b) => a.anagrpid - b.anagrpid);
  const nsidCount = groupsOnly ? 0 : ascending.reduce((sum, { nsids }) => sum + nsids.length, 0);
  const page = new FieldWriter(16 + ascending.length * 32 + nsidCount * 4);
  page.u64(0, changeCount).u16(8, ascending.length);
  let at = 16;
  for (const group of ascending) {
    const nsids = groupsOnly ? [] : [...group.nsids].sort((a, b) => a - b);
    page
      .u32(at, group.anagrpid)
      .u32(at + 4, nsids.length)
      .u64(at + 8, group.changeCount)
      .u8(at + 16, anaStateCodes[group.state]);
    at += 32;
    for (const nsid of nsids) {
      page.u32(at, nsid);
      at += 4;
    }
  }
  return page.bytes;
}
