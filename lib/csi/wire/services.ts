/** Every RPC of CSI 1.12.0 by its service, with what goes in and out. */
import type { Decoded, Encodable, MessageTable } from './fields.js';
import * as m from './messages.js';

/** One RPC. */
export interface Rpc<Request, Response> {
  readonly request: Request;
  readonly response: Response;
  /** Whether the answer is a stream of messages. */
  readonly streams: boolean;
}

function unary<Q extends MessageTable, R extends MessageTable>(request: Q, response: R) {
  return { request, response, streams: false } as const;
}

function streaming<Q extends MessageTable, R extends MessageTable>(request: Q, response: R) {
  return { request, response, streams: true } as const;
}

/** In the package csi.v1; methods have a small first letter here, and a capital one on the wire. */
export const services = {
  Identity: {
    getPluginInfo: unary(m.GetPluginInfoRequest, m.GetPluginInfoResponse),
    getPluginCapabilities: unary(m.GetPluginCapabilitiesRequest, m.GetPluginCapabilitiesResponse),
    probe: unary(m.ProbeRequest, m.ProbeResponse),
  },
  Controller: {
    createVolume: unary(m.CreateVolumeRequest, m.CreateVolumeResponse),
    deleteVolume: unary(m.DeleteVolumeRequest, m.DeleteVolumeResponse),
    controllerPublishVolume: unary(
      m.ControllerPublishVolumeRequest,
      m.ControllerPublishVolumeResponse,
    ),
    controllerUnpublishVolume: unary(
      m.ControllerUnpublishVolumeRequest,
      m.ControllerUnpublishVolumeResponse,
    ),
    validateVolumeCapabilities: unary(
      m.ValidateVolumeCapabilitiesRequest,
      m.ValidateVolumeCapabilitiesResponse,
    ),
    listVolumes: unary(m.ListVolumesRequest, m.ListVolumesResponse),
    getCapacity: unary(m.GetCapacityRequest, m.GetCapacityResponse),
    controllerGetCapabilities: unary(
      m.ControllerGetCapabilitiesRequest,
      m.ControllerGetCapabilitiesResponse,
    ),
    createSnapshot: unary(m.CreateSnapshotRequest, m.CreateSnapshotResponse),
    deleteSnapshot: unary(m.DeleteSnapshotRequest, m.DeleteSnapshotResponse),
    listSnapshots: unary(m.ListSnapshotsRequest, m.ListSnapshotsResponse),
    getSnapshot: unary(m.GetSnapshotRequest, m.GetSnapshotResponse),
    controllerExpandVolume: unary(
      m.ControllerExpandVolumeRequest,
      m.ControllerExpandVolumeResponse,
    ),
    controllerGetVolume: unary(m.ControllerGetVolumeRequest, m.ControllerGetVolumeResponse),
    controllerModifyVolume: unary(
      m.ControllerModifyVolumeRequest,
      m.ControllerModifyVolumeResponse,
    ),
  },
  GroupController: {
    groupControllerGetCapabilities: unary(
      m.GroupControllerGetCapabilitiesRequest,
      m.GroupControllerGetCapabilitiesResponse,
    ),
    createVolumeGroupSnapshot: unary(
      m.CreateVolumeGroupSnapshotRequest,
      m.CreateVolumeGroupSnapshotResponse,
    ),
    deleteVolumeGroupSnapshot: unary(
      m.DeleteVolumeGroupSnapshotRequest,
      m.DeleteVolumeGroupSnapshotResponse,
    ),
    getVolumeGroupSnapshot: unary(
      m.GetVolumeGroupSnapshotRequest,
      m.GetVolumeGroupSnapshotResponse,
    ),
  },
  SnapshotMetadata: {
    getMetadataAllocated: streaming(m.GetMetadataAllocatedRequest, m.GetMetadataAllocatedResponse),
    getMetadataDelta: streaming(m.GetMetadataDeltaRequest, m.GetMetadataDeltaResponse),
  },
  Node: {
    nodeStageVolume: unary(m.NodeStageVolumeRequest, m.NodeStageVolumeResponse),
    nodeUnstageVolume: unary(m.NodeUnstageVolumeRequest, m.NodeUnstageVolumeResponse),
    nodePublishVolume: unary(m.NodePublishVolumeRequest, m.NodePublishVolumeResponse),
    nodeUnpublishVolume: unary(m.NodeUnpublishVolumeRequest, m.NodeUnpublishVolumeResponse),
    nodeGetVolumeStats: unary(m.NodeGetVolumeStatsRequest, m.NodeGetVolumeStatsResponse),
    nodeExpandVolume: unary(m.NodeExpandVolumeRequest, m.NodeExpandVolumeResponse),
    nodeGetCapabilities: unary(m.NodeGetCapabilitiesRequest, m.NodeGetCapabilitiesResponse),
    nodeGetInfo: unary(m.NodeGetInfoRequest, m.NodeGetInfoResponse),
  },
} as const satisfies Record<string, Record<string, Rpc<MessageTable, MessageTable>>>;

export type ServiceName = keyof typeof services;

/** What an RPC of a service is asked with, and what it answers. */
export type RequestOf<S extends ServiceName, R extends keyof (typeof services)[S]> =
  (typeof services)[S][R] extends Rpc<infer Q, unknown> ? Decoded<Q> : never;
export type ResponseOf<S extends ServiceName, R extends keyof (typeof services)[S]> =
  (typeof services)[S][R] extends Rpc<unknown, infer A> ? Encodable<A> : never;

/** `/csi.v1.Service/Method`. */
export function pathOf(service: string, rpc: string): string {
  return `/csi.v1.${service}/${rpc.charAt(0).toUpperCase()}${rpc.slice(1)}`;
}
