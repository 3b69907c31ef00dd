/** Where hosts reach this node, and what each of these ways says of the ANA groups. */
import type { LastingAnaState } from '../catalog/portal_kinds.js';
import type { AnaState, PortalTls } from '../native.js';
import type { CallOptions, ForceOptions } from '../volumes/types.js';

export type { LastingAnaState };

export interface PortalInfo {
  /** PORTID: stays with the portal over restarts. */
  portalId: number;
  /** `address:port`, by which it is also named. */
  endpoint: string;
  address: string;
  port: number;
  discoveryOnly: boolean;
  /** Whether hosts come over TLS here. */
  tls: PortalTls;
  /** 'configured': the configuration names it, so that only the configuration can take it away. */
  origin: 'configured' | 'added';
  /** Whether hosts are to move away: every group is inaccessible, discovery leads nobody there. */
  drained: boolean;
  /** Why it does not listen (it is tried again until it does); null: it listens. */
  problem: string | null;
  /** Controllers that hosts have through it. */
  controllers: number;
  /** State of each ANA group that hosts do not see as optimized, of those that were ever set. */
  ana: { anagrpid: number; state: AnaState }[];
}

/** An ANA group as hosts see it through one portal. */
export interface AnaInfo {
  portalId: number;
  endpoint: string;
  anagrpid: number;
  state: AnaState;
  /** The state when no change is under way and the portal is not drained. */
  lasting: LastingAnaState;
  /** When 'change' ends and `lasting` follows; null: no change is under way. */
  changeEndsAt: string | null;
}

export interface AddPortal {
  /** An IPv4 or IPv6 address of this machine; 0.0.0.0 or :: for all. */
  address: string;
  /** 1 to 65535. */
  port: number;
  /** Serve discovery alone; false when not given. */
  discoveryOnly?: boolean | undefined;
}

export interface SetAna extends ForceOptions {
  /** 1 to 128; 1, the group of all volumes, when not given. */
  anagrpid?: number | undefined;
  /** Of 'change' alone: what follows it. When not given: the state from before. */
  next?: LastingAnaState | undefined;
}

/** `portal` is a portal's number or its `address:port` (port 4420 when none is given). */
export interface Portals {
  /** By number. */
  list(): PortalInfo[];
  /** @throws AshlarError not-found. */
  show(portal: string): PortalInfo;
  /**
   * Hosts can connect when it resolves, and after every restart. When it rejects nothing listens
   * and nothing is kept.
   * @throws AshlarError invalid-argument, already-exists, limit-exceeded, address-in-use,
   * address-unavailable, permission-denied.
   */
  add(portal: AddPortal, options?: CallOptions): Promise<PortalInfo>;
  /**
   * Nothing listens and no connection through it is left when it resolves.
   * @throws AshlarError not-found, conflict (of the configuration), busy (hosts are connected and
   * it is not drained, or it is the last path of one; `force` ends their connections).
   */
  remove(portal: string, options?: ForceOptions): Promise<void>;
  /**
   * Lets hosts move away: every group is inaccessible there until {@link resume}.
   * @throws AshlarError not-found, conflict (it serves discovery alone), busy (it is the last path
   * of a host; `force` goes on).
   */
  drain(portal: string, options?: ForceOptions): Promise<PortalInfo>;
  /** Every group is again as it was set. @throws AshlarError not-found. */
  resume(portal: string, options?: CallOptions): Promise<PortalInfo>;

  /** Of each portal that serves volumes: group 1, and every other that was ever set. */
  listAna(): AnaInfo[];
  /**
   * New I/O goes by the new state, and hosts have been told, when it resolves. It is kept over
   * restarts.
   * 'change' ends by itself, before the longest time that hosts are told (ANATT, 10 s).
   * @throws AshlarError not-found, invalid-argument, conflict (the portal serves discovery alone),
   * busy (it would be the last path of a host; `force` goes on).
   */
  setAna(portal: string, state: AnaState, options?: SetAna): Promise<AnaInfo>;
}
