/** Mounts as facts about disks. */
import fs from 'node:fs/promises';
import path from 'node:path';
import type { MountLine } from './mountinfo.js';
import type { Mount } from './types.js';

export interface MountPlaces {
  readonly sys: string;
}

/** What each line is of; looks at files where the line alone does not tell. */
export async function readMounts(
  lines: readonly MountLine[],
  places: MountPlaces,
): Promise<Mount[]> {
  return Promise.all(lines.map((line) => readMount(line, places)));
}

async function readMount(line: MountLine, { sys }: MountPlaces): Promise<Mount> {
  const { target, root, fsType, options, superOptions } = line;
  const device = fsType === 'devtmpfs' || fsType === 'tmpfs' ? await nodeAt(line) : null;
  const number = device ?? (await diskOf(line));
  // The node of a disk is removed with it; a mounted disk leaves sysfs, its number stays taken.
  const gone =
    device === null
      ? number !== null && !(await isThere(path.join(sys, 'dev/block', number)))
      : root.endsWith('//deleted');
  return {
    target,
    number,
    kind: device === null ? 'file-system' : 'device',
    gone,
    root,
    fsType,
    readOnly: options.includes('ro'),
    superReadOnly: superOptions.includes('ro'),
  };
}

/** The disk whose node is bound to a file: in /dev, or in the /dev of a container. */
async function nodeAt({ target, root }: MountLine): Promise<string | null> {
  if (root === '/') return null;
  try {
    const stat = await fs.stat(target);
    return stat.isBlockDevice() ? numberOf(stat.rdev) : null;
  } catch {
    return null;
  }
}

/** btrfs has a number of its own, and names its disk. */
async function diskOf({ number, fsType, source }: MountLine): Promise<string | null> {
  if (!number.startsWith('0:')) return number;
  if (fsType !== 'btrfs') return null;
  try {
    const stat = await fs.stat(source);
    return stat.isBlockDevice() ? numberOf(stat.rdev) : null;
  } catch {
    return null;
  }
}

/** glibc's makedev, backwards; a device has less than 2^20 minors. */
function numberOf(rdev: number): string {
  const wide = BigInt(rdev);
  const major = ((wide >> 8n) & 0xfffn) | ((wide >> 32n) & 0xfffff000n);
  const minor = (wide & 0xffn) | ((wide >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

async function isThere(place: string): Promise<boolean> {
  try {
    await fs.access(place);
    return true;
  } catch {
    return false;
  }
}
