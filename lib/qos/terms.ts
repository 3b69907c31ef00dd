/** What limits there are for whom, as native code takes them. */
import type { TenantQuota } from '../catalog/kinds.js';
import type { MeterLimits } from '../native.js';
import { defaultTerms, type MeterTerms } from './meters.js';

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

/** What a tenant may do a second, all its volumes together. */
export function termsOfTenant(quota: Readonly<TenantQuota>): MeterTerms {
  if (quota.iops === 0 && quota.bytesPerSecond === 0n) return defaultTerms;
  return {
    ...defaultTerms,
    limits: {
      ...noLimits,
      iops: quota.iops === 0 ? null : BigInt(quota.iops),
      bytesPerSecond: quota.bytesPerSecond === 0n ? null : quota.bytesPerSecond,
    },
  };
}
