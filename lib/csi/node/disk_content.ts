/** From a disk to a mounted file system: what is formatted, checked and grown, and when. */
import type { Logger } from 'pino';
import { CsiError } from '../errors.js';
import type { Content, Disk, FsType, NodeHost, VolumeRecord } from '../host/types.js';
import type { Wanted } from './requests.js';

/** Less at the end of a disk than this is no room that a file system would use. */
const roomBytes = 1n << 20n;

export interface MountWanted {
  readonly disk: Disk;
  readonly target: string;
  readonly wanted: Wanted;
  readonly readOnly: boolean;
  /** What is known of the volume; kept up to date. */
  readonly record: VolumeRecord;
  /** Whether it is mounted at the target already. */
  readonly mounted: boolean;
}

/** The file system of a volume is mounted at the target when this resolves. */
export async function mountDisk(
  host: NodeHost,
  { disk, target, wanted, readOnly, record, mounted }: MountWanted,
  logger: Logger,
): Promise<void> {
  const found = await host.content(disk, record.formatting);
  const plan = planOf(found, disk, wanted);
  const writable = !disk.readOnly && !wanted.reader;
  if (!mounted) {
    if (plan.format) {
      if (!writable) throw nothingToRead(disk, found);
      await format(host, { disk, fsType: plan.fsType, found, record });
      logger.info({ volumeId: record.volumeId, device: disk.device }, `made ${plan.fsType}`);
    } else if (writable) {
      await host.check(disk, plan.fsType);
    }
    const { fsType } = plan;
    await host.mount({ disk, target, fsType, flags: wanted.flags, readOnly });
    if (record.formatting && !plan.format) await host.remember({ ...record, formatting: false });
  }
  if (readOnly || disk.readOnly) return;
  // A clone or a restored snapshot may be larger than what it was made from.
  if (plan.sizeBytes !== null && disk.sizeBytes - plan.sizeBytes >= roomBytes) {
    await host.grow(disk, plan.fsType, target);
  }
  if (wanted.group !== null) await host.own(target, wanted.group);
}

/**
 * While it is being made, and until that has ended, the record says so: what a cut leaves has no
 * signature and is not all zeroes, and would be taken for somebody's data.
 */
async function format(
  host: NodeHost,
  {
    disk,
    fsType,
    found,
    record,
  }: { disk: Disk; fsType: FsType; found: Content; record: VolumeRecord },
): Promise<void> {
  if (!record.formatting) await host.remember({ ...record, formatting: true });
  await host.format(disk, fsType, found.kind === 'unfinished');
  await host.remember({ ...record, formatting: false });
}

interface Plan {
  readonly format: boolean;
  readonly fsType: FsType;
  readonly sizeBytes: bigint | null;
}

/** @throws CsiError FAILED_PRECONDITION for what stands there and is not what is wanted. */
function planOf(found: Content, disk: Disk, { fsType }: Wanted): Plan {
  switch (found.kind) {
    case 'blank':
    case 'unfinished':
      return { format: true, fsType: fsType ?? 'ext4', sizeBytes: null };
    case 'file-system': {
      const known = (['ext4', 'xfs', 'btrfs'] as const).find((each) => each === found.fsType);
      if (known !== undefined && (fsType === null || fsType === known)) {
        return { format: false, fsType: known, sizeBytes: found.sizeBytes };
      }
      throw notFormatted(disk, `the file system ${found.fsType}`, fsType);
    }
    case 'other':
      throw notFormatted(disk, found.what, fsType);
  }
}

function notFormatted(disk: Disk, what: string, fsType: FsType | null): CsiError {
  return new CsiError(
    'FAILED_PRECONDITION',
    `volume ${disk.uuid} (${disk.device}) has ${what} on it, where ${fsType ?? 'a file system'} ` +
      'is wanted; what is not blank is never formatted: ask for what it has, or, if nothing of it ' +
      'is needed, clear it yourself (wipefs, blkdiscard) or make a new volume',
  );
}

function nothingToRead(disk: Disk, { kind }: Content): CsiError {
  return new CsiError(
    'FAILED_PRECONDITION',
    `volume ${disk.uuid} (${disk.device}) is ${kind}, and is to be read only: there is no file ` +
      'system to mount; use it with a writer first',
  );
}
