/** Pools, devices and checks as the API shows them; also for a pool file without a daemon. */
import { basename, extname } from 'node:path';
import type { CheckReport, DeviceSpec, PoolDeviceStatus, PoolStatus } from '../../native.js';
import { uuidText } from '../../volumes/uuid.js';
import { toInteger } from '../codec.js';
import type { Device, Pool, PoolCheck } from '../contract.js';

/** A pool as the API shows it; also for a pool file without a daemon. */
export function poolObject(
  status: PoolStatus,
  device: DeviceSpec,
  provisionedBytes: bigint | null,
): Pool {
  const chunks = (number: bigint): number => toInteger(number * status.chunkBytes);
  return {
    name: poolName(device),
    uuid: uuidText(status.uuid),
    device: { kind: device.kind, path: device.kind === 'file' ? device.path : null },
    ...poolHealth(status),
    devices: status.devices.map((each) => deviceObject(each, status.chunkBytes)),
    sizeBytes: toInteger(status.sizeBytes),
    freeBytes: chunks(status.freeChunks),
    reservedBytes: chunks(status.reservedChunks),
    availableBytes: chunks(status.freeChunks - status.reservedChunks),
    dataBytes: chunks(status.dataChunks),
    metadataBytes: chunks(status.metadataChunks),
    reclaimingBytes: chunks(status.reclaimingChunks),
    reclaimingLayers: toInteger(status.reclaimingLayers),
    hiddenLayers: toInteger(status.hiddenLayers),
    provisionedBytes: provisionedBytes === null ? null : toInteger(provisionedBytes),
    chunkBytes: toInteger(status.chunkBytes),
    layers: toInteger(status.layerCount),
    mapMemoryBytes: toInteger(status.mapMemoryBytes),
    catalogRecords: toInteger(status.catalogRecords),
    journalBytes: toInteger(status.journalBytes),
    journalUsedBytes: toInteger(status.journalUsedBytes),
    journalSequence: toInteger(status.journalSequence),
    checkpointSequence: toInteger(status.checkpointSequence),
    commits: toInteger(status.commits),
    checkpoints: toInteger(status.checkpoints),
    replayedRecords: toInteger(status.replayedRecords),
    formatVersion: status.formatVersion,
    atomicWriteBytes: status.atomicWriteBytes,
  };
}

function poolHealth(status: PoolStatus): Pick<Pool, 'state' | 'problem'> {
  if (status.failed) return { state: 'failed', problem: status.failure };
  const gone = status.devices.filter(({ state }) => state !== 'online');
  if (gone.length === 0) return { state: 'healthy', problem: status.failure };
  const names = gone.map(({ uuid, state }) => `device ${uuidText(uuid)} is ${state}`);
  const problem = `${names.join(', ')}: what lies there cannot be read`;
  return { state: 'degraded', problem };
}

/** A device as the API shows it. */
export function deviceObject(device: PoolDeviceStatus, chunkBytes: bigint): Device {
  return {
    uuid: uuidText(device.uuid),
    index: device.index,
    path: device.path === 'memory' ? null : device.path,
    state: device.state,
    sizeBytes: toInteger(device.sizeBytes),
    freeBytes: toInteger(device.freeChunks * chunkBytes),
    readErrors: toInteger(device.readErrors),
    writeErrors: toInteger(device.writeErrors),
  };
}

function poolName(device: DeviceSpec): string {
  return device.kind === 'memory' ? 'memory' : basename(device.path, extname(device.path));
}

/** The outcome of a check as the API shows it. */
export function poolCheckObject(report: CheckReport): PoolCheck {
  return {
    clean: report.problems.length === 0 && report.suppressed === 0n,
    problems: report.problems.map(({ where, what }) => ({ where, what })),
    suppressed: toInteger(report.suppressed),
    pagesRead: toInteger(report.pagesRead),
    layers: toInteger(report.layers),
    chunksOwned: toInteger(report.chunksOwned),
    chunksLeaked: toInteger(report.chunksLeaked),
    catalogRecords: toInteger(report.catalogRecords),
  };
}
