/** The GroupController service: snapshots of several volumes, or of one, at one instant. */
import type { Group, Snapshot, Volume } from '../../api/contract.js';
import { CsiError } from '../errors.js';
import type { OperationLocks } from '../locks.js';
import { ashlarName, checkName, required } from '../names.js';
import type { CsiCall, Handlers } from '../server.js';
import type { Encodable } from '../wire/fields.js';
import type * as m from '../wire/messages.js';
import type { RequestOf, ResponseOf } from '../wire/services.js';
import { codeOf, type Endpoint } from './endpoint.js';
import type { Endpoints, Found } from './endpoints.js';
import { groupUuid, memberUuid } from './identities.js';
import { snapshotObject, timestamp } from './objects.js';
import { parseNone } from './parameters.js';

type Asked<R extends keyof Handlers<'GroupController'>> = RequestOf<'GroupController', R>;
type Answered<R extends keyof Handlers<'GroupController'>> = Promise<
  ResponseOf<'GroupController', R>
>;

/** One journal entry of a daemon takes them all. */
const maxVolumes = 64;

export class GroupControllerService implements Handlers<'GroupController'> {
  readonly #endpoints: Endpoints;
  readonly #locks: OperationLocks;

  constructor(endpoints: Endpoints, locks: OperationLocks) {
    this.#endpoints = endpoints;
    this.#locks = locks;
  }

  async groupControllerGetCapabilities(): Answered<'groupControllerGetCapabilities'> {
    return { capabilities: [{ rpc: { type: 'CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT' } }] };
  }

  async createVolumeGroupSnapshot(
    request: Asked<'createVolumeGroupSnapshot'>,
    { signal }: CsiCall,
  ): Answered<'createVolumeGroupSnapshot'> {
    const name = checkName('name', request.name);
    const { sourceVolumeIds } = request;
    checkVolumes(sourceVolumeIds);
    parseNone(request.parameters);
    const uuid = groupUuid(name);
    const snapshots = await this.#locks.hold([uuid], 'CreateVolumeGroupSnapshot', async () => {
      const sources = await Promise.all(
        sourceVolumeIds.map((id) => this.#endpoints.volume(id, signal)),
      );
      const places = sources.flatMap((source) => (source === null ? [] : [source.endpoint]));
      // It is where its volumes are, if they are still there.
      const needed = places.length < sources.length ? this.#endpoints.all : places;
      const before = await this.#endpoints.groupAnywhere(uuid, needed, signal);
      if (before === null) return this.#make(name, sourceVolumeIds, sources, signal);
      const members = await membersOf(before, signal);
      assertSame(name, members, sourceVolumeIds);
      return members;
    });
    return { groupSnapshot: groupObject(uuid, snapshots) };
  }

  async #make(
    name: string,
    ids: readonly string[],
    sources: readonly (Found<Volume> | null)[],
    signal: AbortSignal,
  ): Promise<Snapshot[]> {
    const found = sources.map((source, index): Found<Volume> => {
      if (source !== null) return source;
      throw new CsiError('NOT_FOUND', `a source, volume '${ids[index]}', does not exist`);
    });
    const { endpoint, tenant } = together(found);
    const uuid = groupUuid(name);
    const { items } = await endpoint.call(
      'createSnapshots',
      {
        body: {
          volumes: [...ids],
          name: ashlarName(name),
          uuids: ids.map((id) => memberUuid(name, id)),
          groupUuid: uuid,
        },
        query: { tenant, repeatable: 'true' },
      },
      { signal },
    );
    this.#endpoints.remember(uuid, endpoint);
    return items;
  }

  async deleteVolumeGroupSnapshot(
    request: Asked<'deleteVolumeGroupSnapshot'>,
    { signal }: CsiCall,
  ): Answered<'deleteVolumeGroupSnapshot'> {
    const id = required('group_snapshot_id', request.groupSnapshotId);
    await this.#locks.hold([id], 'DeleteVolumeGroupSnapshot', async () => {
      const found = await this.#endpoints.group(id, signal);
      if (found === null) return;
      await this.#assertNamed(found, request.snapshotIds, signal);
      const { endpoint, item } = found;
      const query = { tenant: item.tenant, repeatable: 'true' as const };
      try {
        await endpoint.call('deleteGroup', { params: { group: id }, query }, { signal });
      } catch (thrown) {
        if (codeOf(thrown) !== 'not-found') throw thrown;
      }
    });
    return {};
  }

  /**
   * Those that are still there have to be named; and what is named beside them has to be gone, as
   * it is after a deletion that was cut off.
   */
  async #assertNamed(
    { endpoint, item }: Found<Group>,
    ids: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const left = item.snapshotUuids.filter((uuid) => !ids.includes(uuid));
    if (left.length > 0) {
      throw mismatch(item.uuid, `it also has ${left.map((uuid) => `'${uuid}'`).join(', ')}`);
    }
    const others = ids.filter((id) => !item.snapshotUuids.includes(id));
    for (const id of others) {
      const found = await this.#endpoints.snapshot(id, signal);
      if (found === null) continue;
      throw mismatch(item.uuid, `snapshot '${id}' (endpoint '${endpoint.name}') is not one of it`);
    }
  }

  async getVolumeGroupSnapshot(
    request: Asked<'getVolumeGroupSnapshot'>,
    { signal }: CsiCall,
  ): Answered<'getVolumeGroupSnapshot'> {
    const id = required('group_snapshot_id', request.groupSnapshotId);
    const found = await this.#endpoints.group(id, signal);
    if (found === null) {
      throw new CsiError('NOT_FOUND', `group snapshot '${id}' does not exist`);
    }
    const { snapshotIds } = request;
    const { snapshotUuids } = found.item;
    const other =
      snapshotIds.find((each) => !snapshotUuids.includes(each)) ??
      snapshotUuids.find((each) => !snapshotIds.includes(each));
    if (snapshotIds.length > 0 && other !== undefined) {
      const has = snapshotUuids.includes(other) ? 'is one of it too' : 'is not one of it';
      throw mismatch(id, `snapshot '${other}' ${has}`);
    }
    return { groupSnapshot: groupObject(id, await membersOf(found, signal)) };
  }
}

/** @throws CsiError INVALID_ARGUMENT. */
function checkVolumes(ids: readonly string[]): void {
  if (ids.length === 0) throw new CsiError('INVALID_ARGUMENT', 'source_volume_ids is missing');
  for (const id of ids) required('one of source_volume_ids', id);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) {
    throw new CsiError('INVALID_ARGUMENT', `volume '${twice}' is in source_volume_ids twice`);
  }
  if (ids.length <= maxVolumes) return;
  throw new CsiError(
    'INVALID_ARGUMENT',
    `${ids.length} volumes at one instant; ${maxVolumes} is the limit of a group`,
  );
}

/** Where all of them are. @throws CsiError FAILED_PRECONDITION when that is not one place. */
function together(found: readonly Found<Volume>[]): { endpoint: Endpoint; tenant: string } {
  const [first] = found;
  if (first === undefined) throw new RangeError('a group has a volume');
  const { endpoint, item } = first;
  const other = found.find(
    (each) => each.endpoint !== endpoint || each.item.tenant !== item.tenant,
  );
  if (other === undefined) return { endpoint, tenant: item.tenant };
  const text = (each: Found<Volume>): string =>
    `volume '${each.item.uuid}' is of tenant '${each.item.tenant}' at endpoint ` +
    `'${each.endpoint.name}'`;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `${text(first)}, and ${text(other)}; the volumes of a group are of one tenant at one endpoint`,
  );
}

async function membersOf(
  { endpoint, item }: Found<Group>,
  signal: AbortSignal,
): Promise<Snapshot[]> {
  const members = await Promise.all(
    item.snapshotUuids.map((snapshot) =>
      endpoint.lookUp('getSnapshot', { params: { snapshot } }, signal),
    ),
  );
  return members.filter((member) => member !== null);
}

/** @throws CsiError ALREADY_EXISTS. */
function assertSame(name: string, members: readonly Snapshot[], ids: readonly string[]): void {
  const has = members.map(({ sourceUuid }) => sourceUuid ?? '').sort();
  const wants = [...ids].sort();
  if (has.length === wants.length && has.every((id, index) => id === wants[index])) return;
  throw new CsiError(
    'ALREADY_EXISTS',
    `group snapshot '${name}' was made of ${has.join(', ')}, not of ${wants.join(', ')}; choose ` +
      'another name',
  );
}

function mismatch(group: string, why: string): CsiError {
  return new CsiError(
    'INVALID_ARGUMENT',
    `snapshot_ids are not those of group snapshot '${group}': ${why}`,
  );
}

function groupObject(
  uuid: string,
  snapshots: readonly Snapshot[],
): Encodable<typeof m.VolumeGroupSnapshot> {
  const [first] = snapshots;
  return {
    groupSnapshotId: uuid,
    snapshots: snapshots.map(snapshotObject),
    creationTime: timestamp(first?.createdAt ?? new Date(0).toISOString()),
    readyToUse: true,
  };
}
