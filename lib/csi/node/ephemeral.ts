/**
 * Ephemeral inline volumes: a pod's own, made when it is published and gone when it is unpublished.
 * No controller and no staging is between: the file system is mounted at the target itself.
 */
import { CsiError } from '../errors.js';
import type { HostIdentity, VolumeRecord } from '../host/types.js';
import { required } from '../names.js';
import type { CsiCall } from '../server.js';
import type { RequestOf } from '../wire/services.js';
import { mountDisk } from './disk_content.js';
import { clearTarget } from './publishing.js';
import { checkCapability, checkContext, checkPath, checkSecrets, howOf } from './requests.js';
import { attach, isOf, letGo, type NodeParts, newRecord, recordOf, seenAt } from './volumes.js';

/**
 * Where a node gets such volumes from, and gives them back to; the controller's part implements it.
 * Both are idempotent.
 */
export interface EphemeralVolumes {
  /**
   * Makes the volume and grants it to the node.
   *
   * @param volumeId of the CO's choice; no UUID.
   * @param context what the pod says of it.
   * @param secrets as ControllerPublishVolume gets them: keys that the daemon is told.
   * @returns what a publish_context has.
   */
  create(
    volumeId: string,
    context: Readonly<Record<string, string>>,
    nodeId: string,
    signal: AbortSignal,
    secrets: Readonly<Record<string, string>>,
  ): Promise<Readonly<Record<string, string>>>;
  /** Revokes and deletes it. That it is not there is no error. */
  remove(volumeId: string, nodeId: string, signal: AbortSignal): Promise<void>;
}

/** In the volume context of such volumes (Kubernetes, podInfoOnMount). */
const ephemeralKey = 'csi.storage.k8s.io/ephemeral';

export function isEphemeral(volumeContext: Readonly<Record<string, string>>): boolean {
  return volumeContext[ephemeralKey] === 'true';
}

export interface EphemeralParts extends NodeParts {
  readonly ephemeral: EphemeralVolumes | null;
}

/** Makes the volume and mounts it at the target. */
export async function publishEphemeral(
  parts: EphemeralParts,
  request: RequestOf<'Node', 'nodePublishVolume'>,
  call: CsiCall,
): Promise<void> {
  const { host, locks, ephemeral } = parts;
  const volumeId = required('volume_id', request.volumeId);
  const askedTarget = checkPath('target_path', request.targetPath);
  const wanted = checkCapability(request.volumeCapability);
  if (wanted.kind === 'block') {
    throw new CsiError('INVALID_ARGUMENT', 'an ephemeral inline volume is a file system');
  }
  if (ephemeral === null) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      'this node makes no ephemeral inline volumes: its plugin has no [[endpoints]] configured',
    );
  }
  await locks.hold([volumeId], 'NodePublishVolume', async () => {
    const target = await host.resolve(askedTarget);
    const how = howOf(wanted, request.readonly);
    const before = await recordOf(host, volumeId);
    refuseOther(before, target, how);
    const { hostnqn } = await host.identity();
    const { volumeContext, secrets: given } = request;
    const made = await ephemeral.create(volumeId, volumeContext, hostnqn, call.signal, given);
    const context = checkContext(made, null);
    const record: VolumeRecord = {
      ...(await newRecord(host, volumeId, context)),
      formatting: before?.formatting ?? false,
      ephemeral: true,
      published: [{ path: target, how }],
    };
    const secrets = checkSecrets(given, context);
    const disk = await attach(parts, record, secrets, call.signal);
    const seen = seenAt(await host.mounts(), target);
    const mounted = seen !== null && isOf(seen, disk);
    if (seen !== null && !mounted) {
      if (!seen.gone) {
        throw new CsiError('FAILED_PRECONDITION', `something else is mounted at '${target}'`);
      }
      await host.unmount(target);
    }
    if (!mounted) await host.makeFolder(target);
    const { readonly: readOnly } = request;
    // A pod that only reads its own new volume finds an empty one.
    const asked = { ...wanted, reader: false };
    await mountDisk(host, { disk, target, wanted: asked, readOnly, record, mounted }, call.log);
  });
}

/** Such a volume is one pod's: it is at one place, in one way. */
function refuseOther(before: VolumeRecord | null, target: string, how: string): void {
  const [published] = before?.published ?? [];
  if (before === null || published === undefined) return;
  if (published.path === target && published.how === how) return;
  throw new CsiError(
    published.path === target ? 'ALREADY_EXISTS' : 'FAILED_PRECONDITION',
    `ephemeral volume ${before.volumeId} is published at '${published.path}' (${published.how})`,
  );
}

/** Gives everything back, however much of it is there. */
export async function unpublishEphemeral(
  parts: EphemeralParts,
  request: RequestOf<'Node', 'nodeUnpublishVolume'>,
  call: CsiCall,
): Promise<void> {
  const { host, locks, ephemeral } = parts;
  const { volumeId } = request;
  const asked = checkPath('target_path', request.targetPath);
  await locks.hold([volumeId], 'NodeUnpublishVolume', async () => {
    const target = await host.resolve(asked);
    const record = await recordOf(host, volumeId);
    const disk = record === null ? null : await host.disk(record.uuid);
    await clearTarget(parts, target, disk, call);
    const identity = await host.identity();
    const giveBack = () => remove(ephemeral, volumeId, identity, call);
    await (record === null ? giveBack() : letGo(parts, record, giveBack));
  });
}

function remove(
  ephemeral: EphemeralVolumes | null,
  volumeId: string,
  { hostnqn }: HostIdentity,
  { signal }: CsiCall,
): Promise<void> {
  if (ephemeral !== null) return ephemeral.remove(volumeId, hostnqn, signal);
  throw new CsiError(
    'FAILED_PRECONDITION',
    `ephemeral volume ${volumeId} cannot be given back: this plugin has no [[endpoints]] ` +
      'configured any more; configure them, or delete the volume and remove the file of its record',
  );
}
