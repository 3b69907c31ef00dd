/** Policies: how much the hosts of a volume, or of a tenant, may do a second, under a name. */

import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import { tenantKind, volumeKind } from '../catalog/kinds.js';
import { type PolicyRecord, policyKind } from '../catalog/policy_kinds.js';
import { AshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { defaultTerms } from '../qos/meters.js';
import { maxRate, noLimits, ratesOf } from '../qos/terms.js';
import { compare } from './pages.js';
import type {
  ChangePolicy,
  Policies,
  PolicyInfo,
  PolicySettings,
  SetPolicy,
} from './policy_types.js';
import { checkName } from './rules.js';
import { type ControlState, stillThere, tenantOf } from './state.js';
import type { CallOptions } from './types.js';

/** Policies of a node: a handful in practice. */
export const maxPolicies = 1024;
/** What stands for no policy, where people give a name. */
const noPolicy = 'none';
/** How many users a refused deletion names. */
const named = 5;

const unlimited: PolicySettings = {
  ...noLimits,
  weight: defaultTerms.weight,
  offered: false,
};

/** @throws AshlarError not-found. */
export function findPolicy(catalog: Catalog, name: string): Stored<PolicyRecord> {
  const found = catalog.find(policyKind, 'name', name);
  if (found !== null) return found;
  throw new AshlarError(
    'not-found',
    `policy '${name}' does not exist; "ashlar policy list" shows those that do`,
  );
}

/** The record of a policy by its name; null or not given: none. To be called in a transaction. */
export function policyId(catalog: Catalog, name: string | null | undefined): bigint {
  return name === null || name === undefined ? 0n : findPolicy(catalog, name).id;
}

/** The name of the policy of a volume or tenant; null: it has none. */
export function policyName(catalog: Catalog, policy: bigint): string | null {
  return policy === 0n ? null : (catalog.get(policyKind, policy)?.value.name ?? null);
}

export class PolicyService implements Policies {
  readonly #state: ControlState;
  readonly #catalog: Catalog;

  constructor(state: ControlState) {
    this.#state = state;
    this.#catalog = state.catalog;
  }

  async create(
    name: string,
    settings: SetPolicy = {},
    options: CallOptions = {},
  ): Promise<PolicyInfo> {
    this.#state.assertOpen();
    checkPolicyName(name);
    const record = recordOf(name, checked(name, { ...unlimited, ...given(settings) }), Date.now());
    const what = `create policy '${name}'`;
    const { id, made } = await this.#catalog.transact(
      what,
      (transaction) => {
        const before = this.#catalog.find(policyKind, 'name', name);
        if (before !== null) {
          const same = sameSettings(before.value, record);
          if (options.repeatable === true && same) return { id: before.id, made: false };
          throw new AshlarError('already-exists', `policy '${name}' exists already`);
        }
        if (this.#catalog.count(policyKind) >= maxPolicies) {
          const message = `the node has ${maxPolicies} policies, its limit; delete some`;
          throw new AshlarError('limit-exceeded', message);
        }
        return { id: transaction.add(policyKind, record), made: true };
      },
      options.signal,
    );
    if (made) this.#tell('policy-created', `policy '${name}' created`, name);
    return this.#info(this.#now(id, name), options);
  }

  /** Counts at once for all that have it, also for what is under way. */
  async change(
    name: string,
    request: ChangePolicy,
    options: CallOptions = {},
  ): Promise<PolicyInfo> {
    this.#state.assertOpen();
    const { name: newName = name, ...settings } = request;
    if (newName !== name) checkPolicyName(newName);
    const { id } = findPolicy(this.#catalog, name);
    await this.#catalog.transact(
      `change policy '${name}'`,
      (transaction) => {
        const { value } = this.#now(id, name);
        const taken = this.#catalog.find(policyKind, 'name', newName);
        if (taken !== null && taken.id !== id) {
          throw new AshlarError('already-exists', `policy '${newName}' exists already`);
        }
        const next = checked(newName, { ...settingsOf(value), ...given(settings) });
        transaction.put(policyKind, id, recordOf(newName, next, value.createdMs));
      },
      options.signal,
    );
    this.#state.exports.updateTerms(this.#volumes(id));
    for (const tenant of this.#tenants(id)) this.#state.exports.updateTenant(tenant);
    const renamed = newName === name ? '' : `, now '${newName}'`;
    this.#tell('policy-changed', `policy '${name}' changed${renamed}`, newName);
    return this.#info(this.#now(id, newName), options);
  }

  /** Of a tenant: those that are offered, or that it has; and only its own volumes count. */
  list(options: CallOptions = {}): PolicyInfo[] {
    this.#state.assertOpen();
    return this.#catalog
      .all(policyKind)
      .map((policy) => this.#info(policy, options))
      .filter((policy) => isVisible(policy, options))
      .sort((a, b) => compare(a.name, b.name));
  }

  show(name: string, options: CallOptions = {}): PolicyInfo {
    this.#state.assertOpen();
    const policy = this.#info(findPolicy(this.#catalog, name), options);
    if (isVisible(policy, options)) return policy;
    throw new AshlarError('not-found', `policy '${name}' does not exist`);
  }

  async delete(name: string, options: CallOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const found = this.#catalog.find(policyKind, 'name', name);
    if (found === null && options.repeatable === true) return;
    const { id } = findPolicy(this.#catalog, name);
    const build = (transaction: Transaction): void => {
      this.#refuseUsed(id, name);
      transaction.delete(policyKind, id);
    };
    await this.#catalog.transact(`delete policy '${name}'`, build, options.signal);
    this.#tell('policy-deleted', `policy '${name}' deleted`, name);
  }

  #refuseUsed(id: bigint, name: string): void {
    const users = [
      ...this.#tenants(id).map(({ value }) => `tenant '${value.name}'`),
      ...this.#volumes(id).map(({ value }) => `volume '${value.name}'`),
    ];
    if (users.length === 0) return;
    const more = users.length > named ? ` and ${users.length - named} more` : '';
    throw new AshlarError(
      'busy',
      `policy '${name}' is that of ${users.slice(0, named).join(', ')}${more}; ` +
        'give them another one, or none, first',
    );
  }

  #volumes(id: bigint) {
    return this.#catalog.group(volumeKind, 'policy', String(id));
  }

  #tenants(id: bigint) {
    return this.#catalog.group(tenantKind, 'policy', String(id));
  }

  #now(id: bigint, name: string): Stored<PolicyRecord> {
    return stillThere(this.#catalog.get(policyKind, id), `policy '${name}'`);
  }

  #info({ id, value }: Stored<PolicyRecord>, options: CallOptions): PolicyInfo {
    const only = options.tenant === undefined ? null : tenantOf(this.#catalog, options).id;
    const volumes = this.#volumes(id).filter(
      ({ value: { tenant } }) => tenant === (only ?? tenant),
    );
    const tenants = this.#tenants(id).filter((tenant) => tenant.id === (only ?? tenant.id));
    return {
      name: value.name,
      ...settingsOf(value),
      volumes: volumes.length,
      tenants: tenants.length,
      createdAt: new Date(value.createdMs).toISOString(),
    };
  }

  #tell(kind: EventKind, message: string, name: string): void {
    this.#state.emit(kind, message, { subject: name, tenant: null });
  }
}

/** @throws AshlarError invalid-argument. */
function checkPolicyName(name: string): void {
  checkName('policy', name);
  if (name !== noPolicy) return;
  throw new AshlarError(
    'invalid-argument',
    `policy name '${name}' means no policy; choose another`,
  );
}

function isVisible({ offered, volumes, tenants }: PolicyInfo, options: CallOptions): boolean {
  return options.tenant === undefined || offered || volumes + tenants > 0;
}

function recordOf(name: string, settings: PolicySettings, createdMs: number): PolicyRecord {
  return {
    name,
    readIops: settings.readIops ?? 0n,
    writeIops: settings.writeIops ?? 0n,
    iops: settings.iops ?? 0n,
    readBytesPerSecond: settings.readBytesPerSecond ?? 0n,
    writeBytesPerSecond: settings.writeBytesPerSecond ?? 0n,
    bytesPerSecond: settings.bytesPerSecond ?? 0n,
    burstPercent: settings.burstPercent,
    burstSeconds: settings.burstSeconds,
    weight: settings.weight,
    offered: settings.offered,
    createdMs,
  };
}

function settingsOf(record: Readonly<PolicyRecord>): PolicySettings {
  const { burstPercent, burstSeconds, weight, offered } = record;
  return { ...ratesOf(record), burstPercent, burstSeconds, weight, offered };
}

function sameSettings(a: Readonly<PolicyRecord>, b: Readonly<PolicyRecord>): boolean {
  return Object.entries({ ...a, createdMs: 0 }).every(
    ([key, value]) => value === { ...b, createdMs: 0 }[key as keyof PolicyRecord],
  );
}

/** Without the parts that are not given. */
function given(settings: SetPolicy): Partial<PolicySettings> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** @throws AshlarError invalid-argument. */
function checked(name: string, settings: PolicySettings): PolicySettings {
  const { burstPercent, burstSeconds, weight } = settings;
  const refuse = (what: string, value: bigint | number, least: number, most: bigint | number) => {
    throw new AshlarError(
      'invalid-argument',
      `policy '${name}': ${what} ${value} is not a whole number from ${least} to ${most}`,
    );
  };
  for (const [what, value] of Object.entries(settings)) {
    if (typeof value !== 'bigint') continue;
    if (value < 1n || value > maxRate) refuse(what, value, 1, maxRate);
  }
  for (const [what, value, least, most] of [
    ['burstPercent', burstPercent, 100, 10_000],
    ['burstSeconds', burstSeconds, 0, 3600],
    ['weight', weight, 1, 10_000],
  ] as const) {
    if (!Number.isInteger(value) || value < least || value > most) refuse(what, value, least, most);
  }
  return settings;
}
