/** The Controller service: what each RPC is asked, and what it answers. */
import type { Volume } from '../../api/contract.js';
import { CsiError } from '../errors.js';
import { required } from '../names.js';
import type { CsiCall, Handlers } from '../server.js';
import { ControllerRpcType } from '../wire/messages.js';
import type { RequestOf, ResponseOf } from '../wire/services.js';
import { incomplete, unsupported } from './capabilities.js';
import { capacityOf } from './capacity.js';
import { conditionOf, conditionsOf } from './condition.js';
import { type VolumeMaker, wantedVolume } from './create.js';
import type { Endpoints, Found } from './endpoints.js';
import type { Listing } from './listing.js';
import { contextKeys, snapshotObject, volumeObject } from './objects.js';
import { parseParameters } from './parameters.js';
import { type Publisher, wantedPublication } from './publish.js';
import type { Snapshots } from './snapshots.js';
import type { Volumes } from './volumes.js';

type Asked<R extends keyof Handlers<'Controller'>> = RequestOf<'Controller', R>;
type Answered<R extends keyof Handlers<'Controller'>> = Promise<ResponseOf<'Controller', R>>;

export interface ControllerParts {
  endpoints: Endpoints;
  listing: Listing;
  maker: VolumeMaker;
  publisher: Publisher;
  volumes: Volumes;
  snapshots: Snapshots;
}

export class ControllerService implements Handlers<'Controller'> {
  readonly #parts: ControllerParts;

  constructor(parts: ControllerParts) {
    this.#parts = parts;
  }

  async createVolume(request: Asked<'createVolume'>, call: CsiCall): Answered<'createVolume'> {
    const wanted = wantedVolume(request);
    const found = await this.#parts.maker.make(wanted, call.signal);
    const { tls } = wanted.parameters;
    const { volumeContentSource: contentSource } = request;
    return { volume: volumeObject(found, { contentSource, tls }) };
  }

  async deleteVolume(request: Asked<'deleteVolume'>, call: CsiCall): Answered<'deleteVolume'> {
    await this.#parts.volumes.delete(required('volume_id', request.volumeId), call.signal);
    return {};
  }

  async controllerPublishVolume(
    request: Asked<'controllerPublishVolume'>,
    call: CsiCall,
  ): Answered<'controllerPublishVolume'> {
    const wanted = wantedPublication(request);
    return { publishContext: await this.#parts.publisher.publish(wanted, call.signal) };
  }

  async controllerUnpublishVolume(
    request: Asked<'controllerUnpublishVolume'>,
    call: CsiCall,
  ): Answered<'controllerUnpublishVolume'> {
    const volumeId = required('volume_id', request.volumeId);
    const { nodeId } = request;
    const node = nodeId === '' ? null : nodeId;
    await this.#parts.publisher.unpublish(volumeId, node, call.signal);
    return {};
  }

  async controllerExpandVolume(
    request: Asked<'controllerExpandVolume'>,
    call: CsiCall,
  ): Answered<'controllerExpandVolume'> {
    return this.#parts.volumes.expand(request, call.signal);
  }

  async controllerModifyVolume(
    request: Asked<'controllerModifyVolume'>,
    call: CsiCall,
  ): Answered<'controllerModifyVolume'> {
    await this.#parts.volumes.modify(request, call.signal);
    return {};
  }

  async controllerGetCapabilities(): Answered<'controllerGetCapabilities'> {
    // Everything that a controller can do is done here.
    const types = ControllerRpcType.values.filter((type) => type !== 'UNKNOWN');
    return { capabilities: types.map((type) => ({ rpc: { type } })) };
  }

  async validateVolumeCapabilities(
    request: Asked<'validateVolumeCapabilities'>,
    { signal }: CsiCall,
  ): Answered<'validateVolumeCapabilities'> {
    const { volumeContext, volumeCapabilities, parameters, mutableParameters } = request;
    const volumeId = required('volume_id', request.volumeId);
    if (volumeCapabilities.length === 0) {
      throw new CsiError('INVALID_ARGUMENT', 'volume_capabilities is missing');
    }
    for (const capability of volumeCapabilities) {
      const problem = incomplete(capability);
      if (problem !== null) throw new CsiError('INVALID_ARGUMENT', problem);
    }
    const found = await this.#parts.volumes.find(volumeId, signal);
    const message = unfit(found, request);
    if (message !== null) return { message };
    const confirmed = { volumeContext, volumeCapabilities, parameters, mutableParameters };
    return { confirmed };
  }

  async listVolumes(request: Asked<'listVolumes'>, { signal }: CsiCall): Answered<'listVolumes'> {
    const { items, nextToken } = await this.#parts.listing.page('listVolumes', {}, request, signal);
    const judged = await conditionsOf(items, signal);
    const entries = judged.map(({ found, condition: volumeCondition }) => ({
      volume: volumeObject(found),
      status: { publishedNodeIds: nodesOf(found), volumeCondition },
    }));
    return { entries, nextToken };
  }

  async controllerGetVolume(
    request: Asked<'controllerGetVolume'>,
    { signal }: CsiCall,
  ): Answered<'controllerGetVolume'> {
    const volumeId = required('volume_id', request.volumeId);
    const found = await this.#parts.volumes.find(volumeId, signal);
    const volumeCondition = await conditionOf(found, signal);
    if (volumeCondition === null) {
      throw new CsiError('NOT_FOUND', `volume '${volumeId}' has just been deleted`);
    }
    return {
      volume: volumeObject(found),
      status: { publishedNodeIds: nodesOf(found), volumeCondition },
    };
  }

  async getCapacity(request: Asked<'getCapacity'>, { signal }: CsiCall): Answered<'getCapacity'> {
    const capacity = await capacityOf(this.#parts.endpoints, request, signal);
    return {
      availableCapacity: capacity.availableCapacity,
      maximumVolumeSize: { value: capacity.maximumVolumeSize },
      minimumVolumeSize: { value: capacity.minimumVolumeSize },
    };
  }

  async createSnapshot(
    request: Asked<'createSnapshot'>,
    { signal }: CsiCall,
  ): Answered<'createSnapshot'> {
    return { snapshot: snapshotObject(await this.#parts.snapshots.create(request, signal)) };
  }

  async deleteSnapshot(
    request: Asked<'deleteSnapshot'>,
    { signal }: CsiCall,
  ): Answered<'deleteSnapshot'> {
    await this.#parts.snapshots.delete(required('snapshot_id', request.snapshotId), signal);
    return {};
  }

  async listSnapshots(
    request: Asked<'listSnapshots'>,
    { signal }: CsiCall,
  ): Answered<'listSnapshots'> {
    const { items, nextToken } = await this.#parts.snapshots.list(request, signal);
    return { entries: items.map((item) => ({ snapshot: snapshotObject(item) })), nextToken };
  }

  async getSnapshot(request: Asked<'getSnapshot'>, { signal }: CsiCall): Answered<'getSnapshot'> {
    const snapshotId = required('snapshot_id', request.snapshotId);
    const { item } = await this.#parts.snapshots.find(snapshotId, signal);
    return { snapshot: snapshotObject(item) };
  }
}

/** Hosts that have it; those to whom nothing but '*' gives it are not known. */
function nodesOf({ item }: Found<Volume>): string[] {
  return item.grants.map(({ host }) => host).filter((host) => host !== '*');
}

/** Why a volume is not what is asked about; null: it is. */
function unfit(
  { endpoint, item }: Found<Volume>,
  request: Asked<'validateVolumeCapabilities'>,
): string | null {
  const { volumeCapabilities, volumeContext, parameters, mutableParameters } = request;
  const problems = volumeCapabilities.map(unsupported).filter((problem) => problem !== null);
  const [problem] = problems;
  if (problem !== undefined) return problem;
  const differs = (what: string, has: unknown, asked: unknown): string | null =>
    asked === undefined || asked === null || asked === has
      ? null
      : `${what} of the volume is '${has ?? ''}', not '${asked}'`;
  const context = volumeContext;
  try {
    const { tenant, blockBytes, reserved, policy } = parseParameters(parameters, mutableParameters);
    return (
      differs('tenant', item.tenant, tenant ?? context[contextKeys.tenant]) ??
      differs('tenant', item.tenant, context[contextKeys.tenant]) ??
      differs('endpoint', endpoint.name, context[contextKeys.endpoint]) ??
      differs('blockSize', item.blockBytes, blockBytes) ??
      differs('reserve', item.reserved, reserved) ??
      differs('policy', item.policy ?? '', policy)
    );
  } catch (thrown) {
    if (thrown instanceof CsiError) return thrown.message;
    throw thrown;
  }
}
