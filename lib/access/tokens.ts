/** Tokens: create, list, show, rotate, remove, and who calls with one. */

import type { Catalog, Stored } from '../catalog/catalog.js';
import { tenantKind } from '../catalog/kinds.js';
import { type TokenRecord, tokenKey, tokenKind } from '../catalog/token_kinds.js';
import { AshlarError, nodeIsFull, throwIfAborted } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { compare } from '../volumes/pages.js';
import { checkName } from '../volumes/rules.js';
import { type ControlState, stillThere, tenantOf } from '../volumes/state.js';
import type { CallOptions } from '../volumes/types.js';
import { hexText } from '../volumes/uuid.js';
import { hashOf, newSecret } from './secrets.js';
import type { Caller, CreateToken, MadeToken, RotateToken, TokenInfo, Tokens } from './types.js';

/** Tokens of a node; their records are in memory, about 300 bytes each. */
export const maxTokens = 4096;
/** An old secret is good at most this long after a rotation. */
export const maxGraceMs = 7 * 24 * 3_600_000;
const maxSubjectLength = 1024;

type StoredToken = Stored<TokenRecord>;
const none = new Uint8Array(0);

export class TokenService implements Tokens {
  readonly #state: ControlState;
  readonly #catalog: Catalog;

  constructor(state: ControlState) {
    this.#state = state;
    this.#catalog = state.catalog;
  }

  async create(request: CreateToken, options: CallOptions = {}): Promise<MadeToken> {
    this.#state.assertOpen();
    const tenant = this.#tenant(options);
    const { name, subject = '' } = request;
    this.#check(request, tenant);
    const secret = subject === '' ? newSecret() : null;
    const record: TokenRecord = {
      name,
      role: request.role,
      tenant,
      hash: secret === null ? none : hashOf(secret),
      oldHash: none,
      oldUntilMs: 0,
      subject,
      createdMs: Date.now(),
      expiresMs: checkExpiry(name, request.expiresMs ?? 0),
    };
    const what = `create token '${name}'`;
    const id = await this.#catalog.transact(
      what,
      (transaction) => {
        if (this.#catalog.count(tokenKind) >= maxTokens) {
          throw new AshlarError(
            'limit-exceeded',
            `the node has ${maxTokens} tokens, its limit; delete some with "ashlar token delete"`,
            { toTenants: nodeIsFull('tokens') },
          );
        }
        if (this.#catalog.find(tokenKind, 'name', tokenKey(tenant, name)) !== null) {
          throw new AshlarError('already-exists', `token '${name}' exists already`);
        }
        if (subject !== '' && this.#catalog.find(tokenKind, 'subject', subject) !== null) {
          const message = `another token stands for the certificate of '${subject}'`;
          throw new AshlarError('already-exists', message);
        }
        return transaction.add(tokenKind, record);
      },
      options.signal,
    );
    this.#tell('token-created', `token '${name}' (${record.role}) created`, record);
    return { token: this.#info({ id, value: record }), secret };
  }

  /** What a token of that role and tenant must be. */
  #check({ name, role, subject = '' }: CreateToken, tenant: bigint): void {
    checkName('token', name);
    if (role === 'admin' && tenant !== 0n) {
      throw new AshlarError(
        'invalid-argument',
        `token '${name}': an admin is the node's, not a tenant's; the role there is tenant-admin`,
      );
    }
    if (role === 'tenant-admin' && tenant === 0n) {
      throw new AshlarError('invalid-argument', `token '${name}': of which tenant is the admin?`);
    }
    if (subject.length > maxSubjectLength) {
      throw new AshlarError(
        'invalid-argument',
        `token '${name}': a subject has at most ${maxSubjectLength} letters`,
      );
    }
  }

  list(options: CallOptions = {}): TokenInfo[] {
    this.#state.assertOpen();
    const tokens =
      options.tenant === undefined
        ? this.#catalog.all(tokenKind)
        : this.#catalog.group(tokenKind, 'tenant', String(this.#tenant(options)));
    return tokens
      .map((token) => this.#info(token))
      .sort((a, b) => compare(a.tenant ?? '', b.tenant ?? '') || compare(a.name, b.name));
  }

  show(name: string, options: CallOptions = {}): TokenInfo {
    this.#state.assertOpen();
    return this.#info(this.#find(name, options));
  }

  async rotate(name: string, request: RotateToken, options: CallOptions = {}): Promise<MadeToken> {
    this.#state.assertOpen();
    const { id } = this.#find(name, options);
    const { graceMs = 0 } = request;
    if (graceMs < 0 || graceMs > maxGraceMs) {
      throw new AshlarError(
        'invalid-argument',
        `token '${name}': an old secret stays good for at most ${maxGraceMs / 3_600_000} hours`,
      );
    }
    const secret = newSecret();
    const record = await this.#catalog.transact(
      `rotate token '${name}'`,
      (transaction) => {
        const { value } = this.#now(id, name);
        if (value.subject !== '') {
          throw new AshlarError('conflict', `token '${name}' is a certificate, without a secret`);
        }
        const now = Date.now();
        const changed: TokenRecord = {
          ...value,
          hash: hashOf(secret),
          oldHash: graceMs === 0 ? none : value.hash,
          oldUntilMs: graceMs === 0 ? 0 : now + graceMs,
          expiresMs:
            request.expiresMs === undefined
              ? value.expiresMs
              : checkExpiry(name, request.expiresMs ?? 0),
        };
        transaction.put(tokenKind, id, changed);
        return changed;
      },
      options.signal,
    );
    this.#tell('token-rotated', `token '${name}' has a new secret`, record);
    return { token: this.#info({ id, value: record }), secret };
  }

  async remove(name: string, options: CallOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const what = `delete token '${name}'`;
    throwIfAborted(options.signal, what);
    if (options.repeatable === true && this.#lookUp(name, options) === null) return;
    const { id, value } = this.#find(name, options);
    await this.#catalog.transact(
      what,
      (transaction) => {
        this.#now(id, name);
        transaction.delete(tokenKind, id);
      },
      options.signal,
    );
    this.#tell('token-deleted', `token '${name}' deleted`, value);
  }

  callerOf(secret: string): Caller {
    const hash = hexText(hashOf(secret));
    const current = this.#catalog.find(tokenKind, 'hash', hash);
    if (current !== null) return this.#caller(current, 'token');
    const old = this.#catalog.find(tokenKind, 'oldHash', hash);
    if (old !== null && old.value.oldUntilMs > Date.now()) return this.#caller(old, 'token');
    throw new AshlarError(
      'unauthenticated',
      old === null
        ? 'this token is not known'
        : `the old secret of '${old.value.name}' has expired`,
    );
  }

  callerWithCertificate(subject: string): Caller {
    const found = this.#catalog.find(tokenKind, 'subject', subject);
    if (found !== null) return this.#caller(found, 'certificate');
    throw new AshlarError(
      'unauthenticated',
      `no token stands for the certificate of '${subject.slice(0, 200)}'; an admin makes one with ` +
        '"ashlar token create --subject"',
    );
  }

  #caller({ value }: StoredToken, via: Caller['via']): Caller {
    if (value.expiresMs !== 0 && value.expiresMs <= Date.now()) {
      const when = new Date(value.expiresMs).toISOString();
      throw new AshlarError(
        'unauthenticated',
        `token '${value.name}' has expired at ${when}; an admin renews it with ` +
          '"ashlar token rotate --expires"',
      );
    }
    return { name: value.name, role: value.role, tenant: this.#tenantName(value.tenant), via };
  }

  #lookUp(name: string, options: CallOptions): StoredToken | null {
    return this.#catalog.find(tokenKind, 'name', tokenKey(this.#tenant(options), name));
  }

  #find(name: string, options: CallOptions): StoredToken {
    const found = this.#lookUp(name, options);
    if (found !== null) return found;
    const where = options.tenant === undefined ? 'of the node' : `of tenant '${options.tenant}'`;
    throw new AshlarError('not-found', `token '${name}' ${where} does not exist`);
  }

  #now(id: bigint, name: string): StoredToken {
    return stillThere(this.#catalog.get(tokenKind, id), `token '${name}'`);
  }

  #tenant(options: CallOptions): bigint {
    return options.tenant === undefined ? 0n : tenantOf(this.#catalog, options).id;
  }

  #tenantName(tenant: bigint): string | null {
    if (tenant === 0n) return null;
    return stillThere(this.#catalog.get(tenantKind, tenant), 'its tenant').value.name;
  }

  #info({ value }: StoredToken): TokenInfo {
    const time = (ms: number): string | null => (ms === 0 ? null : new Date(ms).toISOString());
    return {
      name: value.name,
      kind: value.subject === '' ? 'bearer' : 'certificate',
      role: value.role,
      tenant: this.#tenantName(value.tenant),
      subject: value.subject === '' ? null : value.subject,
      createdAt: new Date(value.createdMs).toISOString(),
      expiresAt: time(value.expiresMs),
      oldSecretUntil: value.oldUntilMs > Date.now() ? time(value.oldUntilMs) : null,
    };
  }

  #tell(kind: EventKind, message: string, { tenant }: TokenRecord): void {
    this.#state.emit(kind, message, { subject: null, tenant: tenant === 0n ? null : tenant });
  }
}

function checkExpiry(name: string, expiresMs: number): number {
  if (expiresMs === 0 || expiresMs > Date.now()) return expiresMs;
  const when = new Date(expiresMs).toISOString();
  throw new AshlarError(
    'invalid-argument',
    `token '${name}' would have expired at ${when} already`,
  );
}
