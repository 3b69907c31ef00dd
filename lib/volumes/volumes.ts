/** Volumes: create, clone, list, show, resize, reserve, rename, delete, and who may use them. */

import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  snapshotKind,
  tenantKind,
  type VolumeRecord,
  volumeKey,
  volumeKind,
} from '../catalog/kinds.js';
import { formatSize } from '../config/units.js';
import { AshlarError, throwIfAborted, toAshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { buildClone, sourceText, wantedClone } from './clones.js';
import { hostsText, refuseConnected } from './connected.js';
import { deleteGrants, type GrantService } from './grants.js';
import { deleteImport } from './importing.js';
import { volumeDetail, volumeDetails, volumeInfo } from './infos.js';
import { takePage } from './pages.js';
import { policyId } from './policies.js';
import { assertQuota } from './quotas.js';
import { findSource } from './references.js';
import { acceptRepeat, addVolume, checkCreate, type WantedVolume } from './requests.js';
import { deleteReservations } from './reservations.js';
import { checkName, checkSize } from './rules.js';
import { leaveSchedules } from './schedule_members.js';
import { type ControlState, findVolume, lookUpVolume, stillThere, tenantOf } from './state.js';
import type {
  CallOptions,
  CloneVolume,
  CreateVolume,
  ForceOptions,
  GrantAccess,
  Page,
  PageOptions,
  VolumeDetail,
  VolumeFilter,
  VolumeInfo,
  Volumes,
} from './types.js';
import { randomUuidBytes, uuidText } from './uuid.js';
import { volumesInOrder } from './volume_order.js';

type StoredVolume = Stored<VolumeRecord>;
type GrantOptions = CallOptions & { access?: GrantAccess | undefined };
type ResizeOptions = CallOptions & { shrink?: boolean | undefined };

/** Snapshots whose record is rewritten in one transaction, so that it stays small. */
const snapshotsAtOnce = 256;

export class VolumeService implements Volumes {
  readonly #state: ControlState;
  readonly #catalog: Catalog;
  readonly #grants: GrantService;

  constructor(state: ControlState, grants: GrantService) {
    this.#state = state;
    this.#catalog = state.catalog;
    this.#grants = grants;
  }

  async create(request: CreateVolume, options: CallOptions = {}): Promise<VolumeDetail> {
    this.#state.assertOpen();
    const wanted = checkCreate(request);
    const build = (transaction: Transaction, tenant: string): bigint => {
      const layer = randomUuidBytes();
      const { sizeBytes, blockBytes, reserved } = wanted;
      transaction.layer({
        kind: 'create-layer',
        layer,
        parent: null,
        sizeBytes,
        blockBytes,
        volumeFrom: null,
        reserved,
      });
      return addVolume(this.#catalog, transaction, tenant, wanted, layer);
    };
    const told = `volume '${wanted.name}' of ${formatSize(wanted.sizeBytes)} created`;
    const tenant = tenantOf(this.#catalog, options).value.name;
    return this.#make(tenant, wanted, build, told, options);
  }

  async clone(
    reference: string,
    request: CloneVolume,
    options: CallOptions = {},
  ): Promise<VolumeDetail> {
    this.#state.assertOpen();
    const { locks } = this.#state;
    const source = findSource(this.#catalog, reference, options);
    const from = sourceText(this.#catalog, source);
    const wanted = wantedClone(this.#catalog, request, source);
    const build = (transaction: Transaction, tenant: string): bigint =>
      buildClone(this.#catalog, transaction, tenant, source, request, wanted.uuid);
    const told = `volume '${wanted.name}' cloned from ${from}`;
    const tenant = stillThere(this.#catalog.get(tenantKind, source.stored.value.tenant), 'tenant');
    // Names before volumes and volumes before snapshots, wherever several locks are held.
    return this.#make(tenant.value.name, wanted, build, told, options, (commit) =>
      locks.hold(`${source.kind} ${source.stored.id}`, `clone ${from}`, options.signal, commit),
    );
  }

  /** Makes a volume under the lock of its name; `around` may hold what it is made from. */
  async #make(
    tenant: string,
    wanted: WantedVolume,
    build: (transaction: Transaction, tenant: string) => bigint,
    told: string,
    options: CallOptions,
    around: (commit: () => Promise<bigint>) => Promise<bigint> = (commit) => commit(),
  ): Promise<VolumeDetail> {
    const what = `create volume '${wanted.name}'`;
    const key = `volume-name ${tenant}/${wanted.name}`;
    return this.#state.locks.hold(key, what, options.signal, async () => {
      const before = lookUpVolume(this.#catalog, wanted.name, { tenant });
      if (before !== null) {
        return volumeDetail(this.#state, acceptRepeat(this.#catalog, before, wanted, options));
      }
      const id = await around(() =>
        this.#catalog.transact(what, (transaction) => build(transaction, tenant), options.signal),
      );
      return this.#openMade(id, wanted, told);
    });
  }

  /** Under the volume's own lock, as it can be deleted from the moment that it is durable. */
  #openMade(id: bigint, wanted: WantedVolume, told: string): Promise<VolumeDetail> {
    const what = `open volume '${wanted.name}'`;
    return this.#state.locks.hold(`volume ${id}`, what, undefined, async () => {
      const volume = stillThere(this.#catalog.get(volumeKind, id), `volume '${wanted.name}'`);
      await this.#state.exports.openVolume(volume);
      this.#emit(wanted.source.length === 0 ? 'volume-created' : 'volume-cloned', told, volume);
      return volumeDetail(this.#state, volume);
    });
  }

  list(options: CallOptions = {}): VolumeInfo[] {
    this.#state.assertOpen();
    return volumesInOrder(this.#catalog, options).map(({ item }) =>
      volumeInfo(this.#catalog, item),
    );
  }

  async page(options: PageOptions & VolumeFilter = {}): Promise<Page<VolumeDetail>> {
    this.#state.assertOpen();
    const { items, next } = takePage(volumesInOrder(this.#catalog, options), options);
    return { items: await volumeDetails(this.#state, items), next };
  }

  async show(volume: string, options: CallOptions = {}): Promise<VolumeDetail> {
    this.#state.assertOpen();
    throwIfAborted(options.signal, `show volume '${volume}'`);
    return volumeDetail(this.#state, findVolume(this.#catalog, volume, options));
  }

  async resize(
    volume: string,
    sizeBytes: bigint,
    options: ResizeOptions = {},
  ): Promise<VolumeDetail> {
    return this.#change('resize', volume, options, async (found, what) => {
      checkSize(found.value.name, sizeBytes, found.value.blockBytes);
      if (sizeBytes === found.value.sizeBytes) return;
      if (sizeBytes < found.value.sizeBytes) {
        await this.#shrink(found, sizeBytes, what, options);
        return;
      }
      await this.#commitSize(found, sizeBytes, what, options);
      await this.#update(found.id);
      const size = formatSize(sizeBytes);
      this.#emit('volume-resized', `volume '${found.value.name}' grown to ${size}`, found);
    });
  }

  /** At rest, as a command under way could be beyond the new end. */
  async #shrink(
    volume: StoredVolume,
    sizeBytes: bigint,
    what: string,
    options: ResizeOptions,
  ): Promise<void> {
    const { name } = volume.value;
    const sizes = `${formatSize(volume.value.sizeBytes)} to ${formatSize(sizeBytes)}`;
    if (options.shrink !== true) {
      throw new AshlarError(
        'invalid-argument',
        `volume '${name}' would shrink from ${sizes}, which needs to be asked for: shrink what is ` +
          'on it first, then give --shrink',
      );
    }
    const connected = this.#state.exports.connectionsOf(volume);
    refuseConnected(`volume '${name}'`, connected, 'then shrink it');
    await this.#whileClosed(volume, () => this.#commitSize(volume, sizeBytes, what, options));
    this.#emit('volume-resized', `volume '${name}' shrunk from ${sizes}`, volume);
  }

  async #commitSize(
    volume: StoredVolume,
    sizeBytes: bigint,
    what: string,
    options: CallOptions,
  ): Promise<void> {
    const build = (transaction: Transaction): void => {
      const now = this.#now(volume);
      assertQuota(this.#catalog, now.value.tenant, { bytes: sizeBytes - now.value.sizeBytes });
      transaction.layer({ kind: 'resize-layer', layer: now.value.layer, sizeBytes });
      transaction.put(volumeKind, now.id, { ...now.value, sizeBytes });
    };
    try {
      await this.#catalog.transact(what, build, options.signal);
    } catch (thrown) {
      // The pool knows layers by UUID alone.
      const { code, message } = toAshlarError(thrown);
      const layer = `layer ${uuidText(this.#now(volume).value.layer)}`;
      const text = message.replace(layer, `volume '${volume.value.name}'`);
      throw new AshlarError(code, text, { cause: thrown });
    }
  }

  async reserve(
    volume: string,
    reserved: boolean,
    options: CallOptions = {},
  ): Promise<VolumeDetail> {
    return this.#change('reserve', volume, options, async (found, what) => {
      if (found.value.reserved === reserved) return;
      await this.#catalog.transact(
        what,
        (transaction) => {
          const now = this.#now(found);
          transaction.layer({ kind: 'reserve-layer', layer: now.value.layer, reserved });
          transaction.put(volumeKind, now.id, { ...now.value, reserved });
        },
        options.signal,
      );
      const size = formatSize(found.value.sizeBytes);
      const message = reserved
        ? `volume '${found.value.name}' has room for all its ${size} reserved`
        : `volume '${found.value.name}' has no room reserved any more`;
      this.#emit('volume-reserved', message, found);
    });
  }

  /** Null: no policy. From now on, also for what is under way. */
  async setPolicy(
    volume: string,
    policy: string | null,
    options: CallOptions = {},
  ): Promise<VolumeDetail> {
    return this.#change('limit', volume, options, async (found, what) => {
      await this.#catalog.transact(
        what,
        (transaction) => {
          const now = this.#now(found);
          const id = policyId(this.#catalog, policy);
          transaction.put(volumeKind, now.id, { ...now.value, policy: id });
        },
        options.signal,
      );
      this.#state.exports.updateTerms([this.#now(found)]);
      const { name } = found.value;
      const has = policy === null ? 'no policy any more' : `policy '${policy}'`;
      this.#emit('volume-limited', `volume '${name}' has ${has}`, found);
    });
  }

  async rename(volume: string, name: string, options: CallOptions = {}): Promise<VolumeDetail> {
    checkName('volume', name);
    return this.#change('rename', volume, options, async (found, what) => {
      if (found.value.name === name) return;
      const other = this.#catalog.find(volumeKind, 'name', volumeKey(found.value.tenant, name));
      if (other !== null) {
        throw new AshlarError('already-exists', `volume '${name}' exists already; choose another`);
      }
      await this.#catalog.transact(
        what,
        (transaction) => {
          const now = this.#now(found);
          transaction.put(volumeKind, now.id, { ...now.value, name });
        },
        options.signal,
      );
      const message = `volume '${found.value.name}' renamed to '${name}'`;
      this.#emit('volume-renamed', message, found);
    });
  }

  async delete(volume: string, options: ForceOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const found = lookUpVolume(this.#catalog, volume, options);
    if (found === null && options.repeatable === true) return;
    const { id, value } = found ?? findVolume(this.#catalog, volume, options);
    const what = `delete volume '${value.name}'`;
    await this.#state.locks.hold(`volume ${id}`, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      const now = this.#catalog.get(volumeKind, id);
      if (now === null && options.repeatable === true) return;
      await this.#deleteNow(stillThere(now, `volume '${volume}'`), what, options);
    });
  }

  /** Hosts first, so that no acknowledged write can follow; then catalog and layer in one step. */
  async #deleteNow(volume: StoredVolume, what: string, options: ForceOptions): Promise<void> {
    const text = `volume '${volume.value.name}'`;
    // The names of its snapshots first; the last look at its hosts and closing it are one moment.
    await this.#nameSnapshots(volume, what);
    const connected = this.#state.exports.connectionsOf(volume);
    if (options.force !== true) {
      refuseConnected(text, connected, 'or take it away from there with --force');
    } else if (connected.length > 0) {
      const message = `${text} is taken from ${hostsText(connected)} to be deleted (forced)`;
      this.#emit('volume-detached', message, volume, 'warning');
    }
    let idle: string[] = [];
    await this.#whileClosed(volume, () =>
      this.#catalog.transact(what, (transaction) => {
        transaction.layer({ kind: 'delete-layer', layer: this.#now(volume).value.layer });
        transaction.delete(volumeKind, volume.id);
        deleteGrants(this.#catalog, transaction, 'volume', volume);
        idle = leaveSchedules(this.#catalog, transaction, volume);
        deleteImport(this.#catalog, transaction, volume.id);
        deleteReservations(this.#catalog, transaction, volume);
      }),
    );
    await this.#state.exports.forget('volume', volume);
    this.#emit('volume-deleted', `${text} deleted`, volume);
    for (const name of idle) {
      const message = `schedule '${name}' is idle: ${text} was the last one that it had`;
      this.#emit('schedule-idle', message, volume, 'warning');
    }
  }

  /**
   * Its snapshots are found by what is in their records once it is gone, so a name from before a
   * renaming is replaced there, and a UUID that older records do not have is added. Until the
   * volume is gone its own name counts, so this may take several transactions, and be cut off
   * between them.
   */
  async #nameSnapshots(volume: StoredVolume, what: string): Promise<void> {
    const { name, uuid: volumeUuid } = this.#now(volume).value;
    const stale = this.#catalog
      .group(snapshotKind, 'volume', String(volume.id))
      .filter(({ value }) => value.volumeName !== name || value.volumeUuid.length === 0);
    for (let at = 0; at < stale.length; at += snapshotsAtOnce) {
      await this.#catalog.transact(what, (transaction) => {
        for (const { id } of stale.slice(at, at + snapshotsAtOnce)) {
          const now = this.#catalog.get(snapshotKind, id);
          if (now === null) continue;
          transaction.put(snapshotKind, id, { ...now.value, volumeName: name, volumeUuid });
        }
      });
    }
  }

  /** Takes the volume from its hosts and closes it for `body`; if it is still there, it reopens. */
  async #whileClosed(volume: StoredVolume, body: () => Promise<void>): Promise<void> {
    const { exports } = this.#state;
    try {
      await exports.closeVolume(volume);
      await body();
    } finally {
      const now = this.#catalog.get(volumeKind, volume.id);
      if (now !== null) {
        await exports.openVolume(now).catch((failure: unknown) => {
          const error = toAshlarError(failure);
          const text = `volume '${now.value.name}' stays closed: ${error.message}`;
          const { uuid, tenant } = now.value;
          const about = { subject: uuidText(uuid), tenant, error };
          this.#state.emit('volume-closed', text, about, 'warning');
        });
      }
    }
  }

  async grant(volume: string, host: string, options: GrantOptions = {}): Promise<VolumeDetail> {
    this.#state.assertOpen();
    const stored = findVolume(this.#catalog, volume, options);
    await this.#grants.grantTo({ kind: 'volume', stored }, host, options);
    return volumeDetail(this.#state, this.#now(stored));
  }

  async revoke(volume: string, host: string, options: CallOptions = {}): Promise<VolumeDetail> {
    this.#state.assertOpen();
    const stored = findVolume(this.#catalog, volume, options);
    await this.#grants.revokeFrom({ kind: 'volume', stored }, host, options);
    return volumeDetail(this.#state, this.#now(stored));
  }

  // ---- Pieces -----------------------------------------------------------------------------------

  /** Runs a change under the volume's lock and returns what the volume is afterwards. */
  async #change(
    verb: string,
    reference: string,
    options: CallOptions,
    body: (volume: StoredVolume, what: string) => Promise<void>,
  ): Promise<VolumeDetail> {
    this.#state.assertOpen();
    const found = findVolume(this.#catalog, reference, options);
    const what = `${verb} volume '${found.value.name}'`;
    return this.#state.locks.hold(`volume ${found.id}`, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      await body(this.#now(found), what);
      return volumeDetail(this.#state, this.#now(found));
    });
  }

  #now(volume: StoredVolume): StoredVolume {
    return stillThere(this.#catalog.get(volumeKind, volume.id), `volume '${volume.value.name}'`);
  }

  async #update(id: bigint): Promise<void> {
    const volume = this.#catalog.get(volumeKind, id);
    if (volume !== null) await this.#state.exports.updateVolume(volume);
  }

  #emit(kind: EventKind, message: string, volume: StoredVolume, severity?: 'warning'): void {
    const { uuid, tenant } = volume.value;
    this.#state.emit(kind, message, { subject: uuidText(uuid), tenant }, severity);
  }
}
