/** Which limits and which weight count for a volume and for a tenant. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noQuota } from '../../lib/catalog/kinds.js';
import type { PolicyRecord } from '../../lib/catalog/policy_kinds.js';
import { maxRate, termsOfTenant, termsOfVolume } from '../../lib/qos/terms.js';

const policy: PolicyRecord = {
  name: 'p',
  readIops: 0n,
  writeIops: 0n,
  iops: 0n,
  readBytesPerSecond: 0n,
  writeBytesPerSecond: 0n,
  bytesPerSecond: 0n,
  burstPercent: 100,
  burstSeconds: 0,
  weight: 100,
  offered: false,
  createdMs: 1,
};
const none = {
  readIops: null,
  writeIops: null,
  iops: null,
  readBytesPerSecond: null,
  writeBytesPerSecond: null,
  bytesPerSecond: null,
  burstPercent: 100,
  burstSeconds: 0,
};
const free = { limits: null, weight: 100 };

describe('terms of a volume', () => {
  it('no policy: no limits, the usual weight', () => {
    assert.deepEqual(termsOfVolume(null), free);
  });

  it('every rate of its policy, and the others not', () => {
    for (const rate of [
      'readIops',
      'writeIops',
      'iops',
      'readBytesPerSecond',
      'writeBytesPerSecond',
      'bytesPerSecond',
    ] as const) {
      const terms = termsOfVolume({ ...policy, [rate]: 7n });
      assert.deepEqual(terms, { limits: { ...none, [rate]: 7n }, weight: 100 });
    }
  });

  it('a weight, or bursts of no rate: limits are none, so that they cost nothing', () => {
    assert.deepEqual(termsOfVolume({ ...policy, weight: 400 }), { limits: null, weight: 400 });
    const bursts = { ...policy, burstPercent: 300, burstSeconds: 30 };
    assert.deepEqual(termsOfVolume(bursts), free);
    const limits = { ...none, iops: 5n, burstPercent: 300, burstSeconds: 30 };
    assert.deepEqual(termsOfVolume({ ...bursts, iops: 5n }).limits, limits);
  });
});

describe('terms of a tenant', () => {
  it('neither policy nor quota: no limits', () => {
    assert.deepEqual(termsOfTenant(noQuota, null), free);
    const space = { ...noQuota, capacityBytes: 1n, volumes: 1, snapshots: 1 };
    assert.deepEqual(termsOfTenant(space, null), free);
  });

  it('of what both limit the smaller, of the rest what there is', () => {
    const quota = { ...noQuota, iops: 500, bytesPerSecond: 9n };
    const gold = { ...policy, iops: 400n, bytesPerSecond: 10n, readIops: 3n, weight: 7 };
    assert.deepEqual(termsOfTenant(quota, gold), {
      limits: { ...none, iops: 400n, bytesPerSecond: 9n, readIops: 3n },
      weight: 7,
    });
    assert.deepEqual(termsOfTenant(quota, null).limits, {
      ...none,
      iops: 500n,
      bytesPerSecond: 9n,
    });
    assert.deepEqual(termsOfTenant(noQuota, gold), termsOfVolume(gold));
  });

  it('a quota of more than native code counts to limits nothing', () => {
    const vast = { ...noQuota, iops: Number.MAX_SAFE_INTEGER, bytesPerSecond: maxRate + 1n };
    assert.deepEqual(termsOfTenant(vast, null), free);
    const most = { ...noQuota, bytesPerSecond: maxRate };
    assert.equal(termsOfTenant(most, null).limits?.bytesPerSecond, maxRate);
    assert.equal(termsOfTenant(vast, { ...policy, iops: 5n }).limits?.iops, 5n);
  });
});
