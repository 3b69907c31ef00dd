/** What hosts and this node prove themselves with to each other. */
import type { HostKeyRole } from '../catalog/key_kinds.js';
import type { CallOptions } from '../volumes/types.js';

/** All that is ever told of a key once it is set. */
export interface HostKeyInfo {
  nqn: string;
  tenant: string;
  role: HostKeyRole;
  /** The hash that transforms it; null: none. */
  hash: 'sha256' | 'sha384' | 'sha512' | null;
  lengthBytes: number;
  /** The first 12 hexadecimal digits of the SHA-256 of the secret's text. */
  fingerprint: string;
  createdAt: string;
}

export interface SetHostKey {
  role: HostKeyRole;
  /** `DHHC-1:…`; null: a new one is made. */
  secret: string | null;
  /** Of a new one; 'sha256' when not given. */
  hash?: 'sha256' | 'sha384' | 'sha512' | undefined;
  /** Only this key is good from now on; otherwise the one before stays good beside it. */
  replace?: boolean | undefined;
}

export interface HostKeys {
  /** By tenant, host and role, the newest first. */
  list(options?: CallOptions): HostKeyInfo[];
  /**
   * From its first key on a host must authenticate when it connects; what it has connected stays.
   * Durable when it resolves.
   *
   * @returns the secret where a new one was made: it cannot be had again.
   * @throws AshlarError invalid-argument (malformed), not-found (no such host), already-exists,
   * conflict (two keys are good already).
   */
  set(
    nqn: string,
    key: SetHostKey,
    options?: CallOptions,
  ): Promise<{ key: HostKeyInfo; secret: string | null }>;
  /**
   * Takes a key away; without the last one the host connects unproven again.
   * @throws AshlarError not-found.
   */
  remove(nqn: string, fingerprint: string, options?: CallOptions): Promise<void>;
}
