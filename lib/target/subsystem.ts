/** One subsystem: the namespaces of one tenant, and the controllers that hosts see them by. */
import type { HostKeys } from './authentication.js';
import type { Controller } from './controller.js';
import { asSeenBy, type TargetNamespace, type VisibleNamespace } from './namespace.js';
import {
  applyReservation,
  hostIdText,
  noReservations,
  notificationTypes,
  type ReservationCommand,
  type ReservationNotification,
  type Reservations,
  ruleFor,
} from './reservations.js';
import { type Status, statuses } from './statuses.js';

export interface SubsystemOptions {
  nqn: string;
  /** 20 ASCII characters, for the subsystem's whole life. */
  serial: string;
  /** Hosts that may connect even when no namespace is granted to them. */
  admits(hostnqn: string): boolean;
  /** What the host has to prove itself with, as it is now; null: it need not. */
  keysOf(hostnqn: string): HostKeys | null;
  /**
   * Keeps what persists through power loss, and forgets it with `ptpl` false. Durable when it
   * resolves; a rejection has changed nothing.
   */
  saveReservations(nsid: number, reservations: Reservations): Promise<void>;
}

export class Subsystem {
  readonly nqn: string;
  readonly serial: string;
  readonly #admits: (hostnqn: string) => boolean;
  readonly #keysOf: SubsystemOptions['keysOf'];
  readonly #saveReservations: SubsystemOptions['saveReservations'];
  readonly #onChange: () => void;
  readonly #namespaces = new Map<number, TargetNamespace>();
  readonly #reservations = new Map<number, Reservations>();
  /** By NSID, the end of the changes of its reservations that have begun. */
  readonly #turns = new Map<number, Promise<unknown>>();
  readonly #controllers = new Map<number, Controller>();

  /** @param onChange called when what a host may discover could have changed. */
  constructor(options: SubsystemOptions, onChange: () => void) {
    this.nqn = options.nqn;
    this.serial = options.serial;
    this.#admits = (hostnqn) => options.admits(hostnqn);
    this.#keysOf = (hostnqn) => options.keysOf(hostnqn);
    this.#saveReservations = (nsid, state) => options.saveReservations(nsid, state);
    this.#onChange = onChange;
  }

  get namespaces(): ReadonlyMap<number, TargetNamespace> {
    return this.#namespaces;
  }

  /** By CNTLID. */
  get controllers(): ReadonlyMap<number, Controller> {
    return this.#controllers;
  }

  keysOf(hostnqn: string): HostKeys | null {
    return this.#keysOf(hostnqn);
  }

  /** Whether this host may know that the subsystem exists. */
  isVisibleTo(hostnqn: string): boolean {
    return this.#admits(hostnqn) || this.grantsTo(hostnqn);
  }

  /** Whether any namespace is granted to this host. */
  grantsTo(hostnqn: string): boolean {
    for (const namespace of this.#namespaces.values()) {
      if (namespace.access(hostnqn) !== null) return true;
    }
    return false;
  }

  /** What a host sees now, by NSID. Reservations go by HOSTID, grants by HOSTNQN. */
  seenBy(hostnqn: string, hostId: Uint8Array): Map<number, VisibleNamespace> {
    const host = hostIdText(hostId);
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

  /**
   * Resolves when no command for it is under way. Unknown NSIDs are fine. Its reservations stay for
   * when it comes back, see {@link forgetReservations}.
   */
  async removeNamespace(nsid: number): Promise<void> {
    this.#namespaces.delete(nsid);
    await this.refresh();
  }

  // ---- Reservations -----------------------------------------------------------------------------

  reservationsOf(nsid: number): Reservations {
    return this.#reservations.get(nsid) ?? noReservations;
  }

  /** Of all namespaces that had any, by NSID. */
  get reservations(): ReadonlyMap<number, Reservations> {
    return this.#reservations;
  }

  /** What was kept over a restart; before the namespace is there. */
  restoreReservations(nsid: number, reservations: Reservations): void {
    this.#reservations.set(nsid, reservations);
  }

  /** The namespace is gone for good: another one may have its NSID some day. */
  async forgetReservations(nsid: number): Promise<void> {
    await this.#inTurn(nsid, async () => this.#reservations.delete(nsid));
  }

  /**
   * Carries out a command of a host, after those for the same namespace that came before it.
   * Resolves when it is durable, where it persists, when every controller judges by the new state,
   * and when what was judged by the old one has settled: which is also how Preempt and Abort ends
   * the commands of those who lost. Hosts concerned have been told.
   */
  reserve(nsid: number, host: string, command: ReservationCommand): Promise<Status> {
    return this.#inTurn(nsid, async () => {
      if (!this.#namespaces.has(nsid)) return statuses.invalidNamespaceOrFormat;
      const before = this.reservationsOf(nsid);
      const outcome = applyReservation(before, host, command);
      await this.#replaceReservations(nsid, before, outcome.state);
      this.#tell(nsid, outcome.notifications);
      return outcome.status;
    });
  }

  /** Reservation Persistence (Base 5.27.1.29): whether reservations outlive a restart. */
  setPersistence(nsid: number, ptpl: boolean): Promise<Status> {
    return this.#inTurn(nsid, async () => {
      if (!this.#namespaces.has(nsid)) return statuses.invalidNamespaceOrFormat;
      const before = this.reservationsOf(nsid);
      if (before.ptpl !== ptpl) await this.#replaceReservations(nsid, before, { ...before, ptpl });
      return statuses.success;
    });
  }

  /**
   * Ends all registrations and the reservation, as whoever runs the node may when the host that
   * could is gone. Registrants are told that they were preempted.
   * @returns how many registrants there were.
   */
  clearReservations(nsid: number): Promise<number> {
    return this.#inTurn(nsid, async () => {
      const before = this.reservationsOf(nsid);
      const { generation, ptpl, registrants } = before;
      if (registrants.size === 0) return 0;
      const next = { ...noReservations, generation: (generation + 1) >>> 0, ptpl };
      await this.#replaceReservations(nsid, before, next);
      const type = notificationTypes.reservationPreempted;
      this.#tell(
        nsid,
        [...registrants.keys()].map((host) => ({ type, host })),
      );
      return registrants.size;
    });
  }

  async #replaceReservations(nsid: number, before: Reservations, after: Reservations) {
    if (after === before) return;
    if (before.ptpl || after.ptpl) await this.#saveReservations(nsid, after);
    this.#reservations.set(nsid, after);
    await this.#showAll();
  }

  #tell(nsid: number, notifications: readonly ReservationNotification[]): void {
    for (const { host, type } of notifications) {
      for (const controller of this.#controllers.values()) {
        if (controller.host === host) controller.notifyReservation(nsid, type);
      }
    }
  }

  #inTurn<R>(nsid: number, body: () => Promise<R>): Promise<R> {
    const before = this.#turns.get(nsid) ?? Promise.resolve();
    const result = before.then(body);
    const ended = result.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(nsid, ended);
    void ended.then(() => {
      if (this.#turns.get(nsid) === ended) this.#turns.delete(nsid);
    });
    return result;
  }

  /** CNTLIDs of the controllers by which the host of this HOSTID is here. */
  cntlidsOfHost(host: string): number[] {
    return [...this.#controllers.values()]
      .filter((controller) => controller.host === host)
      .map(({ identity }) => identity.cntlid);
  }

  /** HOSTNQNs by which the host of this HOSTID is here, each once. */
  hostnqnsOf(host: string): string[] {
    const own = [...this.#controllers.values()].filter((controller) => controller.host === host);
    return [...new Set(own.map(({ identity }) => identity.hostnqn))];
  }

  // ---- Hosts and controllers --------------------------------------------------------------------

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
