/**
 * The portals of a node: those that the configuration names and those added by command, their
 * numbers and ANA states kept in the catalog.
 */

import { isIP } from 'node:net';
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  anaKey,
  anaKind,
  type LastingAnaState,
  lastingAnaStates,
  type PortalRecord,
  portalKey,
  portalKind,
} from '../catalog/portal_kinds.js';
import { formatEndpoint, portalPort } from '../config/config.js';
import { canonicalAddress, parseEndpoint, portalProblem } from '../config/endpoint.js';
import { AshlarError, toAshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import type { AnaState } from '../native.js';
import type { Controller } from '../target/controller.js';
import { isWildcard } from '../target/discovery.js';
import { checkAnaGroup, defaultAnaGroup, type PortalRequest } from '../target/portals.js';
import type { Target } from '../target/target.js';
import { hostsText } from '../volumes/connected.js';
import type { KeyedLocks } from '../volumes/locks.js';
import type { CallOptions, ForceOptions } from '../volumes/types.js';
import { cutOff, type Reach } from './paths.js';
import { Retries } from './retries.js';
import { Transitions } from './transitions.js';
import type { AddPortal, AnaInfo, PortalInfo, Portals, SetAna } from './types.js';

/** Portals of a node: each is a record of every subsystem in the discovery page of a host. */
export const maxPortals = 64;
const maxPortalId = 65_535;

/** One lock for all: which portals there are is decided by one call at a time. */
const lockKey = 'portals';

export interface PortalParts {
  catalog: Catalog;
  target: Pick<
    Target,
    'listen' | 'closePortal' | 'setAna' | 'setDrained' | 'anaState' | 'controllers' | 'tls'
  >;
  locks: KeyedLocks;
  configured: readonly ConfiguredPortal[];
  assertOpen(): void;
  emit(severity: 'info' | 'warning', kind: EventKind, message: string): void;
}

/** A portal that the configuration names. */
export interface ConfiguredPortal extends PortalRequest {
  /** When it cannot be listened on, warn and go on without it. */
  optional?: boolean | undefined;
}

/** A portal that there is to be; its record says whether it is drained. */
interface OwnPortal extends PortalRequest {
  portalId: number;
  configured: boolean;
  /** Why it does not listen; null: it does. */
  problem: string | null;
}

export class PortalService implements Portals {
  readonly #parts: PortalParts;
  readonly #portals = new Map<number, OwnPortal>();
  readonly #retries: Retries;
  readonly #transitions: Transitions;
  /** Numbers of configured portals that this start does without. */
  readonly #skipped = new Set<number>();
  #lastId = 0;

  constructor(parts: PortalParts) {
    this.#parts = parts;
    this.#retries = new Retries((portalId) => this.#tryAgain(portalId));
    this.#transitions = new Transitions((portalId, group) => {
      // The portal or the node has gone meanwhile: then nobody is left to be told.
      this.#endChange(portalId, group).catch(() => undefined);
    });
  }

  // ---- Start and end of the node ----------------------------------------------------------------

  /**
   * Listens on every portal. One of the configuration that cannot fails the start, as whoever wrote
   * it is there to read why; one of the catalog waits for its address, so that a node whose network
   * is late, or has changed, still serves through the others.
   *
   * @throws AshlarError address-in-use, address-unavailable, permission-denied.
   */
  async start(): Promise<void> {
    const { catalog, configured } = this.#parts;
    for (const portal of configured) await this.#listenConfigured(portal);
    await this.#keepConfigured();
    const added = catalog
      .all(portalKind)
      .filter(({ value: { portalId } }) => !this.#portals.has(portalId))
      .filter(({ value: { portalId } }) => !this.#skipped.has(portalId));
    await Promise.all(added.map(({ value }) => this.#listenAdded(value)));
  }

  async #listenConfigured({ optional = false, ...asked }: ConfiguredPortal): Promise<void> {
    const { catalog, target, emit } = this.#parts;
    const address = isIP(asked.address) === 0 ? asked.address : canonicalAddress(asked.address);
    const record = catalog.find(portalKind, 'endpoint', portalKey(address, asked.port));
    const portalId = record?.value.portalId ?? this.#nextId();
    if (record !== null && !asked.discoveryOnly) await this.#restore(record.value);
    try {
      const { port } = await target.listen({ ...asked, address }, portalId);
      const portal = { ...asked, address, port, portalId, configured: true, problem: null };
      this.#portals.set(portalId, portal);
      const what = asked.discoveryOnly ? 'discovery' : 'volumes and discovery';
      emit('info', 'portal-listening', `${what} on ${formatEndpoint(portal)}`);
    } catch (thrown) {
      if (!optional) throw thrown;
      this.#skipped.add(portalId);
      const { message } = toAshlarError(thrown);
      const what = `no discovery on ${formatEndpoint({ ...asked, address })}: ${message}`;
      emit('warning', 'portal-skipped', `${what}; hosts discover at the other portals`);
    }
  }

  /** Numbers of configured portals are kept from now on; of those it names no more they are not. */
  async #keepConfigured(): Promise<void> {
    const { catalog } = this.#parts;
    await catalog.transact('keep the numbers of configured portals', (transaction) => {
      for (const portal of this.#portals.values()) {
        const { address, port } = portal;
        // With port 0 an added portal that does not listen yet may have the same port.
        if (catalog.find(portalKind, 'endpoint', portalKey(address, port)) !== null) continue;
        transaction.add(portalKind, newRecord(portal, false));
      }
      for (const { id, value } of catalog.all(portalKind)) {
        const { added, portalId } = value;
        if (added || this.#portals.has(portalId) || this.#skipped.has(portalId)) continue;
        this.#forget(transaction, id, portalId);
      }
    });
  }

  async #listenAdded(record: PortalRecord): Promise<void> {
    const { portalId, address, port, discoveryOnly } = record;
    const request = { portalId, address, port, discoveryOnly };
    const portal: OwnPortal = { ...request, configured: false, problem: null };
    this.#portals.set(portalId, portal);
    await this.#restore(record);
    await this.#tryToListen(portal);
    const endpoint = formatEndpoint(portal);
    if (portal.problem === null) {
      this.#parts.emit('info', 'portal-listening', `portal ${endpoint} listens`);
      return;
    }
    const message = `${portal.problem}; until then it is tried again every few seconds`;
    this.#parts.emit('warning', 'portal-unavailable', `portal ${endpoint}: ${message}`);
    this.#retries.start(portalId);
  }

  async #restore({ portalId, drained }: PortalRecord): Promise<void> {
    const { catalog, target } = this.#parts;
    for (const { value } of catalog.group(anaKind, 'portal', String(portalId))) {
      await target.setAna(portalId, value.anagrpid, value.state);
    }
    if (drained) await target.setDrained(portalId, true);
  }

  /** @returns whether it needs no further attempt. */
  async #tryAgain(portalId: number): Promise<boolean> {
    const portal = this.#portals.get(portalId);
    if (portal === undefined) return true;
    const what = `listen on ${formatEndpoint(portal)}`;
    return this.#parts.locks.hold(lockKey, what, undefined, async () => {
      if (this.#portals.get(portalId) !== portal || portal.problem === null) return true;
      await this.#tryToListen(portal);
      if (portal.problem !== null) return false;
      this.#parts.emit('info', 'portal-listening', `portal ${formatEndpoint(portal)} listens now`);
      return true;
    });
  }

  async #tryToListen(portal: OwnPortal): Promise<void> {
    try {
      await this.#parts.target.listen(requestOf(portal), portal.portalId);
      portal.problem = null;
    } catch (thrown) {
      portal.problem = this.#refusal(portal, toAshlarError(thrown)).message;
    }
  }

  /** Nothing is tried again and no state changes by itself any more. */
  async close(): Promise<void> {
    this.#transitions.close();
    await this.#retries.close();
  }

  // ---- Portals ----------------------------------------------------------------------------------

  list(): PortalInfo[] {
    this.#parts.assertOpen();
    return [...this.#portals.values()]
      .sort((one, other) => one.portalId - other.portalId)
      .map((portal) => this.#info(portal));
  }

  show(reference: string): PortalInfo {
    this.#parts.assertOpen();
    return this.#info(this.#named(reference));
  }

  async add(request: AddPortal, options: CallOptions = {}): Promise<PortalInfo> {
    this.#parts.assertOpen();
    const { port, discoveryOnly = false } = request;
    const problem = portalProblem(request.address, port);
    if (problem !== null) {
      const what = `portal '${request.address}' port ${port}`;
      throw new AshlarError('invalid-argument', `${what} ${problem}`);
    }
    const address = canonicalAddress(request.address);
    const what = `add portal ${formatEndpoint({ address, port })}`;
    return this.#parts.locks.hold(lockKey, what, options.signal, async () => {
      const before = this.#at(address, port);
      if (before !== undefined) {
        const same = before.discoveryOnly === discoveryOnly;
        if (options.repeatable === true && same) return this.#info(before);
        throw alreadyThere(before);
      }
      this.#assertRoom();
      const portalId = this.#nextId();
      const asked = { portalId, address, port, discoveryOnly };
      const portal: OwnPortal = { ...asked, configured: false, problem: null };
      await this.#listenThenKeep(portal, what, options.signal);
      const serves = discoveryOnly ? 'discovery alone' : 'volumes and discovery';
      const endpoint = formatEndpoint(portal);
      const message = `portal ${portalId} was added: ${serves} on ${endpoint}`;
      this.#parts.emit('info', 'portal-added', message);
      return this.#info(portal);
    });
  }

  /** Listening comes first, as it is what can fail: nothing is kept of a portal that never was. */
  async #listenThenKeep(portal: OwnPortal, what: string, signal?: AbortSignal): Promise<void> {
    const { catalog, target } = this.#parts;
    try {
      await target.listen(requestOf(portal), portal.portalId);
    } catch (thrown) {
      throw this.#refusal(portal, toAshlarError(thrown));
    }
    try {
      const add = (transaction: Transaction): bigint =>
        transaction.add(portalKind, newRecord(portal, true));
      await catalog.transact(what, add, signal);
    } catch (thrown) {
      await target.closePortal(portal.portalId, true);
      throw thrown;
    }
    this.#portals.set(portal.portalId, portal);
  }

  async remove(reference: string, options: ForceOptions = {}): Promise<void> {
    const { catalog, locks, target, assertOpen } = this.#parts;
    assertOpen();
    const what = `remove portal ${reference}`;
    await locks.hold(lockKey, what, options.signal, async () => {
      const portal = this.#find(reference);
      if (portal === undefined && options.repeatable === true) return;
      const { portalId, configured } = portal ?? this.#named(reference);
      if (portal === undefined || configured) throw ofConfiguration(reference);
      const groups = this.#groups(portalId);
      await catalog.transact(
        what,
        (transaction) => {
          if (options.force !== true) this.#assertRemovable(portal);
          const record = this.#record(portalId);
          if (record !== null) this.#forget(transaction, record.id, portalId);
        },
        options.signal,
      );
      this.#retries.stop(portalId);
      for (const anagrpid of groups) this.#transitions.stop(portalId, anagrpid);
      this.#portals.delete(portalId);
      const connected = this.#controllersOf(portalId);
      await target.closePortal(portalId, true);
      this.#tellRemoved(portal, connected);
    });
  }

  #tellRemoved(portal: OwnPortal, connected: readonly Controller[]): void {
    const message = `portal ${formatEndpoint(portal)} was removed`;
    if (connected.length === 0) this.#parts.emit('info', 'portal-removed', message);
    else {
      const lost = `with the connections of ${namesOf(connected)}`;
      this.#parts.emit('warning', 'portal-removed', `${message}, ${lost}`);
    }
  }

  #assertRemovable(portal: OwnPortal): void {
    const { portalId } = portal;
    const gone: Reach = (id, group) => (id === portalId ? null : this.#reach(id, group));
    refuseLastPath(portal, this.#cutOffBy(gone));
    const connected = this.#controllersOf(portalId);
    if (connected.length === 0 || this.#isDrained(portal)) return;
    const endpoint = formatEndpoint(portal);
    const first = portal.discoveryOnly ? '' : `let them move away ("ashlar portal drain"), or `;
    throw new AshlarError(
      'busy',
      `portal ${endpoint} is connected by ${namesOf(connected)}; ${first}end their connections ` +
        'through it with --force',
    );
  }

  async drain(reference: string, options: ForceOptions = {}): Promise<PortalInfo> {
    return this.#changeDrained(reference, true, options);
  }

  async resume(reference: string, options: CallOptions = {}): Promise<PortalInfo> {
    return this.#changeDrained(reference, false, options);
  }

  async #changeDrained(
    reference: string,
    drained: boolean,
    options: ForceOptions,
  ): Promise<PortalInfo> {
    const { catalog, locks, target, assertOpen, emit } = this.#parts;
    assertOpen();
    const what = `${drained ? 'drain' : 'resume'} portal ${reference}`;
    return locks.hold(lockKey, what, options.signal, async () => {
      const portal = this.#named(reference);
      if (drained) refuseDiscovery(portal, 'there is nothing to drain');
      const { portalId } = portal;
      if (this.#isDrained(portal) === drained) return this.#info(portal);
      const after: Reach = (id, group) =>
        id === portalId && drained ? 'inaccessible' : this.#reach(id, group);
      const cut = await catalog.transact(
        what,
        (transaction) => {
          const lost = this.#cutOffBy(after);
          if (options.force !== true) refuseLastPath(portal, lost);
          this.#keep(transaction, portal, drained);
          return lost;
        },
        options.signal,
      );
      await target.setDrained(portalId, drained);
      const endpoint = formatEndpoint(portal);
      if (drained) {
        const message = `portal ${endpoint} is drained: hosts are to use other paths`;
        emitChange(this.#parts, 'portal-drained', message, cut);
      } else emit('info', 'portal-resumed', `portal ${endpoint} is in use again`);
      return this.#info(portal);
    });
  }

  // ---- ANA --------------------------------------------------------------------------------------

  listAna(): AnaInfo[] {
    this.#parts.assertOpen();
    return [...this.#portals.values()]
      .filter(({ discoveryOnly }) => !discoveryOnly)
      .sort((one, other) => one.portalId - other.portalId)
      .flatMap((portal) =>
        this.#groups(portal.portalId).map((group) => this.#anaInfo(portal, group)),
      );
  }

  async setAna(reference: string, state: AnaState, options: SetAna = {}): Promise<AnaInfo> {
    const { catalog, locks, target, assertOpen } = this.#parts;
    assertOpen();
    const { anagrpid = defaultAnaGroup } = options;
    checkAna(state, anagrpid, options.next);
    const what = `set ANA group ${anagrpid} of portal ${reference}`;
    return locks.hold(lockKey, what, options.signal, async () => {
      const portal = this.#named(reference);
      refuseDiscovery(portal, 'no group is reached through it');
      const { portalId } = portal;
      const before = this.#anaInfo(portal, anagrpid);
      const lasting = state === 'change' ? (options.next ?? before.lasting) : state;
      const after: Reach = (id, group) =>
        id === portalId && group === anagrpid && !this.#isDrained(portal)
          ? lasting
          : this.#reach(id, group);
      const cut = await catalog.transact(
        what,
        (transaction) => {
          const lost = this.#cutOffBy(after);
          if (options.force !== true) refuseLastPath(portal, lost, anagrpid);
          this.#keepAna(transaction, portalId, anagrpid, lasting);
          return lost;
        },
        options.signal,
      );
      if (state === 'change') this.#transitions.begin(portalId, anagrpid);
      else this.#transitions.stop(portalId, anagrpid);
      await target.setAna(portalId, anagrpid, state);
      const info = this.#anaInfo(portal, anagrpid);
      if (differ(before, info)) {
        emitChange(this.#parts, 'ana-changed', anaText(info, state), cut);
      }
      return info;
    });
  }

  async #endChange(portalId: number, anagrpid: number): Promise<void> {
    const portal = this.#portals.get(portalId);
    if (portal === undefined) return;
    const lasting = this.#lasting(portalId, anagrpid);
    await this.#parts.target.setAna(portalId, anagrpid, lasting);
    const message = anaText(this.#anaInfo(portal, anagrpid), lasting);
    this.#parts.emit('info', 'ana-changed', `${message}: the change is over`);
  }

  // ---- Pieces -----------------------------------------------------------------------------------

  #record(portalId: number): Stored<PortalRecord> | null {
    return this.#parts.catalog.find(portalKind, 'portalId', String(portalId));
  }

  #isDrained({ portalId, discoveryOnly }: OwnPortal): boolean {
    return !discoveryOnly && this.#record(portalId)?.value.drained === true;
  }

  #lasting(portalId: number, anagrpid: number): LastingAnaState {
    const key = anaKey(portalId, anagrpid);
    return this.#parts.catalog.find(anaKind, 'group', key)?.value.state ?? 'optimized';
  }

  /** Group 1, and those that were set to something else than optimized. */
  #groups(portalId: number): number[] {
    const set = this.#parts.catalog.group(anaKind, 'portal', String(portalId));
    const groups = new Set([defaultAnaGroup, ...set.map(({ value }) => value.anagrpid)]);
    for (const anagrpid of this.#transitions.groupsOf(portalId)) groups.add(anagrpid);
    return [...groups].sort((one, other) => one - other);
  }

  /** A change under way counts as what follows it. */
  readonly #reach: Reach = (portalId, anagrpid) => {
    const portal = this.#portals.get(portalId);
    if (portal === undefined) return null;
    return this.#isDrained(portal) ? 'inaccessible' : this.#lasting(portalId, anagrpid);
  };

  #cutOffBy(after: Reach): Controller[] {
    return cutOff(this.#parts.target.controllers, this.#reach, after);
  }

  #controllersOf(portalId: number): Controller[] {
    return this.#parts.target.controllers.filter(({ identity }) => identity.portalId === portalId);
  }

  #keep(transaction: Transaction, portal: OwnPortal, drained: boolean): void {
    const record = this.#record(portal.portalId);
    if (record === null) transaction.add(portalKind, { ...newRecord(portal, false), drained });
    else transaction.put(portalKind, record.id, { ...record.value, drained });
  }

  #keepAna(
    transaction: Transaction,
    portalId: number,
    anagrpid: number,
    state: LastingAnaState,
  ): void {
    const key = anaKey(portalId, anagrpid);
    const record = this.#parts.catalog.find(anaKind, 'group', key);
    const value = { portalId, anagrpid, state };
    if ((record?.value.state ?? 'optimized') === state) return;
    if (record === null) transaction.add(anaKind, value);
    else if (state === 'optimized') transaction.delete(anaKind, record.id);
    else transaction.put(anaKind, record.id, value);
  }

  #forget(transaction: Transaction, record: bigint, portalId: number): void {
    transaction.delete(portalKind, record);
    for (const { id } of this.#parts.catalog.group(anaKind, 'portal', String(portalId))) {
      transaction.delete(anaKind, id);
    }
  }

  #info(portal: OwnPortal): PortalInfo {
    const { portalId, address, port, discoveryOnly, configured, problem } = portal;
    const ana = discoveryOnly ? [] : this.#groups(portalId);
    return {
      portalId,
      endpoint: formatEndpoint(portal),
      address,
      port,
      discoveryOnly,
      tls: this.#parts.target.tls,
      origin: configured ? 'configured' : 'added',
      drained: this.#isDrained(portal),
      problem,
      controllers: this.#controllersOf(portalId).length,
      ana: ana
        .map((anagrpid) => ({ anagrpid, state: this.#parts.target.anaState(portalId, anagrpid) }))
        .filter(({ state }) => state !== 'optimized'),
    };
  }

  #anaInfo(portal: OwnPortal, anagrpid: number): AnaInfo {
    const { portalId } = portal;
    return {
      portalId,
      endpoint: formatEndpoint(portal),
      anagrpid,
      state: this.#parts.target.anaState(portalId, anagrpid),
      lasting: this.#lasting(portalId, anagrpid),
      changeEndsAt: this.#transitions.endsAt(portalId, anagrpid)?.toISOString() ?? null,
    };
  }

  #at(address: string, port: number): OwnPortal | undefined {
    const all = [...this.#portals.values()];
    return all.find((each) => each.address === address && each.port === port);
  }

  /** @throws AshlarError invalid-argument. */
  #find(reference: string): OwnPortal | undefined {
    if (/^\d+$/.test(reference)) return this.#portals.get(Number(reference));
    const { address, port } = parseEndpoint(reference, portalPort, 'portal');
    return this.#at(canonicalAddress(address), port);
  }

  #named(reference: string): OwnPortal {
    const portal = this.#find(reference);
    if (portal !== undefined) return portal;
    throw new AshlarError(
      'not-found',
      `there is no portal ${reference}; "ashlar portal list" shows which there are`,
    );
  }

  #assertRoom(): void {
    if (this.#portals.size < maxPortals) return;
    throw new AshlarError(
      'limit-exceeded',
      `the node has ${maxPortals} portals, its limit; remove one with "ashlar portal remove"`,
    );
  }

  /** Going up, so that a number rests before it is given again. */
  #nextId(): number {
    const taken = new Set([
      ...this.#portals.keys(),
      ...this.#parts.catalog.all(portalKind).map(({ value }) => value.portalId),
    ]);
    let next = Math.max(this.#lastId, ...taken) + 1;
    if (next > maxPortalId) next = 1;
    while (taken.has(next)) next += 1;
    this.#lastId = next;
    return next;
  }

  /** Says why a portal does not listen, and what to do. */
  #refusal(portal: OwnPortal, error: AshlarError): AshlarError {
    const { address, port } = portal;
    const own = [...this.#portals.values()].find(
      (each) => each !== portal && each.problem === null && overlap(each, portal),
    );
    const options = { cause: error };
    if (error.code === 'address-in-use' && own !== undefined) {
      return new AshlarError(
        'address-in-use',
        `cannot listen on ${formatEndpoint(portal)}: portal ${own.portalId} of this node, ` +
          `${formatEndpoint(own)}, has port ${port} on it already; choose another port`,
        options,
      );
    }
    const [, zone] = address.split('%');
    if (error.code === 'invalid-argument' && zone !== undefined) {
      return new AshlarError(
        'address-unavailable',
        `cannot listen on ${formatEndpoint(portal)}: this machine has no interface '${zone}'; ` +
          'use one of its own ("ip address" shows them)',
        options,
      );
    }
    return error;
  }
}

function requestOf({ address, port, discoveryOnly, advertised }: OwnPortal): PortalRequest {
  return { address, port, discoveryOnly, advertised };
}

function newRecord(portal: OwnPortal, added: boolean): PortalRecord {
  const { portalId, address, port, discoveryOnly } = portal;
  const createdMs = Date.now();
  return { portalId, address, port, discoveryOnly, added, drained: false, createdMs };
}

/** Whether one listener on each would be for the same connections. */
function overlap(one: OwnPortal, other: OwnPortal): boolean {
  if (one.port !== other.port) return false;
  return one.address === other.address || isWildcard(one.address) || isWildcard(other.address);
}

function namesOf(controllers: readonly Controller[]): string {
  return hostsText(controllers.map(({ identity }) => identity));
}

function refuseLastPath(portal: OwnPortal, cut: readonly Controller[], anagrpid?: number): void {
  if (cut.length === 0) return;
  const what = anagrpid === undefined ? '' : ` to ANA group ${anagrpid}`;
  throw new AshlarError(
    'busy',
    `portal ${formatEndpoint(portal)} is the last path${what} that can be used by ` +
      `${namesOf(cut)}; let it connect through another portal first, or cut it off with --force`,
  );
}

function refuseDiscovery(portal: OwnPortal, reason: string): void {
  if (!portal.discoveryOnly) return;
  const endpoint = formatEndpoint(portal);
  throw new AshlarError('conflict', `portal ${endpoint} serves discovery alone: ${reason}`);
}

function alreadyThere(portal: OwnPortal): AshlarError {
  const where = portal.configured ? ', in the configuration' : '';
  const serves = portal.discoveryOnly ? 'for discovery alone' : 'for volumes and discovery';
  return new AshlarError(
    'already-exists',
    `portal ${formatEndpoint(portal)} exists already${where}, as portal ${portal.portalId} ${serves}`,
  );
}

function ofConfiguration(reference: string): AshlarError {
  return new AshlarError(
    'conflict',
    `portal ${reference} is of the configuration (target.portals, target.discovery); take it out ` +
      'there and start the daemon again; "ashlar portal drain" lets hosts move away from it now',
  );
}

function checkAna(state: AnaState, anagrpid: number, next: LastingAnaState | undefined): void {
  const lasting: readonly string[] = lastingAnaStates;
  if (state !== 'change' && !lasting.includes(state)) {
    const all = [...lasting, 'change'].join(', ');
    throw new AshlarError('invalid-argument', `'${state}' is not an ANA state; they are ${all}`);
  }
  checkAnaGroup(anagrpid);
  if (next === undefined) return;
  if (state !== 'change') {
    throw new AshlarError(
      'invalid-argument',
      `what follows can be given for 'change' alone; '${state}' lasts`,
    );
  }
  if (!lasting.includes(next)) {
    const all = lasting.join(', ');
    throw new AshlarError(
      'invalid-argument',
      `'${next}' cannot follow a change; these can: ${all}`,
    );
  }
}

function differ(one: AnaInfo, other: AnaInfo): boolean {
  const { state, lasting, changeEndsAt } = one;
  return state !== other.state || lasting !== other.lasting || changeEndsAt !== other.changeEndsAt;
}

/** @param state as it was set; what hosts see is another one while the portal is drained. */
function anaText(info: AnaInfo, state: AnaState): string {
  const { endpoint, anagrpid, lasting } = info;
  const drained = info.state === state ? '' : `, and seen as ${info.state} until it is resumed`;
  const next = state === 'change' ? `, ${lasting} follows` : '';
  return `ANA group ${anagrpid} is ${state} through portal ${endpoint}${next}${drained}`;
}

function emitChange(
  parts: PortalParts,
  kind: EventKind,
  message: string,
  cut: readonly Controller[],
): void {
  if (cut.length === 0) parts.emit('info', kind, message);
  else parts.emit('warning', kind, `${message}; this was the last path of ${namesOf(cut)}`);
}
