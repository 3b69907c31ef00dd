/** The Controller service: what each RPC is asked, and what it answers. */
import { CsiError } from '../errors.js';
import type { OperationLocks } from '../locks.js';
import { required } from '../names.js';
import type { CsiCall, Handlers } from '../server.js';
import type { RequestOf, ResponseOf } from '../wire/services.js';
import { type VolumeMaker, wantedVolume } from './create.js';
import type { Endpoints } from './endpoints.js';
import { volumeObject } from './objects.js';
import { type Publisher, wantedPublication } from './publish.js';
import type { Volumes } from './volumes.js';

type Asked<R extends keyof Handlers<'Controller'>> = RequestOf<'Controller', R>;
type Answered<R extends keyof Handlers<'Controller'>> = Promise<ResponseOf<'Controller', R>>;

export interface ControllerParts {
  endpoints: Endpoints;
  locks: OperationLocks;
  maker: VolumeMaker;
  publisher: Publisher;
  volumes: Volumes;
}

/** Everything that a controller can do is done here. */
const capabilities = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'CLONE_VOLUME',
  'PUBLISH_READONLY',
  'EXPAND_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
  'MODIFY_VOLUME',
] as const;

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
    return { capabilities: capabilities.map((type) => ({ rpc: { type } })) };
  }

  async validateVolumeCapabilities(): Answered<'validateVolumeCapabilities'> {
    throw absent('ValidateVolumeCapabilities');
  }
  async listVolumes(): Answered<'listVolumes'> {
    throw absent('ListVolumes');
  }
  async getCapacity(): Answered<'getCapacity'> {
    throw absent('GetCapacity');
  }
  async createSnapshot(): Answered<'createSnapshot'> {
    throw absent('CreateSnapshot');
  }
  async deleteSnapshot(): Answered<'deleteSnapshot'> {
    throw absent('DeleteSnapshot');
  }
  async listSnapshots(): Answered<'listSnapshots'> {
    throw absent('ListSnapshots');
  }
  async getSnapshot(): Answered<'getSnapshot'> {
    throw absent('GetSnapshot');
  }
  async controllerGetVolume(): Answered<'controllerGetVolume'> {
    throw absent('ControllerGetVolume');
  }
}

function absent(rpc: string): CsiError {
  return new CsiError('UNIMPLEMENTED', `${rpc} is not there yet`);
}
