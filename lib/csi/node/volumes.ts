/** What all operations of the node part need: finding a volume, and letting go of it. */
import type { Logger } from 'pino';
import { CsiError, toCsiError } from '../errors.js';
import type { Disk, Mount, NodeHost, PathSecrets, VolumeRecord } from '../host/types.js';
import type { OperationLocks } from '../locks.js';
import type { Associations } from './associations.js';
import type { Published } from './requests.js';

/** Of a disk that the kernel should have found by itself. */
const diskMs = 2_000;
/** Of one that it found when it was told to look. */
const rescannedMs = 15_000;
/** More mounts at one place than that are not ours. */
const maxStacked = 16;

/** What the parts of the service share. */
export interface NodeParts {
  readonly host: NodeHost;
  readonly associations: Associations;
  readonly locks: OperationLocks;
  readonly logger: Logger;
}

export async function recordOf(host: NodeHost, volumeId: string): Promise<VolumeRecord | null> {
  return (await host.records()).find((record) => record.volumeId === volumeId) ?? null;
}

/** Of this boot; what an earlier one has left is neither connected nor mounted. */
export async function currentRecords(host: NodeHost): Promise<VolumeRecord[]> {
  const { bootId } = await host.identity();
  return (await host.records()).filter((record) => record.bootId === bootId);
}

/** What is seen at a place. */
export function seenAt(mounts: readonly Mount[], target: string): Mount | null {
  return mounts.findLast((mount) => mount.target === target) ?? null;
}

/** A mount of the whole volume, or of its node; a folder of it that is bound elsewhere is none. */
export function isWhole({ kind, root }: Mount): boolean {
  return kind === 'device' || root === '/';
}

/** What there is of a volume, and the place that a request is about. */
export interface Seen {
  readonly target: string;
  readonly record: VolumeRecord | null;
  readonly disk: Disk | null;
}

/** Looks, and runs `body` on it while nothing else is done with the volume. */
export async function withSeen(
  { host, locks }: NodeParts,
  what: string,
  { volumeId, path }: { volumeId: string; path: string },
  body: (seen: Seen) => Promise<void>,
): Promise<void> {
  await locks.hold([volumeId], what, async () => {
    const target = await host.resolve(path);
    const record = await recordOf(host, volumeId);
    await body({ target, record, disk: await host.disk(volumeId) });
  });
}

/** Of a disk that is there. */
export function isOf({ number, gone }: Mount, disk: Disk | null): boolean {
  return disk !== null && !gone && number === disk.number;
}

/**
 * Connects, keeps the record, and finds the disk.
 *
 * @param secrets for connecting.
 * @throws CsiError UNAVAILABLE without any path, NOT_FOUND when the subsystem does not have it.
 */
export async function attach(
  { host, associations }: NodeParts,
  record: VolumeRecord,
  secrets: PathSecrets,
  signal: AbortSignal,
): Promise<Disk> {
  const { subnqn, uuid } = record;
  await associations.alone(subnqn, async () => {
    await host.remember(record);
    await associations.open(record, secrets, signal);
  });
  let disk = await host.waitForDisk(uuid, diskMs, signal);
  if (disk === null) {
    await host.rescan(subnqn);
    disk = await host.waitForDisk(uuid, rescannedMs, signal);
  }
  if (disk !== null) return disk;
  throw new CsiError(
    'NOT_FOUND',
    `volume ${uuid} has not appeared: ${subnqn} is connected, and shows this node no namespace with ` +
      'that UUID; it was deleted, or is not published to this node',
  );
}

/**
 * Lets go of a volume that is not mounted any more: everything written, its subsystem disconnected
 * when nothing else of it is here, and the record gone, in this order.
 *
 * @throws CsiError FAILED_PRECONDITION while somebody still uses the disk.
 */
export async function letGo(
  parts: NodeParts,
  record: VolumeRecord,
  before: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const { host, associations } = parts;
  const disk = await host.disk(record.uuid);
  if (disk !== null) {
    const users = await usersOf(host, disk);
    if (users.length > 0) {
      throw new CsiError(
        'FAILED_PRECONDITION',
        `volume ${record.volumeId} (${disk.device}) is still in use: ${users.join(', ')}`,
      );
    }
    await flush(parts, disk);
  }
  await before();
  await associations.alone(record.subnqn, async () => {
    if (!(await isNeeded(host, record))) await associations.close(record.subnqn);
    await host.forget(record.volumeId);
  });
}

/** Without any path there is nowhere to write to, and never will be: it must not hold the node. */
async function flush({ host, logger }: NodeParts, disk: Disk): Promise<void> {
  try {
    await host.flush(disk);
  } catch (thrown) {
    const paths = await host.paths();
    const live = paths.some((path) => path.subnqn === disk.subnqn && path.state === 'live');
    if (live) throw thrown;
    logger.warn({ device: disk.device }, `not flushed: ${toCsiError(thrown).message}`);
  }
}

async function usersOf(host: NodeHost, disk: Disk): Promise<string[]> {
  const mounts = (await host.mounts()).filter((mount) => isOf(mount, disk));
  if (mounts.length > 0) return mounts.map(({ target }) => `mounted at '${target}'`);
  return [...(await host.holders(disk))];
}

/** Whether anything but this volume needs the subsystem: a record, or what the kernel knows. */
async function isNeeded(host: NodeHost, record: VolumeRecord): Promise<boolean> {
  const { volumeId, subnqn } = record;
  const records = await currentRecords(host);
  if (records.some((other) => other.volumeId !== volumeId && other.subnqn === subnqn)) return true;
  for (const disk of await host.disks(subnqn)) {
    if ((await usersOf(host, disk)).length > 0) return true;
  }
  return false;
}

/**
 * Takes every mount at the target away that is this volume's, or of a disk that is there no more.
 *
 * @returns what else is mounted there, which is left alone.
 */
export async function unmountAll(
  { host }: NodeParts,
  target: string,
  disk: Disk | null,
): Promise<Mount | null> {
  for (let count = 0; count < maxStacked; count += 1) {
    const seen = seenAt(await host.mounts(), target);
    if (seen === null) return null;
    if (!seen.gone && !isOf(seen, disk)) return seen;
    await host.unmount(target);
  }
  throw new CsiError('INTERNAL', `more than ${maxStacked} mounts are at '${target}'`);
}

/** A record of a volume as the controller has published it. */
export async function newRecord(
  host: NodeHost,
  volumeId: string,
  { uuid, subnqn, portals, tls, authenticate }: Published,
): Promise<VolumeRecord> {
  const { bootId } = await host.identity();
  return {
    volumeId,
    uuid,
    subnqn,
    portals,
    tls,
    authenticate,
    bootId,
    formatting: false,
    ephemeral: false,
    staged: null,
    published: [],
  };
}
