/** Which host may use which volume, and read which snapshot. */

import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  anyHost,
  grantKey,
  grantKind,
  hostKey,
  hostKind,
  type SnapshotRecord,
  snapshotGrantKey,
  snapshotKind,
  tenantKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import { AshlarError, nodeIsFull, throwIfAborted } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { snapshotInfo, volumeInfo } from './infos.js';
import { nextNsid } from './namespaces.js';
import { compare } from './pages.js';
import { findSource, type Source, snapshotReference } from './references.js';
import { checkHost, maxHosts } from './rules.js';
import { type ControlState, stillThere, tenantOf } from './state.js';
import type { CallOptions, GrantAccess, GrantEntry, GrantInfo, Grants } from './types.js';
import { uuidText } from './uuid.js';

type GrantOptions = CallOptions & {
  access?: GrantAccess | undefined;
  alone?: 'host' | 'writer' | undefined;
};

export class GrantService implements Grants {
  readonly #state: ControlState;
  readonly #catalog: Catalog;

  constructor(state: ControlState) {
    this.#state = state;
    this.#catalog = state.catalog;
  }

  async add(reference: string, host: string, options: GrantOptions = {}): Promise<GrantEntry> {
    this.#state.assertOpen();
    const source = findSource(this.#catalog, reference, options);
    await this.grantTo(source, host, options);
    const entry = this.#entriesOf(source).find((grant) => grant.host === host);
    if (entry !== undefined) return entry;
    throw new AshlarError(
      'conflict',
      `the grant of ${this.#text(source)} to ${hostText(host)} was revoked at the same moment`,
    );
  }

  show(reference: string, host: string, options: CallOptions = {}): GrantEntry {
    this.#state.assertOpen();
    const source = findSource(this.#catalog, reference, options);
    const found = this.#entriesOf(source).find((grant) => grant.host === host);
    if (found !== undefined) return found;
    throw notGranted(this.#text(source), host);
  }

  async remove(reference: string, host: string, options: CallOptions = {}): Promise<void> {
    this.#state.assertOpen();
    await this.revokeFrom(findSource(this.#catalog, reference, options), host, options);
  }

  list(options: CallOptions = {}): GrantEntry[] {
    this.#state.assertOpen();
    const only = options.tenant === undefined ? null : tenantOf(this.#catalog, options).id;
    const volumes = [...this.#catalog.groupKeys(grantKind, 'volume')]
      .map((id) => this.#catalog.get(volumeKind, BigInt(id)))
      .filter((stored) => stored !== null)
      .map((stored): Source => ({ kind: 'volume', stored }));
    const snapshots = [...this.#catalog.groupKeys(grantKind, 'snapshot')]
      .map((id) => this.#catalog.get(snapshotKind, BigInt(id)))
      .filter((stored) => stored !== null)
      .map((stored): Source => ({ kind: 'snapshot', stored }));
    return [...volumes, ...snapshots]
      .filter(({ stored }) => only === null || stored.value.tenant === only)
      .flatMap((source) => this.#entriesOf(source))
      .sort((a, b) => compare(keyOf(a), keyOf(b)));
  }

  /** Under the lock of what is granted. @throws AshlarError as {@link Grants.add}. */
  async grantTo(source: Source, host: string, options: GrantOptions): Promise<void> {
    checkHost(host, 'any-allowed');
    const access = options.access ?? (source.kind === 'volume' ? 'read-write' : 'read-only');
    if (source.kind === 'snapshot' && access !== 'read-only') {
      throw new AshlarError(
        'invalid-argument',
        `${this.#text(source)} never changes, so it is granted read-only; to write, clone it ` +
          'with "ashlar volume clone"',
      );
    }
    await this.#locked('grant', source, options, async (what) => {
      const now = this.#current(source);
      const before = this.#catalog.find(grantKind, 'host', keyIn(now, host));
      if (before !== null) {
        if (options.repeatable === true && before.value.access === access) return;
        throw new AshlarError(
          'already-exists',
          `${this.#text(now)} is granted to ${hostText(host)} already ` +
            `(${before.value.access}); revoke that grant first to change it`,
        );
      }
      this.#assertAlone(now, options.alone);
      await this.#catalog.transact(
        what,
        (transaction) => this.#buildGrant(transaction, this.#current(source), host, access),
        options.signal,
      );
      await this.#show(source);
      const message = `${this.#text(now)} granted to ${hostText(host)} (${access})`;
      this.#emit(`${source.kind}-granted`, message, source);
    });
  }

  async revokeFrom(source: Source, host: string, options: CallOptions): Promise<void> {
    await this.#locked('revoke', source, options, async (what) => {
      const now = this.#current(source);
      const before = this.#catalog.find(grantKind, 'host', keyIn(now, host));
      if (before === null) {
        if (options.repeatable === true) return;
        throw notGranted(this.#text(now), host);
      }
      const build = (transaction: Transaction) => transaction.delete(grantKind, before.id);
      await this.#catalog.transact(what, build, options.signal);
      await this.#show(source);
      const message = `${this.#text(now)} revoked from ${hostText(host)}`;
      this.#emit(`${source.kind}-revoked`, message, source);
    });
  }

  async #locked(
    verb: string,
    source: Source,
    options: CallOptions,
    body: (what: string) => Promise<void>,
  ): Promise<void> {
    const what = `${verb} ${this.#text(source)}`;
    const key = `${source.kind} ${source.stored.id}`;
    await this.#state.locks.hold(key, what, options.signal, async () => {
      throwIfAborted(options.signal, what);
      await body(what);
    });
  }

  /** Under the lock of what is granted, so that of two hosts that want it alone one gets it. */
  #assertAlone(source: Source, alone: GrantOptions['alone']): void {
    if (alone === undefined) return;
    const other = this.#entriesOf(source).find(
      (grant) => alone === 'host' || grant.access === 'read-write',
    );
    if (other === undefined) return;
    throw new AshlarError(
      'busy',
      `${this.#text(source)} is granted to ${hostText(other.host)} (${other.access}); revoke that ` +
        'grant first',
    );
  }

  #buildGrant(transaction: Transaction, source: Source, host: string, access: GrantAccess): void {
    const { id, value } = source.stored;
    if (source.kind === 'volume') {
      addGrant(this.#catalog, transaction, { volume: id, tenant: value.tenant, host, access });
      return;
    }
    addGrant(this.#catalog, transaction, { snapshot: id, tenant: value.tenant, host, access });
    if (value.nsid !== 0) return;
    const tenant = stillThere(this.#catalog.get(tenantKind, value.tenant), 'its tenant');
    const nsid = nextNsid(this.#catalog, transaction, tenant);
    transaction.put(snapshotKind, id, { ...source.stored.value, nsid });
  }

  #current(source: Source): Source {
    const { id } = source.stored;
    const what = this.#text(source);
    return source.kind === 'volume'
      ? { kind: 'volume', stored: stillThere(this.#catalog.get(volumeKind, id), what) }
      : { kind: 'snapshot', stored: stillThere(this.#catalog.get(snapshotKind, id), what) };
  }

  /** Hosts see what the catalog now says. */
  async #show(source: Source): Promise<void> {
    const now = this.#current(source);
    if (now.kind === 'volume') await this.#state.exports.updateVolume(now.stored);
    else await this.#state.exports.showSnapshot(now.stored);
  }

  #entriesOf(source: Source): GrantEntry[] {
    if (source.kind === 'volume') {
      const { name, tenant, grants } = volumeInfo(this.#catalog, source.stored);
      return grants.map((grant) => ({ ...grant, tenant, volume: name, snapshot: null }));
    }
    const { name, volume, tenant, grants } = snapshotInfo(this.#catalog, source.stored);
    return grants.map((grant) => ({ ...grant, tenant, volume, snapshot: name }));
  }

  #text({ kind, stored }: Source): string {
    return kind === 'volume'
      ? `volume '${stored.value.name}'`
      : `snapshot '${snapshotReference(this.#catalog, stored)}'`;
  }

  #emit(kind: EventKind, message: string, { stored }: Source): void {
    const { uuid, tenant } = stored.value;
    this.#state.emit(kind, message, { subject: uuidText(uuid), tenant });
  }
}

/** A grant to add; of a volume or of a snapshot, by record id. */
export type NewGrant = { tenant: bigint; host: string; access: GrantAccess } & (
  | { volume: bigint }
  | { snapshot: bigint }
);

/** Adds the grant, and the host when it is new. @throws AshlarError limit-exceeded. */
export function addGrant(catalog: Catalog, transaction: Transaction, grant: NewGrant): void {
  const { tenant, host, access } = grant;
  const createdMs = Date.now();
  const of = { volume: 0n, snapshot: 0n, ...pick(grant) };
  transaction.add(grantKind, { ...of, host, access, createdMs });
  if (host === anyHost) return;
  if (catalog.find(hostKind, 'nqn', hostKey(tenant, host)) !== null) return;
  if (catalog.count(hostKind) >= maxHosts) {
    throw new AshlarError(
      'limit-exceeded',
      `the node knows ${maxHosts} hosts, its limit; remove one with "ashlar host remove"`,
      { toTenants: nodeIsFull('hosts') },
    );
  }
  transaction.add(hostKind, { tenant, nqn: host, createdMs });
}

function pick(grant: NewGrant): { volume: bigint } | { snapshot: bigint } {
  return 'volume' in grant ? { volume: grant.volume } : { snapshot: grant.snapshot };
}

/** Deletes all grants of a volume or snapshot. */
export function deleteGrants(
  catalog: Catalog,
  transaction: Transaction,
  of: 'volume' | 'snapshot',
  { id }: Stored<VolumeRecord | SnapshotRecord>,
): void {
  for (const grant of catalog.group(grantKind, of, String(id))) {
    transaction.delete(grantKind, grant.id);
  }
}

function keyIn({ kind, stored: { id } }: Source, host: string): string {
  return kind === 'volume' ? grantKey(id, host) : snapshotGrantKey(id, host);
}

function keyOf({ tenant, volume, snapshot, host }: GrantEntry): string {
  return `${tenant}/${volume}@${snapshot ?? ''}/${host}`;
}

function notGranted(what: string, host: string): AshlarError {
  return new AshlarError('not-found', `${what} is not granted to ${hostText(host)}`);
}

function hostText(host: GrantInfo['host']): string {
  return host === anyHost ? 'any host' : `host ${host}`;
}
