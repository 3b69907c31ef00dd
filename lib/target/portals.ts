/** Portals of the target: their addresses, and the ANA state of each group through each. */
import { AshlarError } from '../errors.js';
import type {
  AnaState,
  NativeAddon,
  PortalHandle,
  PortalTls,
  RuntimeHandle,
  TlsRecords,
} from '../native.js';
import { PortalAna } from './ana.js';
import type { Controller } from './controller.js';
import { maxAnaGroups } from './limits.js';
import type { AnaGroup } from './logs.js';

export interface PortalRequest {
  address: string;
  /** 0: any free port. */
  port: number;
  discoveryOnly: boolean;
  /** What discovery says instead, when hosts reach the portal through another address. */
  advertised?: { address: string; port: number } | undefined;
}

export interface Portal extends PortalRequest {
  /** 1 to 65535; never reused while the target runs. */
  portalId: number;
  handle: PortalHandle;
  /** Hosts are to move away from it: discovery leads nobody there. */
  drained: boolean;
  tls: PortalTls;
}

export interface AnaOutcome {
  /** Groups of which hosts see another state now. */
  groups: readonly number[];
  /** Resolves when native code judges every new command by it; later calls come after it. */
  applied: Promise<void>;
}

/** The group of every volume that is in no other. */
export const defaultAnaGroup = 1;

export class Portals {
  readonly #native: NativeAddon;
  readonly #runtime: RuntimeHandle;
  readonly #tls: PortalTls;
  readonly #tlsRecords: TlsRecords;
  readonly #portals = new Map<number, Portal>();
  /** Portals that native code opens: a host can come before its answer does. */
  readonly #opening = new Map<number, PortalRequest>();
  /** Also of portals that do not listen (yet); one that is not here is optimized throughout. */
  readonly #ana = new Map<number, PortalAna>();
  #lastPortalId = 0;

  constructor(native: NativeAddon, runtime: RuntimeHandle, tls: PortalTls, tlsRecords: TlsRecords) {
    this.#native = native;
    this.#runtime = runtime;
    this.#tls = tls;
    this.#tlsRecords = tlsRecords;
  }

  get all(): readonly Portal[] {
    return [...this.#portals.values()];
  }

  /** Whether TLS is done, at all of them alike. */
  get tls(): PortalTls {
    return this.#tls;
  }

  /** Whether volumes are served there; false for a portal that is not there. */
  servesVolumes(portalId: number): boolean {
    const portal = this.#portals.get(portalId) ?? this.#opening.get(portalId);
    return portal?.discoveryOnly === false;
  }

  /**
   * @param portalId one that no other portal has or had; the next one when not given.
   * @throws AshlarError address-in-use, address-unavailable, permission-denied.
   */
  async listen(request: PortalRequest, portalId = this.#lastPortalId + 1): Promise<Portal> {
    this.#lastPortalId = Math.max(this.#lastPortalId, portalId);
    this.#opening.set(portalId, request);
    try {
      const { portal: handle, port } = await this.#native.portalListen(this.#runtime, {
        portalId,
        address: request.address,
        port: request.port,
        allowHeaderDigest: true,
        allowDataDigest: true,
        tls: nativeTls(this.#tls, request),
        tlsRecords: this.#tlsRecords,
      });
      const ana = this.#anaOf(portalId);
      const portal = { ...request, portalId, handle, port, drained: ana.drained, tls: this.#tls };
      this.#portals.set(portalId, portal);
      // A host is let in later than this, so none sees a state of before.
      await this.#apply(portalId, ana.groups).applied;
      return portal;
    } finally {
      this.#opening.delete(portalId);
    }
  }

  /** Stops listening, forgets its states; with `drop` connections that came through it end. */
  async close(portalId: number, drop: boolean): Promise<void> {
    const portal = this.#portals.get(portalId);
    this.#ana.delete(portalId);
    if (portal === undefined) return;
    this.#portals.delete(portalId);
    await this.#native.portalClose(portal.handle, drop);
  }

  setAna(portalId: number, anagrpid: number, state: AnaState): AnaOutcome {
    checkAnaGroup(anagrpid);
    return this.#apply(portalId, this.#anaOf(portalId).set(anagrpid, state));
  }

  /** Makes every group inaccessible, or lets them be as they were set. */
  setDrained(portalId: number, drained: boolean): AnaOutcome {
    const portal = this.#portals.get(portalId);
    if (portal !== undefined) portal.drained = drained;
    return this.#apply(portalId, this.#anaOf(portalId).setDrained(drained));
  }

  stateOf(portalId: number, anagrpid: number): AnaState {
    return this.#ana.get(portalId)?.stateOf(anagrpid) ?? 'optimized';
  }

  #anaOf(portalId: number): PortalAna {
    const ana = this.#ana.get(portalId) ?? new PortalAna();
    this.#ana.set(portalId, ana);
    return ana;
  }

  #apply(portalId: number, groups: readonly number[]): AnaOutcome {
    const portal = this.#portals.get(portalId);
    if (portal === undefined || groups.length === 0) {
      return { groups: [], applied: Promise.resolve() };
    }
    const changes = groups.map((anagrpid) => {
      return { anagrpid, state: this.stateOf(portalId, anagrpid) };
    });
    return { groups, applied: this.#native.portalSetAna(portal.handle, changes) };
  }

  /** The ANA log of one controller: the groups of the namespaces it sees, through its portal. */
  anaGroups(controller: Controller): { groups: AnaGroup[]; changeCount: bigint } {
    const ana = this.#ana.get(controller.identity.portalId) ?? new PortalAna();
    const nsidsByGroup = new Map<number, number[]>([[defaultAnaGroup, []]]);
    for (const { anagrpid, nsid } of controller.visible.values()) {
      const nsids = nsidsByGroup.get(anagrpid) ?? [];
      nsids.push(nsid);
      nsidsByGroup.set(anagrpid, nsids);
    }
    const groups = [...nsidsByGroup.entries()].map(([anagrpid, nsids]) => {
      const changeCount = ana.changeCountOf(anagrpid);
      return { anagrpid, nsids, state: ana.stateOf(anagrpid), changeCount };
    });
    return { groups, changeCount: ana.changeCount };
  }
}

/**
 * Where TLS is required, a host may still come plain to generate a PSK by authenticating; what it
 * may do is judged when it connects. For discovery there is nothing to authenticate with.
 */
function nativeTls(tls: PortalTls, { discoveryOnly }: PortalRequest): PortalTls {
  return tls === 'required' && !discoveryOnly ? 'allowed' : tls;
}

/** @throws AshlarError invalid-argument. */
export function checkAnaGroup(anagrpid: number): void {
  if (Number.isInteger(anagrpid) && anagrpid >= 1 && anagrpid <= maxAnaGroups) return;
  throw new AshlarError(
    'invalid-argument',
    `ANA group ${anagrpid} does not exist; groups are 1 to ${maxAnaGroups}`,
  );
}

/** Whether the controller's ANA log tells of a group. */
export function tellsOf(controller: Controller, anagrpid: number): boolean {
  if (anagrpid === defaultAnaGroup) return true;
  return [...controller.visible.values()].some((namespace) => namespace.anagrpid === anagrpid);
}

/** "address:port", with brackets around an IPv6 address, as native events say it. */
export function parseEndpoint(text: string): { address: string; port: number } | null {
  const colon = text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) return null;
  const host = text.slice(0, colon).replace(/^\[|\]$/g, '');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host);
  return { address: mapped?.[1] ?? host, port };
}
