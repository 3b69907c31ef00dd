/** Volumes that are there: delete, expand, modify, look at. */
import type { Volume } from '../../api/contract.js';
import { formatSize, formatSizeShort } from '../../config/units.js';
import { CsiError, toCsiError } from '../errors.js';
import type { OperationLocks } from '../locks.js';
import { required } from '../names.js';
import type { RequestOf } from '../wire/services.js';
import { useOf } from './capabilities.js';
import { codeOf } from './endpoint.js';
import type { Endpoints, Found } from './endpoints.js';
import { volumeText } from './objects.js';
import { type MutableParameters, parametersIn, parseMutable } from './parameters.js';
import { lackOf, roomOf } from './placement.js';
import { joinSchedule } from './schedules.js';
import { isWithin, sizeWithin } from './sizes.js';

export class Volumes {
  readonly #endpoints: Endpoints;
  readonly #locks: OperationLocks;

  constructor(endpoints: Endpoints, locks: OperationLocks) {
    this.#endpoints = endpoints;
    this.#locks = locks;
  }

  /** @throws CsiError NOT_FOUND, UNAVAILABLE. */
  async find(volumeId: string, signal: AbortSignal): Promise<Found<Volume>> {
    const found = await this.#endpoints.volume(volumeId, signal);
    if (found !== null) return found;
    throw new CsiError('NOT_FOUND', `volume '${volumeId}' does not exist`);
  }

  /** Its snapshots stay. @throws CsiError FAILED_PRECONDITION while a node has it. */
  delete(volumeId: string, signal: AbortSignal): Promise<void> {
    return this.#locks.hold([volumeId], 'DeleteVolume', async () => {
      const found = await this.#endpoints.volume(volumeId, signal);
      if (found === null) return;
      const { endpoint, item } = found;
      assertUnpublished(found);
      const input = { params: { volume: item.uuid }, query: { repeatable: 'true' as const } };
      try {
        // With the tag of what was looked at: a grant that comes in between keeps it.
        const { output, etag } = await endpoint.tagged(
          'getVolume',
          { params: { volume: item.uuid } },
          { signal },
        );
        assertUnpublished({ endpoint, item: output });
        await endpoint.call('deleteVolume', input, { signal, ifMatch: etag ?? undefined });
      } catch (thrown) {
        if (codeOf(thrown) !== 'not-found') throw thrown;
      }
    });
  }

  /** @returns the size, in bytes, and whether the node has something to do. */
  expand(
    request: RequestOf<'Controller', 'controllerExpandVolume'>,
    signal: AbortSignal,
  ): Promise<{ capacityBytes: bigint; nodeExpansionRequired: boolean }> {
    const volumeId = required('volume_id', request.volumeId);
    const { capacityRange: range, volumeCapability } = request;
    if (range === null) throw new CsiError('INVALID_ARGUMENT', 'capacity_range is missing');
    const block = volumeCapability !== null && useOf(volumeCapability).kind === 'block';
    return this.#locks.hold([volumeId], 'ControllerExpandVolume', async () => {
      const found = await this.find(volumeId, signal);
      const has = BigInt(found.item.sizeBytes);
      const wanted =
        range.requiredBytes === 0n ? has : sizeWithin(range, found.item.blockBytes, null);
      const size = wanted <= has ? has : await this.#grow(found, wanted, signal);
      if (!isWithin({ requiredBytes: 0n, limitBytes: range.limitBytes }, size)) {
        throw new CsiError(
          'OUT_OF_RANGE',
          `${volumeText(found)} has ${formatSize(size)}, and at most ` +
            `${formatSize(range.limitBytes)} is asked for; a volume is never made smaller`,
        );
      }
      // A device is as large as it is by itself; of a file system the node takes care.
      return { capacityBytes: size, nodeExpansionRequired: !block };
    });
  }

  async #grow(found: Found<Volume>, size: bigint, signal: AbortSignal): Promise<bigint> {
    const { endpoint, item } = found;
    const more = size - BigInt(item.sizeBytes);
    const { bytes } = await roomOf(endpoint, parametersIn(item.tenant), signal);
    if (bytes !== null && bytes < more) {
      throw new CsiError(
        'RESOURCE_EXHAUSTED',
        `${volumeText(found)} would grow by ${formatSize(more)}, and there is room for ` +
          formatSizeShort(bytes),
      );
    }
    try {
      const { sizeBytes } = await endpoint.call(
        'changeVolume',
        { params: { volume: item.uuid }, body: { sizeBytes: Number(size) } },
        { signal },
      );
      return BigInt(sizeBytes);
    } catch (thrown) {
      if (codeOf(thrown) !== 'invalid-argument') throw thrown;
      // Somebody has made it larger meanwhile, and this would have made it smaller.
      const now = await this.find(item.uuid, signal);
      if (BigInt(now.item.sizeBytes) >= size) return BigInt(now.item.sizeBytes);
      throw thrown;
    }
  }

  /** All of it, or as little as can be: everything is looked for before anything is changed. */
  modify(
    request: RequestOf<'Controller', 'controllerModifyVolume'>,
    signal: AbortSignal,
  ): Promise<void> {
    const volumeId = required('volume_id', request.volumeId);
    if (Object.keys(request.mutableParameters).length === 0) {
      throw new CsiError('INVALID_ARGUMENT', 'mutable_parameters is missing');
    }
    const wanted = parseMutable(request.mutableParameters);
    return this.#locks.hold([volumeId], 'ControllerModifyVolume', async () => {
      const found = await this.find(volumeId, signal);
      const { endpoint, item } = found;
      const lack = await lackOf(endpoint, item.tenant, wanted, signal, item.name);
      if (lack !== null) {
        throw new CsiError(lack.status, `endpoint '${endpoint.name}' ${lack.text}`);
      }
      await this.#apply(found, wanted, signal);
    });
  }

  async #apply(
    found: Found<Volume>,
    { policy, schedule }: MutableParameters,
    signal: AbortSignal,
  ): Promise<void> {
    // The schedule first: it is what may have no room, and then nothing has changed.
    if (schedule !== null) await joinSchedule(found, schedule, signal);
    if (policy === null || (policy === '' ? null : policy) === found.item.policy) return;
    const { endpoint, item } = found;
    try {
      await endpoint.call(
        'changeVolume',
        {
          params: { volume: item.uuid },
          body: { policy: policy === '' ? null : policy },
        },
        { signal },
      );
    } catch (thrown) {
      const { status, message } = toCsiError(thrown);
      if (status !== 'NOT_FOUND') throw thrown;
      throw new CsiError('ABORTED', `${message}; call again`, { cause: thrown });
    }
  }
}

function assertUnpublished(found: Found<Volume>): void {
  const { grants } = found.item;
  if (grants.length === 0) return;
  const nodes = grants.map(({ host }) => `'${host}'`).join(', ');
  throw new CsiError(
    'FAILED_PRECONDITION',
    `${volumeText(found)} is published to ${nodes}; unpublish it there first`,
  );
}
