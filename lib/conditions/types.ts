/** What keeps things from being used as they should, and what is known for judging that. */
import type { TokenInfo } from '../access/types.js';
import type { PoolStatus } from '../native.js';
import type { PortalInfo } from '../portals/types.js';
import type { ScheduleInfo } from '../schedules/types.js';
import type { ImportInfo } from '../stream/types.js';
import type { ReservationInfo } from '../volumes/reservation_types.js';
import type { HostInfo, TenantInfo, VolumeDetail, VolumeInfo } from '../volumes/types.js';

export const conditionKinds = [
  'pool-failed',
  'device-missing',
  'device-failed',
  'pool-full',
  'pool-nearly-full',
  'being-imported',
  'not-granted',
  'no-portal',
  'portal-not-listening',
  'host-without-psk',
  'host-not-connected',
  'host-without-usable-path',
  'host-with-one-path',
  'host-on-slower-path',
  'reserved-by-absent-host',
  'reserved',
  'limited',
  'commands-failed',
  'schedule-failing',
] as const;
export type ConditionKind = (typeof conditionKinds)[number];

export const poolConditionKinds = [
  'pool-failed',
  'device-missing',
  'device-failed',
  'device-errors',
  'check-found-problems',
  'pool-full',
  'pool-nearly-full',
  'overcommitted',
  'reclaiming',
] as const;
export type PoolConditionKind = (typeof poolConditionKinds)[number];

export const hostConditionKinds = [
  'pool-failed',
  'nothing-granted',
  'no-portal',
  'host-without-psk',
  'host-not-connected',
  'host-without-usable-path',
  'host-with-one-path',
  'host-on-slower-path',
  'association-lost',
  'connect-refused',
  'volume-being-imported',
  'volume-reserved',
] as const;
export type HostConditionKind = (typeof hostConditionKinds)[number];

export const tenantConditionKinds = [
  'pool-failed',
  'pool-full',
  'pool-nearly-full',
  'no-portal',
  'quota-reached',
  'quota-nearly-reached',
  'limited',
  'commands-failed',
  'being-imported',
  'not-granted',
  'host-without-usable-path',
  'host-without-psk',
  'host-not-connected',
  'schedule-failing',
  'token-expired',
  'token-expires',
] as const;
export type TenantConditionKind = (typeof tenantConditionKinds)[number];

export interface Condition<K extends string = ConditionKind> {
  kind: K;
  /** 'error': hosts cannot use it, or part of it. 'warning': look at it. 'info': it is so. */
  severity: 'info' | 'warning' | 'error';
  /** One line for people: what, and why. */
  message: string;
  /** What to do next; null: nothing needs to be done. */
  nextStep: string | null;
}

/** The conditions of a thing, worst first. */
export interface Judged<K extends string> {
  /** No warning and no error is among them. */
  healthy: boolean;
  conditions: Condition<K>[];
}

export interface Explanation extends Judged<ConditionKind> {
  volume: string;
  tenant: string;
}

export interface PoolExplanation extends Judged<PoolConditionKind> {
  pool: string;
}

export interface HostExplanation extends Judged<HostConditionKind> {
  host: string;
  tenant: string;
}

export interface TenantExplanation extends Judged<TenantConditionKind> {
  tenant: string;
}

/** All that is looked at of a pool. Only who runs the node asks. */
export interface PoolFacts {
  name: string;
  pool: PoolStatus;
  /** Sum of the sizes of all volumes. */
  provisionedBytes: bigint;
  /** Problems that the last check since the start found; null: there was none. */
  lastCheck: { problems: number; endedAt: string } | null;
}

/** All that is looked at of a host. */
export interface HostFacts {
  host: HostInfo;
  /** Those that it may use, by its NQN or as any host. */
  volumes: readonly VolumeInfo[];
  pool: PoolStatus;
  portals: readonly PortalInfo[];
  unfinishedImports: readonly ImportInfo[];
  reservations: readonly ReservationInfo[];
  /** It has a PSK, or a key from which one is made. */
  hasKey: boolean;
  /** Messages of the times that it was lost in the last hour, newest first. */
  losses: readonly string[];
  /** Likewise of Connects of it that were refused. */
  refusals: readonly string[];
  ofNode: boolean;
}

/** All that is looked at of a tenant. */
export interface TenantFacts {
  tenant: TenantInfo;
  volumes: readonly VolumeInfo[];
  hosts: readonly HostInfo[];
  hostsWithKeys: ReadonlySet<string>;
  pool: PoolStatus;
  portals: readonly PortalInfo[];
  unfinishedImports: readonly ImportInfo[];
  schedules: readonly ScheduleInfo[];
  tokens: readonly TokenInfo[];
  /** Commands of its hosts wait for a limit at this moment. */
  limited: boolean;
  /** Commands that failed since the node started. */
  failedCommands: bigint;
  nowMs: number;
  ofNode: boolean;
}

/** All that is looked at, of about one moment. */
export interface VolumeFacts {
  volume: VolumeDetail;
  /** Null: none is unfinished. */
  unfinishedImport: ImportInfo | null;
  pool: PoolStatus;
  portals: readonly PortalInfo[];
  /** Null: no host is registered. */
  reservation: ReservationInfo | null;
  /** Those that take snapshots of it. */
  schedules: readonly ScheduleInfo[];
  /** NQNs of the tenant's hosts that have a PSK, or a key from which one is made. */
  hostsWithKeys: ReadonlySet<string>;
  /** Its commands wait for a limit at this moment. */
  limited: boolean;
  /** Commands that failed since the node started. */
  failedCommands: bigint;
  /** The caller runs the node; otherwise the pool and its devices are not told of by name. */
  ofNode: boolean;
}
