/** Volumes: create, list, show, grow, rename, delete, and who may use them. */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  anyHost,
  type GrantRecord,
  grantKey,
  grantKind,
  hostKey,
  hostKind,
  nsidKey,
  snapshotKind,
  type TenantRecord,
  tenantKind,
  type VolumeRecord,
  volumeKey,
  volumeKind,
} from '../catalog/kinds.js';
import { formatSize } from '../config/units.js';
import { AshlarError, throwIfAborted, toAshlarError } from '../errors.js';
import { maxNamespaces } from '../target/limits.js';
import { takeNsid } from '../target/nsid.js';
import { defaultAnaGroup } from '../target/portals.js';
import { checkBlockBytes, checkHost, checkName, checkSize, maxHosts } from './rules.js';
import { type ControlState, findVolume, lookUpVolume, stillThere, tenantOf } from './state.js';
import type {
  CallOptions,
  CreateVolume,
  GrantAccess,
  GrantInfo,
  VolumeDetail,
  VolumeInfo,
  Volumes,
} from './types.js';
import { hexText, isUuidText, randomUuidBytes, uuidBytes, uuidText } from './uuid.js';

type StoredVolume = Stored<VolumeRecord>;
type GrantOptions = CallOptions & { access?: GrantAccess | undefined };

export class VolumeService implements Volumes {
  readonly #state: ControlState;
  readonly #catalog: Catalog;

  constructor(state: ControlState) {
    this.#state = state;
    this.#catalog = state.catalog;
  }

  async create(request: CreateVolume, options: CallOptions = {}): Promise<VolumeDetail> {
    this.#state.assertOpen();
    const wanted = checkRequest(request);
    const tenant = tenantOf(this.#catalog, options).value.name;
    const what = `create volume '${wanted.name}'`;
    const key = `volume-name ${tenant}/${wanted.name}`;
    return this.#state.locks.hold(key, what, options.signal, async () => {
      const before = lookUpVolume(this.#catalog, wanted.name, { tenant });
      if (before !== null) return this.#detail(this.#acceptRepeat(before, wanted, options));
      const id = await this.#catalog.transact(
        what,
        (transaction) => this.#buildCreate(transaction, tenant, wanted),
        options.signal,
      );
      return this.#openCreated(id, wanted);
    });
  }

  /** Under the volume's own lock, as it can be deleted from the moment that it is durable. */
  #openCreated(id: bigint, wanted: WantedVolume): Promise<VolumeDetail> {
    const what = `open volume '${wanted.name}'`;
    return this.#state.locks.hold(`volume ${id}`, what, undefined, async () => {
      const volume = stillThere(this.#catalog.get(volumeKind, id), `volume '${wanted.name}'`);
      await this.#state.exports.openVolume(volume);
      const size = formatSize(wanted.sizeBytes);
      this.#emit('volume-created', `volume '${wanted.name}' of ${size} created`, volume);
      return this.#detail(volume);
    });
  }

  #buildCreate(transaction: Transaction, tenantName: string, wanted: WantedVolume): bigint {
    const tenant = tenantOf(this.#catalog, { tenant: tenantName });
    const nsid = this.#takeNsid(transaction, tenant);
    const { name, uuid, sizeBytes, blockBytes } = wanted;
    const layer = randomUuidBytes();
    transaction.layer({
      kind: 'create-layer',
      layer,
      parent: null,
      sizeBytes,
      blockBytes,
      volumeFrom: null,
      reserved: false,
    });
    const id = transaction.add(volumeKind, {
      tenant: tenant.id,
      name,
      uuid,
      nguid: uuid,
      nsid,
      layer,
      sizeBytes,
      blockBytes,
      anagrpid: defaultAnaGroup,
      createdMs: Date.now(),
      reserved: false,
      source: new Uint8Array(0),
    });
    for (const host of wanted.hosts) this.#addGrant(transaction, id, tenant.id, host, 'read-write');
    return id;
  }

  /** The tenant's next NSID, recorded so that it is not given again. */
  #takeNsid(transaction: Transaction, tenant: Stored<TenantRecord>): number {
    const count = this.#catalog.groupSize(volumeKind, 'tenant', String(tenant.id));
    if (count >= maxNamespaces) {
      throw new AshlarError(
        'limit-exceeded',
        `tenant '${tenant.value.name}' has ${count} volumes, the limit; ` +
          'delete one or use another tenant',
      );
    }
    const taken = takeNsid(tenant.value.nextNsid, {
      has: (nsid) => this.#catalog.find(volumeKind, 'nsid', nsidKey(tenant.id, nsid)) !== null,
    });
    if (taken === null) throw new RangeError('fewer volumes than NSIDs, and yet none is free');
    transaction.put(tenantKind, tenant.id, { ...tenant.value, nextNsid: taken.next });
    return taken.nsid;
  }

  /** A volume of that name exists: is it the one that the repeated call asks for? */
  #acceptRepeat(before: StoredVolume, wanted: WantedVolume, options: CallOptions): StoredVolume {
    const { name, uuid, sizeBytes, blockBytes } = before.value;
    const same = sizeBytes === wanted.sizeBytes && blockBytes === wanted.blockBytes;
    const sameUuid = !wanted.uuidGiven || hexText(uuid) === hexText(wanted.uuid);
    if (options.repeatable === true && same && sameUuid) return before;
    throw new AshlarError(
      'already-exists',
      `volume '${name}' exists already (${uuidText(uuid)}, ${formatSize(sizeBytes)}, ` +
        `${blockBytes}-byte blocks); choose another name`,
    );
  }

  list(options: CallOptions = {}): VolumeInfo[] {
    this.#state.assertOpen();
    const only = options.tenant === undefined ? null : tenantOf(this.#catalog, options).id;
    return this.#infos(only);
  }

  #infos(tenant: bigint | null): VolumeInfo[] {
    const volumes =
      tenant === null
        ? this.#catalog.all(volumeKind)
        : this.#catalog.group(volumeKind, 'tenant', String(tenant));
    return volumes
      .map((volume) => this.#info(volume))
      .sort((a, b) => compare(a.tenant, b.tenant) || compare(a.name, b.name));
  }

  async show(volume: string, options: CallOptions = {}): Promise<VolumeDetail> {
    this.#state.assertOpen();
    throwIfAborted(options.signal, `show volume '${volume}'`);
    return this.#detail(findVolume(this.#catalog, volume, options));
  }

  async resize(
    volume: string,
    sizeBytes: bigint,
    options: CallOptions = {},
  ): Promise<VolumeDetail> {
    return this.#change('resize', volume, options, async (found, what) => {
      checkGrowth(found.value, sizeBytes);
      if (sizeBytes === found.value.sizeBytes) return;
      await this.#catalog.transact(
        what,
        (transaction) => {
          const now = stillThere(this.#catalog.get(volumeKind, found.id), `volume '${volume}'`);
          transaction.layer({ kind: 'resize-layer', layer: now.value.layer, sizeBytes });
          transaction.put(volumeKind, now.id, { ...now.value, sizeBytes });
        },
        options.signal,
      );
      await this.#update(found.id);
      const size = formatSize(sizeBytes);
      this.#emit('volume-resized', `volume '${found.value.name}' grown to ${size}`, found);
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
          const now = stillThere(this.#catalog.get(volumeKind, found.id), `volume '${volume}'`);
          transaction.put(volumeKind, now.id, { ...now.value, name });
        },
        options.signal,
      );
      const message = `volume '${found.value.name}' renamed to '${name}'`;
      this.#emit('volume-renamed', message, found);
    });
  }

  async delete(volume: string, options: CallOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const found = lookUpVolume(this.#catalog, volume, options);
    if (found === null && options.repeatable === true) return;
    const { id, value } = found ?? findVolume(this.#catalog, volume, options);
    const what = `delete volume '${value.name}'`;
    await this.#state.locks.hold(`volume ${id}`, what, options.signal, async () => {
      const now = this.#catalog.get(volumeKind, id);
      if (now === null && options.repeatable === true) return;
      await this.#deleteNow(stillThere(now, `volume '${volume}'`), what, options);
    });
  }

  /** Hosts first, so that no acknowledged write can follow; then catalog and layer in one step. */
  async #deleteNow(volume: StoredVolume, what: string, options: CallOptions): Promise<void> {
    throwIfAborted(options.signal, what);
    await this.#state.exports.closeVolume(volume);
    try {
      await this.#catalog.transact(what, (transaction) => {
        transaction.layer({ kind: 'delete-layer', layer: volume.value.layer });
        transaction.delete(volumeKind, volume.id);
        for (const grant of this.#grantsOf(volume.id)) transaction.delete(grantKind, grant.id);
      });
    } catch (thrown) {
      // It is still there, so its hosts get it back.
      await this.#state.exports.openVolume(volume).catch((failure: unknown) => {
        const { message } = toAshlarError(failure);
        this.#emit(
          'volume-closed',
          `volume '${volume.value.name}' stays closed: ${message}`,
          volume,
        );
      });
      throw thrown;
    }
    this.#emit('volume-deleted', `volume '${volume.value.name}' deleted`, volume);
  }

  async grant(volume: string, host: string, options: GrantOptions = {}): Promise<VolumeDetail> {
    checkHost(host, 'any-allowed');
    const access = options.access ?? 'read-write';
    return this.#change('grant', volume, options, async (found, what) => {
      const before = this.#catalog.find(grantKind, 'host', grantKey(found.id, host));
      if (before !== null) {
        if (options.repeatable === true && before.value.access === access) return;
        throw new AshlarError(
          'already-exists',
          `volume '${found.value.name}' is granted to ${hostText(host)} already ` +
            `(${before.value.access}); revoke that grant first to change it`,
        );
      }
      await this.#catalog.transact(
        what,
        (transaction) => this.#addGrant(transaction, found.id, found.value.tenant, host, access),
        options.signal,
      );
      await this.#update(found.id);
      const message = `volume '${found.value.name}' granted to ${hostText(host)} (${access})`;
      this.#emit('volume-granted', message, found);
    });
  }

  async revoke(volume: string, host: string, options: CallOptions = {}): Promise<VolumeDetail> {
    return this.#change('revoke', volume, options, async (found, what) => {
      const before = this.#catalog.find(grantKind, 'host', grantKey(found.id, host));
      if (before === null) {
        if (options.repeatable === true) return;
        throw new AshlarError(
          'not-found',
          `volume '${found.value.name}' is not granted to ${hostText(host)}`,
        );
      }
      const build = (transaction: Transaction) => transaction.delete(grantKind, before.id);
      await this.#catalog.transact(what, build, options.signal);
      await this.#update(found.id);
      const message = `volume '${found.value.name}' revoked from ${hostText(host)}`;
      this.#emit('volume-revoked', message, found);
    });
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
    const { id, value } = findVolume(this.#catalog, reference, options);
    const what = `${verb} volume '${value.name}'`;
    return this.#state.locks.hold(`volume ${id}`, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      const current = (): StoredVolume =>
        stillThere(this.#catalog.get(volumeKind, id), `volume '${reference}'`);
      await body(current(), what);
      return this.#detail(current());
    });
  }

  #addGrant(
    transaction: Transaction,
    volume: bigint,
    tenant: bigint,
    host: string,
    access: GrantAccess,
  ): void {
    const createdMs = Date.now();
    transaction.add(grantKind, { volume, snapshot: 0n, host, access, createdMs });
    if (host === anyHost) return;
    if (this.#catalog.find(hostKind, 'nqn', hostKey(tenant, host)) !== null) return;
    if (this.#catalog.count(hostKind) >= maxHosts) {
      throw new AshlarError(
        'limit-exceeded',
        `the node knows ${maxHosts} hosts, its limit; remove one with "ashlar host remove"`,
      );
    }
    transaction.add(hostKind, { tenant, nqn: host, createdMs });
  }

  async #update(id: bigint): Promise<void> {
    const volume = this.#catalog.get(volumeKind, id);
    if (volume !== null) await this.#state.exports.updateVolume(volume);
  }

  #grantsOf(volume: bigint): Stored<GrantRecord>[] {
    return this.#catalog.group(grantKind, 'volume', String(volume));
  }

  #info({ id, value }: StoredVolume): VolumeInfo {
    const tenant = this.#catalog.get(tenantKind, value.tenant);
    if (tenant === null) throw new RangeError(`volume '${value.name}' has no tenant`);
    return {
      name: value.name,
      tenant: tenant.value.name,
      uuid: uuidText(value.uuid),
      nguid: hexText(value.nguid),
      nsid: value.nsid,
      subnqn: tenant.value.subnqn,
      sizeBytes: value.sizeBytes,
      blockBytes: value.blockBytes,
      anagrpid: value.anagrpid,
      createdAt: new Date(value.createdMs).toISOString(),
      reserved: value.reserved,
      sourceUuid: value.source.length === 0 ? null : uuidText(value.source),
      snapshots: this.#catalog.groupSize(snapshotKind, 'volume', String(id)),
      grants: this.#grantsOf(id)
        .map(grantInfo)
        .sort((a, b) => compare(a.host, b.host)),
    };
  }

  async #detail(volume: StoredVolume): Promise<VolumeDetail> {
    const usage = await this.#state.exports.usage(volume);
    return {
      ...this.#info(volume),
      usage: {
        mappedBytes: usage.mappedBytes,
        exclusiveBytes: usage.allocatedBytes,
        sharedBytes: usage.mappedBytes - usage.ownBytes,
        reservedBytes: usage.reservedBytes,
      },
      connectedHosts: this.#state.exports.connectionsOf(volume),
    };
  }

  #emit(kind: string, message: string, volume: StoredVolume): void {
    this.#state.emit(kind, message, uuidText(volume.value.uuid));
  }
}

interface WantedVolume {
  name: string;
  uuid: Uint8Array;
  uuidGiven: boolean;
  sizeBytes: bigint;
  blockBytes: 512 | 4096;
  hosts: readonly string[];
}

function checkRequest(request: CreateVolume): WantedVolume {
  const { name, sizeBytes, uuid } = request;
  const blockBytes: number = request.blockBytes ?? 4096;
  checkName('volume', name);
  checkBlockBytes(blockBytes);
  checkSize(name, sizeBytes, blockBytes);
  if (uuid !== undefined && !isUuidText(uuid)) {
    throw new AshlarError('invalid-argument', `'${uuid}' is not a UUID`);
  }
  const hosts = [...new Set(request.hosts ?? [])];
  for (const host of hosts) checkHost(host, 'any-allowed');
  return {
    name,
    uuid: uuid === undefined ? randomUuidBytes() : uuidBytes(uuid),
    uuidGiven: uuid !== undefined,
    sizeBytes,
    blockBytes,
    hosts,
  };
}

function checkGrowth(volume: VolumeRecord, sizeBytes: bigint): void {
  checkSize(volume.name, sizeBytes, volume.blockBytes);
  if (sizeBytes >= volume.sizeBytes) return;
  throw new AshlarError(
    'invalid-argument',
    `volume '${volume.name}' has ${formatSize(volume.sizeBytes)} and cannot shrink to ` +
      `${formatSize(sizeBytes)}; volumes only grow`,
  );
}

function grantInfo({ value }: Stored<GrantRecord>): GrantInfo {
  const { host, access, createdMs } = value;
  return { host, access, createdAt: new Date(createdMs).toISOString() };
}

function hostText(host: string): string {
  return host === anyHost ? 'any host' : `host ${host}`;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
