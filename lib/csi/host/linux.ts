/** The verbs of {@link NodeHost} on Linux: sysfs, /proc and the programs of the system. */
import fs from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CsiError } from '../errors.js';
import { readContent } from './content.js';
import { DiscoveryControllers, watchDiscovery } from './discovery.js';
import { findDisk, isOpenable, readDisks, readHolders } from './disks.js';
import { addPath, deleteControllers, readPaths, rescanControllers, tunePaths } from './fabrics.js';
import {
  checkFileSystem,
  diagnose,
  growFileSystem,
  makeFileSystem,
  mountFlags,
  readErrors,
  refuseTwins,
  withoutRepair,
} from './file_systems.js';
import { parseMountinfo } from './mountinfo.js';
import { type MountPlaces, readMounts } from './mounts.js';
import { giveToGroup } from './ownership.js';
import { failed, run, succeed } from './programs.js';
import { readIdentity, readRecords, removeRecord, writeRecord } from './state_folder.js';
import type {
  At,
  Content,
  Disk,
  FsType,
  HostIdentity,
  Mount,
  MountRequest,
  NodeHost,
  NvmePath,
  PathOptions,
  PathSecrets,
  Usage,
  VolumeRecord,
} from './types.js';

export interface LinuxHostOptions {
  /** Folder for the identity and the records. */
  state: string;
  /** Of one program; making, checking and growing a file system may take ten times as long. */
  commandTimeoutMs: number;
  /** Where the kernel's file systems are; for tests. */
  places?: { sys: string; dev: string; proc: string; etc: string };
}

/** Between two looks whether a disk has come. */
const lookMs = 25;
/** Between two demands that the kernel look for namespaces itself. */
const rescanMs = 1_000;
/** How much longer a program may take whose work grows with the volume. */
const largeWork = 10;

/** The host that this process runs on. Needs root. */
export class LinuxHost implements NodeHost {
  readonly #places: { sys: string; dev: string; proc: string; etc: string };
  readonly #state: string;
  readonly #timeoutMs: number;
  readonly #discovery: DiscoveryControllers;
  #identity: Promise<HostIdentity> | null = null;

  constructor({ state, commandTimeoutMs, places }: LinuxHostOptions) {
    this.#state = state;
    this.#timeoutMs = commandTimeoutMs;
    this.#places = places ?? { sys: '/sys', dev: '/dev', proc: '/proc', etc: '/etc' };
    this.#discovery = new DiscoveryControllers(this.#places, state);
  }

  async identity(): Promise<HostIdentity> {
    const { etc, proc } = this.#places;
    this.#identity ??= readIdentity({
      state: this.#state,
      nvme: path.join(etc, 'nvme'),
      bootId: path.join(proc, 'sys/kernel/random/boot_id'),
    });
    try {
      return await this.#identity;
    } catch (thrown) {
      this.#identity = null;
      throw thrown;
    }
  }

  records(): Promise<readonly VolumeRecord[]> {
    return readRecords(this.#state);
  }

  remember(record: VolumeRecord): Promise<void> {
    return writeRecord(this.#state, record);
  }

  forget(volumeId: string): Promise<void> {
    return removeRecord(this.#state, volumeId);
  }

  async paths(): Promise<readonly NvmePath[]> {
    const { hostnqn } = await this.identity();
    return readPaths(this.#places, hostnqn);
  }

  async connect(
    to: { readonly subnqn: string; readonly address: string; readonly port: number },
    options: PathOptions,
    secrets: PathSecrets,
    signal: AbortSignal,
  ): Promise<void> {
    const { hostnqn, hostid } = await this.identity();
    const target = { ...to, hostnqn, hostid };
    await addPath(this.#places, target, options, secrets, this.#timeoutMs, signal);
  }

  async #controllers(subnqn: string): Promise<string[]> {
    const paths = await this.paths();
    return paths.filter((each) => each.subnqn === subnqn).map(({ controller }) => controller);
  }

  async waitForPath(subnqn: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const live = await this.#look(timeoutMs, signal, async () => {
      const paths = await this.paths();
      return paths.find((each) => each.subnqn === subnqn && each.state === 'live') ?? null;
    });
    return live !== null;
  }

  async disconnect(subnqn: string): Promise<void> {
    const controllers = await this.#controllers(subnqn);
    await deleteControllers(this.#places, controllers, this.#timeoutMs);
  }

  async tune(subnqn: string, options: PathOptions): Promise<void> {
    await tunePaths(this.#places, subnqn, await this.#controllers(subnqn), options);
  }

  async rescan(subnqn: string): Promise<void> {
    const paths = await this.paths();
    const live = paths.filter((each) => each.subnqn === subnqn && each.state === 'live');
    const controllers = live.map(({ controller }) => controller);
    await rescanControllers(this.#places, controllers, this.#timeoutMs);
  }

  async discover(
    path: NvmePath,
    options: PathOptions,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    return this.#discovery.ask(path, options, await this.identity(), signal);
  }

  async endDiscovery(except: readonly string[]): Promise<void> {
    await this.#discovery.end(except, await this.identity());
  }

  watchDiscovery(changed: () => void, signal: AbortSignal): Promise<void> {
    return watchDiscovery(changed, signal);
  }

  disk(uuid: string): Promise<Disk | null> {
    return findDisk(this.#places, uuid);
  }

  waitForDisk(uuid: string, timeoutMs: number, signal: AbortSignal): Promise<Disk | null> {
    return this.#look(timeoutMs, signal, async () => {
      const disk = await findDisk(this.#places, uuid);
      return disk !== null && (await isOpenable(disk)) ? disk : null;
    });
  }

  async waitForSize(
    uuid: string,
    sizeBytes: bigint,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<bigint> {
    let rescanAt = 0;
    const disk = await this.#look(timeoutMs, signal, async () => {
      const found = await findDisk(this.#places, uuid);
      if (found !== null && found.sizeBytes >= sizeBytes) return found;
      if (found !== null && performance.now() >= rescanAt) {
        rescanAt = performance.now() + rescanMs;
        await this.rescan(found.subnqn);
      }
      return null;
    });
    return (disk ?? (await findDisk(this.#places, uuid)))?.sizeBytes ?? 0n;
  }

  /** Until a look finds something, or the time is over. */
  async #look<T>(
    timeoutMs: number,
    signal: AbortSignal,
    look: () => Promise<T | null>,
  ): Promise<T | null> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const found = await look();
      if (found !== null || performance.now() >= until) return found;
      await delay(lookMs, undefined, { signal });
    }
  }

  disks(subnqn: string): Promise<readonly Disk[]> {
    return readDisks(this.#places, subnqn);
  }

  holders(disk: Disk): Promise<readonly string[]> {
    return readHolders(this.#places, disk);
  }

  async flush({ device }: Disk): Promise<void> {
    const options = { timeoutMs: this.#timeoutMs };
    await succeed('sync', [device], options);
    await succeed('blockdev', ['--flushbufs', device], options);
  }

  content({ device, sizeBytes }: Disk, narrow: boolean): Promise<Content> {
    return readContent(device, sizeBytes, narrow, this.#timeoutMs);
  }

  format({ device }: Disk, fsType: FsType, force: boolean): Promise<void> {
    return makeFileSystem(device, fsType, force, this.#timeoutMs * largeWork);
  }

  check({ device }: Disk, fsType: FsType): Promise<void> {
    return checkFileSystem(device, fsType, this.#timeoutMs * largeWork);
  }

  grow({ device }: Disk, fsType: FsType, target: string): Promise<void> {
    return growFileSystem(device, fsType, target, this.#timeoutMs * largeWork);
  }

  fileSystemErrors({ device }: Disk, fsType: string): Promise<string | null> {
    return readErrors(this.#places, device, fsType);
  }

  async mounts(): Promise<readonly Mount[]> {
    const text = await fs.readFile(path.join(this.#places.proc, 'self/mountinfo'), 'utf8');
    const places: MountPlaces = this.#places;
    return readMounts(parseMountinfo(text), places);
  }

  async #seenAt(target: string): Promise<Mount | null> {
    return (await this.mounts()).findLast((mount) => mount.target === target) ?? null;
  }

  async mount({ disk, target, fsType, flags, readOnly }: MountRequest): Promise<void> {
    const { device, number } = disk;
    if ((await this.#seenAt(target))?.number === number) return;
    await refuseTwins(this.#places, device, fsType);
    const all = mountFlags(fsType, flags, readOnly);
    const options = { timeoutMs: this.#timeoutMs * largeWork };
    const argsOf = (list: readonly string[]) => {
      const joined = list.length === 0 ? [] : ['-o', list.join(',')];
      return ['-t', fsType, ...joined, device, target];
    };
    const ended = await run('mount', argsOf(all), options);
    if (ended.code === 0) return;
    if (readOnly) {
      const again = await run('mount', argsOf([...all, withoutRepair[fsType]]), options);
      if (again.code === 0) return;
    }
    const { message } = failed('mount', argsOf(all), ended);
    throw new CsiError('INTERNAL', message + (await diagnose(device, fsType, this.#timeoutMs)));
  }

  async bindMount(source: string, target: string, readOnly: boolean): Promise<void> {
    const options = { timeoutMs: this.#timeoutMs };
    const before = await this.#seenAt(target);
    if (before === null || !(await isSame(source, target))) {
      await succeed('mount', ['--bind', source, target], options);
    }
    if (!readOnly) return;
    const text = await fs.readFile(path.join(this.#places.proc, 'self/mountinfo'), 'utf8');
    const seen = parseMountinfo(text).findLast((line) => line.target === target);
    if (seen === undefined || seen.options.includes('ro')) return;
    // What is not named is taken away: nosuid and the like have to stay.
    const kept = seen.options.filter((option) => option !== 'rw');
    await succeed('mount', ['-o', ['remount', 'bind', 'ro', ...kept].join(','), target], options);
  }

  async unmount(target: string): Promise<void> {
    if ((await this.#seenAt(target)) === null) return;
    const ended = await run('umount', [target], { timeoutMs: this.#timeoutMs });
    if (ended.code === 0) return;
    const busy = /busy/.test(ended.stderr);
    throw failed('umount', [target], ended, busy ? 'FAILED_PRECONDITION' : 'INTERNAL');
  }

  async sync(target: string): Promise<void> {
    await succeed('sync', ['--file-system', target], { timeoutMs: this.#timeoutMs });
  }

  async usage(target: string): Promise<Usage> {
    const { bsize, blocks, bfree, bavail, files, ffree } = await fs.statfs(target, {
      bigint: true,
    });
    return {
      totalBytes: blocks * bsize,
      availableBytes: bavail * bsize,
      usedBytes: (blocks - bfree) * bsize,
      totalInodes: files,
      availableInodes: ffree,
    };
  }

  own(target: string, group: number): Promise<void> {
    return giveToGroup(target, group);
  }

  async resolve(place: string): Promise<string> {
    try {
      return path.join(await fs.realpath(path.dirname(place)), path.basename(place));
    } catch {
      return path.normalize(place);
    }
  }

  async at(place: string): Promise<At> {
    try {
      const stat = await fs.lstat(place);
      if (stat.isDirectory()) return 'folder';
      return stat.isFile() ? 'file' : 'other';
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      // A file system whose disk is gone is there, and answers nothing.
      return code === 'ENOENT' || code === 'ENOTDIR' ? 'nothing' : 'other';
    }
  }

  async makeFolder(place: string): Promise<void> {
    await fs.mkdir(place, { recursive: true, mode: 0o750 });
  }

  async makeFile(place: string): Promise<void> {
    const handle = await fs.open(place, 'a', 0o640);
    await handle.close();
  }

  async remove(place: string): Promise<void> {
    try {
      const stat = await fs.lstat(place);
      if (stat.isDirectory()) return await fs.rmdir(place);
      if (stat.isFile() && stat.size === 0) return await fs.unlink(place);
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      throw new CsiError('FAILED_PRECONDITION', `'${place}' cannot be removed: ${message}`, {
        cause: thrown,
      });
    }
    throw new CsiError(
      'FAILED_PRECONDITION',
      `'${place}' is not removed: it is neither an empty folder nor an empty file`,
    );
  }
}

/** Whether two paths show one and the same thing. */
async function isSame(one: string, other: string): Promise<boolean> {
  try {
    const [a, b] = await Promise.all([fs.stat(one), fs.stat(other)]);
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}
