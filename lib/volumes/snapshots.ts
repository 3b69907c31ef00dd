/** Snapshots: create one or several at one instant, list, show, roll back to, delete, grant. */

import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  type SnapshotRecord,
  snapshotKey,
  snapshotKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError, throwIfAborted } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { addSnapshot, moveTop } from './clones.js';
import { hostsText, refuseConnected } from './connected.js';
import { deleteGrants, type GrantService } from './grants.js';
import { deleteImport } from './importing.js';
import { snapshotDetail, snapshotDetails, snapshotInfo, volumeDetail } from './infos.js';
import { takePage } from './pages.js';
import { assertQuota } from './quotas.js';
import { findSnapshot, lookUpSnapshot, snapshotReference } from './references.js';
import { deleteReservations } from './reservations.js';
import { checkName, maxGroupVolumes } from './rules.js';
import { orderedSnapshots } from './snapshot_order.js';
import { type ControlState, findVolume, stillThere } from './state.js';
import type {
  CallOptions,
  ForceOptions,
  Page,
  PageOptions,
  SnapshotDetail,
  SnapshotFilter,
  SnapshotIdentities,
  SnapshotInfo,
  Snapshots,
  VolumeDetail,
} from './types.js';
import { hexText, isUuidText, randomUuidBytes, uuidBytes, uuidText } from './uuid.js';

type StoredSnapshot = Stored<SnapshotRecord>;
type StoredVolume = Stored<VolumeRecord>;

/** What a snapshot's record says of how it came about. */
type Origin = Pick<SnapshotRecord, 'group' | 'schedule' | 'plannedMs'> & {
  /** One for each volume, in their order; none: random. */
  uuids: readonly Uint8Array[];
};

/** No group, no schedule, no origin. */
const none = new Uint8Array(0);

export class SnapshotService implements Snapshots {
  readonly #state: ControlState;
  readonly #catalog: Catalog;
  readonly #grants: GrantService;

  constructor(state: ControlState, grants: GrantService) {
    this.#state = state;
    this.#catalog = state.catalog;
    this.#grants = grants;
  }

  async create(
    volume: string,
    name: string,
    options: CallOptions & Pick<SnapshotIdentities, 'uuids'> = {},
  ): Promise<SnapshotDetail> {
    this.#state.assertOpen();
    checkName('snapshot', name);
    const uuids = checkUuids(options.uuids, 1);
    const found = findVolume(this.#catalog, volume, options);
    const [made] = await this.#make([found], name, byHand(none, uuids), options);
    if (made === undefined) throw new RangeError('a snapshot of one volume is one snapshot');
    return made;
  }

  async createGroup(
    volumes: readonly string[],
    name: string,
    options: CallOptions & SnapshotIdentities = {},
  ): Promise<SnapshotDetail[]> {
    this.#state.assertOpen();
    checkName('snapshot', name);
    const uuids = checkUuids(options.uuids, volumes.length);
    const { groupUuid } = options;
    const group = groupUuid === undefined ? randomUuidBytes() : checkUuid(groupUuid);
    if (volumes.length < 1 || volumes.length > maxGroupVolumes) {
      throw new AshlarError(
        'invalid-argument',
        `${volumes.length} volumes at one instant; give 1 to ${maxGroupVolumes}`,
      );
    }
    const found = volumes.map((volume) => findVolume(this.#catalog, volume, options));
    const [first] = found;
    const seen = new Set<bigint>();
    for (const { id, value } of found) {
      if (seen.has(id)) {
        throw new AshlarError('invalid-argument', `volume '${value.name}' is named twice`);
      }
      if (value.tenant !== first?.value.tenant) {
        throw new AshlarError(
          'invalid-argument',
          `volume '${value.name}' is of another tenant than '${first?.value.name}'; volumes of ` +
            'one group are of one tenant',
        );
      }
      seen.add(id);
    }
    return this.#make(found, name, byHand(group, uuids), options);
  }

  /**
   * The same for a schedule: they carry its UUID, and the instant that it had planned for them.
   *
   * @param volumes record ids.
   */
  async createPlanned(
    volumes: readonly bigint[],
    name: string,
    planned: Pick<SnapshotRecord, 'schedule' | 'plannedMs'>,
    options: CallOptions = {},
  ): Promise<SnapshotDetail[]> {
    this.#state.assertOpen();
    const found = volumes.map((id) => stillThere(this.#catalog.get(volumeKind, id), 'a volume'));
    const group = found.length > 1 ? randomUuidBytes() : none;
    return this.#make(found, name, { ...planned, group, uuids: [] }, options);
  }

  /** All or none, in the order of `volumes`. */
  async #make(
    volumes: readonly StoredVolume[],
    name: string,
    origin: Origin,
    options: CallOptions,
  ): Promise<SnapshotDetail[]> {
    const { group, uuids, ...rest } = origin;
    const names = volumes.map(({ value }) => `'${value.name}@${name}'`).join(', ');
    const what = `create snapshot ${names}`;
    // In one order everywhere, so that groups that overlap cannot wait for each other.
    const ids = volumes.map(({ id }) => id).sort((a, b) => (a < b ? -1 : 1));
    const keys = ids.map((id) => `volume ${id}`);
    const records = await this.#state.locks.holdAll(keys, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      const before = this.#acceptRepeat(volumes, name, origin, options);
      if (before !== null) return before;
      const made = await this.#catalog.transact(
        what,
        (transaction) => {
          const [first] = volumes;
          if (first !== undefined) {
            assertQuota(this.#catalog, first.value.tenant, { snapshots: volumes.length });
          }
          // One instant has one time.
          const createdMs = Date.now();
          return volumes.map((volume, index) => {
            const wanted = { ...rest, group, name, origin: none, uuid: uuids[index], createdMs };
            return addSnapshot(this.#catalog, transaction, volume, wanted);
          });
        },
        options.signal,
      );
      const created = made.map((id) => this.#get(id, names));
      for (const snapshot of created) {
        const together = group.length === 0 ? '' : ` with ${made.length - 1} others`;
        const reference = snapshotReference(this.#catalog, snapshot);
        this.#emit('snapshot-created', `snapshot '${reference}' created${together}`, snapshot);
      }
      return created;
    });
    return Promise.all(records.map((snapshot) => snapshotDetail(this.#state, snapshot)));
  }

  /** Those that a repeated call asks for; null: none of them is there. */
  #acceptRepeat(
    volumes: readonly StoredVolume[],
    name: string,
    { group, uuids }: Origin,
    options: CallOptions & SnapshotIdentities,
  ): StoredSnapshot[] | null {
    const before = volumes.map(({ id }) =>
      this.#catalog.find(snapshotKind, 'name', snapshotKey(id, name)),
    );
    const there = before.filter((snapshot) => snapshot !== null);
    const [first] = there;
    if (first === undefined) return null;
    const together = hexText(first.value.group);
    const named = options.groupUuid !== undefined || uuids.length > 0;
    const same =
      there.length === volumes.length &&
      (group.length === 0 || together !== '') &&
      there.every(({ value }) => hexText(value.group) === together) &&
      (options.groupUuid === undefined || hexText(group) === together) &&
      there.every(({ value }, index) => {
        const wanted = uuids[index];
        return wanted === undefined || hexText(wanted) === hexText(value.uuid);
      });
    const alone = !named && volumes.length === 1 && there.length === 1;
    if (options.repeatable === true && (same || alone)) return there;
    const references = there.map((one) => `'${snapshotReference(this.#catalog, one)}'`);
    throw new AshlarError(
      'already-exists',
      `snapshot ${references.join(', ')} exists already (${createdText(first)}); choose another ` +
        'name',
    );
  }

  listOf(volume: string, options: CallOptions = {}): SnapshotInfo[] {
    this.#state.assertOpen();
    const { id } = findVolume(this.#catalog, volume, options);
    return this.#catalog
      .group(snapshotKind, 'volume', String(id))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map((snapshot) => snapshotInfo(this.#catalog, snapshot));
  }

  async page(options: PageOptions & SnapshotFilter = {}): Promise<Page<SnapshotDetail>> {
    this.#state.assertOpen();
    const { items, next } = takePage(orderedSnapshots(this.#catalog, options), options);
    return { items: await snapshotDetails(this.#state, items), next };
  }

  async show(snapshot: string, options: CallOptions = {}): Promise<SnapshotDetail> {
    this.#state.assertOpen();
    throwIfAborted(options.signal, `show snapshot '${snapshot}'`);
    return snapshotDetail(this.#state, findSnapshot(this.#catalog, snapshot, options));
  }

  async rollback(reference: string, options: ForceOptions = {}): Promise<VolumeDetail> {
    this.#state.assertOpen();
    const snapshot = findSnapshot(this.#catalog, reference, options);
    const text = this.#text(snapshot);
    const { volume: id, volumeName } = snapshot.value;
    if (this.#catalog.get(volumeKind, id) === null) {
      throw new AshlarError(
        'conflict',
        `the volume of ${text} is deleted, so nothing can be rolled back to it; make a new volume ` +
          `of it: ashlar volume clone ${reference} ${volumeName}`,
      );
    }
    const what = `roll back to ${text}`;
    return this.#state.locks.hold(`volume ${id}`, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      const volume = stillThere(this.#catalog.get(volumeKind, id), `the volume of ${text}`);
      await this.#rollbackNow(volume, snapshot, what, options);
      return volumeDetail(
        this.#state,
        stillThere(this.#catalog.get(volumeKind, id), `volume '${volume.value.name}'`),
      );
    });
  }

  async #rollbackNow(
    volume: StoredVolume,
    snapshot: StoredSnapshot,
    what: string,
    options: ForceOptions,
  ): Promise<void> {
    const { exports } = this.#state;
    const text = `volume '${volume.value.name}'`;
    const connected = exports.connectionsOf(volume);
    const commit = (): Promise<void> =>
      this.#catalog.transact(
        what,
        (transaction) => this.#buildRollback(transaction, volume, snapshot),
        options.signal,
      );
    if (options.force !== true) {
      refuseConnected(text, connected, 'or roll it back under it with --force');
      await exports.withheld(volume, commit);
    } else {
      await commit();
      await exports.updateVolume(stillThere(this.#catalog.get(volumeKind, volume.id), text));
    }
    const message = `${text} rolled back to '${snapshot.value.name}'`;
    const { uuid, tenant } = volume.value;
    const about = { subject: uuidText(uuid), tenant };
    if (connected.length === 0) this.#state.emit('volume-rolled-back', message, about);
    else {
      const under = `${message} under ${hostsText(connected)} (forced); their caches may differ`;
      this.#state.emit('volume-rolled-back', under, about, 'warning');
    }
  }

  #buildRollback(transaction: Transaction, volume: StoredVolume, snapshot: StoredSnapshot): void {
    const now = stillThere(
      this.#catalog.get(volumeKind, volume.id),
      `volume '${volume.value.name}'`,
    );
    const { value } = this.#get(snapshot.id, `'${snapshot.value.name}'`);
    const larger = now.value.sizeBytes > value.sizeBytes ? now.value.sizeBytes : value.sizeBytes;
    assertQuota(this.#catalog, now.value.tenant, { bytes: larger - now.value.sizeBytes });
    moveTop(transaction, now, value.layer, larger);
    transaction.layer({ kind: 'delete-layer', layer: now.value.layer });
    deleteImport(this.#catalog, transaction, now.id);
  }

  async delete(reference: string, options: ForceOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const found = lookUpSnapshot(this.#catalog, reference, options);
    if (found === null && options.repeatable === true) return;
    const { id, value } = found ?? findSnapshot(this.#catalog, reference, options);
    const what = `delete snapshot '${value.name}'`;
    await this.#state.locks.hold(`snapshot ${id}`, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      const now = this.#catalog.get(snapshotKind, id);
      if (now === null && options.repeatable === true) return;
      await this.#deleteNow(stillThere(now, `snapshot '${reference}'`), what, options);
    });
  }

  async #deleteNow(snapshot: StoredSnapshot, what: string, options: ForceOptions): Promise<void> {
    const { exports } = this.#state;
    const text = this.#text(snapshot);
    if (exports.borrowers(snapshot.id) > 0) {
      throw new AshlarError('busy', `${text} is being read by an export; wait for it or stop it`);
    }
    const connected = exports.connectionsOf(snapshot);
    if (options.force !== true) {
      refuseConnected(text, connected, 'or take it away from there with --force');
    } else if (connected.length > 0) {
      const message = `${text} is taken from ${hostsText(connected)} to be deleted (forced)`;
      this.#emit('snapshot-detached', message, snapshot, 'warning');
    }
    try {
      await exports.hideSnapshot(snapshot);
      await this.#catalog.transact(what, (transaction) => {
        transaction.layer({ kind: 'delete-layer', layer: snapshot.value.layer });
        transaction.delete(snapshotKind, snapshot.id);
        deleteGrants(this.#catalog, transaction, 'snapshot', snapshot);
        deleteReservations(this.#catalog, transaction, snapshot);
      });
      await exports.forget('snapshot', snapshot);
    } finally {
      const now = this.#catalog.get(snapshotKind, snapshot.id);
      // It is still there, so its hosts get it back.
      if (now !== null) await exports.showSnapshot(now);
    }
    this.#emit('snapshot-deleted', `${text} deleted`, snapshot);
  }

  async grant(reference: string, host: string, options: CallOptions = {}): Promise<SnapshotDetail> {
    this.#state.assertOpen();
    const stored = findSnapshot(this.#catalog, reference, options);
    await this.#grants.grantTo({ kind: 'snapshot', stored }, host, options);
    return snapshotDetail(this.#state, this.#get(stored.id, `'${reference}'`));
  }

  async revoke(
    reference: string,
    host: string,
    options: CallOptions = {},
  ): Promise<SnapshotDetail> {
    this.#state.assertOpen();
    const stored = findSnapshot(this.#catalog, reference, options);
    await this.#grants.revokeFrom({ kind: 'snapshot', stored }, host, options);
    return snapshotDetail(this.#state, this.#get(stored.id, `'${reference}'`));
  }

  // ---- Pieces -----------------------------------------------------------------------------------

  #get(id: bigint, name: string): StoredSnapshot {
    return stillThere(this.#catalog.get(snapshotKind, id), `snapshot ${name}`);
  }

  #text(snapshot: StoredSnapshot): string {
    return `snapshot '${snapshotReference(this.#catalog, snapshot)}'`;
  }

  #emit(kind: EventKind, message: string, snapshot: StoredSnapshot, severity?: 'warning'): void {
    const { uuid, tenant } = snapshot.value;
    this.#state.emit(kind, message, { subject: uuidText(uuid), tenant }, severity);
  }
}

function byHand(group: Uint8Array, uuids: readonly Uint8Array[]): Origin {
  return { group, schedule: none, plannedMs: 0, uuids };
}

function checkUuids(uuids: readonly string[] | undefined, volumes: number): Uint8Array[] {
  if (uuids === undefined) return [];
  if (uuids.length === volumes && new Set(uuids).size === volumes) return uuids.map(checkUuid);
  throw new AshlarError(
    'invalid-argument',
    `${new Set(uuids).size} UUIDs for ${volumes} snapshots; give one for each, all different`,
  );
}

function checkUuid(uuid: string): Uint8Array {
  if (isUuidText(uuid)) return uuidBytes(uuid);
  throw new AshlarError('invalid-argument', `'${uuid}' is not a UUID`);
}

function createdText({ value }: StoredSnapshot): string {
  return `${uuidText(value.uuid)}, of ${new Date(value.createdMs).toISOString()}`;
}
