/** What Kubernetes does between a claim and a running pod, one RPC after the other. */
import assert from 'node:assert/strict';
import type { AccessModeName } from '../../lib/csi/wire/messages.js';
import type { CsiClient } from '../csi/client.js';
import { type CsiNode, keptFolder } from './csi_guest.js';

export interface Wanted {
  name: string;
  /** null: block. */
  fsType: string | null;
  sizeBytes: number;
  parameters?: Record<string, string>;
  mode?: AccessModeName;
  mountFlags?: readonly string[];
  group?: string;
  /** What the StorageClass's Secrets hold. */
  secrets?: Record<string, string>;
  snapshotId?: string;
  volumeId?: string;
}

/** A volume that was made. */
export interface Made extends Wanted {
  id: string;
  context: Readonly<Record<string, string>>;
}

/** A volume as a pod has it. */
export interface Attached extends Made {
  staging: string;
  target: string;
  publishContext: Readonly<Record<string, string>>;
}

export class CsiCluster {
  readonly #made = new Map<string, Made>();

  private constructor(
    readonly controller: CsiClient,
    readonly node: CsiNode,
    readonly nodeId: string,
  ) {}

  static async of(controller: CsiClient, node: CsiNode): Promise<CsiCluster> {
    const { nodeId } = await node.client.ask('Node', 'nodeGetInfo', {});
    return new CsiCluster(controller, node, nodeId);
  }

  async create(wanted: Wanted): Promise<Made> {
    const { snapshotId, volumeId } = wanted;
    const { volume } = await this.controller.ask('Controller', 'createVolume', {
      name: wanted.name,
      capacityRange: { requiredBytes: BigInt(wanted.sizeBytes) },
      volumeCapabilities: [capabilityOf(wanted)],
      parameters: wanted.parameters ?? {},
      volumeContentSource:
        snapshotId !== undefined
          ? { snapshot: { snapshotId } }
          : volumeId !== undefined
            ? { volume: { volumeId } }
            : null,
    });
    assert.ok(volume !== null);
    const made = { ...wanted, id: volume.volumeId, context: volume.volumeContext };
    this.#made.set(made.id, made);
    return made;
  }

  /** ControllerPublish, NodeStage, NodePublish; repeated calls are as the first. */
  async attach(made: Made, target = targetOf(made)): Promise<Attached> {
    const { publishContext } = await this.publish(made);
    const attached = await this.prepare({ ...made, publishContext }, target);
    await this.stage(attached);
    await this.bind(attached);
    return attached;
  }

  publish(made: Made) {
    return this.controller.ask('Controller', 'controllerPublishVolume', {
      volumeId: made.id,
      nodeId: this.nodeId,
      volumeCapability: capabilityOf(made),
      volumeContext: made.context,
      secrets: made.secrets ?? {},
    });
  }

  /** The kubelet makes the folders above the target and the staging folder. */
  async prepare(
    published: Made & Pick<Attached, 'publishContext'>,
    target = targetOf(published),
  ): Promise<Attached> {
    const attached = { ...published, staging: stagingOf(published), target };
    await this.node.sh(`mkdir -p ${attached.staging} ${parentOf(target)}`);
    return attached;
  }

  /** NodePublish. */
  async bind(attached: Attached, rest: { readonly?: boolean } = {}): Promise<void> {
    await this.node.client.ask('Node', 'nodePublishVolume', {
      volumeId: attached.id,
      publishContext: attached.publishContext,
      stagingTargetPath: attached.staging,
      targetPath: attached.target,
      volumeCapability: capabilityOf(attached),
      volumeContext: attached.context,
      ...rest,
    });
  }

  /** NodeStage. */
  async stage(attached: Attached): Promise<void> {
    await this.node.client.ask('Node', 'nodeStageVolume', {
      volumeId: attached.id,
      publishContext: attached.publishContext,
      stagingTargetPath: attached.staging,
      volumeCapability: capabilityOf(attached),
      volumeContext: attached.context,
      secrets: attached.secrets ?? {},
    });
  }

  /** NodeUnpublish, NodeUnstage, ControllerUnpublish. */
  async detach(attached: Attached): Promise<void> {
    await this.unmount(attached);
    await this.unpublish(attached);
  }

  async unmount(attached: Attached): Promise<void> {
    await this.node.client.ask('Node', 'nodeUnpublishVolume', {
      volumeId: attached.id,
      targetPath: attached.target,
    });
    await this.node.client.ask('Node', 'nodeUnstageVolume', {
      volumeId: attached.id,
      stagingTargetPath: attached.staging,
    });
  }

  async unpublish(made: Made): Promise<void> {
    await this.controller.ask('Controller', 'controllerUnpublishVolume', {
      volumeId: made.id,
      nodeId: this.nodeId,
    });
  }

  stats(attached: Attached) {
    return this.node.client.ask('Node', 'nodeGetVolumeStats', {
      volumeId: attached.id,
      volumePath: attached.target,
      stagingTargetPath: attached.staging,
    });
  }

  async remove(made: Made): Promise<void> {
    await this.controller.ask('Controller', 'deleteVolume', { volumeId: made.id });
    this.#made.delete(made.id);
  }

  /** Whatever a scenario that failed has left is taken away, as far as can be. */
  async clear(): Promise<void> {
    for (const made of [...this.#made.values()]) {
      const places = { staging: stagingOf(made), target: targetOf(made) };
      const attached = { ...made, ...places, publishContext: {} };
      for (const step of [
        () => this.detach(attached),
        () => this.unpublish(made),
        () => this.remove(made),
      ]) {
        await step().catch(() => {});
      }
    }
  }
}

function targetOf({ name }: Made): string {
  return `${keptFolder}/pods/${name}`;
}

function stagingOf({ name }: Made): string {
  return `${keptFolder}/plugins/${name}/globalmount`;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

export function capabilityOf({
  fsType,
  mode = 'SINGLE_NODE_WRITER',
  mountFlags = [],
  group = '',
}: Wanted) {
  return {
    ...(fsType === null
      ? { block: {} }
      : { mount: { fsType, mountFlags, volumeMountGroup: group } }),
    accessMode: { mode },
  };
}
