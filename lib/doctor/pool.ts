/** Facts of the place where the pool lies or is to lie: nothing is written there, or locked. */
import { type BigIntStats, constants } from 'node:fs';
import { access, open, realpath, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { PoolConfig } from '../config/config.js';
import type { BlockDeviceFacts, FileSystemFacts, PoolFacts } from './facts.js';
import { chosen, type Source } from './source.js';

/** Of stat()'s dev and rdev, as glibc puts them together. */
function deviceNumber(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

export async function poolFacts(
  source: Source,
  pool: Pick<PoolConfig, 'device' | 'sizeBytes'>,
): Promise<PoolFacts> {
  const nothing: PoolFacts = {
    path: null,
    kind: 'memory',
    sizeBytes: pool.sizeBytes,
    allocatedBytes: 0n,
    accessProblem: null,
    directIo: null,
    fileSystem: null,
    device: null,
    mountedAt: null,
  };
  if (pool.device.kind === 'memory') return nothing;
  const { path } = pool.device;
  const stats = await stat(path, { bigint: true }).catch(codeOf);
  // Nothing is there; or this user may not even look, and would be told of some folder above.
  if (stats === 'ENOENT') return { ...nothing, ...(await placeFacts(source, path)), path };
  if (typeof stats === 'string') {
    return { ...nothing, kind: 'nothing', path, accessProblem: problemWord(stats) };
  }
  const facts = {
    ...nothing,
    path,
    accessProblem: await problemOf(access(path, constants.R_OK | constants.W_OK)),
    directIo: await opensDirectly(path),
  };
  if (stats.isBlockDevice()) {
    const device = await blockDevice(source, deviceNumber(stats.rdev));
    return {
      ...facts,
      kind: 'block-device',
      sizeBytes: device?.sizeBytes ?? 0n,
      device,
      mountedAt: await mountPointOf(source, deviceNumber(stats.rdev)),
    };
  }
  return {
    ...facts,
    kind: stats.isFile() ? 'file' : 'other',
    sizeBytes: stats.size,
    allocatedBytes: stats.blocks * 512n,
    ...(await under(source, path, stats)),
  };
}

/** Where a pool is still to be made: what its folder says. */
async function placeFacts(source: Source, path: string): Promise<Partial<PoolFacts>> {
  const folder = await nearestFolder(dirname(path));
  const stats = await stat(folder, { bigint: true }).catch(() => null);
  return {
    kind: 'nothing',
    accessProblem: await problemOf(access(folder, constants.W_OK | constants.X_OK)),
    ...(stats === null ? {} : await under(source, folder, stats)),
  };
}

async function nearestFolder(folder: string): Promise<string> {
  const there = await stat(folder).catch(() => null);
  return there !== null || folder === dirname(folder) ? folder : nearestFolder(dirname(folder));
}

async function problemOf(attempt: Promise<void>): Promise<string | null> {
  try {
    await attempt;
    return null;
  } catch (thrown) {
    return problemWord(codeOf(thrown));
  }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown);
}

const problemWords: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'read-only file system',
  ENOTDIR: 'a part of the path is no folder',
};

function problemWord(code: string): string {
  return problemWords[code] ?? code;
}

/** Opening for reading changes nothing; the flag alone says whether direct I/O is known there. */
async function opensDirectly(path: string): Promise<boolean | null> {
  const { O_RDONLY, O_DIRECT, O_NONBLOCK } = constants;
  try {
    await (await open(path, O_RDONLY | O_DIRECT | O_NONBLOCK)).close();
    return true;
  } catch (thrown) {
    const invalid = thrown instanceof Error && 'code' in thrown && thrown.code === 'EINVAL';
    return invalid ? false : null;
  }
}

interface Mount {
  device: string;
  point: string;
  options: string;
  type: string;
  from: string;
}

/** Spaces in paths are written as `\040`. */
function unescaped(text: string): string {
  return text.replaceAll(/\\(\d{3})/g, (_, code) => {
    return String.fromCharCode(Number.parseInt(code, 8));
  });
}

async function mounts(source: Source): Promise<Mount[]> {
  const table = (await source.text('/proc/self/mountinfo')) ?? '';
  return table.split('\n').flatMap((line) => {
    const [head = '', tail = ''] = line.split(' - ');
    const [, , device, , point, options] = head.split(' ');
    const [type, from] = tail.split(' ');
    if (device === undefined || point === undefined || type === undefined) return [];
    return [
      {
        device,
        point: unescaped(point),
        options: options ?? '',
        type,
        from: unescaped(from ?? ''),
      },
    ];
  });
}

async function mountPointOf(source: Source, device: string): Promise<string | null> {
  return (await mounts(source)).find((mount) => mount.device === device)?.point ?? null;
}

/** The file system of a path, and the device under it. */
async function under(
  source: Source,
  path: string,
  stats: BigIntStats,
): Promise<{ fileSystem: FileSystemFacts | null; device: BlockDeviceFacts | null }> {
  const real = await realpath(path).catch(() => path);
  const inside = ({ point }: Mount): boolean =>
    point === '/' || real === point || real.startsWith(`${point}/`);
  // Of several at one place the last is on top.
  const mount = (await mounts(source)).reduce<Mount | null>(
    (best, each) => (inside(each) && each.point.length >= (best?.point.length ?? 0) ? each : best),
    null,
  );
  const space = await statfs(path, { bigint: true }).catch(() => null);
  const fileSystem =
    mount === null || space === null
      ? null
      : {
          type: mount.type,
          mountPoint: mount.point,
          readOnly: mount.options.split(',').includes('ro'),
          freeBytes: space.bavail * space.bsize,
          sizeBytes: space.blocks * space.bsize,
        };
  return {
    fileSystem,
    device: await blockDevice(source, await deviceUnder(mount, deviceNumber(stats.dev))),
  };
}

/** File systems of several devices have numbers of their own; their mount names one device. */
async function deviceUnder(mount: Mount | null, number: string): Promise<string> {
  if (!number.startsWith('0:') || mount === null || !mount.from.startsWith('/dev/')) return number;
  const stats = await stat(mount.from, { bigint: true }).catch(() => null);
  return stats === null ? number : deviceNumber(stats.rdev);
}

async function blockDevice(source: Source, number: string): Promise<BlockDeviceFacts | null> {
  const folder = `/sys/dev/block/${number}`;
  const name = await source.linkName(folder);
  if (name === null) return null;
  // A partition has its queue at the whole disk, one folder up.
  const whole = (await source.exists(`${folder}/partition`)) ? `${folder}/..` : folder;
  const queue = (key: string): Promise<string | null> => source.text(`${whole}/queue/${key}`);
  const sectors = await source.text(`${folder}/size`);
  const node = await source.number(`${whole}/device/numa_node`);
  const [below] = await source.names(`${whole}/device/device`);
  return {
    name,
    model: await source.text(`${whole}/device/model`),
    writeCache: await queue('write_cache'),
    scheduler: chosen(await queue('scheduler')),
    rotational: (await queue('rotational')) === '1',
    logicalBlockBytes: await source.number(`${whole}/queue/logical_block_size`),
    discards: ((await source.number(`${whole}/queue/discard_max_bytes`)) ?? 0) > 0,
    readOnly: (await source.text(`${folder}/ro`)) === '1',
    // An NVMe namespace stands on its controller, and that on the PCI function.
    numaNode: nodeOrNull(
      node ??
        (below === undefined ? null : await source.number(`${whole}/device/device/numa_node`)),
    ),
    sizeBytes: sectors === null ? null : BigInt(sectors) * 512n,
    holders: await source.names(`${folder}/holders`),
  };
}

function nodeOrNull(node: number | null): number | null {
  return node !== null && node >= 0 ? node : null;
}
