/** What a layer uses, in the words for volumes and snapshots. */
import type { LayerUsage } from '../native.js';
import type { SnapshotUsage, VolumeUsage } from './types.js';

export function volumeUsage(layer: LayerUsage): VolumeUsage {
  return {
    mappedBytes: layer.mappedBytes,
    exclusiveBytes: layer.allocatedBytes,
    sharedBytes: layer.mappedBytes - layer.ownBytes,
    reservedBytes: layer.reservedBytes,
  };
}

export function snapshotUsage(layer: LayerUsage): SnapshotUsage {
  return {
    mappedBytes: layer.mappedBytes,
    exclusiveBytes: layer.allocatedBytes,
    sharedBytes: layer.mappedBytes - layer.ownBytes,
    freesBytes: layer.freesBytes,
  };
}
