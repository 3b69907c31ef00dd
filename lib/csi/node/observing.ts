/** NodeGetVolumeStats and NodeExpandVolume: of volumes that are in use. */
import { CsiError, toCsiError } from '../errors.js';
import { type Disk, fsTypes, type Mount, type NodeHost, type Usage } from '../host/types.js';
import { required } from '../names.js';
import type { CsiCall } from '../server.js';
import type { RequestOf, ResponseOf } from '../wire/services.js';
import { checkCapability, checkPath, checkVolumeId } from './requests.js';
import { isOf, isWhole, type NodeParts, recordOf, seenAt } from './volumes.js';

/** For a size that the controller has set to arrive here. */
const sizeMs = 15_000;

type Stats = ResponseOf<'Node', 'nodeGetVolumeStats'>;

/** How full the volume is, and how it is. */
export async function stats(
  parts: NodeParts,
  request: RequestOf<'Node', 'nodeGetVolumeStats'>,
): Promise<Stats> {
  const { host } = parts;
  const volumeId = required('volume_id', request.volumeId);
  const asked = required('volume_path', request.volumePath);
  // Nothing is ever published there.
  if (!asked.startsWith('/')) throw notThere(volumeId, asked);
  const target = await host.resolve(checkPath('volume_path', asked));
  const record = await recordOf(host, volumeId);
  const disk = await host.disk(record?.uuid ?? checkVolumeId(volumeId));
  const mounts = await host.mounts();
  const seen = seenAt(mounts, target);
  const stagedBlock =
    record?.staged?.path === target && record.staged.how.startsWith('block ') && disk !== null;
  if (seen !== null && (isOf(seen, disk) || seen.gone)) {
    return describe(parts, { volumeId, disk, seen });
  }
  if (stagedBlock) return describe(parts, { volumeId, disk, seen: null });
  throw notThere(volumeId, target);
}

function notThere(volumeId: string, path: string): CsiError {
  return new CsiError('NOT_FOUND', `volume ${volumeId} is not at '${path}' on this node`);
}

async function describe(
  parts: NodeParts,
  { volumeId, disk, seen }: { volumeId: string; disk: Disk | null; seen: Mount | null },
): Promise<Stats> {
  const wrong = await conditionOf(parts, { volumeId, disk, seen });
  let usage: Stats['usage'] = [];
  if (seen?.kind === 'file-system' && !seen.gone) {
    try {
      usage = usageOf(await parts.host.usage(seen.target));
    } catch (thrown) {
      wrong.push(`the file system does not answer: ${toCsiError(thrown).message}`);
    }
  } else if (disk !== null) {
    usage = [{ unit: 'BYTES', total: disk.sizeBytes }];
  }
  const message = wrong.length === 0 ? 'every path is up, and no error is known' : wrong.join('; ');
  return { usage, volumeCondition: { abnormal: wrong.length > 0, message } };
}

function usageOf(usage: Usage): Stats['usage'] {
  const bytes = {
    unit: 'BYTES',
    total: usage.totalBytes,
    available: usage.availableBytes,
    used: usage.usedBytes,
  } as const;
  // btrfs counts none.
  if (usage.totalInodes === 0n) return [bytes];
  const { totalInodes: total, availableInodes: available } = usage;
  return [bytes, { unit: 'INODES', total, available, used: total - available }];
}

/** Everything that is not as it is to be, in words. */
async function conditionOf(
  { host }: NodeParts,
  { volumeId, disk, seen }: { volumeId: string; disk: Disk | null; seen: Mount | null },
): Promise<string[]> {
  if (disk === null || seen?.gone === true) {
    return ['the disk is gone from this node: the volume was deleted, or taken from it by force'];
  }
  const record = await recordOf(host, volumeId);
  const wrong = await pathsOf(host, disk, record?.portals.length ?? 0);
  if (seen?.kind !== 'file-system') return wrong;
  // Mounted for writing, and read-only since: that is what file systems do about errors.
  const how =
    record?.staged?.how ?? record?.published.find(({ path }) => path === seen.target)?.how;
  const writes = how?.split(' ').includes('read-write') ?? !seen.readOnly;
  if (seen.superReadOnly && writes) {
    wrong.push('the file system has made itself read-only after an error');
  }
  const errors = await host.fileSystemErrors(disk, seen.fsType);
  if (errors !== null) wrong.push(errors);
  return wrong;
}

async function pathsOf(host: NodeHost, { subnqn }: Disk, wanted: number): Promise<string[]> {
  const paths = (await host.paths()).filter((path) => path.subnqn === subnqn);
  const live = paths.filter(({ state }) => state === 'live');
  const total = Math.max(wanted, paths.length);
  if (total > 0 && live.length === total) return [];
  const down = paths
    .filter(({ state }) => state !== 'live')
    .map(({ address, port, state }) => `${address}:${port} is ${state}`);
  const missing = total - paths.length;
  if (missing > 0) down.push(`${missing} not connected`);
  const which = down.length === 0 ? '' : ` (${down.join(', ')})`;
  return live.length === 0
    ? [`no path to the volume is up${which}: I/O waits or fails`]
    : [`${live.length} of ${total} paths to the volume are up${which}`];
}

/** Makes what is on the volume as large as it has become; its bytes. */
export async function expand(
  parts: NodeParts,
  request: RequestOf<'Node', 'nodeExpandVolume'>,
  call: CsiCall,
): Promise<bigint> {
  const { host, locks } = parts;
  const volumeId = required('volume_id', request.volumeId);
  required('volume_path', request.volumePath);
  checkVolumeId(volumeId);
  const asked = checkPath('volume_path', request.volumePath);
  const wanted =
    request.volumeCapability === null ? null : checkCapability(request.volumeCapability);
  const { requiredBytes = 0n, limitBytes = 0n } = request.capacityRange ?? {};
  if (requiredBytes < 0n || limitBytes < 0n || (limitBytes > 0n && limitBytes < requiredBytes)) {
    throw new CsiError(
      'OUT_OF_RANGE',
      `capacity_range from ${requiredBytes} to ${limitBytes} bytes has no size in it`,
    );
  }
  return locks.hold([volumeId], 'NodeExpandVolume', async () => {
    const target = await host.resolve(asked);
    const disk = await host.disk(volumeId);
    if (disk === null) {
      throw new CsiError('NOT_FOUND', `volume ${volumeId} is not on this node`);
    }
    const mount = await mountToGrow(parts, {
      volumeId,
      disk,
      target,
      isBlock: wanted?.kind === 'block',
    });
    await host.rescan(disk.subnqn);
    const sizeBytes = await host.waitForSize(volumeId, requiredBytes, sizeMs, call.signal);
    if (sizeBytes < requiredBytes) {
      throw new CsiError(
        'UNAVAILABLE',
        `volume ${volumeId} has ${sizeBytes} bytes on this node, and not yet ${requiredBytes}; ` +
          'it has to be expanded by the controller first',
      );
    }
    if (limitBytes > 0n && sizeBytes > limitBytes) {
      throw new CsiError(
        'OUT_OF_RANGE',
        `volume ${volumeId} has ${sizeBytes} bytes, more than the limit of ${limitBytes}`,
      );
    }
    if (mount !== null) await growMount(host, disk, mount);
    return sizeBytes;
  });
}

/** The mount by which a file system is grown; null for a block volume. */
async function mountToGrow(
  { host }: NodeParts,
  of: { volumeId: string; disk: Disk; target: string; isBlock: boolean },
): Promise<Mount | null> {
  const { volumeId, disk, target, isBlock } = of;
  const mounts = (await host.mounts()).filter((mount) => isOf(mount, disk) && isWhole(mount));
  const seen = seenAt(mounts, target);
  const staged = (await recordOf(host, volumeId))?.staged ?? null;
  if (seen === null && staged?.path !== target && !isBlock) {
    throw new CsiError('NOT_FOUND', `volume ${volumeId} is not at '${target}' on this node`);
  }
  if (isBlock || seen?.kind === 'device') return null;
  const fileSystems = mounts.filter(({ kind }) => kind === 'file-system');
  // One that was published read-only may be staged for writing.
  return fileSystems.find(({ readOnly }) => !readOnly) ?? fileSystems[0] ?? null;
}

async function growMount(host: NodeHost, disk: Disk, mount: Mount): Promise<void> {
  const fsType = fsTypes.find((each) => each === mount.fsType);
  if (fsType === undefined) {
    throw new CsiError('FAILED_PRECONDITION', `file system ${mount.fsType} cannot be expanded`);
  }
  if (mount.superReadOnly || mount.readOnly) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `volume ${disk.uuid} is mounted read-only at '${mount.target}': its file system is expanded ` +
        'when it is next staged for writing',
    );
  }
  await host.grow(disk, fsType, mount.target);
}
