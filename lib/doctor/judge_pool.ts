/** Judges the place of the pool: file system, direct I/O, device, room. */
import { dirname } from 'node:path';
import { maxPoolBytes, minPoolBytes } from '../config/config.js';
import { formatSizeShort } from '../config/units.js';
import type { BlockDeviceFacts, FileSystemFacts, PoolFacts } from './facts.js';
import { Check, type Finding, listed } from './findings.js';

/** @param held a daemon has it: whether this user may open it does not matter. */
export function judgePool(pool: PoolFacts, held: boolean): Finding[] {
  if (pool.path === null) return [judgeMemoryPool(pool)];
  const { fileSystem, device } = pool;
  return [
    judgePlace(pool, pool.path, held),
    judgeDirect(pool),
    ...(fileSystem === null ? [] : [judgeFileSystem(fileSystem), judgeRoom(pool, fileSystem)]),
    ...(device === null ? [noDevice(pool)] : judgeDevice(device, pool.kind === 'block-device')),
  ];
}

function judgeMemoryPool({ sizeBytes }: PoolFacts): Finding {
  return new Check('pool', 'pool').warn(
    `in memory, ${formatSizeShort(sizeBytes)}`,
    'All of it is lost when the daemon ends.',
    ['[pool] file = "/var/lib/ashlar/pool.ashlar"'],
  );
}

function judgePlace(pool: PoolFacts, path: string, held: boolean): Finding {
  const check = new Check('pool', 'pool');
  const { kind, accessProblem, mountedAt, device } = pool;
  if (kind === 'other') {
    return check.fail(`${path} is a folder or something else`, 'No pool can be there.', [
      `[pool] file = "${path.replace(/\/$/, '')}/pool.ashlar"`,
    ]);
  }
  if (kind === 'block-device' && !held) {
    const users = [...(mountedAt === null ? [] : [mountedAt]), ...(device?.holders ?? [])];
    if (users.length > 0) {
      return check.fail(
        `${path} is in use: ${listed(users)}`,
        'A pool needs the device to itself.',
        [mountedAt === null ? `lsblk ${path}` : `umount ${mountedAt}`],
      );
    }
    if (device?.readOnly === true) {
      return check.fail(`${path} is read-only`, 'Nothing can be stored there.', [
        `blockdev --setrw ${path}`,
      ]);
    }
  }
  const size = formatSizeShort(pool.sizeBytes);
  const found = kind === 'nothing' ? `${path}, to be made: ${size}` : `${path}, ${size}`;
  if (accessProblem !== null && !held) {
    const fix = {
      'block-device': ['usermod -aG disk ashlar'],
      nothing: [`install -d -o ashlar -g ashlar -m 0700 ${dirname(path)}`],
      file: [`chown ashlar:ashlar ${path}`],
      memory: [],
    }[kind];
    return check.fail(`${path}: ${accessProblem}`, 'This user cannot open it for writing.', fix);
  }
  if (kind !== 'nothing' && (pool.sizeBytes < minPoolBytes || pool.sizeBytes > maxPoolBytes)) {
    return check.fail(found, 'A pool is 16 MiB to 256 TiB.', [`ls -l ${path}  # is it a pool?`]);
  }
  return check.ok(found);
}

function judgeDirect({ directIo, kind }: PoolFacts): Finding {
  const check = new Check('direct-io', 'direct I/O');
  if (kind === 'nothing') return check.unknown('to be seen when the pool is there');
  if (directIo === null) return check.unknown('it cannot be opened for reading');
  if (directIo) return check.ok('works');
  return check.warn(
    'the file system has none (O_DIRECT)',
    'All data goes through the page cache: one copy more, and twice the memory.',
    ['[pool] file = "…"  # on XFS or ext4, or a block device'],
  );
}

/** What a block of a file is written over elsewhere: the kill log relies on its staying. */
const copyOnWrite = ['btrfs', 'zfs', 'bcachefs'];
const volatileTypes = ['tmpfs', 'ramfs'];
const networkTypes = /^(nfs4?|cifs|smb3|ceph|glusterfs|9p|virtiofs|fuse(\..+)?)$/;

function judgeFileSystem({ type, mountPoint, readOnly }: FileSystemFacts): Finding {
  const check = new Check('file-system', 'file system');
  const found = `${type} on ${mountPoint}`;
  const elsewhere = ['[pool] file = "…"  # on XFS or ext4, or a block device'];
  if (readOnly) {
    return check.fail(`${found}, read-only`, 'Nothing can be stored there.', [
      `dmesg | grep -i ${type}  # errors make it so; then: mount -o remount,rw ${mountPoint}`,
    ]);
  }
  if (copyOnWrite.includes(type)) {
    return check.fail(
      found,
      'It writes blocks elsewhere each time. What must survive kill -9 relies on their staying.',
      elsewhere,
    );
  }
  if (volatileTypes.includes(type)) {
    return check.warn(found, 'All of it is lost when the machine goes down.', elsewhere);
  }
  if (type === 'overlay') {
    return check.warn(found, "The container's own layer: the pool goes when the container does.", [
      'docker run -v ashlar:/var/lib/ashlar …',
    ]);
  }
  if (networkTypes.test(type)) {
    return check.warn(
      found,
      'Another machine decides what a flush means, and how long it takes.',
      elsewhere,
    );
  }
  return check.ok(found);
}

/** A file system this full may have no room for anything at the next write. */
const leastFreeBytes = 1n << 30n;

function judgeRoom(pool: PoolFacts, { freeBytes, mountPoint }: FileSystemFacts): Finding {
  const check = new Check('room', 'room');
  const missing = pool.sizeBytes - pool.allocatedBytes - freeBytes;
  const free = `${formatSizeShort(freeBytes)} free on ${mountPoint}`;
  if (missing <= 0n) return check.ok(free);
  const found = `${free}, and the pool may want ${formatSizeShort(pool.sizeBytes)}`;
  const fix = [
    `df -h ${mountPoint}  # make room, or give the pool a device: ashlar pool device add`,
  ];
  if (freeBytes < leastFreeBytes) {
    return check.fail(found, 'Writes that need new space fail now, or soon.', fix);
  }
  return check.warn(found, 'Writes fail when the file system is full, not when the pool is.', fix);
}

function noDevice({ fileSystem }: PoolFacts): Finding {
  const type = fileSystem?.type ?? 'it';
  return new Check('device', 'device').unknown(`${type} shows none`);
}

function judgeDevice(device: BlockDeviceFacts, whole: boolean): Finding[] {
  return [
    judgeMedium(device),
    ...(whole ? [judgeBlockSize(device)] : []),
    judgeCache(device),
    judgeScheduler(device),
    judgeDiscard(device, whole),
  ];
}

function judgeMedium({ name, model, rotational }: BlockDeviceFacts): Finding {
  const check = new Check('device', 'device');
  const found = model === null ? name : `${name}, ${model}`;
  if (!rotational) return check.ok(found);
  return check.warn(
    `${found}, said to be rotating`,
    'A disk gives a few hundred random I/Os a second. Virtual disks often say so wrongly.',
    [`echo 0 > /sys/block/${name}/queue/rotational  # if that is wrong`],
  );
}

function judgeBlockSize({ logicalBlockBytes }: BlockDeviceFacts): Finding {
  const check = new Check('block-size', 'device blocks');
  if (logicalBlockBytes === null) return check.unknown('not told');
  if (logicalBlockBytes <= 4096) return check.ok(`${logicalBlockBytes} bytes`);
  return check.fail(`${logicalBlockBytes} bytes`, 'Ashlar writes 4 KiB at the least.', [
    '[pool] file = "…"  # another device',
  ]);
}

function judgeCache({ writeCache }: BlockDeviceFacts): Finding {
  const check = new Check('write-cache', 'write cache');
  if (writeCache === null) return check.unknown('not told');
  if (writeCache === 'write through') return check.ok('none, or kept through a power loss');
  return check.ok('volatile: what counts is flushed, as the device is told');
}

function judgeScheduler({ name, scheduler, rotational }: BlockDeviceFacts): Finding {
  const check = new Check('scheduler', 'I/O scheduler');
  if (scheduler === null) return check.ok('none');
  if (rotational || ['none', 'kyber'].includes(scheduler)) return check.ok(scheduler);
  return check.warn(scheduler, 'It sorts what a solid-state device would rather have at once.', [
    `echo none > /sys/block/${name}/queue/scheduler`,
  ]);
}

function judgeDiscard({ discards }: BlockDeviceFacts, whole: boolean): Finding {
  const check = new Check('discard', 'discard');
  if (discards) return check.ok('the device takes it');
  // A hole in a file gives the space back to the file system, whatever the device makes of it.
  if (!whole) return check.ok('holes in the file; the device takes none');
  return check.ok('the device takes none: freed space stays written there');
}
