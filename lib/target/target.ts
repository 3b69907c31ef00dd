/**
 * The target's control side: subsystems, portals and controllers, and the events of native code
 * that concern them. Native code moves all data and answers what is urgent (see native.ts); here
 * is decided who may connect and what each host sees.
 */
import { AshlarError, toAshlarError } from '../errors.js';
import type {
  AnaState,
  CommandEvent,
  ConnectEvent,
  ControllerEndedEvent,
  ControllerHandle,
  NativeAddon,
  PortalTls,
  RuntimeHandle,
  TlsRecords,
} from '../native.js';
import type { TlsPsk } from '../tls/derive.js';
import { type AdminEnvironment, answerCommand } from './admin.js';
import { AssociationCounts } from './associations.js';
import type { Answer } from './authentication.js';
import { Authenticator } from './authenticator.js';
import {
  type ConnectRefusal,
  type ConnectRequest,
  connectRefusal,
  decodeConnect,
  invalidParameter,
} from './connect.js';
import { Controller } from './controller.js';
import type { Referral } from './discovery.js';
import {
  type DiscoveryOptions,
  DiscoverySubsystem,
  discoveryKeepAlive,
} from './discovery_subsystem.js';
import { roundKeepAlive } from './features.js';
import type { Standing } from './generated_psks.js';
import { maxAsyncEvents, maxControllers, maxIoQueues, maxTransferBytes } from './limits.js';
import type { SmartInput } from './logs.js';
import { discoveryNqn } from './nqn.js';
import { type Portal, type PortalRequest, Portals, parseEndpoint, tellsOf } from './portals.js';
import { isAuthentication } from './sqe.js';
import { failRetryably, refuse, statuses } from './statuses.js';
import { Subsystem, type SubsystemOptions } from './subsystem.js';
import { TlsKeys } from './tls.js';

export interface TargetOptions {
  native: NativeAddon;
  runtime: RuntimeHandle;
  /** FR: at most 8 ASCII characters. */
  firmware: string;
  discovery: DiscoveryOptions;
  writeThrough: boolean;
  /** Of every portal. */
  tls: PortalTls;
  /** By the process when not given. */
  tlsRecords?: TlsRecords;
  atomicWriteBytes: number;
  cntlids: { first: number; last: number };
  health(): Promise<Omit<SmartInput, 'errorLogEntries'>>;
  listener: TargetListener;
}

/** What the node wants to hear; called in order, must not throw. */
export interface TargetListener {
  connected(controller: Controller): void;
  disconnected(controller: Controller, event: ControllerEndedEvent): void;
  refused(peer: string, portalId: number, refusal: ConnectRefusal): void;
  /** A mistake of ours while a host's command was answered; the host got Internal Error. */
  failed(what: string, error: AshlarError): void;
}

export class Target {
  readonly #options: TargetOptions;
  readonly #native: NativeAddon;
  readonly #portals: Portals;
  readonly #tlsKeys: TlsKeys;
  readonly #environment: AdminEnvironment;
  readonly #subsystems = new Map<string, Subsystem>();
  readonly #controllers = new Map<ControllerHandle, Controller>();
  readonly #discovery: DiscoverySubsystem;
  readonly #authenticator: Authenticator;
  /** What hosts came, and how often. */
  readonly associations = new AssociationCounts();
  #referrals: readonly Referral[] = [];
  /** The last one given in each subsystem; of null: discovery. */
  readonly #lastCntlids = new Map<Subsystem | null, number>();
  #closing = false;
  #whenEmpty: (() => void) | null = null;

  constructor(options: TargetOptions) {
    this.#options = options;
    this.#native = options.native;
    const { native, runtime, tls, tlsRecords = 'process' } = options;
    this.#portals = new Portals(native, runtime, tls, tlsRecords);
    this.#tlsKeys = new TlsKeys(native, runtime, (hostnqn, subnqn) =>
      this.#standing(hostnqn, subnqn),
    );
    this.#authenticator = new Authenticator(this.#tlsKeys.generated);
    const discovery = new DiscoverySubsystem(options.discovery, {
      discoverable: () => ({ portals: this.#portals.all, referrals: this.#referrals }),
      visibleTo: (hostnqn) => this.#visibleTo(hostnqn),
      hasPsk: (hostnqn) => this.#tlsKeys.has(hostnqn),
    });
    this.#discovery = discovery;
    this.#environment = {
      firmware: options.firmware,
      writeThrough: options.writeThrough,
      atomicWriteBytes: options.atomicWriteBytes,
      serialOf: ({ identity }) => identity.subsystem?.serial ?? discovery.serial,
      // Of the well-known NQN, Identify tells the NQN that is only of this node.
      subnqnOf: ({ identity }) => identity.subsystem?.nqn ?? discovery.nqn,
      health: () => options.health(),
      anaState: ({ identity }, anagrpid) => this.#portals.stateOf(identity.portalId, anagrpid),
      anaGroups: (controller) => this.#portals.anaGroups(controller),
      discoveryLog: (controller, offset) => discovery.log(controller, offset),
      discoveryRead: (controller) => discovery.acknowledge(controller),
    };
  }

  // ---- What the node decides --------------------------------------------------------------------

  /** @throws AshlarError already-exists. */
  addSubsystem(options: SubsystemOptions): Subsystem {
    if (this.#subsystems.has(options.nqn)) {
      throw new AshlarError('already-exists', `subsystem ${options.nqn} exists already`);
    }
    const subsystem = new Subsystem(options, () => this.hostsChanged());
    this.#subsystems.set(options.nqn, subsystem);
    this.#discovery.changed();
    return subsystem;
  }

  /** Ends the subsystem's controllers. */
  removeSubsystem(subsystem: Subsystem): void {
    this.#subsystems.delete(subsystem.nqn);
    this.#lastCntlids.delete(subsystem);
    for (const controller of subsystem.controllers.values()) this.#destroy(controller);
    this.hostsChanged();
  }

  /** Hosts, their keys or what is granted to them have changed. */
  hostsChanged(): void {
    this.#tlsKeys.generated.review();
    this.#discovery.changed();
  }

  /** NQN of this node's own discovery subsystem. */
  get discoveryNqn(): string {
    return this.#discovery.nqn;
  }

  get portals(): readonly Portal[] {
    return this.#portals.all;
  }

  /** Whether hosts come over TLS, at every portal alike. */
  get tls(): PortalTls {
    return this.#portals.tls;
  }

  /** A group's state through a portal, as hosts see it. */
  anaState(portalId: number, anagrpid: number): AnaState {
    return this.#portals.stateOf(portalId, anagrpid);
  }

  /**
   * @param portalId one that no other portal has or had; the next one when not given.
   * @throws AshlarError address-in-use, address-unavailable, permission-denied, closed.
   */
  async listen(request: PortalRequest, portalId?: number): Promise<Portal> {
    const portal = await this.#portals.listen(request, portalId);
    if (this.#closing) {
      await this.#portals.close(portal.portalId, true);
      throw new AshlarError('closed', 'the node is closing');
    }
    this.#discovery.changed();
    return portal;
  }

  /** Stops listening; with `drop` connections that came through the portal end. */
  async closePortal(portalId: number, drop: boolean): Promise<void> {
    await this.#portals.close(portalId, drop);
    this.#discovery.changed();
  }

  /** Other nodes that hosts may ask; those that see another list now are told. */
  setReferrals(referrals: readonly Referral[]): void {
    this.#referrals = referrals;
    this.#discovery.changed();
  }

  /** With which hosts may begin TLS from now on; see {@link TlsKeys.set}. */
  setTlsPsks(psks: readonly TlsPsk[]): void {
    this.#tlsKeys.set(psks);
    this.#discovery.changed();
  }

  /** Discovery NQNs that hosts may name: the well-known one, and this node's own. */
  get discoveryNqns(): readonly string[] {
    return [discoveryNqn, this.#discovery.nqn];
  }

  /** Resolves when new commands answer by the new state; hosts on this portal are told. */
  async setAna(portalId: number, anagrpid: number, state: AnaState): Promise<void> {
    const { groups, applied } = this.#portals.setAna(portalId, anagrpid, state);
    this.#tellAna(portalId, groups);
    await applied;
  }

  /** Likewise makes every group inaccessible through a portal, or lets them be as they were set. */
  async setDrained(portalId: number, drained: boolean): Promise<void> {
    const { groups, applied } = this.#portals.setDrained(portalId, drained);
    this.#tellAna(portalId, groups);
    this.#discovery.changed();
    await applied;
  }

  #tellAna(portalId: number, groups: readonly number[]): void {
    for (const controller of this.#controllers.values()) {
      if (controller.identity.portalId !== portalId) continue;
      if (groups.some((anagrpid) => tellsOf(controller, anagrpid))) controller.notify('anaChange');
    }
  }

  /** Ends one host's associations with a subsystem. */
  dismiss(subsystem: Subsystem, hostnqn: string): void {
    for (const controller of subsystem.controllers.values()) {
      if (controller.identity.hostnqn === hostnqn) this.#destroy(controller);
    }
  }

  /** Those whose hosts are let in. */
  get controllers(): readonly Controller[] {
    return [...this.#controllers.values()].filter(({ admission }) => admission === 'open');
  }

  /** No new connections, all associations end; resolves when native code holds none. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#discovery.close();
    this.#tlsKeys.generated.close();
    await Promise.all(this.#portals.all.map(({ portalId }) => this.#portals.close(portalId, true)));
    for (const controller of this.#controllers.values()) this.#destroy(controller);
    if (this.#controllers.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
    });
  }

  // ---- Events of native code --------------------------------------------------------------------

  /** Takes one event; the work goes on after it returns. */
  handle(event: ConnectEvent | CommandEvent | ControllerEndedEvent): void {
    switch (event.type) {
      case 'connect':
        void this.#connect(event);
        return;
      case 'command':
        void this.#command(event);
        return;
      case 'controller-ended':
        this.#ended(event);
        return;
    }
  }

  async #connect(event: ConnectEvent): Promise<void> {
    const { connect, peer, portalId } = event;
    let refusal: ConnectRefusal | null;
    try {
      refusal = await this.#admit(event);
    } catch (thrown) {
      this.#options.listener.failed(`Connect from ${peer}`, toAshlarError(thrown));
      refusal = connectRefusal(statuses.internalError, 'internal error');
    }
    if (refusal === null) return;
    const { status, result } = refusal;
    this.#answer(`Connect from ${peer}`, () => this.#native.connectReject(connect, status, result));
    this.#tellRefused(peer, portalId, refusal);
  }

  async #admit(event: ConnectEvent): Promise<ConnectRefusal | null> {
    const decoded = decodeConnect(event.sqe, event.data);
    if ('refusal' in decoded) return decoded.refusal;
    const { request } = decoded;
    if (this.#closing) {
      return connectRefusal(statuses.connectControllerBusy, 'the node is closing');
    }
    const refusal = this.#channelRefusal(event, request);
    if (refusal !== null) return refusal;
    return request.qid === 0
      ? await this.#admitController(event, request)
      : this.#admitIoQueue(event, request);
  }

  /** Whether the host may come by TLS as this one, or without. */
  #channelRefusal({ tlsIdentity }: ConnectEvent, request: ConnectRequest): ConnectRefusal | null {
    if (tlsIdentity !== null) return this.#tlsKeys.refusal(tlsIdentity, request);
    if (this.#portals.tls !== 'required') return null;
    const { hostnqn, subnqn, qid } = request;
    const mayGenerate = qid === 0 && this.#standing(hostnqn, subnqn).keys !== null;
    if (mayGenerate) return null;
    const reason = `${hostnqn} came without TLS, and has no key to generate a PSK with`;
    return connectRefusal(statuses.connectInvalidHost, reason);
  }

  /** By what a PSK stands that the host has generated. Keys that do not open are none. */
  #standing(hostnqn: string, subnqn: string): Standing {
    const subsystem = this.#subsystems.get(subnqn);
    if (subsystem?.isVisibleTo(hostnqn) !== true) return { keys: null, granted: false };
    const granted = subsystem.grantsTo(hostnqn);
    try {
      return { keys: subsystem.keysOf(hostnqn), granted };
    } catch {
      return { keys: null, granted };
    }
  }

  async #admitController(
    event: ConnectEvent,
    request: ConnectRequest,
  ): Promise<ConnectRefusal | null> {
    const kind = this.#discovery.isNamed(request.subnqn) ? 'discovery' : 'io';
    const subsystem = kind === 'io' ? this.#subsystemFor(event, request) : null;
    if (subsystem === undefined) {
      return invalidParameter('subnqn', `no subsystem ${request.subnqn} for ${request.hostnqn}`);
    }
    if (this.#controllers.size >= maxControllers) {
      const reason = `the node has ${maxControllers} controllers, its limit`;
      return connectRefusal(statuses.connectControllerBusy, reason);
    }
    if (kind === 'discovery') {
      const refusal = this.#discovery.refusal(request.hostnqn, event.peer);
      if (refusal !== null) return refusal;
    }
    if (subsystem !== null && subsystem.keysOf(request.hostnqn) !== null) {
      const refusal = this.#authenticator.refusal(event.peer);
      if (refusal !== null) return refusal;
    }
    const cntlid = this.#takeCntlid(subsystem);
    if (cntlid === null) {
      return connectRefusal(statuses.connectControllerBusy, 'every CNTLID is in use');
    }
    const controller = this.#create(event, request, kind, subsystem, cntlid);
    this.#tlsKeys.generated.use(event.tlsIdentity, controller);
    this.#authenticator.admit(controller); // It counts from now on.
    await controller.showFirst(subsystem?.seenBy(request.hostnqn, request.hostId) ?? new Map());
    if (controller.ended) {
      const reason = 'the controller was ended before the host was let in';
      return connectRefusal(statuses.connectControllerBusy, reason);
    }
    const keepAlive = kind === 'discovery' ? discoveryKeepAlive : roundKeepAlive;
    controller.setKeepAlive(keepAlive(request.katoMs));
    const authentication = this.#authenticator.admit(controller); // Keys may have changed.
    this.#native.connectAccept(event.connect, controller.identity.handle, authentication);
    if (authentication === 'none') this.#tellBegin(controller);
    // Grants that changed while the first table was on its way.
    if (subsystem !== null) {
      await controller.show(subsystem.seenBy(request.hostnqn, request.hostId));
    }
    return null;
  }

  #subsystemFor(event: ConnectEvent, request: ConnectRequest): Subsystem | undefined {
    if (!this.#portals.servesVolumes(event.portalId)) return undefined;
    const subsystem = this.#subsystems.get(request.subnqn);
    // A host that nothing is granted to learns not even that the subsystem exists.
    return subsystem?.isVisibleTo(request.hostnqn) ? subsystem : undefined;
  }

  #create(
    event: ConnectEvent,
    request: ConnectRequest,
    kind: 'io' | 'discovery',
    subsystem: Subsystem | null,
    cntlid: number,
  ): Controller {
    const queues = kind === 'io' ? maxIoQueues : 0;
    const handle = this.#native.controllerCreate(this.#options.runtime, {
      cntlid,
      kind,
      maxIoQueues: queues,
      maxAsyncEvents,
      maxTransferBytes,
      hostid: request.hostId,
    });
    const local = parseEndpoint(event.local);
    const controller = new Controller(this.#native, {
      handle,
      cntlid,
      kind,
      subsystem,
      subnqn: request.subnqn,
      hostnqn: request.hostnqn,
      hostId: request.hostId,
      portalId: event.portalId,
      peer: event.peer,
      localAddress: local?.address ?? null,
      localPort: local?.port ?? null,
      portalTls: this.#portals.tls,
      tlsIdentity: event.tlsIdentity,
      maxIoQueues: queues,
      writeThrough: this.#options.writeThrough,
      keepAliveMs: roundKeepAlive(request.katoMs),
    });
    this.#controllers.set(handle, controller);
    if (subsystem === null) this.#discovery.add(controller);
    else subsystem.addController(controller);
    return controller;
  }

  #admitIoQueue(event: ConnectEvent, request: ConnectRequest): ConnectRefusal | null {
    const controller = this.#subsystems.get(request.subnqn)?.controllers.get(request.cntlid);
    if (controller === undefined) {
      const reason = `no controller ${request.cntlid} in ${request.subnqn}`;
      return invalidParameter('cntlid', reason);
    }
    const { identity } = controller;
    if (identity.hostnqn !== request.hostnqn) {
      return invalidParameter('hostnqn', `controller ${request.cntlid} is another host's`);
    }
    if (!Buffer.from(identity.hostId).equals(request.hostId)) {
      return invalidParameter('hostid', `controller ${request.cntlid} has another HOSTID`);
    }
    if (controller.overTls !== (event.tlsIdentity !== null)) {
      const reason = `the admin queue of controller ${request.cntlid} is ${controller.overTls ? '' : 'not '}over TLS`;
      return connectRefusal(statuses.connectInvalidHost, reason);
    }
    if (controller.goesOnOverTls || controller.onlyAuthenticates) {
      const reason = `controller ${request.cntlid} is there to generate a PSK; its host has to connect again over TLS`;
      return connectRefusal(statuses.connectInvalidHost, reason);
    }
    if (!controller.properties.ready) {
      return connectRefusal(statuses.commandSequenceError, 'the controller is not enabled');
    }
    if (request.qid > controller.features.ioQueues) {
      const reason = `QID ${request.qid} is over ${controller.features.ioQueues} queues`;
      return invalidParameter('qid', reason);
    }
    controller.ioQids.add(request.qid);
    this.#native.connectAccept(event.connect, identity.handle, controller.authentication);
    return null;
  }

  async #command(event: CommandEvent): Promise<void> {
    const controller = this.#controllers.get(event.controller);
    if (controller === undefined || controller.ended) return; // The event was under way.
    if (isAuthentication(event.sqe)) {
      this.#authenticate(controller, event);
      return;
    }
    let completion: Awaited<ReturnType<typeof answerCommand>>;
    try {
      completion = await answerCommand(controller, event, this.#environment);
    } catch (thrown) {
      const what = `command ${event.sqe[0] ?? 0} on queue ${event.qid} of ${controller.identity.hostnqn}`;
      this.#options.listener.failed(what, toAshlarError(thrown));
      completion = failRetryably(statuses.internalError);
    }
    if (controller.ended) return;
    this.#answer('command', () => {
      this.#native.commandComplete(event.controller, event.command, completion);
      if (controller.identity.kind === 'discovery') this.#discovery.active(controller);
    });
  }

  #authenticate(controller: Controller, event: CommandEvent): void {
    const { listener } = this.#options;
    const { identity, admission } = controller;
    let answer: Answer;
    try {
      answer = this.#authenticator.answer(controller, event);
    } catch (thrown) {
      const what = `authentication on queue ${event.qid} of ${identity.hostnqn}`;
      listener.failed(what, toAshlarError(thrown));
      const completion = refuse(statuses.internalError);
      answer = { completion, verdict: 'refused', failure: null };
    }
    const { completion, verdict, failure } = answer;
    this.#answer('authentication', () => {
      const { controller: handle, command } = event;
      this.#native.authenticationComplete(handle, command, completion, verdict);
    });
    if (failure !== null) {
      const status = statuses.authenticationRequired;
      this.#tellRefused(identity.peer, identity.portalId, { status, result: 0n, reason: failure });
    }
    if (admission === 'awaited' && controller.admission === 'open') this.#tellBegin(controller);
  }

  /** Whom an answer is for may have gone, and the runtime with it. */
  #answer(what: string, call: () => void): void {
    try {
      call();
    } catch (thrown) {
      const error = toAshlarError(thrown);
      if (error.code !== 'closed') this.#options.listener.failed(what, error);
    }
  }

  #ended(event: ControllerEndedEvent): void {
    const controller = this.#controllers.get(event.controller);
    if (controller === undefined) return;
    controller.end();
    this.#controllers.delete(event.controller);
    const { subsystem } = controller.identity;
    if (subsystem === null) this.#discovery.remove(controller);
    else subsystem.removeController(controller);
    this.#authenticator.end(controller);
    this.#tlsKeys.generated.release(controller);
    this.#tellEnd(controller, event);
    if (this.#controllers.size === 0) this.#whenEmpty?.();
  }

  #tellBegin(controller: Controller): void {
    const { hostnqn, kind } = controller.identity;
    if (kind === 'io') this.associations.begin(hostnqn);
    this.#options.listener.connected(controller);
  }

  #tellRefused(peer: string, portalId: number, refusal: ConnectRefusal): void {
    this.associations.refused += 1;
    this.#options.listener.refused(peer, portalId, refusal);
  }

  /** Of a host that was never let in, that is all there is to tell, and it may be told already. */
  #tellEnd(controller: Controller, event: ControllerEndedEvent): void {
    const { peer, portalId, hostnqn, kind } = controller.identity;
    if (controller.admission === 'open') {
      if (kind === 'io') this.associations.end(hostnqn, event.reason);
      this.#options.listener.disconnected(controller, event);
    } else if (controller.admission === 'awaited') {
      const status = statuses.authenticationRequired;
      const reason = `${hostnqn} did not authenticate: ${event.detail}`;
      this.#tellRefused(peer, portalId, { status, result: 0n, reason });
    }
  }

  // ---- Pieces -----------------------------------------------------------------------------------

  #destroy(controller: Controller): void {
    if (!controller.ended) this.#native.controllerDestroy(controller.identity.handle);
  }

  /**
   * Going round the node's range, so that a CNTLID rests before it is used again; in each subsystem
   * by itself, as otherwise a tenant could count the controllers of others.
   */
  #takeCntlid(subsystem: Subsystem | null): number | null {
    const { controllers } = subsystem ?? this.#discovery;
    const { first, last } = this.#options.cntlids;
    const before = this.#lastCntlids.get(subsystem) ?? last;
    const count = last - first + 1;
    for (let step = 1; step <= count; step += 1) {
      const cntlid = first + ((before - first + step) % count);
      if (controllers.has(cntlid)) continue;
      this.#lastCntlids.set(subsystem, cntlid);
      return cntlid;
    }
    return null;
  }

  #visibleTo(hostnqn: string): string[] {
    return [...this.#subsystems.values()]
      .filter((subsystem) => subsystem.isVisibleTo(hostnqn))
      .map(({ nqn }) => nqn);
  }
}
