/** PSKs of hosts: kept wrapped in the catalog, derived for the target's TLS. */
import { createHash } from 'node:crypto';
import type { Stored } from '../catalog/catalog.js';
import { hostKey, hostKind, type TenantRecord, tenantKind } from '../catalog/kinds.js';
import { type PskRecord, pskKind } from '../catalog/psk_kinds.js';
import { AshlarError, nodeIsFull, toAshlarError } from '../errors.js';
import type { Target } from '../target/target.js';
import { type TlsPsk, tlsPsks } from '../tls/derive.js';
import { type ConfiguredPsk, formatPsk, generatePsk, parsePsk } from '../tls/psk.js';
import { type ControlState, stillThere, tenantOf } from '../volumes/state.js';
import type { CallOptions } from '../volumes/types.js';
import type { KeyFile } from './key_file.js';
import { fairly } from './psk_share.js';
import type { HostPsks, PskInfo } from './psk_types.js';
import { unwrap, wrap } from './wrapping.js';

/** PSKs of one host of a tenant: two are enough, and two more while they are rotated. */
export const maxPsksPerHost = 4;
/** PSKs of a node: native code takes 65,536 derived ones, 12 of each. */
export const maxPsks = 4096;
const idDigits = 12;

export interface PskParts {
  target: Pick<Target, 'setTlsPsks' | 'discoveryNqns'>;
  keyFile: KeyFile;
}

export class PskService implements HostPsks {
  readonly #state: ControlState;
  readonly #parts: PskParts;
  /** By record: what is derived of it. PSKs that cannot be unwrapped are not here. */
  readonly #derived = new Map<bigint, TlsPsk[]>();

  constructor(state: ControlState, parts: PskParts) {
    this.#state = state;
    this.#parts = parts;
  }

  /** Unwraps and derives what the catalog has. What cannot be is a warning: others are served. */
  openAll(): void {
    for (const record of this.#state.catalog.all(pskKind)) {
      const { host, tenant } = record.value;
      try {
        this.#derive(record, this.#unwrap(record.value));
      } catch (thrown) {
        const error = toAshlarError(thrown);
        const about = { subject: host, tenant, error };
        const message = `no TLS for host ${host}: ${error.message}`;
        this.#state.emit('psk-locked', message, about, 'warning');
      }
    }
    this.refresh();
  }

  /** Tells the target what the catalog has by now. */
  refresh(): void {
    for (const id of this.#derived.keys()) {
      if (this.#state.catalog.get(pskKind, id) === null) this.#derived.delete(id);
    }
    const records = this.#state.catalog
      .all(pskKind)
      .map(({ id, value: { tenant, host } }) => ({ id, tenant, host }));
    this.#parts.target.setTlsPsks(fairly(records, (id) => this.#derived.get(id) ?? []));
  }

  list(options: CallOptions = {}): PskInfo[] {
    this.#state.assertOpen();
    const { catalog } = this.#state;
    const only = options.tenant === undefined ? null : tenantOf(catalog, options).id;
    return catalog
      .all(pskKind)
      .filter(({ value }) => only === null || value.tenant === only)
      .map((record) => this.#info(record));
  }

  async generate(
    host: string,
    hash: 'sha256' | 'sha384',
    options: CallOptions = {},
  ): Promise<PskInfo & { psk: string }> {
    const psk = generatePsk(hash);
    const info = await this.#add(host, psk, options);
    return { ...info, psk: formatPsk(psk) };
  }

  async set(host: string, psk: string, options: CallOptions = {}): Promise<PskInfo> {
    return this.#add(host, parsePsk(psk, `the PSK of ${host}`), options);
  }

  async #add(host: string, psk: ConfiguredPsk, options: CallOptions): Promise<PskInfo> {
    this.#state.assertOpen();
    const { catalog, locks } = this.#state;
    const tenant = tenantOf(catalog, options);
    const what = `add a PSK of host ${host}`;
    return locks.hold(`host ${tenant.id}/${host}`, what, options.signal, async () => {
      const same = this.#same(tenant.id, host, psk);
      if (same !== null) {
        if (options.repeatable === true) return this.#info(same);
        throw new AshlarError('already-exists', `host ${host} has this PSK already`);
      }
      this.#assertHost(host, tenant);
      const value: PskRecord = {
        tenant: tenant.id,
        host,
        transform: psk.transform ?? 'none',
        keyBytes: psk.key.length === 32 ? 32 : 48,
        wrapped: wrap(this.#parts.keyFile.keyOrNew(), psk.key, subjectOf(tenant.id, host)),
        createdMs: Date.now(),
      };
      const id = await catalog.transact(
        what,
        (transaction) => {
          this.#assertHost(host, tenant);
          this.#assertRoom(tenant.id, host);
          return transaction.add(pskKind, value);
        },
        options.signal,
      );
      const record = stillThere(catalog.get(pskKind, id), `the PSK of ${host}`);
      this.#derive(record, psk.key);
      this.refresh();
      const message = `host ${host} may connect with a further PSK`;
      this.#state.emit('psk-added', message, { subject: host, tenant: tenant.id });
      return this.#info(record);
    });
  }

  async remove(host: string, id: string | null, options: CallOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const { catalog, locks } = this.#state;
    const tenant = tenantOf(catalog, options);
    const what = `remove a PSK of host ${host}`;
    await locks.hold(`host ${tenant.id}/${host}`, what, options.signal, async () => {
      const records = this.#of(tenant.id, host).filter(
        (record) => id === null || idOf(record.value) === id,
      );
      if (records.length === 0) {
        if (options.repeatable === true) return;
        const which = id === null ? 'no PSK' : `no PSK ${id}`;
        throw new AshlarError('not-found', `host ${host} has ${which}; "ashlar host psk list"`);
      }
      await catalog.transact(
        what,
        (transaction) => {
          for (const record of records) transaction.delete(pskKind, record.id);
        },
        options.signal,
      );
      this.refresh();
      const message = `host ${host} connects no more with ${records.length} of its PSKs`;
      this.#state.emit('psk-removed', message, { subject: host, tenant: tenant.id });
    });
  }

  #of(tenant: bigint, host: string): Stored<PskRecord>[] {
    const all = this.#state.catalog.group(pskKind, 'host', host);
    return all.filter(({ value }) => value.tenant === tenant);
  }

  /** The PSK of the host that is the same; one that cannot be unwrapped is not. */
  #same(tenant: bigint, host: string, psk: ConfiguredPsk): Stored<PskRecord> | null {
    for (const record of this.#of(tenant, host)) {
      if (record.value.transform !== (psk.transform ?? 'none')) continue;
      try {
        if (Buffer.from(this.#unwrap(record.value)).equals(psk.key)) return record;
      } catch {
        // Told when the node started.
      }
    }
    return null;
  }

  #assertHost(host: string, tenant: Stored<TenantRecord>): void {
    if (this.#state.catalog.find(hostKind, 'nqn', hostKey(tenant.id, host)) !== null) return;
    throw new AshlarError(
      'not-found',
      `host ${host} is not known to tenant '${tenant.value.name}'; "ashlar host add" it first`,
    );
  }

  #assertRoom(tenant: bigint, host: string): void {
    const { catalog } = this.#state;
    if (this.#of(tenant, host).length >= maxPsksPerHost) {
      throw new AshlarError(
        'limit-exceeded',
        `host ${host} has ${maxPsksPerHost} PSKs, the limit of one host; remove an old one with ` +
          '"ashlar host psk remove"',
      );
    }
    if (catalog.count(pskKind) < maxPsks) return;
    throw new AshlarError(
      'limit-exceeded',
      `the node has ${maxPsks} PSKs, its limit; remove old ones with "ashlar host psk remove"`,
      { toTenants: nodeIsFull('PSKs') },
    );
  }

  #unwrap({ tenant, host, wrapped }: PskRecord): Uint8Array {
    return unwrap(this.#parts.keyFile.key(), wrapped, subjectOf(tenant, host));
  }

  #derive({ id, value }: Stored<PskRecord>, key: Uint8Array): void {
    const tenant = this.#state.catalog.get(tenantKind, value.tenant);
    if (tenant === null) return;
    const transform = value.transform === 'none' ? null : value.transform;
    const subnqns = [tenant.value.subnqn, ...this.#parts.target.discoveryNqns];
    const psks = subnqns.flatMap((subnqn) => tlsPsks({ key, transform }, value.host, subnqn));
    this.#derived.set(id, psks);
  }

  #info({ value }: Stored<PskRecord>): PskInfo {
    const tenant = this.#state.catalog.get(tenantKind, value.tenant);
    return {
      id: idOf(value),
      host: value.host,
      tenant: tenant?.value.name ?? '',
      transform: value.transform,
      bits: value.keyBytes * 8,
      createdAt: new Date(value.createdMs).toISOString(),
    };
  }
}

/** What a wrapped PSK is bound to. */
const subjectOf = (tenant: bigint, host: string): string => `PSK of ${host} of tenant ${tenant}`;

/**
 * Tells the PSKs of one host apart. Of the wrapped bytes, which are random: a number in the order
 * of making would tell a tenant how many others have been made.
 */
function idOf({ wrapped }: Readonly<PskRecord>): string {
  return createHash('sha256').update(wrapped).digest('hex').slice(0, idDigits);
}
