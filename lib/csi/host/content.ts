/**
 * What stands on a disk: the one question on which data hangs, for what is not blank is never
 * formatted.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { CsiError } from '../errors.js';
import { failed, run } from './programs.js';
import type { Content } from './types.js';

/** Has to read as zeroes at the start, and at the end, for a disk to be blank. */
const startBytes = 1 << 20;
const endBytes = 128 << 10;
/**
 * The first block with the ext4 superblock: making a file system zeroes it first and writes it
 * last, so that it is zero of one whose making was cut, whatever was written elsewhere.
 */
const narrowBytes = 2 << 10;

/**
 * Looks at a disk, or at a file with the content of one.
 *
 * @param sizeBytes where its end is.
 * @param narrow see {@link NodeHost.content}.
 */
export async function readContent(
  device: string,
  sizeBytes: bigint,
  narrow: boolean,
  timeoutMs: number,
): Promise<Content> {
  const start = await readEnds(device, Number(sizeBytes));
  if (isUnfinished(start.bytes)) return { kind: 'unfinished' };
  const args = ['--probe', '--output', 'export', device];
  const ended = await run('blkid', args, { timeoutMs });
  // 2: nothing that it knows; 8: so much that it cannot say which.
  if (ended.code === 8) {
    return { kind: 'other', what: 'several signatures at once (see wipefs)' };
  }
  if (ended.code !== 0 && ended.code !== 2) throw failed('blkid', args, ended);
  const found = classify(ended.stdout, start.bytes);
  if (found !== null) return found;
  const places: [string, Buffer][] = narrow
    ? [['first bytes', start.bytes.subarray(0, narrowBytes)]]
    : [
        ['first bytes', start.bytes],
        ['last bytes', start.end],
      ];
  for (const [where, bytes] of places) {
    const index = bytes.findIndex((byte) => byte !== 0);
    if (index < 0) continue;
    return { kind: 'other', what: `no known signature, but its ${where} are not all zero` };
  }
  return { kind: 'blank' };
}

/** What blkid wrote, in our words; null: nothing. */
export function classify(exported: string, start: Buffer): Content | null {
  const facts = new Map(
    exported.split('\n').flatMap((line): [string, string][] => {
      const equals = line.indexOf('=');
      return equals < 0 ? [] : [[line.slice(0, equals), line.slice(equals + 1)]];
    }),
  );
  const [table, type, usage] = [facts.get('PTTYPE'), facts.get('TYPE'), facts.get('USAGE')];
  if (table !== undefined) return { kind: 'other', what: `a partition table (${table})` };
  if (type === undefined) return null;
  if (usage !== 'filesystem') return { kind: 'other', what: `${type} (${usage ?? 'unknown use'})` };
  return { kind: 'file-system', fsType: type, sizeBytes: spanOf(type, start) };
}

interface Ends {
  readonly bytes: Buffer;
  readonly end: Buffer;
}

async function readEnds(device: string, size: number): Promise<Ends> {
  let handle: FileHandle | null = null;
  try {
    handle = await open(device, 'r');
    const bytes = await readAt(handle, Math.min(startBytes, size), 0);
    const end = await readAt(handle, Math.min(endBytes, size), Math.max(0, size - endBytes));
    return { bytes, end };
  } catch (thrown) {
    const { message } = thrown as Error;
    throw new CsiError('INTERNAL', `cannot read ${device}: ${message}`, { cause: thrown });
  } finally {
    await handle?.close();
  }
}

async function readAt(handle: FileHandle, bytes: number, position: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let length = 0;
  while (length < bytes) {
    const { bytesRead } = await handle.read(buffer, length, bytes - length, position + length);
    // What cannot be seen cannot be called blank.
    if (bytesRead === 0) throw new Error(`it ends at ${position + length} bytes`);
    length += bytesRead;
  }
  return buffer;
}

const xfs = { magic: 'XFSB', blockSize: 4, blocks: 8, inProgress: 126 };
const btrfs = { at: 64 << 10, magicAt: 64, magic: '_BHRfS_M', cutMagic: '!BHRfS_M', total: 0x70 };
const ext = { at: 1024, blocks: 4, logBlockSize: 24, incompat: 0x60, blocksHigh: 0x150 };
const ext64Bit = 0x80;

/** mkfs.xfs and mkfs.btrfs write first that they have not ended; neither can be mounted then. */
export function isUnfinished(start: Buffer): boolean {
  if (start.length < btrfs.at + 4096) return false;
  if (start.toString('latin1', 0, 4) === xfs.magic) return start.readUInt8(xfs.inProgress) !== 0;
  const at = btrfs.at + btrfs.magicAt;
  return start.toString('latin1', at, at + btrfs.cutMagic.length) === btrfs.cutMagic;
}

/** Bytes that a file system says it spans. */
export function spanOf(type: string, start: Buffer): bigint | null {
  if (start.length < btrfs.at + 4096) return null;
  if (type === 'xfs') {
    return BigInt(start.readUInt32BE(xfs.blockSize)) * start.readBigUInt64BE(xfs.blocks);
  }
  if (type === 'btrfs') return start.readBigUInt64LE(btrfs.at + btrfs.total);
  if (type !== 'ext4') return null;
  const wide = (start.readUInt32LE(ext.at + ext.incompat) & ext64Bit) !== 0;
  const high = wide ? BigInt(start.readUInt32LE(ext.at + ext.blocksHigh)) << 32n : 0n;
  const blocks = high + BigInt(start.readUInt32LE(ext.at + ext.blocks));
  return blocks * BigInt(1024 << start.readUInt32LE(ext.at + ext.logBlockSize));
}
