/**
 * Records about how much hosts may do a second; the rules of kinds.ts hold.
 *
 * | kind | record | what it says                                                     |
 * |-----:|--------|------------------------------------------------------------------|
 * |   17 | policy | limits and a weight under a name, which volumes and tenants have  |
 */
import type { RecordKind } from './codec.js';

/** Rates are a second; 0: no limit. */
export interface PolicyRecord {
  name: string;
  readIops: bigint;
  writeIops: bigint;
  iops: bigint;
  readBytesPerSecond: bigint;
  writeBytesPerSecond: bigint;
  bytesPerSecond: bigint;
  /** 100: no bursts. */
  burstPercent: number;
  burstSeconds: number;
  weight: number;
  /** Whether the admins of tenants may give it to their volumes. */
  offered: boolean;
  createdMs: number;
}

export const policyKind: RecordKind<PolicyRecord, 'name', never> = {
  kind: 17,
  name: 'policy',
  version: 1,
  decode: (fields) => ({
    name: fields.text('name'),
    readIops: fields.u64('readIops'),
    writeIops: fields.u64('writeIops'),
    iops: fields.u64('iops'),
    readBytesPerSecond: fields.u64('readBytesPerSecond'),
    writeBytesPerSecond: fields.u64('writeBytesPerSecond'),
    bytesPerSecond: fields.u64('bytesPerSecond'),
    burstPercent: fields.integer('burstPercent'),
    burstSeconds: fields.integer('burstSeconds'),
    weight: fields.integer('weight'),
    offered: fields.flag('offered'),
    createdMs: fields.integer('createdMs'),
  }),
  encode: (value) => ({ ...value }),
  indexes: { name: ({ name }) => name },
  groups: {},
};
