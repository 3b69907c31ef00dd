/** What the rest of the control plane sees of policies; the rules of types.ts hold. */
import type { MeterLimits } from '../native.js';
import type { CallOptions } from './types.js';

/** Rates are a second, 1 to 2^40; null: no limit. */
export interface PolicySettings extends MeterLimits {
  /** The share of a reactor that several want at once, 1 to 10,000; 100 without a policy. */
  weight: number;
  /** Whether the admins of tenants may give it to their volumes. */
  offered: boolean;
}

export interface PolicyInfo extends PolicySettings {
  /** Unique on the node. */
  name: string;
  /** How many volumes have it; of a tenant's caller, its own. */
  volumes: number;
  tenants: number;
  createdAt: string;
}

/** Those that are not given stay; of a new policy they limit nothing. */
export type SetPolicy = { [K in keyof PolicySettings]?: PolicySettings[K] | undefined };
export type ChangePolicy = SetPolicy & { name?: string | undefined };

export interface Policies {
  /** What is not given is not limited. @throws AshlarError invalid-argument, already-exists. */
  create(name: string, settings?: SetPolicy, options?: CallOptions): Promise<PolicyInfo>;
  /** @throws AshlarError not-found, invalid-argument, already-exists. */
  change(name: string, request: ChangePolicy, options?: CallOptions): Promise<PolicyInfo>;
  list(options?: CallOptions): PolicyInfo[];
  /** @throws AshlarError not-found. */
  show(name: string, options?: CallOptions): PolicyInfo;
  /** @throws AshlarError not-found; busy while a volume or tenant has it. */
  delete(name: string, options?: CallOptions): Promise<void>;
}
