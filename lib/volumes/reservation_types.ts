/** Reservations as people see them. */
import type { CallOptions } from './types.js';

/** The types, in the words of NVMe Base 8.19. */
export const reservationTypeNames = [
  'write-exclusive',
  'exclusive-access',
  'write-exclusive-registrants-only',
  'exclusive-access-registrants-only',
  'write-exclusive-all-registrants',
  'exclusive-access-all-registrants',
] as const;
export type ReservationTypeName = (typeof reservationTypeNames)[number];

export interface RegistrantInfo {
  /** HOSTID: hosts reserve by it, not by their NQN. */
  hostid: string;
  /** NQNs by which the host is connected now. */
  hosts: string[];
  /** 16 hexadecimal digits; every host that sees the namespace may read it. */
  key: string;
  /** Whether it holds the reservation. */
  holds: boolean;
}

/** A volume or snapshot that hosts are registered with. */
export interface ReservationInfo {
  tenant: string;
  volume: string;
  /** null: of the volume itself. */
  snapshot: string | null;
  nsid: number;
  /** null: registrants, but no reservation. */
  type: ReservationTypeName | null;
  /** Whether it outlives a restart of the node (Persist Through Power Loss). */
  persistent: boolean;
  generation: number;
  registrants: RegistrantInfo[];
}

export interface VolumeReservations {
  /** By tenant and volume; only those with registrants. */
  list(options?: CallOptions): ReservationInfo[];
  /** @throws AshlarError not-found: nothing of that name, or no host is registered with it. */
  show(reference: string, options?: CallOptions): ReservationInfo;
  /**
   * Ends the reservation and all registrations of a volume, or of a snapshot as 'volume@name', for
   * a host that cannot do it any more. Hosts that were registered are told. Its effect is there
   * when it resolves, and durable.
   *
   * @returns how many registrants there were; 0 is no error.
   * @throws AshlarError not-found.
   */
  clear(reference: string, options?: CallOptions): Promise<number>;
}
