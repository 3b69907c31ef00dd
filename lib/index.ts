/**
 * Ashlar for programs: open a node in this process, and everything that can be asked of it. The
 * CLI and the daemon are built on the same face.
 */

export type { AddReferral, ReferralInfo, Referrals } from './discovery/types.js';
export { AshlarError, type ErrorCode, type ExitCode, errorCodes, exitCodeOf } from './errors.js';
export { type EventKind, eventKinds } from './events/kinds.js';
export { type Exposition, Metrics, type MetricsOptions } from './metrics/metrics.js';
export type {
  AnaState,
  DeviceSpec,
  LayerRange,
  LayerRanges,
  Probe,
  RuntimeOptions,
} from './native.js';
export { openNode } from './node/node.js';
export { checkPool, createPool, inspectPool } from './node/pool_file.js';
export type {
  Node,
  NodeConfig,
  NodeEvent,
  NodePool,
  NodeStatus,
  PortalConfig,
} from './node/types.js';
export { version } from './node/version.js';
export type {
  AddPortal,
  AnaInfo,
  LastingAnaState,
  PortalInfo,
  Portals,
  SetAna,
} from './portals/types.js';
export type { Retention } from './schedules/retention.js';
export type {
  ChangeSchedule,
  CreateSchedule,
  ScheduleInfo,
  ScheduleRun,
  ScheduleState,
  Schedules,
} from './schedules/types.js';
export type { HostPsks, PskInfo } from './secrets/psk_types.js';
export type { HostKeyInfo, HostKeys, SetHostKey } from './secrets/types.js';
export type { StreamHeader, StreamTotals } from './stream/format.js';
export type {
  DifferenceOptions,
  ImportInfo,
  ImportOptions,
  ImportOutcome,
  SnapshotExport,
  Streams,
} from './stream/types.js';
export type {
  RegistrantInfo,
  ReservationInfo,
  ReservationTypeName,
  VolumeReservations,
} from './volumes/reservation_types.js';
export type {
  BlockBytes,
  CallOptions,
  CloneVolume,
  ConnectedHost,
  CreateVolume,
  ForceOptions,
  GrantAccess,
  GrantEntry,
  GrantInfo,
  Grants,
  HostInfo,
  Hosts,
  Page,
  PageOptions,
  SnapshotDetail,
  SnapshotInfo,
  Snapshots,
  SnapshotUsage,
  TenantInfo,
  Tenants,
  VolumeDetail,
  VolumeInfo,
  Volumes,
  VolumeUsage,
} from './volumes/types.js';
