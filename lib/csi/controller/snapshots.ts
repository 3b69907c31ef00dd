/** Snapshots of single volumes; groups are in groups.ts. */
import type { Snapshot } from '../../api/contract.js';
import { CsiError } from '../errors.js';
import type { OperationLocks } from '../locks.js';
import { ashlarName, checkName, isUuid, required } from '../names.js';
import type { RequestOf } from '../wire/services.js';
import { codeOf } from './endpoint.js';
import type { Endpoints, Found } from './endpoints.js';
import { snapshotUuid } from './identities.js';
import type { Listing } from './listing.js';
import { parseNone } from './parameters.js';

export class Snapshots {
  readonly #endpoints: Endpoints;
  readonly #locks: OperationLocks;
  readonly #listing: Listing;

  constructor(endpoints: Endpoints, locks: OperationLocks, listing: Listing) {
    this.#endpoints = endpoints;
    this.#locks = locks;
    this.#listing = listing;
  }

  /** @throws CsiError NOT_FOUND, UNAVAILABLE. */
  async find(snapshotId: string, signal: AbortSignal): Promise<Found<Snapshot>> {
    const found = await this.#endpoints.snapshot(snapshotId, signal);
    if (found !== null) return found;
    throw new CsiError('NOT_FOUND', `snapshot '${snapshotId}' does not exist`);
  }

  /** The snapshot of that name, made now or before; a name is one snapshot over all volumes. */
  create(
    request: RequestOf<'Controller', 'createSnapshot'>,
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const name = checkName('name', request.name);
    const volumeId = required('source_volume_id', request.sourceVolumeId);
    parseNone(request.parameters);
    const uuid = snapshotUuid(name);
    return this.#locks.hold([uuid], 'CreateSnapshot', async () => {
      // It is where its volume is. Only of a volume that is gone nobody knows where that was.
      const source = await this.#endpoints.volume(volumeId, signal);
      const needed = source === null ? this.#endpoints.all : [source.endpoint];
      const before = await this.#endpoints.snapshotAnywhere(uuid, needed, signal);
      if (before !== null) {
        if (before.item.sourceUuid === volumeId) return before.item;
        throw new CsiError(
          'ALREADY_EXISTS',
          `snapshot '${name}' is of volume '${before.item.sourceUuid ?? before.item.volume}' and ` +
            `not of '${volumeId}'; choose another name`,
        );
      }
      if (source === null) {
        throw new CsiError('NOT_FOUND', `the source, volume '${volumeId}', does not exist`);
      }
      const { endpoint, item } = source;
      const { items } = await endpoint.call(
        'createSnapshots',
        {
          body: { volumes: [item.uuid], name: ashlarName(name), uuids: [uuid] },
          query: { tenant: item.tenant, repeatable: 'true' },
        },
        { signal },
      );
      const [made] = items;
      if (made === undefined) throw new RangeError('a snapshot of one volume is one snapshot');
      this.#endpoints.remember(uuid, endpoint);
      return made;
    });
  }

  /** @throws CsiError INVALID_ARGUMENT for a member of a group, FAILED_PRECONDITION in use. */
  delete(snapshotId: string, signal: AbortSignal): Promise<void> {
    return this.#locks.hold([snapshotId], 'DeleteSnapshot', async () => {
      const found = await this.#endpoints.snapshot(snapshotId, signal);
      if (found === null) return;
      const { endpoint, item } = found;
      if (item.groupUuid !== null) {
        throw new CsiError(
          'INVALID_ARGUMENT',
          `snapshot '${snapshotId}' is one of group '${item.groupUuid}' and is deleted with it, ` +
            'by DeleteVolumeGroupSnapshot',
        );
      }
      const input = { params: { snapshot: item.uuid }, query: { repeatable: 'true' as const } };
      try {
        await endpoint.call('deleteSnapshot', input, { signal });
      } catch (thrown) {
        if (codeOf(thrown) !== 'not-found') throw thrown;
      }
    });
  }

  async list(
    request: RequestOf<'Controller', 'listSnapshots'>,
    signal: AbortSignal,
  ): Promise<{ items: Snapshot[]; nextToken: string }> {
    const { snapshotId, sourceVolumeId: volume } = request;
    if (snapshotId !== '') {
      const found = await this.#endpoints.snapshot(snapshotId, signal);
      const fits = found !== null && (volume === '' || found.item.sourceUuid === volume);
      return { items: fits ? [found.item] : [], nextToken: '' };
    }
    if (volume !== '' && !isUuid(volume)) return { items: [], nextToken: '' };
    const filter = volume === '' ? {} : { volume };
    const page = await this.#listing.page('listSnapshots', filter, request, signal);
    return { items: page.items.map(({ item }) => item), nextToken: page.nextToken };
  }
}
