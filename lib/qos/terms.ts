/** What limits there are for whom, as native code takes them. */
import type { TenantQuota } from '../catalog/kinds.js';
import type { PolicyRecord } from '../catalog/policy_kinds.js';
import type { MeterLimits } from '../native.js';
import { defaultTerms, type MeterTerms } from './meters.js';

/** Rates of a policy, as those who read them have them: null, where its record has 0. */
export type Rates = Omit<MeterLimits, 'burstPercent' | 'burstSeconds'>;

export const noLimits: MeterLimits = {
  readIops: null,
  writeIops: null,
  iops: null,
  readBytesPerSecond: null,
  writeBytesPerSecond: null,
  bytesPerSecond: null,
  burstPercent: 100,
  burstSeconds: 0,
};

export function ratesOf(policy: Readonly<PolicyRecord>): Rates {
  return {
    readIops: policy.readIops || null,
    writeIops: policy.writeIops || null,
    iops: policy.iops || null,
    readBytesPerSecond: policy.readBytesPerSecond || null,
    writeBytesPerSecond: policy.writeBytesPerSecond || null,
    bytesPerSecond: policy.bytesPerSecond || null,
  };
}

/** Null where no rate is limited: whatever bursts there are, they are of nothing. */
function limitsOrNull(limits: MeterLimits): MeterLimits | null {
  const { burstPercent: _, burstSeconds: __, ...rates } = limits;
  return Object.values(rates).every((rate) => rate === null) ? null : limits;
}

/** The most that a rate can be: what native code counts to. */
export const maxRate = 1n << 40n;

/** Of a volume with this policy; null: with none. */
export function termsOfVolume(policy: Readonly<PolicyRecord> | null): MeterTerms {
  if (policy === null) return defaultTerms;
  const { weight, burstPercent, burstSeconds } = policy;
  return { limits: limitsOrNull({ ...ratesOf(policy), burstPercent, burstSeconds }), weight };
}

/**
 * Of a tenant, for all its volumes together: its policy, and of what both its policy and its quota
 * limit, the smaller.
 */
export function termsOfTenant(
  quota: Readonly<TenantQuota>,
  policy: Readonly<PolicyRecord> | null = null,
): MeterTerms {
  const { limits, weight } = termsOfVolume(policy);
  const before: MeterLimits = limits ?? noLimits;
  const both: MeterLimits = {
    ...before,
    iops: smaller(before.iops, rateOfQuota(BigInt(quota.iops))),
    bytesPerSecond: smaller(before.bytesPerSecond, rateOfQuota(quota.bytesPerSecond)),
  };
  return { limits: limitsOrNull(both), weight };
}

/** A quota may be above what native code counts to, and any node does: then it limits nothing. */
function rateOfQuota(quota: bigint): bigint | null {
  return quota === 0n || quota > maxRate ? null : quota;
}

function smaller(a: bigint | null, b: bigint | null): bigint | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}
