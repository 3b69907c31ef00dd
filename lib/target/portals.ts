/** Portals of the target: their addresses, and the ANA state of each group through each. */
import { isIPv6 } from 'node:net';
import { AshlarError } from '../errors.js';
import type { AnaState, NativeAddon, PortalHandle, RuntimeHandle } from '../native.js';
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
  /** 1 upwards; never reused while the target runs. */
  portalId: number;
  handle: PortalHandle;
}

interface GroupState {
  state: AnaState;
  changeCount: bigint;
}

/** The group of every volume that is in no other. */
export const defaultAnaGroup = 1;

export class Portals {
  readonly #native: NativeAddon;
  readonly #runtime: RuntimeHandle;
  readonly #portals = new Map<number, Portal>();
  /** By portal, then by group; a group that is not here is optimized and never changed. */
  readonly #ana = new Map<number, Map<number, GroupState>>();
  #nextPortalId = 1;

  constructor(native: NativeAddon, runtime: RuntimeHandle) {
    this.#native = native;
    this.#runtime = runtime;
  }

  get all(): readonly Portal[] {
    return [...this.#portals.values()];
  }

  get(portalId: number): Portal | undefined {
    return this.#portals.get(portalId);
  }

  /** @throws AshlarError address-in-use, address-unavailable, permission-denied. */
  async listen(request: PortalRequest): Promise<Portal> {
    const portalId = this.#nextPortalId;
    this.#nextPortalId += 1;
    const { portal: handle, port } = await this.#native.portalListen(this.#runtime, {
      portalId,
      address: request.address,
      port: request.port,
      allowHeaderDigest: true,
      allowDataDigest: true,
    });
    const portal = { ...request, portalId, handle, port };
    this.#portals.set(portalId, portal);
    return portal;
  }

  /** Stops listening; with `drop` connections that came through it end. */
  async close(portalId: number, drop: boolean): Promise<void> {
    const portal = this.#portals.get(portalId);
    if (portal === undefined) return;
    this.#portals.delete(portalId);
    await this.#native.portalClose(portal.handle, drop);
  }

  /** @returns whether anything changed. */
  setAna(portalId: number, anagrpid: number, state: AnaState): boolean {
    const portal = this.#portals.get(portalId);
    if (portal === undefined) throw new AshlarError('not-found', `there is no portal ${portalId}`);
    if (!Number.isInteger(anagrpid) || anagrpid < 1 || anagrpid > maxAnaGroups) {
      throw new AshlarError(
        'invalid-argument',
        `ANA group ${anagrpid} does not exist; groups are 1 to ${maxAnaGroups}`,
      );
    }
    const before = this.#group(portalId, anagrpid);
    if (before.state === state) return false;
    const groups = this.#ana.get(portalId) ?? new Map<number, GroupState>();
    groups.set(anagrpid, { state, changeCount: before.changeCount + 1n });
    this.#ana.set(portalId, groups);
    this.#native.portalSetAna(portal.handle, anagrpid, state);
    return true;
  }

  #group(portalId: number, anagrpid: number): GroupState {
    return this.#ana.get(portalId)?.get(anagrpid) ?? { state: 'optimized', changeCount: 0n };
  }

  /** Of one group, through one portal. */
  anaState(portalId: number, anagrpid: number): AnaState {
    return this.#group(portalId, anagrpid).state;
  }

  /** Groups of this portal that are not optimized. */
  anaOf(portalId: number): { anagrpid: number; state: AnaState }[] {
    const groups = [...(this.#ana.get(portalId) ?? new Map<number, GroupState>()).entries()];
    return groups
      .map(([anagrpid, { state }]) => ({ anagrpid, state }))
      .filter(({ state }) => state !== 'optimized');
  }

  /** The ANA log of one controller: the groups of the namespaces it sees, through its portal. */
  anaGroups(controller: Controller): { groups: AnaGroup[]; changeCount: bigint } {
    const { portalId } = controller.identity;
    const nsidsByGroup = new Map<number, number[]>([[defaultAnaGroup, []]]);
    for (const { anagrpid, nsid } of controller.visible.values()) {
      const nsids = nsidsByGroup.get(anagrpid) ?? [];
      nsids.push(nsid);
      nsidsByGroup.set(anagrpid, nsids);
    }
    const groups = [...nsidsByGroup.entries()].map(([anagrpid, nsids]) => {
      return { anagrpid, nsids, ...this.#group(portalId, anagrpid) };
    });
    let changeCount = 0n;
    for (const group of this.#ana.get(portalId)?.values() ?? []) changeCount += group.changeCount;
    return { groups, changeCount };
  }
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

/** For messages: an IPv6 address in brackets. */
export function formatEndpoint(address: string, port: number): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
