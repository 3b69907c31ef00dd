/** Namespaces of NVMe subsystems as sysfs shows them. */
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { CsiError } from '../errors.js';
import { attribute, entries, type KernelPlaces } from './fabrics.js';
import type { Disk } from './types.js';

/** A disk; `nvme0c1n1` is one path to it, and `nvme0n1p1` a partition. */
const diskNames = /^nvme\d+n\d+$/;
const sectorBytes = 512n;

async function readDisk({ sys, dev }: KernelPlaces, name: string): Promise<Disk | null> {
  const read = (file: string) => attribute(sys, 'class/block', name, file);
  const [uuid, number, size, readOnly, subnqn] = await Promise.all([
    read('uuid'),
    read('dev'),
    read('size'),
    read('ro'),
    // Of the subsystem with multipath, and of the controller without.
    read('device/subsysnqn'),
  ]);
  // It ended while it was read.
  if (uuid === null || number === null || size === null || subnqn === null) return null;
  return {
    device: path.join(dev, name),
    number,
    uuid,
    subnqn,
    sizeBytes: BigInt(size) * sectorBytes,
    readOnly: readOnly === '1',
  };
}

async function names({ sys }: KernelPlaces): Promise<string[]> {
  return (await entries(sys, 'class/block')).filter((name) => diskNames.test(name));
}

/** All disks of a subsystem. */
export async function readDisks(places: KernelPlaces, subnqn: string): Promise<Disk[]> {
  const all = await Promise.all((await names(places)).map((name) => readDisk(places, name)));
  return all.filter((disk): disk is Disk => disk?.subnqn === subnqn);
}

/** The disk that is the namespace with this UUID. */
export async function findDisk(places: KernelPlaces, uuid: string): Promise<Disk | null> {
  const found: Disk[] = [];
  await Promise.all(
    (await names(places)).map(async (name) => {
      // Of a hundred disks, one attribute each.
      if ((await attribute(places.sys, 'class/block', name, 'uuid')) !== uuid) return;
      const disk = await readDisk(places, name);
      if (disk !== null) found.push(disk);
    }),
  );
  const [disk, another] = found;
  if (disk === undefined) return null;
  if (another === undefined) return disk;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `${found.map(({ device }) => device).join(' and ')} are the same namespace ${uuid}: the ` +
      "kernel's multipath is off, and a disk for each path is not safe to write to; boot this " +
      'node with nvme_core.multipath=Y',
  );
}

/** Whether programs can open it: udev and containers may be later than sysfs. */
export async function isOpenable({ device }: Disk): Promise<boolean> {
  try {
    return (await fs.stat(device)).isBlockDevice();
  } catch {
    return false;
  }
}

/** Who has it for himself. */
export async function readHolders({ sys }: KernelPlaces, { device }: Disk): Promise<string[]> {
  const holders = await entries(sys, 'class/block', path.basename(device), 'holders');
  if (holders.length > 0) return holders;
  try {
    // The kernel lets one user at a time have a disk exclusively: a mounted file system, wherever
    // it is mounted, a device mapper, a RAID.
    const handle = await fs.open(device, constants.O_RDONLY | constants.O_EXCL);
    await handle.close();
    return [];
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return code === 'EBUSY' ? ['an exclusive user, such as a mount of another container'] : [];
  }
}
