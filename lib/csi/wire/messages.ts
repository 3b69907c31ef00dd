/**
 * Every message of the Container Storage Interface 1.12.0, alpha parts included. Names and numbers
 * are the specification's (csi.proto); a test compares all of them by a digest of its tables.
 */
import {
  bool,
  choice,
  enumeration,
  int32,
  int64,
  many,
  map,
  message,
  one,
  string,
  strings,
} from './fields.js';

/** google.protobuf's. */
export const Timestamp = message('google.protobuf.Timestamp', {
  seconds: int64(1),
  nanos: int32(2),
});
export const BoolValue = message('google.protobuf.BoolValue', { value: bool(1) });
export const Int64Value = message('google.protobuf.Int64Value', { value: int64(1) });

// Shared parts.

export const BlockVolume = message('VolumeCapability.BlockVolume', {});
export const MountVolume = message('VolumeCapability.MountVolume', {
  fsType: string(1),
  mountFlags: strings(2),
  volumeMountGroup: string(3),
});
export const AccessModeName = enumeration('VolumeCapability.AccessMode.Mode', [
  'UNKNOWN',
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'MULTI_NODE_READER_ONLY',
  'MULTI_NODE_SINGLE_WRITER',
  'MULTI_NODE_MULTI_WRITER',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_MULTI_WRITER',
]);
export type AccessModeName = (typeof AccessModeName.values)[number];
export const AccessMode = message('VolumeCapability.AccessMode', {
  mode: choice(AccessModeName, 1),
});
export const VolumeCapability = message('VolumeCapability', {
  block: one(BlockVolume, 1),
  mount: one(MountVolume, 2),
  accessMode: one(AccessMode, 3),
});
export const CapacityRange = message('CapacityRange', {
  requiredBytes: int64(1),
  limitBytes: int64(2),
});
export const SnapshotSource = message('VolumeContentSource.SnapshotSource', {
  snapshotId: string(1),
});
export const VolumeSource = message('VolumeContentSource.VolumeSource', { volumeId: string(1) });
export const VolumeContentSource = message('VolumeContentSource', {
  snapshot: one(SnapshotSource, 1),
  volume: one(VolumeSource, 2),
});
export const Topology = message('Topology', { segments: map(1) });
export const TopologyRequirement = message('TopologyRequirement', {
  requisite: many(Topology, 1),
  preferred: many(Topology, 2),
});
export const Volume = message('Volume', {
  capacityBytes: int64(1),
  volumeId: string(2),
  volumeContext: map(3),
  contentSource: one(VolumeContentSource, 4),
  accessibleTopology: many(Topology, 5),
});
export const VolumeCondition = message('VolumeCondition', {
  abnormal: bool(1),
  message: string(2),
});
export const Snapshot = message('Snapshot', {
  sizeBytes: int64(1),
  snapshotId: string(2),
  sourceVolumeId: string(3),
  creationTime: one(Timestamp, 4),
  readyToUse: bool(5),
  groupSnapshotId: string(6),
});

// Identity.

export const GetPluginInfoRequest = message('GetPluginInfoRequest', {});
export const GetPluginInfoResponse = message('GetPluginInfoResponse', {
  name: string(1),
  vendorVersion: string(2),
  manifest: map(3),
});
export const GetPluginCapabilitiesRequest = message('GetPluginCapabilitiesRequest', {});
export const PluginServiceType = enumeration('PluginCapability.Service.Type', [
  'UNKNOWN',
  'CONTROLLER_SERVICE',
  'VOLUME_ACCESSIBILITY_CONSTRAINTS',
  'GROUP_CONTROLLER_SERVICE',
  'SNAPSHOT_METADATA_SERVICE',
]);
export const PluginService = message('PluginCapability.Service', {
  type: choice(PluginServiceType, 1),
});
export const VolumeExpansionType = enumeration('PluginCapability.VolumeExpansion.Type', [
  'UNKNOWN',
  'ONLINE',
  'OFFLINE',
]);
export const VolumeExpansion = message('PluginCapability.VolumeExpansion', {
  type: choice(VolumeExpansionType, 1),
});
export const PluginCapability = message('PluginCapability', {
  service: one(PluginService, 1),
  volumeExpansion: one(VolumeExpansion, 2),
});
export const GetPluginCapabilitiesResponse = message('GetPluginCapabilitiesResponse', {
  capabilities: many(PluginCapability, 1),
});
export const ProbeRequest = message('ProbeRequest', {});
export const ProbeResponse = message('ProbeResponse', { ready: one(BoolValue, 1) });

// Controller.

export const CreateVolumeRequest = message('CreateVolumeRequest', {
  name: string(1),
  capacityRange: one(CapacityRange, 2),
  volumeCapabilities: many(VolumeCapability, 3),
  parameters: map(4),
  secrets: map(5),
  volumeContentSource: one(VolumeContentSource, 6),
  accessibilityRequirements: one(TopologyRequirement, 7),
  mutableParameters: map(8),
});
export const CreateVolumeResponse = message('CreateVolumeResponse', { volume: one(Volume, 1) });
export const DeleteVolumeRequest = message('DeleteVolumeRequest', {
  volumeId: string(1),
  secrets: map(2),
});
export const DeleteVolumeResponse = message('DeleteVolumeResponse', {});
export const ControllerPublishVolumeRequest = message('ControllerPublishVolumeRequest', {
  volumeId: string(1),
  nodeId: string(2),
  volumeCapability: one(VolumeCapability, 3),
  readonly: bool(4),
  secrets: map(5),
  volumeContext: map(6),
});
export const ControllerPublishVolumeResponse = message('ControllerPublishVolumeResponse', {
  publishContext: map(1),
});
export const ControllerUnpublishVolumeRequest = message('ControllerUnpublishVolumeRequest', {
  volumeId: string(1),
  nodeId: string(2),
  secrets: map(3),
});
export const ControllerUnpublishVolumeResponse = message('ControllerUnpublishVolumeResponse', {});
export const ValidateVolumeCapabilitiesRequest = message('ValidateVolumeCapabilitiesRequest', {
  volumeId: string(1),
  volumeContext: map(2),
  volumeCapabilities: many(VolumeCapability, 3),
  parameters: map(4),
  secrets: map(5),
  mutableParameters: map(6),
});
export const Confirmed = message('ValidateVolumeCapabilitiesResponse.Confirmed', {
  volumeContext: map(1),
  volumeCapabilities: many(VolumeCapability, 2),
  parameters: map(3),
  mutableParameters: map(4),
});
export const ValidateVolumeCapabilitiesResponse = message('ValidateVolumeCapabilitiesResponse', {
  confirmed: one(Confirmed, 1),
  message: string(2),
});
export const ListVolumesRequest = message('ListVolumesRequest', {
  maxEntries: int32(1),
  startingToken: string(2),
});
export const ListVolumesStatus = message('ListVolumesResponse.VolumeStatus', {
  publishedNodeIds: strings(1),
  volumeCondition: one(VolumeCondition, 2),
});
export const ListVolumesEntry = message('ListVolumesResponse.Entry', {
  volume: one(Volume, 1),
  status: one(ListVolumesStatus, 2),
});
export const ListVolumesResponse = message('ListVolumesResponse', {
  entries: many(ListVolumesEntry, 1),
  nextToken: string(2),
});
export const ControllerGetVolumeRequest = message('ControllerGetVolumeRequest', {
  volumeId: string(1),
});
export const ControllerGetVolumeStatus = message('ControllerGetVolumeResponse.VolumeStatus', {
  publishedNodeIds: strings(1),
  volumeCondition: one(VolumeCondition, 2),
});
export const ControllerGetVolumeResponse = message('ControllerGetVolumeResponse', {
  volume: one(Volume, 1),
  status: one(ControllerGetVolumeStatus, 2),
});
export const ControllerModifyVolumeRequest = message('ControllerModifyVolumeRequest', {
  volumeId: string(1),
  secrets: map(2),
  mutableParameters: map(3),
});
export const ControllerModifyVolumeResponse = message('ControllerModifyVolumeResponse', {});
export const GetCapacityRequest = message('GetCapacityRequest', {
  volumeCapabilities: many(VolumeCapability, 1),
  parameters: map(2),
  accessibleTopology: one(Topology, 3),
});
export const GetCapacityResponse = message('GetCapacityResponse', {
  availableCapacity: int64(1),
  maximumVolumeSize: one(Int64Value, 2),
  minimumVolumeSize: one(Int64Value, 3),
});
export const ControllerGetCapabilitiesRequest = message('ControllerGetCapabilitiesRequest', {});
export const ControllerRpcType = enumeration('ControllerServiceCapability.RPC.Type', [
  'UNKNOWN',
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'LIST_VOLUMES',
  'GET_CAPACITY',
  'CREATE_DELETE_SNAPSHOT',
  'LIST_SNAPSHOTS',
  'CLONE_VOLUME',
  'PUBLISH_READONLY',
  'EXPAND_VOLUME',
  'LIST_VOLUMES_PUBLISHED_NODES',
  'VOLUME_CONDITION',
  'GET_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
  'MODIFY_VOLUME',
  'GET_SNAPSHOT',
]);
export const ControllerRpc = message('ControllerServiceCapability.RPC', {
  type: choice(ControllerRpcType, 1),
});
export const ControllerServiceCapability = message('ControllerServiceCapability', {
  rpc: one(ControllerRpc, 1),
});
export const ControllerGetCapabilitiesResponse = message('ControllerGetCapabilitiesResponse', {
  capabilities: many(ControllerServiceCapability, 1),
});
export const CreateSnapshotRequest = message('CreateSnapshotRequest', {
  sourceVolumeId: string(1),
  name: string(2),
  secrets: map(3),
  parameters: map(4),
});
export const CreateSnapshotResponse = message('CreateSnapshotResponse', {
  snapshot: one(Snapshot, 1),
});
export const DeleteSnapshotRequest = message('DeleteSnapshotRequest', {
  snapshotId: string(1),
  secrets: map(2),
});
export const DeleteSnapshotResponse = message('DeleteSnapshotResponse', {});
export const ListSnapshotsRequest = message('ListSnapshotsRequest', {
  maxEntries: int32(1),
  startingToken: string(2),
  sourceVolumeId: string(3),
  snapshotId: string(4),
  secrets: map(5),
});
export const ListSnapshotsEntry = message('ListSnapshotsResponse.Entry', {
  snapshot: one(Snapshot, 1),
});
export const ListSnapshotsResponse = message('ListSnapshotsResponse', {
  entries: many(ListSnapshotsEntry, 1),
  nextToken: string(2),
});
export const GetSnapshotRequest = message('GetSnapshotRequest', {
  snapshotId: string(1),
  secrets: map(2),
});
export const GetSnapshotResponse = message('GetSnapshotResponse', { snapshot: one(Snapshot, 1) });
export const ControllerExpandVolumeRequest = message('ControllerExpandVolumeRequest', {
  volumeId: string(1),
  capacityRange: one(CapacityRange, 2),
  secrets: map(3),
  volumeCapability: one(VolumeCapability, 4),
});
export const ControllerExpandVolumeResponse = message('ControllerExpandVolumeResponse', {
  capacityBytes: int64(1),
  nodeExpansionRequired: bool(2),
});

// GroupController.

export const GroupControllerGetCapabilitiesRequest = message(
  'GroupControllerGetCapabilitiesRequest',
  {},
);
export const GroupControllerRpcType = enumeration('GroupControllerServiceCapability.RPC.Type', [
  'UNKNOWN',
  'CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT',
]);
export const GroupControllerRpc = message('GroupControllerServiceCapability.RPC', {
  type: choice(GroupControllerRpcType, 1),
});
export const GroupControllerServiceCapability = message('GroupControllerServiceCapability', {
  rpc: one(GroupControllerRpc, 1),
});
export const GroupControllerGetCapabilitiesResponse = message(
  'GroupControllerGetCapabilitiesResponse',
  { capabilities: many(GroupControllerServiceCapability, 1) },
);
export const VolumeGroupSnapshot = message('VolumeGroupSnapshot', {
  groupSnapshotId: string(1),
  snapshots: many(Snapshot, 2),
  creationTime: one(Timestamp, 3),
  readyToUse: bool(4),
});
export const CreateVolumeGroupSnapshotRequest = message('CreateVolumeGroupSnapshotRequest', {
  name: string(1),
  sourceVolumeIds: strings(2),
  secrets: map(3),
  parameters: map(4),
});
export const CreateVolumeGroupSnapshotResponse = message('CreateVolumeGroupSnapshotResponse', {
  groupSnapshot: one(VolumeGroupSnapshot, 1),
});
export const DeleteVolumeGroupSnapshotRequest = message('DeleteVolumeGroupSnapshotRequest', {
  groupSnapshotId: string(1),
  snapshotIds: strings(2),
  secrets: map(3),
});
export const DeleteVolumeGroupSnapshotResponse = message('DeleteVolumeGroupSnapshotResponse', {});
export const GetVolumeGroupSnapshotRequest = message('GetVolumeGroupSnapshotRequest', {
  groupSnapshotId: string(1),
  snapshotIds: strings(2),
  secrets: map(3),
});
export const GetVolumeGroupSnapshotResponse = message('GetVolumeGroupSnapshotResponse', {
  groupSnapshot: one(VolumeGroupSnapshot, 1),
});

// SnapshotMetadata.

export const BlockMetadata = message('BlockMetadata', {
  byteOffset: int64(1),
  sizeBytes: int64(2),
});
export const BlockMetadataType = enumeration('BlockMetadataType', [
  'UNKNOWN',
  'FIXED_LENGTH',
  'VARIABLE_LENGTH',
]);
export const GetMetadataAllocatedRequest = message('GetMetadataAllocatedRequest', {
  snapshotId: string(1),
  startingOffset: int64(2),
  maxResults: int32(3),
  secrets: map(4),
});
export const GetMetadataAllocatedResponse = message('GetMetadataAllocatedResponse', {
  blockMetadataType: choice(BlockMetadataType, 1),
  volumeCapacityBytes: int64(2),
  blockMetadata: many(BlockMetadata, 3),
});
export const GetMetadataDeltaRequest = message('GetMetadataDeltaRequest', {
  baseSnapshotId: string(1),
  targetSnapshotId: string(2),
  startingOffset: int64(3),
  maxResults: int32(4),
  secrets: map(5),
});
export const GetMetadataDeltaResponse = message('GetMetadataDeltaResponse', {
  blockMetadataType: choice(BlockMetadataType, 1),
  volumeCapacityBytes: int64(2),
  blockMetadata: many(BlockMetadata, 3),
});

// Node.

export const NodeStageVolumeRequest = message('NodeStageVolumeRequest', {
  volumeId: string(1),
  publishContext: map(2),
  stagingTargetPath: string(3),
  volumeCapability: one(VolumeCapability, 4),
  secrets: map(5),
  volumeContext: map(6),
});
export const NodeStageVolumeResponse = message('NodeStageVolumeResponse', {});
export const NodeUnstageVolumeRequest = message('NodeUnstageVolumeRequest', {
  volumeId: string(1),
  stagingTargetPath: string(2),
});
export const NodeUnstageVolumeResponse = message('NodeUnstageVolumeResponse', {});
export const NodePublishVolumeRequest = message('NodePublishVolumeRequest', {
  volumeId: string(1),
  publishContext: map(2),
  stagingTargetPath: string(3),
  targetPath: string(4),
  volumeCapability: one(VolumeCapability, 5),
  readonly: bool(6),
  secrets: map(7),
  volumeContext: map(8),
});
export const NodePublishVolumeResponse = message('NodePublishVolumeResponse', {});
export const NodeUnpublishVolumeRequest = message('NodeUnpublishVolumeRequest', {
  volumeId: string(1),
  targetPath: string(2),
});
export const NodeUnpublishVolumeResponse = message('NodeUnpublishVolumeResponse', {});
export const NodeGetVolumeStatsRequest = message('NodeGetVolumeStatsRequest', {
  volumeId: string(1),
  volumePath: string(2),
  stagingTargetPath: string(3),
});
export const UsageUnit = enumeration('VolumeUsage.Unit', ['UNKNOWN', 'BYTES', 'INODES']);
export const VolumeUsage = message('VolumeUsage', {
  available: int64(1),
  total: int64(2),
  used: int64(3),
  unit: choice(UsageUnit, 4),
});
export const NodeGetVolumeStatsResponse = message('NodeGetVolumeStatsResponse', {
  usage: many(VolumeUsage, 1),
  volumeCondition: one(VolumeCondition, 2),
});
export const NodeExpandVolumeRequest = message('NodeExpandVolumeRequest', {
  volumeId: string(1),
  volumePath: string(2),
  capacityRange: one(CapacityRange, 3),
  stagingTargetPath: string(4),
  volumeCapability: one(VolumeCapability, 5),
  secrets: map(6),
});
export const NodeExpandVolumeResponse = message('NodeExpandVolumeResponse', {
  capacityBytes: int64(1),
});
export const NodeGetCapabilitiesRequest = message('NodeGetCapabilitiesRequest', {});
export const NodeRpcType = enumeration('NodeServiceCapability.RPC.Type', [
  'UNKNOWN',
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'EXPAND_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
  'VOLUME_MOUNT_GROUP',
]);
export const NodeRpc = message('NodeServiceCapability.RPC', { type: choice(NodeRpcType, 1) });
export const NodeServiceCapability = message('NodeServiceCapability', { rpc: one(NodeRpc, 1) });
export const NodeGetCapabilitiesResponse = message('NodeGetCapabilitiesResponse', {
  capabilities: many(NodeServiceCapability, 1),
});
export const NodeGetInfoRequest = message('NodeGetInfoRequest', {});
export const NodeGetInfoResponse = message('NodeGetInfoResponse', {
  nodeId: string(1),
  maxVolumesPerNode: int64(2),
  accessibleTopology: one(Topology, 3),
});
