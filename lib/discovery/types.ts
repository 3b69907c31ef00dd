/** Other nodes that hosts are told of. */
import type { CallOptions } from '../volumes/types.js';

export interface ReferralInfo {
  /** `address:port`, by which it is also named. */
  endpoint: string;
  address: string;
  port: number;
  /** PORTID there; 0: not known. */
  portalId: number;
  /** Whether the configuration names it, so that only the configuration can take it away. */
  configured: boolean;
  /** null: of the configuration. */
  createdAt: string | null;
}

export interface AddReferral {
  /** An IPv4 or IPv6 address of the other node. */
  address: string;
  /** 1 to 65535. */
  port: number;
  /** 0 to 65535; 0 when not given. */
  portalId?: number | undefined;
}

export interface Referrals {
  /** By address and port. */
  list(): ReferralInfo[];
  /** @throws AshlarError invalid-argument, not-found. */
  find(endpoint: string): ReferralInfo;
  /**
   * Connected hosts are told when it resolves.
   * @throws AshlarError invalid-argument, already-exists, limit-exceeded.
   */
  add(referral: AddReferral, options?: CallOptions): Promise<ReferralInfo>;
  /** @throws AshlarError invalid-argument, not-found, conflict (of the configuration). */
  remove(endpoint: string, options?: CallOptions): Promise<void>;
}
