/** ext4, xfs and btrfs: which program does what, and what its exit codes mean. */
import { open } from 'node:fs/promises';
import path from 'node:path';
import { CsiError } from '../errors.js';
import { attribute, type KernelPlaces } from './fabrics.js';
import { failed, run, succeed } from './programs.js';
import type { FsType } from './types.js';

/**
 * Makes a file system. Nothing is discarded first, for a blank volume has nothing to give back.
 *
 * @param force over what the program would stop at; it stops at any file system otherwise, which
 * is a second look after our own.
 */
export async function makeFileSystem(
  device: string,
  fsType: FsType,
  force: boolean,
  timeoutMs: number,
): Promise<void> {
  const args: Readonly<Record<FsType, readonly string[]>> = {
    // Nothing is kept for root: a volume is one application's.
    ext4: ['-q', '-m', '0', '-E', 'nodiscard', ...(force ? ['-F'] : [])],
    xfs: ['-q', '-K', ...(force ? ['-f'] : [])],
    btrfs: ['-q', '-K', ...(force ? ['-f'] : [])],
  };
  await succeed(`mkfs.${fsType}`, [...args[fsType], device], { timeoutMs });
}

/** fsck(8): bits of the exit code that say that all is well now. */
const repaired = 1 | 2;

/**
 * Repairs what can be without a person. The kernel does the same for xfs and btrfs when it mounts.
 */
export async function checkFileSystem(
  device: string,
  fsType: FsType,
  timeoutMs: number,
): Promise<void> {
  if (fsType !== 'ext4') return;
  const args = ['-p', device];
  const ended = await run('fsck.ext4', args, { timeoutMs });
  if ((ended.code & ~repaired) === 0) return;
  const { message } = failed('fsck.ext4', args, ended);
  throw new CsiError(
    'INTERNAL',
    `the file system on ${device} is damaged beyond what is repaired without being asked; restore ` +
      `a snapshot, or run fsck.ext4 on it yourself: ${message}`,
  );
}

/** Options that a file system is always mounted with. */
export function mountFlags(fsType: FsType, flags: readonly string[], readOnly: boolean): string[] {
  return [
    ...new Set([
      ...(readOnly ? ['ro'] : []),
      // A clone has the UUID of what it is a clone of, and both can be wanted on one node.
      ...(fsType === 'xfs' ? ['nouuid'] : []),
      ...flags,
    ]),
  ];
}

/** How a file system is read that cannot be repaired, because its disk is write-protected. */
export const withoutRepair: Readonly<Record<FsType, string>> = {
  ext4: 'noload',
  xfs: 'norecovery',
  btrfs: 'rescue=nologreplay',
};

/** What xfs says that is wrong, for the error of a mount that failed; '' when it says nothing. */
export async function diagnose(device: string, fsType: FsType, timeoutMs: number): Promise<string> {
  if (fsType !== 'xfs') return '';
  try {
    const { code, stderr, stdout } = await run('xfs_repair', ['-n', device], { timeoutMs });
    return code === 0 ? '' : `; xfs_repair -n says: ${stderr || stdout}`;
  } catch {
    return '';
  }
}

/**
 * btrfs takes two disks with the same file system UUID for two parts of one, and mixes them.
 *
 * @throws CsiError FAILED_PRECONDITION.
 */
export async function refuseTwins(
  { sys }: KernelPlaces,
  device: string,
  fsType: FsType,
): Promise<void> {
  if (fsType !== 'btrfs') return;
  const uuid = await btrfsUuid(device);
  const folder = path.join(sys, 'fs/btrfs', uuid, 'devices');
  const label = await attribute(folder, path.basename(device), 'dev');
  const known = await attribute(sys, 'fs/btrfs', uuid, 'nodesize');
  if (known === null || label !== null) return;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `a btrfs file system with the UUID ${uuid} of ${device} is mounted on this node already: btrfs ` +
      'cannot tell a clone from what it is a clone of; use it on another node, or use ext4 or xfs',
  );
}

async function btrfsUuid(device: string): Promise<string> {
  const handle = await open(device, 'r');
  try {
    const bytes = Buffer.alloc(16);
    await handle.read(bytes, 0, 16, (64 << 10) + 32);
    const hex = bytes.toString('hex');
    const ends = [8, 12, 16, 20, 32];
    return ends.map((end, index) => hex.slice(ends[index - 1] ?? 0, end)).join('-');
  } finally {
    await handle.close();
  }
}

/** Grows it to the end of its disk; it is mounted at `target`. */
export async function growFileSystem(
  device: string,
  fsType: FsType,
  target: string,
  timeoutMs: number,
): Promise<void> {
  const commands: Readonly<Record<FsType, [string, ...string[]]>> = {
    ext4: ['resize2fs', device],
    xfs: ['xfs_growfs', '-d', target],
    btrfs: ['btrfs', 'filesystem', 'resize', 'max', target],
  };
  const [program, ...args] = commands[fsType];
  await succeed(program, args, { timeoutMs });
}

/** What ext4 has counted; the others stop, and say so when they are asked anything. */
export async function readErrors(
  { sys }: KernelPlaces,
  device: string,
  fsType: string,
): Promise<string | null> {
  if (fsType !== 'ext4') return null;
  const folder = path.join(sys, 'fs/ext4', path.basename(device));
  const count = Number((await attribute(folder, 'errors_count')) ?? '0');
  if (!(count > 0)) return null;
  const where = await attribute(folder, 'last_error_func');
  return `the file system has found ${count} error(s) in itself, the last in ${where ?? 'unknown'}`;
}
