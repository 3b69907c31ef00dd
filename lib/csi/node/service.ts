/** The Node service of CSI: what a node plugin does, over the verbs of {@link NodeHost}. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { NodeSettings } from '../config.js';
import { CsiError, toCsiError } from '../errors.js';
import type { NodeHost, VolumeRecord } from '../host/types.js';
import { OperationLocks } from '../locks.js';
import { isUuid } from '../names.js';
import type { CsiCall, Handlers } from '../server.js';
import { NodeRpcType } from '../wire/messages.js';
import type { RequestOf, ResponseOf } from '../wire/services.js';
import { Associations } from './associations.js';
import {
  type EphemeralParts,
  type EphemeralVolumes,
  isEphemeral,
  publishEphemeral,
  unpublishEphemeral,
} from './ephemeral.js';
import { expand, stats } from './observing.js';
import { publish, unpublish } from './publishing.js';
import { stage, unstage } from './staging.js';
import { currentRecords, isOf, recordOf } from './volumes.js';

/** Between two looks at what is there and what is to be. */
const repairEveryMs = 30_000;
/** At least between two looks because of news, however much there is. */
const newsEveryMs = 1_000;

export interface NodeServiceOptions {
  host: NodeHost;
  config: NodeSettings;
  /** Null: this node makes none. */
  ephemeral: EphemeralVolumes | null;
  logger: Logger;
}

type Of<R extends keyof Handlers<'Node'>> = [RequestOf<'Node', R>, CsiCall];
type Answer<R extends keyof Handlers<'Node'>> = Promise<ResponseOf<'Node', R>>;

/** Handlers of the service; dispose of it to end its repairs. Mounts and paths stay. */
export class NodeService implements Handlers<'Node'>, AsyncDisposable {
  readonly #parts: EphemeralParts;
  readonly #config: NodeSettings;
  readonly #timer: NodeJS.Timeout;
  readonly #ending = new AbortController();
  readonly #watching: Promise<void>;
  #repairing: Promise<void>;
  #news: NodeJS.Timeout | null = null;
  #newsAtMs = Number.NEGATIVE_INFINITY;

  constructor({ host, config, ephemeral, logger }: NodeServiceOptions) {
    const associations = new Associations(host, config, logger);
    this.#parts = { host, associations, locks: new OperationLocks(), logger, ephemeral };
    this.#config = config;
    this.#repairing = this.#repair();
    this.#timer = setInterval(() => this.#repairNext(), repairEveryMs);
    this.#timer.unref();
    this.#watching = this.#watch();
  }

  async nodeGetCapabilities(): Answer<'nodeGetCapabilities'> {
    // Everything that a node can do is done here.
    const types = NodeRpcType.values.filter((type) => type !== 'UNKNOWN');
    return { capabilities: types.map((type) => ({ rpc: { type } })) };
  }

  async nodeGetInfo(): Answer<'nodeGetInfo'> {
    const { hostnqn } = await this.#parts.host.identity();
    const { maxVolumes, topology } = this.#config;
    return {
      nodeId: hostnqn,
      maxVolumesPerNode: BigInt(maxVolumes),
      accessibleTopology: { segments: topology },
    };
  }

  async nodeStageVolume(...[request, call]: Of<'nodeStageVolume'>): Answer<'nodeStageVolume'> {
    await stage(this.#parts, request, call);
    return {};
  }

  async nodeUnstageVolume(
    ...[request, call]: Of<'nodeUnstageVolume'>
  ): Answer<'nodeUnstageVolume'> {
    await unstage(this.#parts, request, call);
    return {};
  }

  async nodePublishVolume(
    ...[request, call]: Of<'nodePublishVolume'>
  ): Answer<'nodePublishVolume'> {
    const one = isEphemeral(request.volumeContext) ? publishEphemeral : publish;
    await one(this.#parts, request, call);
    return {};
  }

  async nodeUnpublishVolume(
    ...[request, call]: Of<'nodeUnpublishVolume'>
  ): Answer<'nodeUnpublishVolume'> {
    if (request.volumeId === '') throw new CsiError('INVALID_ARGUMENT', 'volume_id is missing');
    // COs choose the IDs of ephemeral volumes; the driver's own are UUIDs.
    const record = await recordOf(this.#parts.host, request.volumeId);
    const isOwn = record === null ? isUuid(request.volumeId) : !record.ephemeral;
    const one = isOwn ? unpublish : unpublishEphemeral;
    await one(this.#parts, request, call);
    return {};
  }

  nodeGetVolumeStats(...[request]: Of<'nodeGetVolumeStats'>): Answer<'nodeGetVolumeStats'> {
    return stats(this.#parts, request);
  }

  async nodeExpandVolume(...[request, call]: Of<'nodeExpandVolume'>): Answer<'nodeExpandVolume'> {
    return { capacityBytes: await expand(this.#parts, request, call) };
  }

  /** Until all that is done behind the calls has ended; for tests. */
  async idle(): Promise<void> {
    await this.#repairing;
    await this.#parts.associations.idle();
  }

  /** Looks at once when a discovery service has news; without anybody to watch, now and then. */
  async #watch(): Promise<void> {
    const { host, logger } = this.#parts;
    const { signal } = this.#ending;
    let said = false;
    while (!signal.aborted) {
      try {
        await host.watchDiscovery(() => this.#heard(), signal);
      } catch (thrown) {
        const why = toCsiError(thrown).message;
        if (!said) logger.warn(`discovery is asked each minute, nobody tells of its news: ${why}`);
        said = true;
      }
      await delay(repairEveryMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  #heard(): void {
    if (this.#news !== null || this.#ending.signal.aborted) return;
    const waitMs = this.#newsAtMs + newsEveryMs - performance.now();
    const look = () => {
      this.#news = null;
      this.#newsAtMs = performance.now();
      this.#parts.associations.forgetAsked();
      this.#repairNext();
    };
    if (waitMs > 0) this.#news = setTimeout(look, waitMs);
    else look();
  }

  #repairNext(): void {
    this.#repairing = this.#repairing.then(() => this.#repair());
  }

  /** Forgets what a reboot has ended, and adds paths that are missing. */
  async #repair(): Promise<void> {
    const { host, logger } = this.#parts;
    try {
      const { bootId } = await host.identity();
      const records = await host.records();
      for (const record of records) {
        if (record.bootId !== bootId && !record.ephemeral) await this.#forgetEnded(record);
      }
      const current = records.filter((record) => record.bootId === bootId);
      for (const subnqn of new Set(current.map((record) => record.subnqn))) {
        await this.#repairPaths(subnqn);
      }
      await this.#parts.associations.endDiscovery();
    } catch (thrown) {
      logger.warn(`cannot look after the volumes of this node: ${toCsiError(thrown).message}`);
    }
  }

  async #repairPaths(subnqn: string): Promise<void> {
    const { host, associations } = this.#parts;
    const known = await this.#recordsOf(subnqn);
    // The discovery service is asked in the clear, which one that wants TLS does not answer.
    const added = known.some(({ tls }) => tls)
      ? []
      : await associations.discover({ subnqn, portals: portalsOf(known) }, this.#ending.signal);
    await associations.alone(subnqn, async () => {
      // It may have been let go of while this waited.
      let records = await this.#recordsOf(subnqn);
      if (records.length === 0) return;
      if (added.length > 0) {
        for (const record of records) {
          await host.remember({ ...record, portals: portalsOf([record, { portals: added }]) });
        }
        this.#parts.logger.info({ subnqn, portals: added }, 'portals were added; connecting');
        records = await this.#recordsOf(subnqn);
      }
      const needsSecrets = records.some(({ tls, authenticate }) => tls || authenticate);
      await associations.repair({ subnqn, portals: portalsOf(records) }, needsSecrets);
    });
  }

  async #recordsOf(subnqn: string): Promise<VolumeRecord[]> {
    const records = await currentRecords(this.#parts.host);
    return records.filter((record) => record.subnqn === subnqn);
  }

  /** Nothing of an earlier boot is connected or mounted; where it seems so, it stays. */
  async #forgetEnded(record: VolumeRecord): Promise<void> {
    const { host, locks } = this.#parts;
    const { volumeId } = record;
    const forget = async () => {
      const now = (await host.records()).find((each) => each.volumeId === volumeId);
      if (now === undefined || now.bootId !== record.bootId) return;
      const disk = await host.disk(record.uuid);
      if ((await host.mounts()).some((mount) => isOf(mount, disk))) return;
      await host.forget(volumeId);
    };
    await locks.hold([volumeId], 'clearing up', forget).catch((thrown: unknown) => {
      if (toCsiError(thrown).status !== 'ABORTED') throw thrown;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    if (this.#news !== null) clearTimeout(this.#news);
    this.#ending.abort();
    await this.#watching;
    await this.#parts.associations[Symbol.asyncDispose]();
    await this.#repairing;
  }
}

/** Each once, in the order in which they became known. */
function portalsOf(known: readonly Pick<VolumeRecord, 'portals'>[]): string[] {
  return [...new Set(known.flatMap(({ portals }) => portals))];
}

/** The service; see {@link NodeService}. */
export function nodeService(options: NodeServiceOptions): Handlers<'Node'> & AsyncDisposable {
  return new NodeService(options);
}
