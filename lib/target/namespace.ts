/** A namespace as its subsystem holds it, and as one host sees it. */
import type { MeterHandle, ReservationRule, VolumeHandle } from '../native.js';
import type { IdentifiedNamespace } from './identify.js';

export type HostAccess = 'read-write' | 'read-only';

/** Immutable: a change (size, ANA group, grants) is a new object for the same NSID. */
export interface TargetNamespace extends Omit<IdentifiedNamespace, 'readOnly'> {
  volume: VolumeHandle;
  /** Counts and limits what hosts do; null: nobody does. The same for life. */
  meter: MeterHandle | null;
  /** A snapshot: nobody can ever write to it. */
  frozen: boolean;
  /** What a host may do; null: to that host the namespace does not exist. */
  access(hostnqn: string): HostAccess | null;
}

/** With `readOnly` as this host's grant says. */
export interface VisibleNamespace extends IdentifiedNamespace {
  volume: VolumeHandle;
  meter: MeterHandle | null;
  frozen: boolean;
  /** What its reservation leaves to this host. */
  reservation: ReservationRule;
}

export function asSeenBy(
  namespace: TargetNamespace,
  hostnqn: string,
  reservation: ReservationRule = 'none',
): VisibleNamespace | null {
  const access = namespace.access(hostnqn);
  if (access === null) return null;
  const { nsid, uuid, nguid, sizeBytes, blockBytes, anagrpid, volume, meter, frozen } = namespace;
  return {
    nsid,
    uuid,
    nguid,
    sizeBytes,
    blockBytes,
    anagrpid,
    volume,
    meter,
    frozen,
    readOnly: frozen || access === 'read-only',
    reservation,
    usedBytes: () => namespace.usedBytes(),
  };
}

/** Whether native code must be told of the difference. */
export function sameAttachment(a: VisibleNamespace, b: VisibleNamespace): boolean {
  return sameShown(a, b) && a.reservation === b.reservation;
}

function sameShown(a: VisibleNamespace, b: VisibleNamespace): boolean {
  return a.volume === b.volume && a.anagrpid === b.anagrpid && a.readOnly === b.readOnly;
}

/** Whether the host must look again; a reservation has notifications of its own. */
export function looksTheSame(a: VisibleNamespace, b: VisibleNamespace): boolean {
  return sameShown(a, b) && a.sizeBytes === b.sizeBytes && a.blockBytes === b.blockBytes;
}
