/** Identify Controller, CNS 01h (Base 5.17.2.1, Figure 275) and CNS 06h (NVM 4.1.5.2). */
import { FieldWriter } from '../bytes.js';
import {
  anaTransitionSeconds,
  errorLogEntries,
  inCapsuleDataBytes,
  keepAliveGranularity,
  maxAnaGroups,
  maxAsyncEvents,
  maxNamespaces,
  maxNsid,
  maxQueueEntries,
  mdtsExponent,
} from './limits.js';

/** VS and VER: NVMe 2.0.0. */
export const specVersion = 0x0002_0000;

/** OAES and the Asynchronous Event Configuration feature share these bits (Base Figure 326). */
export const asyncEventBits = {
  namespaceAttribute: 1 << 8,
  anaChange: 1 << 11,
  /** Bit 31, as an unsigned number. */
  discoveryChange: 0x8000_0000,
} as const;

/** OAES of an I/O controller. */
export const ioControllerOaes = asyncEventBits.namespaceAttribute | asyncEventBits.anaChange;
/** OAES of a discovery controller. */
export const discoveryControllerOaes = asyncEventBits.discoveryChange;

export interface IdentifyControllerInput {
  kind: 'io' | 'discovery';
  cntlid: number;
  subnqn: string;
  /** 20 ASCII characters at most; the same for the subsystem's whole life. */
  serial: string;
  /** 8 ASCII characters at most. */
  firmware: string;
  /** No volatile write cache: every acknowledged write is durable. */
  writeThrough: boolean;
}

export function encodeIdentifyController(input: IdentifyControllerInput): Uint8Array {
  const page = new FieldWriter(4096)
    .ascii(4, 20, input.serial) // SN
    .ascii(24, 40, 'Ashlar') // MN
    .ascii(64, 8, input.firmware) // FR
    .u8(77, mdtsExponent) // MDTS, in pages of CAP.MPSMIN
    .u16(78, input.cntlid)
    .u32(80, specVersion)
    .u32(96, 1) // CTRATT bit 0: 128-bit host identifiers
    .u8(259, maxAsyncEvents - 1) // AERL, 0's based
    .u8(262, errorLogEntries - 1) // ELPE, 0's based
    .u16(320, keepAliveGranularity) // KAS
    .u16(514, maxQueueEntries) // MAXCMD
    .u32(536, sgls)
    .text(768, 256, input.subnqn);
  if (input.kind === 'discovery') {
    return page
      .u32(92, discoveryControllerOaes)
      .u8(111, 2) // CNTRLTYPE: discovery controller
      .u8(261, 1 << 2) // LPA: LPO and NUMDU are honoured
      .u32(1792, 4) // IOCCSZ: 64 bytes, no data in capsules
      .u32(1796, 1) // IORCSZ: 16 bytes
      .u8(1803, 1) // MSDBD
      .u8(1806, 1).bytes; // DCTYPE: direct discovery controller
  }
  return page
    .u8(76, 0b1011) // CMIC: several ports, several controllers, ANA reporting
    .u32(92, ioControllerOaes)
    .u8(111, 1) // CNTRLTYPE: I/O controller
    .u8(258, 3) // ACL, 0's based: four Aborts at once
    .u8(260, 0b0011) // FRMW: one slot, read only
    .u8(261, lpa)
    .u8(342, anaTransitionSeconds) // ANATT
    .u8(343, 0b1_1111) // ANACAP: all five states are reported
    .u32(344, maxAnaGroups) // ANAGRPMAX
    .u32(348, maxAnaGroups) // NANAGRPID
    .u8(512, 0x66) // SQES: 64 bytes
    .u8(513, 0x44) // CQES: 16 bytes
    .u32(516, maxNsid) // NN
    .u16(520, oncs)
    .u16(522, 1) // FUSES: Compare and Write
    .u8(525, vwc(input.writeThrough))
    .u16(526, 0) // AWUN and AWUPF: one block, the least that can be said; namespaces say more
    .u16(528, 0)
    .u8(531, 0b101) // NWPC: write protect, and permanent write protect
    .u16(532, 0) // ACWU: likewise one block
    .u16(534, 1) // OCFS: copy descriptor format 0
    .u32(540, maxNamespaces) // MNAN
    .u32(1792, (64 + inCapsuleDataBytes) / 16) // IOCCSZ
    .u32(1796, 1) // IORCSZ: 16 bytes
    .u16(1800, 0) // ICDOFF
    .u8(1803, 1) // MSDBD: one SGL data block descriptor
    .u16(1804, 1).bytes; // OFCS: Disconnect
}

/** SGLs are supported; offsets into capsules and Transport SGL Data Blocks too. */
const sgls = 0b01 | (1 << 20) | (1 << 21);

/** Commands Supported and Effects; LPO and NUMDU; Supported Log Pages and FIDs. */
const lpa = (1 << 1) | (1 << 2) | (1 << 5);

/** Compare, Dataset Management, Write Zeroes, Save and Select, reservations, Verify, Copy. */
const oncs = (1 << 0) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8);

/** Bit 0: a volatile cache is present. Bits 2:1: Flush takes the broadcast NSID. */
function vwc(writeThrough: boolean): number {
  return 0b110 | (writeThrough ? 0 : 1);
}

/**
 * I/O Command Set specific Identify Controller for NVM. VSL is what MDTS is. WZSL bounds Write
 * Zeroes to 2^13 pages = 32 MiB, which is 65,536 blocks of 512 bytes: the most that NLB can say,
 * whatever the format. Deallocation has no limits of its own.
 */
export function encodeIdentifyControllerNvm(): Uint8Array {
  return new FieldWriter(4096)
    .u8(0, mdtsExponent) // VSL
    .u8(1, 13).bytes; // WZSL
}
