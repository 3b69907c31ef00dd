/** A node's service over a {@link SimulatedHost}, with a CO's requests. */
import { pino } from 'pino';
import type { NodeSettings } from '../../lib/csi/config.js';
import type { NodeHost } from '../../lib/csi/host/types.js';
import type { EphemeralVolumes } from '../../lib/csi/node/ephemeral.js';
import { NodeService } from '../../lib/csi/node/service.js';
import type { CsiCall } from '../../lib/csi/server.js';
import type { Decoded } from '../../lib/csi/wire/fields.js';
import type { AccessModeName, VolumeCapability } from '../../lib/csi/wire/messages.js';
import type { RequestOf } from '../../lib/csi/wire/services.js';
import {
  type Cutter,
  type OnVolume,
  SimulatedHost,
  type SimulatedVolume,
} from './simulated_host.js';

export const subnqn = 'nqn.2014-08.org.ashlar:tenant-a';
export const portals = ['10.0.0.1:4420', '10.0.0.2:4420'] as const;
export const GiB = 1n << 30n;

export const settings: NodeSettings = {
  state: '/state',
  topology: { 'topology.csi.ashlar.dev/zone': 'a' },
  maxVolumes: 500,
  fastIoFailMs: 15_000,
  ctrlLossMs: null,
  reconnectDelayMs: 2_000,
  keepAliveMs: 5_000,
  ioPolicy: 'round-robin',
  queues: 0,
  commandTimeoutMs: 60_000,
};

export type Capability = Decoded<typeof VolumeCapability>;

export function mountCapability(
  options: {
    mode?: AccessModeName;
    fsType?: string;
    flags?: readonly string[];
    group?: string;
  } = {},
): Capability {
  const { mode = 'SINGLE_NODE_SINGLE_WRITER', fsType = 'ext4', flags = [], group = '' } = options;
  return {
    block: null,
    mount: { fsType, mountFlags: flags, volumeMountGroup: group },
    accessMode: { mode },
  };
}

export function blockCapability(mode: AccessModeName = 'SINGLE_NODE_SINGLE_WRITER'): Capability {
  return { block: {}, mount: null, accessMode: { mode } };
}

/** `00000001-…`. */
export function uuidOf(index: number): string {
  return `${String(index).padStart(8, '0')}-0000-4000-8000-000000000000`;
}

/** What the CO keeps of a volume. */
export interface Claim {
  volume: SimulatedVolume;
  capability: Capability;
  staging: string;
}

/** Ephemeral volumes on the simulated host's subsystem. */
export class SimulatedEphemeral implements EphemeralVolumes {
  readonly made = new Map<string, SimulatedVolume>();

  constructor(private readonly host: SimulatedHost) {}

  async create(volumeId: string): Promise<Readonly<Record<string, string>>> {
    const uuid = uuidOf(900);
    if (!this.made.has(volumeId)) {
      const volume: SimulatedVolume = {
        uuid,
        sizeBytes: GiB,
        access: 'read-write',
        content: { kind: 'blank' },
      };
      this.made.set(volumeId, this.host.add(subnqn, volume, portals));
    }
    return publishContext(uuid);
  }

  async remove(volumeId: string): Promise<void> {
    const volume = this.made.get(volumeId);
    if (volume === undefined) return;
    this.host.revoke(volume.uuid);
    this.host.subsystems.get(subnqn)?.volumes.delete(volume.uuid);
    this.made.delete(volumeId);
  }
}

export function publishContext(uuid: string): Readonly<Record<string, string>> {
  return {
    subnqn,
    nsid: '1',
    uuid,
    portals: portals.join(','),
    access: 'read-write',
    tls: 'none',
    authenticate: 'false',
  };
}

/** One node. */
export class NodeRig implements AsyncDisposable {
  readonly host = new SimulatedHost();
  readonly ephemeral = new SimulatedEphemeral(this.host);
  #service: NodeService | null = null;
  #stale: NodeService[] = [];

  get service(): NodeService {
    if (this.#service === null) throw new Error('the plugin was not started');
    return this.#service;
  }

  /** Starts a plugin, instead of the one that was there. */
  async start(cutter?: Cutter): Promise<void> {
    if (this.#service !== null) this.#stale.push(this.#service);
    const host: NodeHost = cutter?.wrap<NodeHost>(this.host) ?? this.host;
    this.#service = new NodeService({
      host,
      config: settings,
      ephemeral: cutter?.wrap<EphemeralVolumes>(this.ephemeral) ?? this.ephemeral,
      logger: pino({ level: 'silent' }),
    });
    await this.#service.idle();
  }

  /** A discovery service has news, and the plugin has dealt with it. */
  async news(): Promise<void> {
    this.host.tellNews();
    await this.service.idle();
  }

  /** A volume that is published to this node, and the folders that the CO makes. */
  claim(
    index: number,
    capability: Capability,
    content: OnVolume = { kind: 'blank' },
    sizeBytes = GiB,
  ): Claim {
    const volume: SimulatedVolume = {
      uuid: uuidOf(index),
      sizeBytes,
      access: 'read-write',
      content,
    };
    this.host.add(subnqn, volume, portals);
    const staging = `/kubelet/staging/${index}`;
    this.host.addFolder(staging);
    return { volume, capability, staging };
  }

  call(signal = new AbortController().signal): CsiCall {
    return { signal, log: pino({ level: 'silent' }) };
  }

  stageRequest({ volume, capability, staging }: Claim): RequestOf<'Node', 'nodeStageVolume'> {
    return {
      volumeId: volume.uuid,
      publishContext: publishContext(volume.uuid),
      stagingTargetPath: staging,
      volumeCapability: capability,
      secrets: {},
      volumeContext: { tenant: 'a' },
    };
  }

  async stage(claim: Claim, changes: Partial<RequestOf<'Node', 'nodeStageVolume'>> = {}) {
    await this.service.nodeStageVolume({ ...this.stageRequest(claim), ...changes }, this.call());
  }

  async unstage({ volume, staging }: Claim) {
    await this.service.nodeUnstageVolume(
      { volumeId: volume.uuid, stagingTargetPath: staging },
      this.call(),
    );
  }

  publishRequest(
    { volume, capability, staging }: Claim,
    targetPath: string,
    readonly = false,
  ): RequestOf<'Node', 'nodePublishVolume'> {
    return {
      volumeId: volume.uuid,
      publishContext: publishContext(volume.uuid),
      stagingTargetPath: staging,
      targetPath,
      volumeCapability: capability,
      readonly,
      secrets: {},
      volumeContext: { tenant: 'a' },
    };
  }

  async publish(claim: Claim, target: string, readonly = false) {
    await this.service.nodePublishVolume(this.publishRequest(claim, target, readonly), this.call());
  }

  async unpublish({ volume }: Claim, target: string) {
    await this.service.nodeUnpublishVolume(
      { volumeId: volume.uuid, targetPath: target },
      this.call(),
    );
  }

  async publishEphemeral(volumeId: string, target: string) {
    await this.service.nodePublishVolume(
      {
        volumeId,
        publishContext: {},
        stagingTargetPath: '',
        targetPath: target,
        volumeCapability: mountCapability({ mode: 'SINGLE_NODE_WRITER' }),
        readonly: false,
        secrets: {},
        volumeContext: { 'csi.storage.k8s.io/ephemeral': 'true', size: '1GiB' },
      },
      this.call(),
    );
  }

  async unpublishEphemeral(volumeId: string, target: string) {
    await this.service.nodeUnpublishVolume({ volumeId, targetPath: target }, this.call());
  }

  async expand({ volume, capability }: Claim, path: string, requiredBytes: bigint) {
    const { capacityBytes } = await this.service.nodeExpandVolume(
      {
        volumeId: volume.uuid,
        volumePath: path,
        capacityRange: { requiredBytes, limitBytes: 0n },
        stagingTargetPath: '',
        volumeCapability: capability,
        secrets: {},
      },
      this.call(),
    );
    return capacityBytes;
  }

  stats({ volume }: Claim, path: string) {
    return this.service.nodeGetVolumeStats(
      { volumeId: volume.uuid, volumePath: path, stagingTargetPath: '' },
      this.call(),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const service of [...this.#stale, this.#service]) {
      await service?.[Symbol.asyncDispose]();
    }
  }
}
