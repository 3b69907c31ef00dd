/** Identify for namespaces: CNS 00h (NVM 4.1.5.1), 03h, 05h, 08h and the NSID lists. */
import { FieldWriter } from '../bytes.js';
import { copyBytes, copyRangeBytes, copyRanges } from './limits.js';

export interface IdentifyNamespaceInput {
  sizeBytes: bigint;
  /** Bytes that read as data. */
  usedBytes: bigint;
  blockBytes: 512 | 4096;
  anagrpid: number;
  nguid: Uint8Array;
  /** The largest write that a power loss of the device leaves whole or untouched. */
  atomicWriteBytes: number;
  readOnly: boolean;
}

/** The store maps blocks of 4 KiB: smaller writes are read-modify-write. */
const mappedBlockBytes = 4096;
/** The store allocates chunks of 64 KiB: space comes back in these. */
const chunkBytes = 65_536;

/** Persist Through Power Loss, all six types, and IEKEY as NVMe 1.3 and later define it. */
const reservationCapabilities = 0xff;

export function encodeIdentifyNamespace(input: IdentifyNamespaceInput): Uint8Array {
  const blockBytes = BigInt(input.blockBytes);
  const blocks = input.sizeBytes / blockBytes;
  const usedBlocks = (input.usedBytes + blockBytes - 1n) / blockBytes;
  const atomicBlocks = powerFailAtomicBlocks(input.blockBytes, input.atomicWriteBytes);
  const boundaryBlocks = mappedBlockBytes / input.blockBytes;
  const zeroBased = (bytes: number): number => bytes / input.blockBytes - 1;
  return new FieldWriter(4096)
    .u64(0, blocks) // NSZE
    .u64(8, blocks) // NCAP: thin, so all of it can be allocated
    .u64(16, usedBlocks < blocks ? usedBlocks : blocks) // NUSE
    .u8(24, 0b1_0011) // NSFEAT: thin, NAWUN, NAWUPF and NACWU are ours, NPWG to NOWS are given
    .u8(25, 0) // NLBAF, 0's based: one format
    .u8(26, 0) // FLBAS: that one
    .u8(30, 1) // NMIC: shared by controllers
    .u8(31, reservationCapabilities) // RESCAP
    .u8(33, 0b0_1001) // DLFEAT: deallocated blocks read as zeroes; Write Zeroes takes DEAC
    .u16(34, atomicBlocks - 1) // NAWUN, 0's based
    .u16(36, atomicBlocks - 1) // NAWUPF, 0's based
    .u16(38, boundaryBlocks - 1) // NACWU, 0's based: fused pairs of one mapped block at most
    .u16(40, boundaryBlocks - 1) // NABSN: atomic only within one mapped block
    .u16(44, boundaryBlocks - 1) // NABSPF
    .u16(64, zeroBased(mappedBlockBytes)) // NPWG
    .u16(66, zeroBased(mappedBlockBytes)) // NPWA
    .u16(68, zeroBased(chunkBytes)) // NPDG
    .u16(70, zeroBased(chunkBytes)) // NPDA
    .u16(72, zeroBased(chunkBytes)) // NOWS
    .u16(74, copyRangeBytes / input.blockBytes) // MSSRL
    .u32(76, copyBytes / input.blockBytes) // MCL
    .u8(80, copyRanges - 1) // MSRC, 0's based
    .u32(92, input.anagrpid)
    .u8(99, input.readOnly ? 1 : 0) // NSATTR bit 0: write protected
    .raw(104, input.nguid)
    .u8(130, Math.log2(input.blockBytes)).bytes; // LBAF 0: LBADS; no metadata
}

/**
 * NAWUPF in blocks: what the device leaves whole, up to one mapped block, as larger writes may lie
 * apart. One block is the least that the field can say.
 */
export function powerFailAtomicBlocks(blockBytes: number, atomicWriteBytes: number): number {
  const atomicBytes = Math.min(atomicWriteBytes, mappedBlockBytes);
  return Math.max(1, Math.floor(atomicBytes / blockBytes));
}

/** CNS 08h, I/O Command Set independent (Base 5.17.2.8, Figure 280). */
export function encodeIdentifyIndependent(input: {
  anagrpid: number;
  readOnly: boolean;
}): Uint8Array {
  return new FieldWriter(4096)
    .u8(0, 0) // NSFEAT: not rotational, the volatile write cache as the controller says
    .u8(1, 1) // NMIC
    .u8(2, reservationCapabilities) // RESCAP
    .u32(4, input.anagrpid)
    .u8(8, input.readOnly ? 1 : 0) // NSATTR
    .u8(14, 1).bytes; // NSTAT: ready
}

/** CNS 03h, the Namespace Identification Descriptor list (Base 5.17.2.3, Figure 277). */
export function encodeNamespaceDescriptors(input: {
  nguid: Uint8Array;
  uuid: Uint8Array;
}): Uint8Array {
  return new FieldWriter(4096)
    .u8(0, 2) // NIDT: NGUID
    .u8(1, 16)
    .raw(4, input.nguid)
    .u8(20, 3) // NIDT: UUID
    .u8(21, 16)
    .raw(24, input.uuid)
    .u8(40, 4) // NIDT: CSI
    .u8(41, 1)
    .u8(44, 0).bytes; // NVM; a descriptor with NIDL 0 ends the list
}

/** Up to 1,024 NSIDs above `after`, ascending and zero-filled (CNS 02h, 07h, 10h, 1Ah). */
export function encodeNsidList(nsids: readonly number[], after: number): Uint8Array {
  const page = new FieldWriter(4096);
  const above = nsids.filter((nsid) => nsid > after).sort((a, b) => a - b);
  for (const [index, nsid] of above.slice(0, 1024).entries()) page.u32(index * 4, nsid);
  return page.bytes;
}

/** A Controller List of CNTLIDs from `from` upwards (Base 4.5.1; CNS 12h and 13h). */
export function encodeControllerList(cntlids: readonly number[], from: number): Uint8Array {
  const page = new FieldWriter(4096);
  const listed = cntlids.filter((cntlid) => cntlid >= from).sort((a, b) => a - b);
  const shown = listed.slice(0, 2047);
  page.u16(0, shown.length);
  for (const [index, cntlid] of shown.entries()) page.u16(2 + index * 2, cntlid);
  return page.bytes;
}

/** CNS 1Ch, I/O Command Set combinations (Base 5.17.2.21): one, the NVM command set alone. */
export function encodeCommandSets(): Uint8Array {
  return new FieldWriter(4096).u64(0, 1n).bytes;
}
