/** Ashlar's objects as CSI shows them. */
import type { Snapshot, Volume } from '../../api/contract.js';
import type { Encodable } from '../wire/fields.js';
import type * as m from '../wire/messages.js';
import type { Found } from './endpoints.js';

/** What a publication looks at beside the volume; never anything secret. */
export const contextKeys = { tenant: 'tenant', endpoint: 'endpoint', tls: 'tls' } as const;

export function volumeObject(
  { endpoint, item }: Found<Volume>,
  more: Pick<Encodable<typeof m.Volume>, 'contentSource'> & { tls?: 'none' | 'required' } = {},
): Encodable<typeof m.Volume> {
  const { tls, contentSource } = more;
  return {
    volumeId: item.uuid,
    capacityBytes: BigInt(item.sizeBytes),
    volumeContext: {
      [contextKeys.tenant]: item.tenant,
      [contextKeys.endpoint]: endpoint.name,
      ...(tls === 'required' ? { [contextKeys.tls]: tls } : {}),
    },
    contentSource,
    accessibleTopology: [{ segments: endpoint.topology }],
  };
}

export function snapshotObject(snapshot: Snapshot): Encodable<typeof m.Snapshot> {
  return {
    snapshotId: snapshot.uuid,
    sourceVolumeId: snapshot.sourceUuid ?? '',
    sizeBytes: BigInt(snapshot.sizeBytes),
    creationTime: timestamp(snapshot.createdAt),
    readyToUse: true,
    groupSnapshotId: snapshot.groupUuid ?? '',
  };
}

export function timestamp(iso: string): Encodable<typeof m.Timestamp> {
  const ms = Date.parse(iso);
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}

/** For messages: which volume, and where. */
export function volumeText({ endpoint, item }: Found<Volume>): string {
  return `volume '${item.name}' (${item.uuid}, endpoint '${endpoint.name}')`;
}
