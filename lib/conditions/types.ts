/** What keeps a volume from being used as it should, and what is known for judging that. */
import type { PoolStatus } from '../native.js';
import type { PortalInfo } from '../portals/types.js';
import type { ScheduleInfo } from '../schedules/types.js';
import type { ImportInfo } from '../stream/types.js';
import type { ReservationInfo } from '../volumes/reservation_types.js';
import type { VolumeDetail } from '../volumes/types.js';

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

export interface Condition {
  kind: ConditionKind;
  /** 'error': hosts cannot use it, or part of it. 'warning': look at it. 'info': it is so. */
  severity: 'info' | 'warning' | 'error';
  /** One line for people: what, and why. */
  message: string;
  /** What to do next; null: nothing needs to be done. */
  nextStep: string | null;
}

/** The conditions of a volume, worst first. */
export interface Explanation {
  volume: string;
  tenant: string;
  /** No warning and no error is among them. */
  healthy: boolean;
  conditions: Condition[];
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
