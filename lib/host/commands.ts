/**
 * Submission queue entries, as our own host sends them: pure functions from words to 64 bytes.
 * CID, PSDT and the SGL are filled in natively. Sections are those of NVMe Base 2.0 and the NVM
 * Command Set 1.0.
 */

/** The fields of a raw command; what is left out is 0. */
export interface CommandFields {
  opcode: number;
  nsid?: number | undefined;
  cdw2?: number | undefined;
  cdw3?: number | undefined;
  cdw10?: number | undefined;
  cdw11?: number | undefined;
  cdw12?: number | undefined;
  cdw13?: number | undefined;
  cdw14?: number | undefined;
  cdw15?: number | undefined;
}

/** Admin opcodes that this module names (Base, figure 138). */
export const adminOpcode = {
  getLogPage: 0x02,
  identify: 0x06,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEventRequest: 0x0c,
  keepAlive: 0x18,
} as const;

/** I/O opcodes (NVM Command Set, figure 16). */
export const ioOpcode = {
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  compare: 0x05,
  writeZeroes: 0x08,
  datasetManagement: 0x09,
} as const;

/** NLB is 16 bits, 0-based: the most blocks that one command names. */
export const maxBlocksPerCommand = 65_536;
/** Dataset Management takes 256 ranges at most. */
export const maxDatasetRanges = 256;

/** 64 bytes of submission queue entry (Base 3.3.3.1). */
export function sqe(fields: CommandFields): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, fields.opcode);
  view.setUint32(4, fields.nsid ?? 0, true);
  view.setUint32(8, fields.cdw2 ?? 0, true);
  view.setUint32(12, fields.cdw3 ?? 0, true);
  view.setUint32(40, fields.cdw10 ?? 0, true);
  view.setUint32(44, fields.cdw11 ?? 0, true);
  view.setUint32(48, fields.cdw12 ?? 0, true);
  view.setUint32(52, fields.cdw13 ?? 0, true);
  view.setUint32(56, fields.cdw14 ?? 0, true);
  view.setUint32(60, fields.cdw15 ?? 0, true);
  return bytes;
}

/** What a Read, Write, Compare or Write Zeroes names. */
export interface BlockRange {
  nsid: number;
  slba: bigint;
  /** 1 to 65,536. */
  blocks: number;
}

/** Bits of CDW12 (NVM 3.2). */
export interface RangeFlags {
  /** Force Unit Access: durable when completed. */
  fua?: boolean | undefined;
  /** Write Zeroes only: the controller may deallocate. */
  deallocate?: boolean | undefined;
}

/** Read, Write, Compare or Write Zeroes (NVM 3.2.4, 3.2.6, 3.2.1, 3.2.8). */
export function rangeCommand(
  opcode: number,
  range: BlockRange,
  flags: RangeFlags = {},
): Uint8Array {
  const control = (flags.fua === true ? 2 ** 30 : 0) + (flags.deallocate === true ? 2 ** 25 : 0);
  return sqe({
    opcode,
    nsid: range.nsid,
    cdw10: Number(range.slba & 0xffff_ffffn),
    cdw11: Number(range.slba >> 32n),
    cdw12: control + (range.blocks - 1),
  });
}

/** Dataset Management with the deallocate attribute (NVM 3.2.3): the entry and its data. */
export function deallocateCommand(
  nsid: number,
  ranges: readonly { slba: bigint; blocks: number }[],
): { sqe: Uint8Array; data: Uint8Array } {
  const data = new Uint8Array(16 * ranges.length);
  const view = new DataView(data.buffer);
  ranges.forEach((range, index) => {
    view.setUint32(16 * index + 4, range.blocks, true);
    view.setBigUint64(16 * index + 8, range.slba, true);
  });
  return {
    sqe: sqe({
      opcode: ioOpcode.datasetManagement,
      nsid,
      cdw10: ranges.length - 1,
      cdw11: 1 << 2,
    }),
    data,
  };
}

/** Get Log Page (Base 5.16): NUMD is 0-based dwords over two fields, LPO is bytes. */
export function getLogPageCommand(page: {
  lid: number;
  bytes: number;
  nsid: number;
  offset: bigint;
  lsp: number;
  retainAsyncEvent: boolean;
}): Uint8Array {
  const dwords = page.bytes / 4 - 1;
  return sqe({
    opcode: adminOpcode.getLogPage,
    nsid: page.nsid,
    cdw10:
      page.lid +
      (page.lsp & 0x7f) * 2 ** 8 +
      (page.retainAsyncEvent ? 2 ** 15 : 0) +
      (dwords & 0xffff) * 2 ** 16,
    cdw11: Math.floor(dwords / 2 ** 16),
    cdw12: Number(page.offset & 0xffff_ffffn),
    cdw13: Number(page.offset >> 32n),
  });
}

/** Identify (Base 5.17). */
export function identifyCommand(cns: number, nsid = 0, csi = 0): Uint8Array {
  return sqe({ opcode: adminOpcode.identify, nsid, cdw10: cns, cdw11: csi * 2 ** 24 });
}
