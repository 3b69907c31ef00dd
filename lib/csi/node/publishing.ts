/** NodePublishVolume and NodeUnpublishVolume of volumes that are staged. */
import { CsiError } from '../errors.js';
import type { Disk, Mount, VolumeRecord } from '../host/types.js';
import { required } from '../names.js';
import type { CsiCall } from '../server.js';
import type { AccessModeName } from '../wire/messages.js';
import type { RequestOf } from '../wire/services.js';
import {
  checkCapability,
  checkContext,
  checkPath,
  checkVolumeId,
  howOf,
  type Wanted,
} from './requests.js';
import {
  isOf,
  isWhole,
  type NodeParts,
  newRecord,
  recordOf,
  seenAt,
  unmountAll,
  withSeen,
} from './volumes.js';

type Request = RequestOf<'Node', 'nodePublishVolume'>;

/** Of these, one workload at a time has the volume. */
const exclusive: readonly AccessModeName[] = [
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'SINGLE_NODE_SINGLE_WRITER',
];

/** Shows the staged volume at the target: its file system, or its disk. */
export async function publish(parts: NodeParts, request: Request, _call: CsiCall): Promise<void> {
  const { host, locks } = parts;
  const volumeId = required('volume_id', request.volumeId);
  const askedTarget = checkPath('target_path', request.targetPath);
  const wanted = checkCapability(request.volumeCapability);
  checkVolumeId(volumeId);
  if (request.stagingTargetPath === '') {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `staging_target_path is missing: volume ${volumeId} has to be staged first`,
    );
  }
  const askedStaging = checkPath('staging_target_path', request.stagingTargetPath);
  const context = checkContext(request.publishContext, volumeId);
  await locks.hold([volumeId], 'NodePublishVolume', async () => {
    const [target, staging] = [await host.resolve(askedTarget), await host.resolve(askedStaging)];
    const disk = await host.disk(volumeId);
    const mounts = await host.mounts();
    if (disk === null) throw notStaged(volumeId, staging);
    const source = sourceOf(mounts, { disk, staging, wanted });
    const readOnly = request.readonly || wanted.reader || context.readOnly;
    const how = howOf(wanted, readOnly);
    const before = (await recordOf(host, volumeId)) ?? (await newRecord(host, volumeId, context));
    const seen = seenAt(mounts, target);
    if (seen !== null && isOf(seen, disk)) {
      refuseOther(before, seen, { target, how, wanted, readOnly });
    } else if (seen !== null && !seen.gone) {
      throw new CsiError('FAILED_PRECONDITION', `something else is mounted at '${target}'`);
    }
    const others = mounts.filter(
      (mount) => isOf(mount, disk) && isWhole(mount) && ![target, staging].includes(mount.target),
    );
    refuseSecond(volumeId, wanted, others);
    await rememberPublished(parts, before, { path: target, how });
    if (seen?.gone === true) await unmountAll(parts, target, disk);
    await makePlace(parts, target, wanted);
    if (wanted.group !== null && !readOnly && others.length === 0) {
      await host.own(staging, wanted.group);
    }
    await host.bindMount(source, target, readOnly);
  });
}

function notStaged(volumeId: string, staging: string): CsiError {
  return new CsiError(
    'FAILED_PRECONDITION',
    `volume ${volumeId} is not staged at '${staging}'; call NodeStageVolume first`,
  );
}

/** What is bound to the target. */
function sourceOf(
  mounts: readonly Mount[],
  { disk, staging, wanted }: { disk: Disk; staging: string; wanted: Wanted },
): string {
  if (wanted.kind === 'block') return disk.device;
  const staged = seenAt(mounts, staging);
  if (staged === null || !isOf(staged, disk)) throw notStaged(disk.uuid, staging);
  return staging;
}

/** @throws CsiError ALREADY_EXISTS when it is at the target in another way. */
function refuseOther(
  before: VolumeRecord,
  seen: Mount,
  asked: { target: string; how: string; wanted: Wanted; readOnly: boolean },
): void {
  const { target, how, wanted, readOnly } = asked;
  const recorded = before.published.find(({ path }) => path === target);
  const kind = seen.kind === 'device' ? 'block' : 'mount';
  const same =
    kind === wanted.kind &&
    // A record is written before the mount, which may so be on its way to what is recorded.
    (recorded === undefined ? seen.readOnly === readOnly : recorded.how === how);
  if (same) return;
  throw new CsiError(
    'ALREADY_EXISTS',
    `volume ${before.volumeId} is published at '${target}' already, ` +
      `${recorded?.how ?? kind}, and not ${how}`,
  );
}

/** @throws CsiError FAILED_PRECONDITION when the mode allows for one target, and there is one. */
function refuseSecond(volumeId: string, { mode }: Wanted, others: readonly Mount[]): void {
  const [other] = others;
  if (other === undefined || !exclusive.includes(mode)) return;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `volume ${volumeId} is published at '${other.target}' on this node, and with the access mode ` +
      `${mode} it can be at one place only`,
  );
}

async function rememberPublished(
  { host }: NodeParts,
  before: VolumeRecord,
  asked: { path: string; how: string },
): Promise<void> {
  const same = before.published.some(({ path, how }) => path === asked.path && how === asked.how);
  if (same) return;
  const rest = before.published.filter(({ path }) => path !== asked.path);
  await host.remember({ ...before, published: [...rest, asked] });
}

/** A folder for a file system, a file for a disk. */
async function makePlace({ host }: NodeParts, target: string, { kind }: Wanted): Promise<void> {
  const at = await host.at(target);
  if (at === 'nothing') {
    return kind === 'mount' ? host.makeFolder(target) : host.makeFile(target);
  }
  // A disk's node that is bound there already is neither.
  const right = kind === 'mount' ? at === 'folder' : at !== 'folder';
  if (right) return;
  throw new CsiError(
    'INVALID_ARGUMENT',
    `target_path '${target}' is there, and is ${at === 'folder' ? 'a folder' : 'no folder'}`,
  );
}

/** Takes the volume from the target, and the target away. */
export async function unpublish(
  parts: NodeParts,
  request: RequestOf<'Node', 'nodeUnpublishVolume'>,
  call: CsiCall,
): Promise<void> {
  const volumeId = required('volume_id', request.volumeId);
  const path = checkPath('target_path', request.targetPath);
  checkVolumeId(volumeId);
  const place = { volumeId, path };
  await withSeen(parts, 'NodeUnpublishVolume', place, async ({ target, record, disk }) => {
    await clearTarget(parts, target, disk, call);
    if (record === null) return;
    const published = record.published.filter((each) => each.path !== target);
    if (published.length === record.published.length) return;
    await parts.host.remember({ ...record, published });
  });
}

/** Nothing of the volume is at the target, nor is the target. */
export async function clearTarget(
  parts: NodeParts,
  target: string,
  disk: Disk | null,
  { log }: CsiCall,
): Promise<void> {
  const other = await unmountAll(parts, target, disk);
  if (other === null) return parts.host.remove(target);
  log.warn({ target }, `${other.fsType} is mounted at '${target}', and is left alone`);
}
