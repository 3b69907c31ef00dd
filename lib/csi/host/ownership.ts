/** A volume's files for a group (volume_mount_group, of Kubernetes fsGroup). */
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';

const groupRead = 0o060;
const groupSearch = 0o010;
const setGid = 0o2000;

/**
 * Gives a folder and all below to a group: it may read and write, search folders, and owns what is
 * made in them. The folder itself comes last, so that having its group means that all is done.
 *
 * No link is followed, and nothing is opened that does something when it is.
 */
export async function giveToGroup(folder: string, group: number): Promise<void> {
  const { gid, mode } = await fs.lstat(folder);
  if (gid === group && (mode & setGid) !== 0) return;
  await giveBelow(folder, group);
  await giveOne(folder, group);
}

async function giveBelow(folder: string, group: number): Promise<void> {
  for await (const entry of await fs.opendir(folder)) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) await giveBelow(name, group);
    await giveOne(name, group);
  }
}

async function giveOne(name: string, group: number): Promise<void> {
  const stat = await fs.lstat(name);
  await fs.lchown(name, stat.uid, group);
  if (!stat.isDirectory() && !stat.isFile()) return;
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await fs.open(name, flags);
  try {
    // Changing the group has taken the set-ID bits of a program away; they stay so.
    const { mode } = await handle.stat();
    const runs = stat.isDirectory() || (mode & 0o100) !== 0;
    const wanted = mode | groupRead | (runs ? groupSearch : 0) | (stat.isDirectory() ? setGid : 0);
    await handle.chmod(wanted & 0o7777);
  } finally {
    await handle.close();
  }
}
