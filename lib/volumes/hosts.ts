/** Hosts that may connect to a tenant's subsystem. */
import type { Stored } from '../catalog/catalog.js';
import { hostKeyKind, keysOfHost } from '../catalog/key_kinds.js';
import {
  type GrantRecord,
  grantKind,
  type HostRecord,
  hostKey,
  hostKind,
  snapshotKind,
  type TenantRecord,
  tenantKind,
  volumeKind,
} from '../catalog/kinds.js';
import { pskKind } from '../catalog/psk_kinds.js';
import { AshlarError, nodeIsFull, throwIfAborted } from '../errors.js';
import { snapshotReference } from './references.js';
import { checkHost, maxHosts } from './rules.js';
import { type ControlState, stillThere, tenantOf } from './state.js';
import type { CallOptions, HostInfo, Hosts } from './types.js';

export class HostService implements Hosts {
  readonly #state: ControlState;

  constructor(state: ControlState) {
    this.#state = state;
  }

  async add(nqn: string, options: CallOptions = {}): Promise<HostInfo> {
    this.#state.assertOpen();
    checkHost(nqn, 'one-host');
    const { catalog } = this.#state;
    const tenant = tenantOf(catalog, options);
    const what = `add host ${nqn}`;
    return this.#state.locks.hold(`host ${tenant.id}/${nqn}`, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      const before = catalog.find(hostKind, 'nqn', hostKey(tenant.id, nqn));
      if (before !== null) {
        if (options.repeatable === true) return this.#info(before);
        throw new AshlarError(
          'already-exists',
          `host ${nqn} is known to tenant '${tenant.value.name}' already`,
        );
      }
      const id = await catalog.transact(
        what,
        (transaction) => {
          stillThere(catalog.get(tenantKind, tenant.id), `tenant '${tenant.value.name}'`);
          this.#assertRoom();
          return transaction.add(hostKind, { tenant: tenant.id, nqn, createdMs: Date.now() });
        },
        options.signal,
      );
      await this.#state.exports.subsystem(tenant.id).refresh();
      this.#state.emit('host-added', `host ${nqn} added to '${tenant.value.name}'`, {
        subject: nqn,
        tenant: tenant.id,
      });
      return this.#info(stillThere(catalog.get(hostKind, id), `host ${nqn}`));
    });
  }

  #assertRoom(): void {
    if (this.#state.catalog.count(hostKind) < maxHosts) return;
    throw new AshlarError(
      'limit-exceeded',
      `the node knows ${maxHosts} hosts, its limit; remove one with "ashlar host remove"`,
      { toTenants: nodeIsFull('hosts') },
    );
  }

  list(options: CallOptions = {}): HostInfo[] {
    this.#state.assertOpen();
    const { catalog } = this.#state;
    const only = options.tenant === undefined ? null : tenantOf(catalog, options).id;
    return catalog
      .all(hostKind)
      .filter(({ value }) => only === null || value.tenant === only)
      .map((host) => this.#info(host))
      .sort((a, b) => (a.nqn < b.nqn ? -1 : 1));
  }

  show(nqn: string, options: CallOptions = {}): HostInfo {
    this.#state.assertOpen();
    return this.#info(this.#find(nqn, tenantOf(this.#state.catalog, options)));
  }

  async remove(nqn: string, options: CallOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const { catalog, exports } = this.#state;
    const tenant = tenantOf(catalog, options);
    const what = `remove host ${nqn}`;
    await this.#state.locks.hold(`host ${tenant.id}/${nqn}`, what, options.signal, async () => {
      const known = catalog.find(hostKind, 'nqn', hostKey(tenant.id, nqn));
      if (known === null && options.repeatable === true) return;
      const host = known ?? this.#find(nqn, tenant);
      const snapshots = this.#grantsOf(nqn, tenant.id).map(({ value }) => value.snapshot);
      await catalog.transact(
        what,
        (transaction) => {
          transaction.delete(hostKind, host.id);
          for (const key of catalog.group(hostKeyKind, 'host', keysOfHost(tenant.id, nqn))) {
            transaction.delete(hostKeyKind, key.id);
          }
          for (const grant of this.#grantsOf(nqn, tenant.id)) {
            transaction.delete(grantKind, grant.id);
          }
          for (const { id, value } of catalog.group(pskKind, 'host', nqn)) {
            if (value.tenant === tenant.id) transaction.delete(pskKind, id);
          }
        },
        options.signal,
      );
      this.#state.hostsGone();
      await exports.subsystem(tenant.id).refresh();
      for (const id of snapshots) await this.#closeUngranted(id);
      exports.dismissHost(tenant.id, nqn);
      this.#state.emit('host-removed', `host ${nqn} removed from '${tenant.value.name}'`, {
        subject: nqn,
        tenant: tenant.id,
      });
    });
  }

  #find(nqn: string, tenant: Stored<TenantRecord>): Stored<HostRecord> {
    const host = this.#state.catalog.find(hostKind, 'nqn', hostKey(tenant.id, nqn));
    if (host !== null) return host;
    throw new AshlarError(
      'not-found',
      `host ${nqn} is not known to tenant '${tenant.value.name}'; "ashlar host list"`,
    );
  }

  #grantsOf(nqn: string, tenant: bigint) {
    const { catalog } = this.#state;
    return catalog.group(grantKind, 'host', nqn).filter(({ value }) => {
      const of = value.snapshot === 0n ? volumeKind : snapshotKind;
      const record = catalog.get<{ tenant: bigint }>(of, value.snapshot || value.volume);
      return record?.value.tenant === tenant;
    });
  }

  /** A snapshot that nobody may read any more is not kept open. */
  async #closeUngranted(id: bigint): Promise<void> {
    const { catalog, exports, locks } = this.#state;
    if (id === 0n) return;
    await locks.hold(`snapshot ${id}`, `close snapshot ${id}`, undefined, async () => {
      const snapshot = catalog.get(snapshotKind, id);
      if (snapshot !== null) await exports.showSnapshot(snapshot);
    });
  }

  #grantedName({ volume, snapshot }: GrantRecord): string {
    const { catalog } = this.#state;
    if (snapshot === 0n) return catalog.get(volumeKind, volume)?.value.name ?? '';
    const stored = catalog.get(snapshotKind, snapshot);
    return stored === null ? '' : snapshotReference(catalog, stored);
  }

  #info({ value }: Stored<HostRecord>): HostInfo {
    const { catalog, exports } = this.#state;
    const tenant = stillThere(catalog.get(tenantKind, value.tenant), `tenant of ${value.nqn}`);
    const volumes = this.#grantsOf(value.nqn, value.tenant)
      .map((grant) => this.#grantedName(grant.value))
      .sort();
    return {
      nqn: value.nqn,
      tenant: tenant.value.name,
      createdAt: new Date(value.createdMs).toISOString(),
      volumes,
      connections: exports.connections(value.tenant).filter(({ hostnqn }) => hostnqn === value.nqn),
    };
  }
}
