/**
 * Reservations of one namespace (Base 8.19; commands 7.2 to 7.5): a pure state machine. Hosts are
 * their 128-bit HOSTID as 32 hexadecimal digits. Every call returns the state after it; what is
 * refused changes nothing.
 */

import { FieldReader, FieldWriter } from '../bytes.js';
import type { ReservationRule } from '../native.js';
import { type Status, statuses } from './statuses.js';

/** RTYPE (Base Figure "Reservation Type Encoding"). */
export const reservationTypes = {
  writeExclusive: 1,
  exclusiveAccess: 2,
  writeExclusiveRegistrantsOnly: 3,
  exclusiveAccessRegistrantsOnly: 4,
  writeExclusiveAllRegistrants: 5,
  exclusiveAccessAllRegistrants: 6,
} as const;
export type ReservationType = (typeof reservationTypes)[keyof typeof reservationTypes];

export interface Reservations {
  /** GEN: counts register, preempt and clear that succeeded, modulo 2^32. */
  readonly generation: number;
  /** Persist Through Power Loss: survives a restart of the node. */
  readonly ptpl: boolean;
  /** Keys by host, in the order of registration. */
  readonly registrants: ReadonlyMap<string, bigint>;
  /** `holder` is who acquired it; null for the all-registrants types, where all hold it. */
  readonly held: { readonly type: ReservationType; readonly holder: string | null } | null;
}

export const noReservations: Reservations = {
  generation: 0,
  ptpl: false,
  registrants: new Map(),
  held: null,
};

/** Registrants of one namespace; the report's REGCTL and the catalog's record are bounded by it. */
export const maxRegistrants = 256;

/** Reservation Notification types (Base Figure "Reservation Notification Log"). */
export const notificationTypes = {
  registrationPreempted: 1,
  reservationReleased: 2,
  reservationPreempted: 3,
} as const;
export interface ReservationNotification {
  type: (typeof notificationTypes)[keyof typeof notificationTypes];
  host: string;
}

export interface ReservationOutcome {
  status: Status;
  /** The same object when nothing has changed. */
  state: Reservations;
  notifications: readonly ReservationNotification[];
}

export type ReservationCommand =
  | {
      kind: 'register';
      action: 'register' | 'unregister' | 'replace';
      ignoreExistingKey: boolean;
      ptpl: 'keep' | 'off' | 'on';
      currentKey: bigint;
      newKey: bigint;
    }
  | {
      kind: 'acquire';
      action: 'acquire' | 'preempt' | 'preempt-and-abort';
      type: ReservationType;
      currentKey: bigint;
      preemptKey: bigint;
    }
  | { kind: 'release'; action: 'release' | 'clear'; type: number; currentKey: bigint };

/** HOSTID as reservations know hosts. */
export function hostIdText(hostId: Uint8Array): string {
  return Buffer.from(hostId).toString('hex');
}

const wrap32 = (value: number): number => (value + 1) >>> 0;

function refused(state: Reservations, status: Status): ReservationOutcome {
  return { status, state, notifications: [] };
}

function done(
  state: Reservations,
  notifications: readonly ReservationNotification[] = [],
): ReservationOutcome {
  return { status: statuses.success, state, notifications };
}

export function isAllRegistrants(type: number): boolean {
  return type === 5 || type === 6;
}

function isRegistrantsOnly(type: number): boolean {
  return type >= 3;
}

/** Whether the host holds the reservation that there is. */
export function holds({ held, registrants }: Reservations, host: string): boolean {
  if (held === null) return false;
  return held.holder === null ? registrants.has(host) : held.holder === host;
}

/** What is left to a host (Base Figure "Command Behavior in the Presence of a Reservation"). */
export function ruleFor(state: Reservations, host: string): ReservationRule {
  const { held, registrants } = state;
  if (held === null || holds(state, host)) return 'none';
  if (isRegistrantsOnly(held.type) && registrants.has(host)) return 'none';
  return held.type % 2 === 1 ? 'writes-refused' : 'reads-and-writes-refused';
}

export function applyReservation(
  state: Reservations,
  host: string,
  command: ReservationCommand,
): ReservationOutcome {
  switch (command.kind) {
    case 'register':
      return register(state, host, command);
    case 'acquire':
      return acquire(state, host, command);
    case 'release':
      return release(state, host, command);
  }
}

function register(
  state: Reservations,
  host: string,
  command: Extract<ReservationCommand, { kind: 'register' }>,
): ReservationOutcome {
  const { action, ignoreExistingKey, currentKey, newKey } = command;
  const key = state.registrants.get(host);
  const ptpl = command.ptpl === 'keep' ? state.ptpl : command.ptpl === 'on';
  const generation = wrap32(state.generation);
  if (action === 'register') {
    // The same key again is no change; another one has to replace it.
    if (key !== undefined && key !== newKey) return refused(state, statuses.reservationConflict);
    if (key === undefined && state.registrants.size >= maxRegistrants) {
      return refused(state, statuses.reservationConflict);
    }
  } else if (action === 'replace' && ignoreExistingKey) {
    // With IEKEY a host that is not registered becomes so.
    if (key === undefined && state.registrants.size >= maxRegistrants) {
      return refused(state, statuses.reservationConflict);
    }
  } else if (key === undefined || (!ignoreExistingKey && key !== currentKey)) {
    return refused(state, statuses.reservationConflict);
  }
  if (action !== 'unregister') {
    const registrants = new Map(state.registrants).set(host, newKey);
    return done({ ...state, generation, ptpl, registrants });
  }
  const left = withoutHosts(state, (other) => other === host);
  const next = { ...left.state, generation, ptpl };
  // The others of a registrants-only reservation learn that it went with its holder.
  const told =
    left.released && state.held !== null && isRegistrantsOnly(state.held.type)
      ? othersOf(next, host, notificationTypes.reservationReleased)
      : [];
  return done(next, told);
}

function acquire(
  state: Reservations,
  host: string,
  command: Extract<ReservationCommand, { kind: 'acquire' }>,
): ReservationOutcome {
  const { registrants, held } = state;
  if (registrants.get(host) !== command.currentKey) {
    return refused(state, statuses.reservationConflict);
  }
  if (command.action !== 'acquire') return preempt(state, host, command);
  if (held === null) return done({ ...state, held: heldBy(host, command.type) });
  const again = holds(state, host) && held.type === command.type;
  return again ? done(state) : refused(state, statuses.reservationConflict);
}

function heldBy(host: string, type: ReservationType): NonNullable<Reservations['held']> {
  return { type, holder: isAllRegistrants(type) ? null : host };
}

/** Preempt, with or without abort (Base 8.19.7): PRKEY says whose registrations end. */
function preempt(
  state: Reservations,
  host: string,
  command: Extract<ReservationCommand, { kind: 'acquire' }>,
): ReservationOutcome {
  const { registrants, held } = state;
  const { type, preemptKey } = command;
  const everyone = held !== null && held.holder === null && preemptKey === 0n;
  if (preemptKey === 0n && !everyone) return refused(state, statuses.invalidField);
  const holderKey = held?.holder == null ? null : registrants.get(held.holder);
  const takesOver = everyone || (held !== null && holderKey === preemptKey);
  const isNamed = [...registrants.values()].includes(preemptKey);
  // Zero with all registrants names nobody in particular, so it may name nobody at all.
  if (!isNamed && !everyone) return refused(state, statuses.reservationConflict);
  // A host that takes the reservation over stays registered, even where the key is its own.
  const goes = (other: string): boolean => {
    const key = registrants.get(other);
    if (key === undefined || !(everyone || key === preemptKey)) return false;
    return other !== host || !takesOver;
  };
  const preempted = [...registrants.keys()].filter((other) => other !== host && goes(other));
  const left = withoutHosts(state, goes);
  const generation = wrap32(state.generation);
  const notifications: ReservationNotification[] = preempted.map((other) => {
    return { type: notificationTypes.registrationPreempted, host: other };
  });
  if (!takesOver) return done({ ...left.state, generation }, notifications);
  const next = { ...left.state, generation, held: heldBy(host, type) };
  // A changed type is a released reservation to those who stay registered.
  if (held !== null && held.type !== type && isRegistrantsOnly(held.type)) {
    notifications.push(...othersOf(next, host, notificationTypes.reservationReleased));
  }
  return done(next, notifications);
}

function release(
  state: Reservations,
  host: string,
  command: Extract<ReservationCommand, { kind: 'release' }>,
): ReservationOutcome {
  const { registrants, held } = state;
  if (registrants.get(host) !== command.currentKey) {
    return refused(state, statuses.reservationConflict);
  }
  if (command.action === 'clear') {
    const told = othersOf(state, host, notificationTypes.reservationPreempted);
    const generation = wrap32(state.generation);
    return done({ ...state, generation, registrants: new Map(), held: null }, told);
  }
  // Releasing what one does not hold succeeds and does nothing (Base 8.19.6).
  if (held === null || !holds(state, host)) return done(state);
  if (held.type !== command.type) return refused(state, statuses.invalidField);
  const told = isRegistrantsOnly(held.type)
    ? othersOf(state, host, notificationTypes.reservationReleased)
    : [];
  return done({ ...state, held: null }, told);
}

function othersOf(
  { registrants }: Reservations,
  host: string,
  type: ReservationNotification['type'],
): ReservationNotification[] {
  return [...registrants.keys()]
    .filter((other) => other !== host)
    .map((other) => {
      return { type, host: other };
    });
}

/** Takes registrations away; the reservation goes with its holder, or with the last of all. */
function withoutHosts(
  state: Reservations,
  goes: (host: string) => boolean,
): { state: Reservations; released: boolean } {
  const registrants = new Map([...state.registrants].filter(([host]) => !goes(host)));
  const { held } = state;
  const released =
    held !== null && (held.holder === null ? registrants.size === 0 : goes(held.holder));
  return { state: { ...state, registrants, held: released ? null : held }, released };
}

// ---- On the wire --------------------------------------------------------------------------------

/**
 * Register (7.3), Acquire (7.2) or Release (7.4) from CDW10 and data.
 * @returns the status that says why not, when they make no command.
 */
export function decodeReservation(
  opcode: number,
  cdw10: number,
  data: Uint8Array | null,
): ReservationCommand | Status {
  const action = cdw10 & 0b111;
  const ignoreKey = (cdw10 & (1 << 3)) !== 0;
  const type = (cdw10 >>> 8) & 0xff;
  const bytes = opcode === reservationOpcodes.release ? 8 : 16;
  if (data === null || data.length < bytes) return statuses.dataSglLengthInvalid;
  const fields = new FieldReader(data);
  const currentKey = fields.u64(0);
  if (opcode === reservationOpcodes.register) {
    const word = (['register', 'unregister', 'replace'] as const)[action];
    const ptpl = (['keep', null, 'off', 'on'] as const)[cdw10 >>> 30];
    if (word === undefined || ptpl === undefined || ptpl === null) return statuses.invalidField;
    const ignoreExistingKey = ignoreKey;
    return {
      kind: 'register',
      action: word,
      ignoreExistingKey,
      ptpl,
      currentKey,
      newKey: fields.u64(8),
    };
  }
  // IEKEY of Acquire and Release must be cleared (Base 7.2 and 7.4).
  if (ignoreKey) return statuses.invalidField;
  if (opcode === reservationOpcodes.acquire) {
    const word = (['acquire', 'preempt', 'preempt-and-abort'] as const)[action];
    if (word === undefined || !isReservationType(type)) return statuses.invalidField;
    return { kind: 'acquire', action: word, type, currentKey, preemptKey: fields.u64(8) };
  }
  const word = (['release', 'clear'] as const)[action];
  return word === undefined
    ? statuses.invalidField
    : { kind: 'release', action: word, type, currentKey };
}

export const reservationOpcodes = {
  register: 0x0d,
  report: 0x0e,
  acquire: 0x11,
  release: 0x15,
} as const;

export function isReservationType(type: number): type is ReservationType {
  return type >= 1 && type <= 6;
}

/**
 * Reservation Status in the extended form (7.5, EDS 1): registrants with 128-bit host identifiers.
 * `controllers` says which CNTLIDs a host has now; a registrant without one reads FFFFh.
 */
export function encodeReservationStatus(
  state: Reservations,
  controllers: (host: string) => readonly number[],
): Uint8Array {
  const rows = [...state.registrants].flatMap(([host, key]) => {
    const cntlids = controllers(host);
    return (cntlids.length === 0 ? [0xffff] : cntlids).map((cntlid) => ({ host, key, cntlid }));
  });
  const page = new FieldWriter(64 + rows.length * 64)
    .u32(0, state.generation)
    .u8(4, state.held?.type ?? 0)
    .u16(5, rows.length)
    .u8(9, state.ptpl ? 1 : 0);
  for (const [index, { host, key, cntlid }] of rows.entries()) {
    const at = 64 + index * 64;
    page
      .u16(at, cntlid)
      .u8(at + 2, holds(state, host) ? 1 : 0)
      .u64(at + 8, key)
      .raw(at + 16, Buffer.from(host, 'hex'));
  }
  return page.bytes;
}
