/**
 * One controller: the association of one host with one subsystem (or with discovery) through one
 * portal. It holds what the host has set and what it sees, and tells native code.
 */
import { toAshlarError } from '../errors.js';
import type {
  AsyncEvent,
  Authentication,
  ControllerHandle,
  ErrorLog,
  NativeAddon,
  PortalTls,
} from '../native.js';
import { FeatureState } from './features.js';
import { asyncEventBits } from './identify_controller.js';
import { changedNamespacesMax } from './limits.js';
import { logPages } from './logs.js';
import { looksTheSame, sameAttachment, type VisibleNamespace } from './namespace.js';
import { Properties, type PropertyEffect } from './properties.js';
import { ReservationNotices } from './reservation_notices.js';
import { hostIdText, type ReservationNotification } from './reservations.js';
import type { Subsystem } from './subsystem.js';

/** Notices (Base 5.2.2): event type 2, and which log page tells more. */
const notices = {
  namespaceAttribute: { eventType: 2, information: 0x00, logPage: logPages.changedNamespaces },
  anaChange: { eventType: 2, information: 0x03, logPage: logPages.ana },
  discoveryChange: { eventType: 2, information: 0xf0, logPage: logPages.discovery },
} as const satisfies Record<keyof typeof asyncEventBits, AsyncEvent>;
export type Notice = keyof typeof notices;

/** Reservation Log Page Available (Base 5.2): event type 6, which only masks keep back. */
const reservationNotice: AsyncEvent = {
  eventType: 6,
  information: 0x00,
  logPage: logPages.reservationNotification,
};

export interface ControllerIdentity {
  handle: ControllerHandle;
  cntlid: number;
  kind: 'io' | 'discovery';
  /** null for discovery. */
  subsystem: Subsystem | null;
  subnqn: string;
  hostnqn: string;
  hostId: Uint8Array;
  portalId: number;
  peer: string;
  /** Address of ours that the host reached; null when not known. */
  localAddress: string | null;
  localPort: number | null;
  /** Whether that portal does TLS. */
  portalTls: PortalTls;
  /** The PSK identity that its admin queue is over TLS by; null: it is plain. */
  tlsIdentity: string | null;
  maxIoQueues: number;
  writeThrough: boolean;
  keepAliveMs: number;
}

export class Controller {
  readonly identity: ControllerIdentity;
  readonly properties: Properties;
  readonly connectedAt = new Date();
  /** QIDs of the I/O queues that connected since the last reset. */
  readonly ioQids = new Set<number>();
  /** HOSTID as reservations know it. */
  readonly host: string;
  /** What its queue pairs had to do when they connected. */
  authentication: Authentication = 'none';
  /** Its host has generated a PSK over a plain admin queue, and comes again with it. */
  goesOnOverTls = false;
  /** Whether the host is let in, has still to authenticate, or has failed to. */
  admission: 'open' | 'awaited' | 'refused' = 'open';
  readonly #native: NativeAddon;
  #reservationNotices = new ReservationNotices();
  #features: FeatureState;
  #visible: ReadonlyMap<number, VisibleNamespace> = new Map();
  #changed = new Set<number>();
  #namespaceUpdates: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(native: NativeAddon, identity: ControllerIdentity) {
    this.#native = native;
    this.identity = identity;
    this.host = hostIdText(identity.hostId);
    this.properties = new Properties(identity.kind);
    this.#features = new FeatureState(identity);
  }

  get features(): FeatureState {
    return this.#features;
  }

  get visible(): ReadonlyMap<number, VisibleNamespace> {
    return this.#visible;
  }

  /** Its admin queue is over TLS; its I/O queues have to be as well, or not either. */
  get overTls(): boolean {
    return this.identity.tlsIdentity !== null;
  }

  /**
   * It is plain where TLS is required: there for nothing but to generate a PSK. Its host sees no
   * namespace and gets no I/O queue, but may do what hosts do before they come again (Linux enables
   * the controller and identifies it).
   */
  get onlyAuthenticates(): boolean {
    return this.identity.portalTls === 'required' && !this.overTls;
  }

  /** Commands that failed, of all queues. Of a controller that has ended: none. */
  async errorLog(): Promise<ErrorLog> {
    if (this.#ended) return { errorCount: 0n, entries: [] };
    return this.#native.controllerErrorLog(this.identity.handle);
  }

  /** Native code has ended it: nothing may be told to its handle any more. */
  get ended(): boolean {
    return this.#ended;
  }

  end(): void {
    this.#ended = true;
  }

  /** Carries out what Property Set changed. */
  apply(effect: PropertyEffect): void {
    if (effect === 'none') return;
    this.#native.controllerSetEnabled(this.identity.handle, effect === 'enabled');
    if (effect === 'enabled') return;
    this.ioQids.clear();
    if (effect !== 'reset') return;
    this.#features = new FeatureState(this.identity);
    this.#changed.clear();
    this.#reservationNotices = new ReservationNotices();
    for (const notice of [...Object.values(notices), reservationNotice]) {
      this.#native.controllerClearEvent(this.identity.handle, notice);
    }
  }

  setKeepAlive(timeoutMs: number): void {
    this.#native.controllerSetKeepAlive(this.identity.handle, timeoutMs);
  }

  /** Raises a notice, if the host asked for its kind (Base 5.27.1.8). */
  notify(notice: Notice): void {
    if (this.#ended || (this.#features.asyncEvents & asyncEventBits[notice]) === 0) return;
    this.#native.controllerRaiseEvent(this.identity.handle, notices[notice]);
  }

  /** The host has read the log page of this notice with RAE cleared. */
  acknowledge(notice: Notice): void {
    this.#native.controllerClearEvent(this.identity.handle, notices[notice]);
  }

  get reservationNotices(): ReservationNotices {
    return this.#reservationNotices;
  }

  /** Tells the host of a reservation that it was part of, if it still sees the namespace. */
  notifyReservation(nsid: number, type: ReservationNotification['type']): void {
    if (this.#ended || !this.#visible.has(nsid)) return;
    if (!this.#reservationNotices.add(nsid, type)) return;
    this.#native.controllerRaiseEvent(this.identity.handle, reservationNotice);
  }

  /** The host has read the oldest notice with RAE cleared; for the next one it hears again. */
  acknowledgeReservationNotice(): void {
    this.#native.controllerClearEvent(this.identity.handle, reservationNotice);
    if (!this.#reservationNotices.acknowledge()) return;
    this.#native.controllerRaiseEvent(this.identity.handle, reservationNotice);
  }

  /** The Changed Namespace List; with `clear` it starts anew. */
  changedNamespaces(clear: boolean): ReadonlySet<number> {
    const changed = this.#changed;
    if (clear) this.#changed = new Set();
    return changed;
  }

  /**
   * Shows the host exactly what is granted. Resolves when native code has no command under way for
   * what was taken away; the host is told of every difference.
   */
  show(granted: ReadonlyMap<number, VisibleNamespace>): Promise<void> {
    const before = this.#visible;
    const next = this.onlyAuthenticates ? new Map<number, VisibleNamespace>() : granted;
    this.#visible = next;
    const changes = differences(before, next);
    if (changes.length === 0) return this.#namespaceUpdates;
    const attaches = changes.some(({ attachment }) => attachment);
    const update = attaches ? this.#attach(next) : Promise.resolve();
    const settled = update.then(() => {
      const seen = changes.filter(({ appearance }) => appearance);
      if (seen.length === 0) return;
      for (const { nsid } of seen) this.#recordChange(nsid);
      this.notify('namespaceAttribute');
    });
    this.#namespaceUpdates = Promise.allSettled([this.#namespaceUpdates, settled]).then(
      () => undefined,
    );
    return settled;
  }

  /** The first table, before the host is let in: nothing has changed for it. */
  async showFirst(granted: ReadonlyMap<number, VisibleNamespace>): Promise<void> {
    const first = this.onlyAuthenticates ? new Map<number, VisibleNamespace>() : granted;
    this.#visible = first;
    await this.#attach(first);
  }

  async #attach(next: ReadonlyMap<number, VisibleNamespace>): Promise<void> {
    if (this.#ended) return;
    const attachments = [...next.values()].map((seen) => {
      const { nsid, volume, anagrpid, readOnly, reservation, meter } = seen;
      return { nsid, volume, anagrpid, readOnly, reservation, meter };
    });
    try {
      await this.#native.controllerSetNamespaces(this.identity.handle, attachments);
    } catch (thrown) {
      // A controller that ended meanwhile sees nothing, which is what a removal wants.
      const { code } = toAshlarError(thrown);
      if (code !== 'closed' && code !== 'not-found') throw thrown;
    }
  }

  #recordChange(nsid: number): void {
    // One beyond the list's size is enough to say "all".
    if (this.#changed.size <= changedNamespacesMax) this.#changed.add(nsid);
  }
}

/** A namespace that is another one now, to native code, to the host, or to both. */
interface Difference {
  nsid: number;
  attachment: boolean;
  appearance: boolean;
}

function differences(
  before: ReadonlyMap<number, VisibleNamespace>,
  after: ReadonlyMap<number, VisibleNamespace>,
): Difference[] {
  const changes: Difference[] = [];
  for (const nsid of new Set([...before.keys(), ...after.keys()])) {
    const was = before.get(nsid);
    const is = after.get(nsid);
    const stays = was !== undefined && is !== undefined;
    const attachment = !stays || !sameAttachment(was, is);
    const appearance = !stays || !looksTheSame(was, is);
    if (attachment || appearance) changes.push({ nsid, attachment, appearance });
  }
  return changes;
}
