/** Who may call the API, and what each may: tokens, roles, and the callers made of them. */
import type { Role } from '../catalog/token_kinds.js';
import type { CallOptions } from '../volumes/types.js';

export type { Role };

/**
 * Who calls. Of a tenant: sees and changes what is the tenant's, and nothing else.
 *
 * 'admin': everything. 'tenant-admin': everything of one tenant. 'viewer': reads, of the node or of
 * one tenant.
 */
export interface Caller {
  /** The token's name; 'local' at the control socket. */
  readonly name: string;
  readonly role: Role;
  /** Name of the tenant that it is kept to; null: the node. */
  readonly tenant: string | null;
  readonly via: 'socket' | 'token' | 'certificate' | 'session';
}

/** Whoever reaches the control socket, which is the daemon's user's alone. */
export const localCaller: Caller = { name: 'local', role: 'admin', tenant: null, via: 'socket' };

/** A caller who has shown nothing yet: of what is for strangers, see `open` in operations.ts. */
export const stranger: Caller = { name: 'stranger', role: 'viewer', tenant: null, via: 'session' };

export interface TokenInfo {
  /** Unique in its tenant, or among those of the node. */
  name: string;
  /** 'bearer': a secret; 'certificate': a client certificate with this subject. */
  kind: 'bearer' | 'certificate';
  role: Role;
  /** null: of the node. */
  tenant: string | null;
  subject: string | null;
  createdAt: string;
  /** null: never. */
  expiresAt: string | null;
  /** Until when the secret before the last rotation is good; null: it is not. */
  oldSecretUntil: string | null;
}

export interface CreateToken {
  name: string;
  role: Role;
  /** In milliseconds since 1970; null: never. */
  expiresMs?: number | null | undefined;
  /** Subject of a client certificate that stands for a secret. */
  subject?: string | undefined;
}

export interface RotateToken {
  /** How long the old secret stays good, milliseconds; 0 when not given. */
  graceMs?: number | undefined;
  /** The new end; as before when not given. */
  expiresMs?: number | null | undefined;
}

/** A token with its secret, which nothing gives out again; null: a certificate has none. */
export interface MadeToken {
  token: TokenInfo;
  secret: string | null;
}

/** `tenant` in the options: that tenant's tokens; without one those of the node. */
export interface Tokens {
  /** @throws AshlarError invalid-argument, already-exists, limit-exceeded. */
  create(request: CreateToken, options?: CallOptions): Promise<MadeToken>;
  /** By tenant and name. Without a tenant in the options: all. */
  list(options?: CallOptions): TokenInfo[];
  /** @throws AshlarError not-found. */
  show(name: string, options?: CallOptions): TokenInfo;
  /** @throws AshlarError not-found, conflict (a certificate has no secret). */
  rotate(name: string, request: RotateToken, options?: CallOptions): Promise<MadeToken>;
  /** @throws AshlarError not-found. */
  remove(name: string, options?: CallOptions): Promise<void>;
  /** @throws AshlarError unauthenticated. */
  callerOf(secret: string): Caller;
  /** By the subject of a certificate whose chain is proved. @throws AshlarError unauthenticated. */
  callerWithCertificate(subject: string): Caller;
}

/** A secret, and when it is good no more. */
export interface TimedSecret {
  secret: string;
  expiresAt: string;
}

/** Links that sign a browser in, and the sessions that they are changed for. In memory alone. */
export interface Sessions {
  /** URLs of the console; whoever serves it says so. */
  consoles: readonly string[];
  /** Of a link, good once and for 5 minutes. @throws AshlarError permission-denied: a session. */
  createLink(caller: Caller): TimedSecret;
  /** Changes a link's secret for a session's. @throws AshlarError unauthenticated. */
  redeem(secret: string): TimedSecret;
  /** null: no session has this secret. @throws AshlarError unauthenticated: it has ended. */
  callerOf(secret: string): Caller | null;
  /** Ends the session of a caller. */
  end(caller: Caller): void;
}
