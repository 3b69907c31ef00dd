/** NodeStageVolume and NodeUnstageVolume. */
import { CsiError, toCsiError } from '../errors.js';
import type { Disk, VolumeRecord } from '../host/types.js';
import { required } from '../names.js';
import type { CsiCall } from '../server.js';
import type { RequestOf } from '../wire/services.js';
import { mountDisk } from './disk_content.js';
import {
  checkCapability,
  checkContext,
  checkPath,
  checkSecrets,
  checkVolumeId,
  howOf,
  type Wanted,
} from './requests.js';
import {
  attach,
  isOf,
  isWhole,
  letGo,
  type NodeParts,
  newRecord,
  recordOf,
  seenAt,
  unmountAll,
  withSeen,
} from './volumes.js';

/** Makes the volume's disk be there, and mounts its file system at the staging path. */
export async function stage(
  parts: NodeParts,
  request: RequestOf<'Node', 'nodeStageVolume'>,
  call: CsiCall,
): Promise<void> {
  const { host, locks } = parts;
  const volumeId = required('volume_id', request.volumeId);
  const asked = checkPath('staging_target_path', request.stagingTargetPath);
  const wanted = checkCapability(request.volumeCapability);
  checkVolumeId(volumeId);
  const context = checkContext(request.publishContext, volumeId);
  const secrets = checkSecrets(request.secrets, context);
  await locks.hold([volumeId], 'NodeStageVolume', async () => {
    const target = await host.resolve(asked);
    const readOnly = wanted.reader || context.readOnly;
    const how = howOf(wanted, readOnly);
    const before = await recordOf(host, volumeId);
    await refuseOther(parts, before, { target, how, wanted });
    if (before === null) await refuseUnrecorded(parts, { volumeId, target, readOnly });
    const fresh = await newRecord(host, volumeId, context);
    const record: VolumeRecord = {
      ...fresh,
      formatting: before?.formatting ?? false,
      staged: { path: target, how },
      published: before?.published ?? [],
    };
    const disk = await attach(parts, record, secrets, call.signal);
    if (wanted.kind === 'block') return;
    await makeRoom(parts, target, disk);
    const seen = seenAt(await host.mounts(), target);
    const mounted = seen !== null && isOf(seen, disk);
    await mountDisk(host, { disk, target, wanted, readOnly, record, mounted }, call.log);
  });
}

/** @throws CsiError ALREADY_EXISTS when it is staged in another way. */
async function refuseOther(
  { host }: NodeParts,
  before: VolumeRecord | null,
  { target, how, wanted }: { target: string; how: string; wanted: Wanted },
): Promise<void> {
  const staged = before?.staged ?? null;
  if (before === null || staged === null) return;
  if (staged.path === target && staged.how === how) return;
  const disk = await host.disk(before.uuid);
  if (disk === null) return;
  // Of a block volume nothing is mounted: it is staged when the record says so.
  const isBlock = staged.how.startsWith('block ');
  const stays = isBlock
    ? before.bootId === (await host.identity()).bootId
    : (await host.mounts()).some((mount) => mount.target === staged.path && isOf(mount, disk));
  if (!stays) return;
  const which = `volume ${before.volumeId} is staged at '${staged.path}' (${staged.how})`;
  if (staged.path === target) {
    throw new CsiError('ALREADY_EXISTS', `${which}, and not as it is asked for now (${how})`);
  }
  throw new CsiError(
    'FAILED_PRECONDITION',
    `${which}; unstage it before it is staged at '${target}' for ${wanted.kind}`,
  );
}

/** @throws CsiError ALREADY_EXISTS: of a mount whose record was lost this much can be seen. */
async function refuseUnrecorded(
  { host }: NodeParts,
  { volumeId, target, readOnly }: { volumeId: string; target: string; readOnly: boolean },
): Promise<void> {
  const disk = await host.disk(volumeId);
  const seen = seenAt(await host.mounts(), target);
  if (seen === null || !isOf(seen, disk) || seen.readOnly === readOnly) return;
  const [is, asked] = seen.readOnly ? ['to read', 'to write'] : ['to write', 'to read'];
  throw new CsiError(
    'ALREADY_EXISTS',
    `volume ${volumeId} is staged at '${target}' ${is}, and is asked for ${asked} now`,
  );
}

/** The staging path is a folder, with nothing there but this volume. */
async function makeRoom(parts: NodeParts, target: string, disk: Disk): Promise<void> {
  const { host } = parts;
  const at = await host.at(target);
  const seen = seenAt(await host.mounts(), target);
  if (seen === null && at === 'nothing') return host.makeFolder(target);
  if (seen === null && at !== 'folder') {
    throw new CsiError('INVALID_ARGUMENT', `staging_target_path '${target}' is no folder`);
  }
  if (seen === null || isOf(seen, disk)) return;
  // A mount whose disk is gone is a volume's that was taken from this node by force.
  if (seen.gone) await unmountAll(parts, target, disk);
  const other = seenAt(await host.mounts(), target);
  if (other === null || isOf(other, disk)) return;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `something else is mounted at '${target}': ${other.fsType} of ${other.number ?? 'no disk'}`,
  );
}

/** Undoes {@link stage}; nothing of the volume is left on the node. */
export async function unstage(
  parts: NodeParts,
  request: RequestOf<'Node', 'nodeUnstageVolume'>,
  call: CsiCall,
): Promise<void> {
  const { host } = parts;
  const volumeId = required('volume_id', request.volumeId);
  const path = checkPath('staging_target_path', request.stagingTargetPath);
  checkVolumeId(volumeId);
  const place = { volumeId, path };
  await withSeen(parts, 'NodeUnstageVolume', place, async ({ target, record, disk }) => {
    const mounts = await host.mounts();
    const elsewhere = mounts.find(
      (mount) => isOf(mount, disk) && isWhole(mount) && mount.target !== target,
    );
    if (elsewhere !== undefined) {
      throw new CsiError(
        'FAILED_PRECONDITION',
        `volume ${volumeId} is still published at '${elsewhere.target}'; unpublish it first`,
      );
    }
    const mounted = seenAt(mounts, target);
    if (mounted?.kind === 'file-system' && isOf(mounted, disk)) {
      await host.sync(target).catch((thrown: unknown) => {
        // Unmounting is the only way out of a file system that has given up.
        call.log.warn({ target }, `not written: ${toCsiError(thrown).message}`);
      });
    }
    const other = await unmountAll(parts, target, disk);
    if (other !== null) {
      call.log.warn({ target }, `${other.fsType} is mounted at '${target}', and is left alone`);
    }
    if (record !== null) return letGo(parts, record);
    // The record was lost: the kernel says where the volume came from.
    if (disk === null) return;
    const { subnqn } = disk;
    const found = { uuid: disk.uuid, subnqn, portals: [], readOnly: false };
    await letGo(
      parts,
      await newRecord(host, volumeId, { ...found, tls: false, authenticate: false }),
    );
  });
}
