/** The keys of hosts: kept wrapped in the catalog, opened only while something is computed. */
import { createHash } from 'node:crypto';
import { hashes, hashOfId } from '../auth/digests.js';
import { formatSecret, generateSecret, parseSecret, type Secret } from '../auth/secret.js';
import type { Catalog, Stored } from '../catalog/catalog.js';
import {
  type HostKeyRecord,
  type HostKeyRole,
  hostKeyKind,
  hostKeyRoles,
  keysOfHost,
} from '../catalog/key_kinds.js';
import { hostKey, hostKind, type TenantRecord, tenantKind } from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import type { HostKeys as KnownKeys } from '../target/authentication.js';
import { checkHost } from '../volumes/rules.js';
import { type ControlState, stillThere, tenantOf } from '../volumes/state.js';
import type { CallOptions } from '../volumes/types.js';
import { uuidText } from '../volumes/uuid.js';
import type { KeyFile } from './key_file.js';
import type { HostKeyInfo, HostKeys, SetHostKey } from './types.js';
import { unwrap, wrap } from './wrapping.js';

/** Keys of one host that are good at once: the one it uses, and the one it goes over to. */
const maxHostKeys = 2;
const fingerprintDigits = 12;

/** What the target asks at every Connect. @throws AshlarError when what is kept does not open. */
export function knownKeys(
  catalog: Catalog,
  keyFile: KeyFile,
  tenant: bigint,
  nqn: string,
): KnownKeys | null {
  const records = newestFirst(catalog.group(hostKeyKind, 'host', keysOfHost(tenant, nqn)));
  const host = records.filter(({ value }) => value.role === 'host');
  // A key of the controller alone asks nothing of the host.
  if (host.length === 0) return null;
  const { uuid } = stillThere(catalog.get(tenantKind, tenant), `tenant of ${nqn}`).value;
  const open = ({ value }: Stored<HostKeyRecord>): Secret => ({
    key: unwrap(keyFile.key(), value.wrapped, identityOf(uuid, value)),
    transform: hashOfId(value.hash),
  });
  const controller = records.find(({ value }) => value.role === 'controller');
  return {
    host: host.map(open),
    controller: controller === undefined ? null : open(controller),
  };
}

/** Why kept keys cannot be used, for the log of a start; null: they can, or there are none. */
export function keysProblem(catalog: Catalog, keyFile: KeyFile): string | null {
  const [first] = catalog.all(hostKeyKind);
  if (first === undefined) return null;
  try {
    const { uuid } = stillThere(catalog.get(tenantKind, first.value.tenant), 'its tenant').value;
    unwrap(keyFile.key(), first.value.wrapped, identityOf(uuid, first.value));
    return null;
  } catch (thrown) {
    return `hosts with keys are not let in: ${thrown instanceof Error ? thrown.message : thrown}`;
  }
}

export class HostKeyService implements HostKeys {
  readonly #state: ControlState;
  readonly #keyFile: KeyFile;
  readonly #changed: () => void;

  /** @param changed called when hosts have other keys than before. */
  constructor(state: ControlState, keyFile: KeyFile, changed: () => void) {
    this.#state = state;
    this.#keyFile = keyFile;
    this.#changed = changed;
  }

  list(options: CallOptions = {}): HostKeyInfo[] {
    this.#state.assertOpen();
    const { catalog } = this.#state;
    const only = options.tenant === undefined ? null : tenantOf(catalog, options).id;
    const kept = catalog
      .all(hostKeyKind)
      .filter(({ value }) => only === null || value.tenant === only);
    return newestFirst(kept)
      .map((key) => this.#info(key.value))
      .sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : placeOf(a) > placeOf(b) ? 1 : 0));
  }

  async set(
    nqn: string,
    wanted: SetHostKey,
    options: CallOptions = {},
  ): Promise<{ key: HostKeyInfo; secret: string | null }> {
    this.#state.assertOpen();
    checkHost(nqn, 'one-host');
    const { role, replace = false } = wanted;
    if (!hostKeyRoles.includes(role)) {
      throw new AshlarError('invalid-argument', `role '${role}' is not 'host' or 'controller'`);
    }
    const secret =
      wanted.secret === null
        ? generateSecret(wanted.hash ?? 'sha256')
        : parseSecret(wanted.secret, `the ${role} key of ${nqn}`);
    const { catalog } = this.#state;
    const tenant = tenantOf(catalog, options);
    const what = `set a key of host ${nqn}`;
    const kept = await this.#locked(tenant, nqn, what, options, async () => {
      const record = this.#record(tenant, nqn, role, secret);
      const before = this.#keysOf(tenant.id, nqn, role);
      const same = before.find(({ value }) => value.fingerprint === record.fingerprint);
      const older = before.filter((each) => each !== same);
      if (same !== undefined && (older.length === 0 || !replace)) {
        if (options.repeatable === true) return same.value;
        throw new AshlarError('already-exists', `host ${nqn} has this ${role} key already`);
      }
      // The controller answers with one key only, so a new one takes the place of the old.
      const gone = replace || role === 'controller' ? before : [];
      if (before.length - gone.length >= maxHostKeys) throw tooMany(nqn, older);
      await catalog.transact(
        what,
        (transaction) => {
          stillThere(catalog.find(hostKind, 'nqn', hostKey(tenant.id, nqn)), `host ${nqn}`);
          for (const { id } of gone) transaction.delete(hostKeyKind, id);
          transaction.add(hostKeyKind, record);
        },
        options.signal,
      );
      this.#changed();
      const only = before.length === gone.length ? '' : ', beside the one before';
      const message = `${role} key ${record.fingerprint} of host ${nqn} set${only}`;
      this.#state.emit('host-key-set', message, { subject: nqn, tenant: tenant.id });
      return record;
    });
    return {
      key: this.#info(kept),
      secret: wanted.secret === null ? formatSecret(secret) : null,
    };
  }

  async remove(nqn: string, fingerprint: string, options: CallOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const { catalog } = this.#state;
    const tenant = tenantOf(catalog, options);
    const what = `remove a key of host ${nqn}`;
    await this.#locked(tenant, nqn, what, options, async () => {
      const all = hostKeyRoles.flatMap((role) => this.#keysOf(tenant.id, nqn, role));
      const found = all.filter(({ value }) => value.fingerprint === fingerprint);
      if (found.length === 0) {
        if (options.repeatable === true) return;
        throw new AshlarError(
          'not-found',
          `host ${nqn} has no key ${fingerprint}; "ashlar host key list" shows those it has`,
        );
      }
      await catalog.transact(
        what,
        (transaction) => {
          for (const { id } of found) transaction.delete(hostKeyKind, id);
        },
        options.signal,
      );
      this.#changed();
      const open = this.#keysOf(tenant.id, nqn, 'host').length === 0;
      const message = `key ${fingerprint} of host ${nqn} removed`;
      const about = { subject: nqn, tenant: tenant.id };
      if (open) {
        const warning = `${message}: it connects without authentication now`;
        this.#state.emit('host-key-removed', warning, about, 'warning');
      } else {
        this.#state.emit('host-key-removed', message, about);
      }
    });
  }

  #locked<T>(
    tenant: Stored<TenantRecord>,
    nqn: string,
    what: string,
    options: CallOptions,
    work: () => Promise<T>,
  ): Promise<T> {
    const { catalog, locks } = this.#state;
    return locks.hold(`host ${tenant.id}/${nqn}`, what, options.signal, async () => {
      if (catalog.find(hostKind, 'nqn', hostKey(tenant.id, nqn)) !== null) return work();
      throw new AshlarError(
        'not-found',
        `host ${nqn} is not known to tenant '${tenant.value.name}'; "ashlar host add" first`,
      );
    });
  }

  #record(
    tenant: Stored<TenantRecord>,
    nqn: string,
    role: HostKeyRole,
    secret: Secret,
  ): HostKeyRecord {
    const { key, transform } = secret;
    const record: HostKeyRecord = {
      tenant: tenant.id,
      nqn,
      role,
      hash: idOf(transform),
      lengthBytes: lengthOf(key),
      fingerprint: fingerprintOf(secret),
      wrapped: new Uint8Array(0),
      createdMs: Date.now(),
    };
    const identity = identityOf(tenant.value.uuid, record);
    record.wrapped = wrap(this.#keyFile.keyOrNew(), key, identity);
    return record;
  }

  /** The newest first. */
  #keysOf(tenant: bigint, nqn: string, role: HostKeyRole): Stored<HostKeyRecord>[] {
    const all = this.#state.catalog.group(hostKeyKind, 'host', keysOfHost(tenant, nqn));
    return newestFirst(all.filter(({ value }) => value.role === role));
  }

  #info(value: HostKeyRecord): HostKeyInfo {
    const { nqn, role, hash, lengthBytes, fingerprint, createdMs } = value;
    const tenant = stillThere(
      this.#state.catalog.get(tenantKind, value.tenant),
      `tenant of ${nqn}`,
    );
    return {
      nqn,
      tenant: tenant.value.name,
      role,
      hash: hashOfId(hash),
      lengthBytes,
      fingerprint,
      createdAt: new Date(createdMs).toISOString(),
    };
  }
}

/** What a wrapped key is bound to: all that says whose it is and how it is used. */
function identityOf(tenantUuid: Uint8Array, value: HostKeyRecord): string {
  const { nqn, role, hash, fingerprint } = value;
  return ['ashlar host key', uuidText(tenantUuid), nqn, role, hash, fingerprint].join('\0');
}

function fingerprintOf(secret: Secret): string {
  const sum = createHash('sha256').update(formatSecret(secret)).digest('hex');
  return sum.slice(0, fingerprintDigits);
}

function idOf(transform: Secret['transform']): HostKeyRecord['hash'] {
  const id = transform === null ? 0 : hashes[transform].id;
  if (id === 0 || id === 1 || id === 2 || id === 3) return id;
  throw new RangeError(`hash ${id}`);
}

function lengthOf({ length }: Uint8Array): HostKeyRecord['lengthBytes'] {
  if (length === 32 || length === 48 || length === 64) return length;
  throw new RangeError(`a key of ${length} bytes`);
}

function newestFirst(records: readonly Stored<HostKeyRecord>[]): Stored<HostKeyRecord>[] {
  return [...records].sort((a, b) => (a.id > b.id ? -1 : 1));
}

/** By what lists of keys are sorted. */
function placeOf({ tenant, nqn, role }: HostKeyInfo): string {
  return `${tenant}/${nqn}/${role}`;
}

function tooMany(nqn: string, older: readonly Stored<HostKeyRecord>[]): AshlarError {
  const names = older.map(({ value }) => value.fingerprint).join(' and ');
  return new AshlarError(
    'conflict',
    `host ${nqn} has ${maxHostKeys} keys already, ${names}; remove the one it does not use any ` +
      'more with "ashlar host key remove", or give --replace',
  );
}
