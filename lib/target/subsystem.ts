/** One subsystem: the namespaces of one tenant, and the controllers that hosts see them by. */
import type { Controller } from './controller.js';
import { asSeenBy, type TargetNamespace, type VisibleNamespace } from './namespace.js';
import { noReservations, type Reservations, ruleFor } from './reservations.js';

export interface SubsystemOptions {
  nqn: string;
  /** 20 ASCII characters, for the subsystem's whole life. */
  serial: string;
  /** Hosts that may connect even when no namespace is granted to them. */
  admits(hostnqn: string): boolean;
}

export class Subsystem {
  readonly nqn: string;
  readonly serial: string;
  readonly #admits: (hostnqn: string) => boolean;
  readonly #onChange: () => void;
  readonly #namespaces = new Map<number, TargetNamespace>();
  readonly #reservations = new Map<number, Reservations>();
  readonly #controllers = new Map<number, Controller>();

  /** @param onChange called when what a host may discover could have changed. */
  constructor(options: SubsystemOptions, onChange: () => void) {
    this.nqn = options.nqn;
    this.serial = options.serial;
    this.#admits = (hostnqn) => options.admits(hostnqn);
    this.#onChange = onChange;
  }

  get namespaces(): ReadonlyMap<number, TargetNamespace> {
    return this.#namespaces;
  }

  /** By CNTLID. */
  get controllers(): ReadonlyMap<number, Controller> {
    return this.#controllers;
  }

  /** Whether this host may know that the subsystem exists. */
  isVisibleTo(hostnqn: string): boolean {
    if (this.#admits(hostnqn)) return true;
    for (const namespace of this.#namespaces.values()) {
      if (namespace.access(hostnqn) !== null) return true;
    }
    return false;
  }

  /** What a host sees now, by NSID. Reservations go by HOSTID, grants by HOSTNQN. */
  seenBy(hostnqn: string, hostId: Uint8Array): Map<number, VisibleNamespace> {
    const host = Buffer.from(hostId).toString('hex');
    const visible = new Map<number, VisibleNamespace>();
    for (const namespace of this.#namespaces.values()) {
      const seen = asSeenBy(namespace, hostnqn, ruleFor(this.reservationsOf(namespace.nsid), host));
      if (seen !== null) visible.set(seen.nsid, seen);
    }
    return visible;
  }

  /** Adds a namespace, or replaces the one of the same NSID. Resolves when all hosts see it. */
  async setNamespace(namespace: TargetNamespace): Promise<void> {
    this.#namespaces.set(namespace.nsid, namespace);
    await this.refresh();
  }

  /** Resolves when no command for it is under way. Unknown NSIDs are fine. */
  async removeNamespace(nsid: number): Promise<void> {
    this.#namespaces.delete(nsid);
    this.#reservations.delete(nsid);
    await this.refresh();
  }

  reservationsOf(nsid: number): Reservations {
    return this.#reservations.get(nsid) ?? noReservations;
  }

  /**
   * Resolves when every controller judges by the new reservation and what was judged by the old
   * one has settled. They go with the namespace.
   */
  async setReservations(nsid: number, reservations: Reservations): Promise<void> {
    this.#reservations.set(nsid, reservations);
    await this.#showAll();
  }

  /** Grants or namespaces changed: every connected host sees exactly what it may. */
  async refresh(): Promise<void> {
    this.#onChange();
    await this.#showAll();
  }

  async #showAll(): Promise<void> {
    const updates = [...this.#controllers.values()].map((controller) => {
      const { hostnqn, hostId } = controller.identity;
      return controller.show(this.seenBy(hostnqn, hostId));
    });
    await Promise.all(updates);
  }

  addController(controller: Controller): void {
    this.#controllers.set(controller.identity.cntlid, controller);
  }

  removeController(controller: Controller): void {
    const { cntlid } = controller.identity;
    if (this.#controllers.get(cntlid) === controller) this.#controllers.delete(cntlid);
  }

  /** CNTLIDs of one host's controllers. */
  cntlidsOf(hostnqn: string): number[] {
    return [...this.#controllers.values()]
      .filter(({ identity }) => identity.hostnqn === hostnqn)
      .map(({ identity }) => identity.cntlid);
  }
}
