/** Tenants: each has one subsystem, its own volumes and its own hosts. */
import type { Stored, Transaction } from '../catalog/catalog.js';
import { hostKeyKind } from '../catalog/key_kinds.js';
import {
  hostKind,
  noQuota,
  snapshotKind,
  type TenantQuota,
  type TenantRecord,
  tenantKind,
  volumeKind,
} from '../catalog/kinds.js';
import { pskKind } from '../catalog/psk_kinds.js';
import { tokenKind } from '../catalog/token_kinds.js';
import { AshlarError, throwIfAborted } from '../errors.js';
import { policyId, policyName } from './policies.js';
import { changedQuota, provisionedBytes, quotaInfo } from './quotas.js';
import { checkName, maxTenants } from './rules.js';
import { deleteSchedules } from './schedule_members.js';
import {
  type ControlState,
  defaultTenant,
  type EventSubject,
  findTenant,
  stillThere,
} from './state.js';
import type { CallOptions, ChangeTenant, SetQuota, TenantInfo, Tenants } from './types.js';
import { randomUuidBytes, uuidText } from './uuid.js';

/** Subsystem NQNs begin with this and end with the tenant's UUID. */
export const subsystemNqnPrefix = 'nqn.2026-01.dev.ashlar:';

/** Adds a tenant's record: its subsystem NQN is its own for life, whatever it is called. */
export function addTenantRecord(
  transaction: Transaction,
  name: string,
  quota: TenantQuota = noQuota,
  policy = 0n,
): bigint {
  const uuid = randomUuidBytes();
  const subnqn = `${subsystemNqnPrefix}${uuidText(uuid)}`;
  const createdMs = Date.now();
  return transaction.add(tenantKind, {
    name,
    uuid,
    subnqn,
    nextNsid: 1,
    createdMs,
    quota,
    policy,
  });
}

export class TenantService implements Tenants {
  readonly #state: ControlState;

  constructor(state: ControlState) {
    this.#state = state;
  }

  async create(
    name: string,
    options: CallOptions & {
      quota?: SetQuota | undefined;
      policy?: string | null | undefined;
    } = {},
  ): Promise<TenantInfo> {
    this.#state.assertOpen();
    checkName('tenant', name);
    const quota = changedQuota(noQuota, options.quota ?? {});
    const { catalog, exports } = this.#state;
    const what = `create tenant '${name}'`;
    return this.#state.locks.hold(`tenant ${name}`, what, options.signal, async () => {
      const before = catalog.find(tenantKind, 'name', name);
      if (before !== null) {
        if (options.repeatable === true) return this.#info(before);
        throw new AshlarError('already-exists', `tenant '${name}' exists already`);
      }
      const build = (transaction: Transaction): bigint => {
        if (catalog.count(tenantKind) >= maxTenants) {
          throw new AshlarError('limit-exceeded', `the node has ${maxTenants} tenants, its limit`);
        }
        return addTenantRecord(transaction, name, quota, policyId(catalog, options.policy));
      };
      const id = await catalog.transact(what, build, options.signal);
      const tenant = stillThere(catalog.get(tenantKind, id), `tenant '${name}'`);
      exports.addTenant(tenant);
      this.#state.emit('tenant-created', `tenant '${name}' created`, aboutTenant(tenant));
      return this.#info(tenant);
    });
  }

  async change(
    name: string,
    request: ChangeTenant,
    options: CallOptions = {},
  ): Promise<TenantInfo> {
    this.#state.assertOpen();
    const { catalog, locks } = this.#state;
    const { id } = findTenant(catalog, name);
    const newName = request.name ?? name;
    if (newName !== name) checkName('tenant', newName);
    if (newName !== name && name === defaultTenant) {
      throw new AshlarError('conflict', `tenant '${defaultTenant}' keeps its name`);
    }
    const what = `change tenant '${name}'`;
    // Names in one order, so that two that swap them cannot wait for each other.
    const keys = [...new Set([name, newName])].sort().map((each) => `tenant ${each}`);
    return locks.holdAll(keys, what, options.signal, async () => {
      await catalog.transact(
        what,
        (transaction) => {
          const { value } = stillThere(catalog.get(tenantKind, id), `tenant '${name}'`);
          const quota = changedQuota(value.quota, request.quota ?? {});
          const policy =
            request.policy === undefined ? value.policy : policyId(catalog, request.policy);
          transaction.put(tenantKind, id, { ...value, name: newName, quota, policy });
        },
        options.signal,
      );
      const now = stillThere(catalog.get(tenantKind, id), `tenant '${name}'`);
      this.#state.exports.updateTenant(now);
      const renamed = newName === name ? '' : `, now '${newName}'`;
      this.#state.emit('tenant-changed', `tenant '${name}' changed${renamed}`, aboutTenant(now));
      return this.#info(now);
    });
  }

  list(): TenantInfo[] {
    this.#state.assertOpen();
    return this.#state.catalog
      .all(tenantKind)
      .map((tenant) => this.#info(tenant))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  show(name: string): TenantInfo {
    this.#state.assertOpen();
    return this.#info(findTenant(this.#state.catalog, name));
  }

  async delete(name: string, options: CallOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const { catalog, exports } = this.#state;
    const what = `delete tenant '${name}'`;
    await this.#state.locks.hold(`tenant ${name}`, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      const known = catalog.find(tenantKind, 'name', name);
      if (known === null && options.repeatable === true) return;
      const tenant = known ?? findTenant(catalog, name);
      if (name === defaultTenant) {
        throw new AshlarError('conflict', `tenant '${defaultTenant}' cannot be deleted`);
      }
      const build = (transaction: Transaction): void => this.#buildDelete(transaction, tenant);
      await catalog.transact(what, build, options.signal);
      exports.removeTenant(tenant.id);
      this.#state.hostsGone();
      this.#state.emit('tenant-deleted', `tenant '${name}' deleted`, aboutTenant(tenant));
    });
  }

  #buildDelete(transaction: Transaction, tenant: Stored<TenantRecord>): void {
    const { catalog } = this.#state;
    const volumes = this.#countVolumes(tenant.id);
    if (volumes > 0) {
      throw new AshlarError(
        'conflict',
        `tenant '${tenant.value.name}' has ${volumes} volumes; delete them first`,
      );
    }
    const snapshots = this.#countSnapshots(tenant.id);
    if (snapshots > 0) {
      throw new AshlarError(
        'conflict',
        `tenant '${tenant.value.name}' has ${snapshots} snapshots of deleted volumes; delete ` +
          'them first ("ashlar snapshot list")',
      );
    }
    transaction.delete(tenantKind, tenant.id);
    for (const { id } of catalog.group(hostKind, 'tenant', String(tenant.id))) {
      transaction.delete(hostKind, id);
    }
    for (const { id } of catalog.group(hostKeyKind, 'tenant', String(tenant.id))) {
      transaction.delete(hostKeyKind, id);
    }
    for (const { id } of catalog.group(tokenKind, 'tenant', String(tenant.id))) {
      transaction.delete(tokenKind, id);
    }
    for (const { id, value } of catalog.all(pskKind)) {
      if (value.tenant === tenant.id) transaction.delete(pskKind, id);
    }
    deleteSchedules(catalog, transaction, tenant.id);
  }

  #countVolumes(tenant: bigint): number {
    return this.#state.catalog.groupSize(volumeKind, 'tenant', String(tenant));
  }

  #countSnapshots(tenant: bigint): number {
    return this.#state.catalog.groupSize(snapshotKind, 'tenant', String(tenant));
  }

  #info({ id, value }: Stored<TenantRecord>): TenantInfo {
    return {
      name: value.name,
      uuid: uuidText(value.uuid),
      subnqn: value.subnqn,
      volumes: this.#countVolumes(id),
      snapshots: this.#countSnapshots(id),
      hosts: this.#state.catalog.groupSize(hostKind, 'tenant', String(id)),
      createdAt: new Date(value.createdMs).toISOString(),
      provisionedBytes: provisionedBytes(this.#state.catalog, id),
      quota: quotaInfo(value.quota),
      policy: policyName(this.#state.catalog, value.policy),
    };
  }
}

function aboutTenant({ id, value }: Stored<TenantRecord>): EventSubject {
  return { subject: uuidText(value.uuid), tenant: id };
}
