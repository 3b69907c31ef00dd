/** Get Features and Set Features (Base 5.15 and 5.27). */
import type { CommandCompletion } from '../native.js';
import { discoveryControllerOaes, ioControllerOaes } from './identify_controller.js';
import { keepAliveGranularity, maxNsid } from './limits.js';
import { decodeFeature, type FeatureCommand, type Sqe } from './sqe.js';
import { refuse, type Status, statuses, succeed } from './statuses.js';

/** Feature identifiers (Base Figure 317, Fabrics and NVM ones included). */
export const features = {
  arbitration: 0x01,
  powerManagement: 0x02,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  writeAtomicity: 0x0a,
  asyncEventConfiguration: 0x0b,
  keepAliveTimer: 0x0f,
  hostBehavior: 0x16,
  hostIdentifier: 0x81,
  reservationNotificationMask: 0x82,
  reservationPersistence: 0x83,
  namespaceWriteProtection: 0x84,
} as const;

/** What a feature may do; Get Features with SEL 011b says so in bits 2:0. */
interface FeatureTraits {
  changeable: boolean;
  discovery: boolean;
  /** Error Recovery, reservations and write protection: of each namespace. */
  perNamespace?: boolean;
}

const traits: ReadonlyMap<number, FeatureTraits> = new Map([
  [features.arbitration, { changeable: true, discovery: false }],
  [features.powerManagement, { changeable: true, discovery: false }],
  [features.temperatureThreshold, { changeable: true, discovery: false }],
  [features.errorRecovery, { changeable: true, discovery: false, perNamespace: true }],
  [features.volatileWriteCache, { changeable: true, discovery: false }],
  [features.numberOfQueues, { changeable: true, discovery: false }],
  [features.writeAtomicity, { changeable: true, discovery: false }],
  [features.asyncEventConfiguration, { changeable: true, discovery: true }],
  [features.keepAliveTimer, { changeable: true, discovery: true }],
  [features.hostBehavior, { changeable: true, discovery: false }],
  [features.hostIdentifier, { changeable: false, discovery: true }],
  [
    features.reservationNotificationMask,
    { changeable: true, discovery: false, perNamespace: true },
  ],
  [features.reservationPersistence, { changeable: true, discovery: false, perNamespace: true }],
  [features.namespaceWriteProtection, { changeable: false, discovery: false, perNamespace: true }],
]);

/** Feature identifiers of an I/O controller, for the FID log page. */
export const supportedFeatures: readonly number[] = [...traits.keys()];

/** SMART critical warnings, which every controller may be asked to report. */
const criticalWarningBits = 0xff;

/** What features of one namespace depend on. */
export interface FeatureNamespace {
  readOnly: boolean;
  /** A snapshot. */
  frozen: boolean;
  /** Reservation notifications that this controller does not want: bits 3:1. */
  notificationMask: number;
  /** PTPL: its reservations outlive a restart. */
  persistsReservations: boolean;
}

/** What native code and the controller must know of a change. */
export interface FeatureHooks {
  /** Milliseconds, whole seconds; 0: none. */
  setKeepAlive(timeoutMs: number): void;
  /** True: I/O queues exist, so their number cannot change. */
  ioQueuesExist(): boolean;
  /** What NSID FFFFFFFFh stands for. */
  visibleNsids(): readonly number[];
  setNotificationMask(nsid: number, mask: number): void;
  /** Resolves when it is durable. */
  setPersistence(nsid: number, ptpl: boolean): Promise<Status>;
}

export interface FeatureStateInput {
  kind: 'io' | 'discovery';
  hostId: Uint8Array;
  maxIoQueues: number;
  writeThrough: boolean;
  keepAliveMs: number;
}

/** The features of one controller. A controller reset brings the defaults back. */
export class FeatureState {
  readonly #input: FeatureStateInput;
  #arbitration = 0;
  #temperatureThresholds = new Map<number, number>();
  #errorRecoveryTler = 0;
  #writeCacheEnabled: boolean;
  #writeAtomicity = 0;
  #asyncEvents = 0;
  #keepAliveMs: number;
  #hostBehavior = new Uint8Array(512);
  #ioQueues: number;

  constructor(input: FeatureStateInput) {
    this.#input = input;
    this.#writeCacheEnabled = !input.writeThrough;
    this.#keepAliveMs = input.keepAliveMs;
    this.#ioQueues = input.maxIoQueues;
  }

  /** Bits of OAES that the host asked to hear of. */
  get asyncEvents(): number {
    return this.#asyncEvents;
  }

  /** I/O queues granted; QIDs go up to this. */
  get ioQueues(): number {
    return this.#ioQueues;
  }

  get keepAliveMs(): number {
    return this.#keepAliveMs;
  }

  /** @param namespace the one that NSID names; null when the host sees none. */
  get(sqe: Sqe, namespace: FeatureNamespace | null): CommandCompletion {
    const command = decodeFeature(sqe);
    const problem = this.#refusal(command);
    if (problem !== null) return problem;
    if (command.select > 3) return refuse(statuses.invalidField);
    const found = traits.get(command.fid);
    if (command.select === 3) {
      const capabilities = (found?.perNamespace ? 0b10 : 0) | (found?.changeable ? 0b100 : 0);
      return succeed(BigInt(capabilities));
    }
    if (command.fid === features.namespaceWriteProtection) {
      return getWriteProtection(command, namespace);
    }
    if (command.fid === features.reservationNotificationMask) {
      if (namespace === null) return refuse(statuses.invalidNamespaceOrFormat);
      return succeed(command.select === 0 ? BigInt(namespace.notificationMask) : 0n);
    }
    if (command.fid === features.reservationPersistence) {
      if (namespace === null) return refuse(statuses.invalidNamespaceOrFormat);
      return succeed(command.select === 0 && namespace.persistsReservations ? 1n : 0n);
    }
    if (command.fid === features.hostIdentifier) return this.#getHostIdentifier(command);
    if (command.fid === features.hostBehavior) {
      const isDefault = command.select !== 0;
      return succeed(0n, isDefault ? new Uint8Array(512) : this.#hostBehavior.slice());
    }
    // Nothing is saveable, so the saved value is the default (Base 5.15.1).
    const source = command.select === 0 ? this : new FeatureState(this.#input);
    return succeed(BigInt(source.#dword(command)));
  }

  async set(sqe: Sqe, data: Uint8Array | null, hooks: FeatureHooks): Promise<CommandCompletion> {
    const command = decodeFeature(sqe);
    const problem = this.#refusal(command);
    if (problem !== null) return problem;
    if (command.save) return refuse(statuses.featureNotSaveable);
    if (traits.get(command.fid)?.changeable !== true) return refuse(statuses.featureNotChangeable);
    if (command.fid === features.reservationPersistence) {
      return setPersistence(command, hooks);
    }
    return this.#set(command, data, hooks);
  }

  #refusal(command: FeatureCommand): CommandCompletion | null {
    const found = traits.get(command.fid);
    if (found === undefined || (this.#input.kind === 'discovery' && !found.discovery)) {
      return refuse(statuses.invalidField);
    }
    if (command.fid === features.volatileWriteCache && this.#input.writeThrough) {
      return refuse(statuses.invalidField); // Not supported where VWC says there is none.
    }
    const { nsid } = command;
    const namesOne = nsid >= 1 && nsid <= maxNsid;
    if (namesOne && found.perNamespace !== true) {
      return refuse(statuses.featureNotNamespaceSpecific);
    }
    if (!namesOne && nsid !== 0 && nsid !== 0xffff_ffff) {
      return refuse(statuses.invalidNamespaceOrFormat);
    }
    return null;
  }

  #dword(command: FeatureCommand): number {
    switch (command.fid) {
      case features.arbitration:
        return this.#arbitration;
      case features.temperatureThreshold:
        return this.#temperatureThreshold(command.cdw11);
      case features.errorRecovery:
        return this.#errorRecoveryTler;
      case features.volatileWriteCache:
        return this.#writeCacheEnabled ? 1 : 0;
      case features.numberOfQueues:
        return zeroBasedQueues(this.#ioQueues);
      case features.writeAtomicity:
        return this.#writeAtomicity;
      case features.asyncEventConfiguration:
        return this.#asyncEvents >>> 0;
      case features.keepAliveTimer:
        return this.#keepAliveMs;
      default:
        return 0; // Power Management: state 0 is the only one.
    }
  }

  #set(command: FeatureCommand, data: Uint8Array | null, hooks: FeatureHooks): CommandCompletion {
    const { cdw11 } = command;
    switch (command.fid) {
      case features.arbitration:
        this.#arbitration = cdw11 & 0xffff_ff07;
        return succeed();
      case features.powerManagement:
        return (cdw11 & 0x1f) === 0 ? succeed() : refuse(statuses.invalidField);
      case features.temperatureThreshold:
        this.#temperatureThresholds.set(thresholdKey(cdw11), cdw11 & 0xffff);
        return succeed();
      case features.errorRecovery:
        // DULBE needs NSFEAT bit 2, which no namespace has.
        if ((cdw11 & (1 << 16)) !== 0) return refuse(statuses.invalidField);
        this.#errorRecoveryTler = cdw11 & 0xffff;
        return succeed();
      case features.volatileWriteCache:
        // The pool's cache serves all volumes: a host cannot turn it off for itself.
        return (cdw11 & 1) === 1 ? succeed() : refuse(statuses.featureNotChangeable);
      case features.numberOfQueues:
        return this.#setNumberOfQueues(cdw11, hooks);
      case features.writeAtomicity:
        this.#writeAtomicity = cdw11 & 1;
        return succeed();
      case features.asyncEventConfiguration:
        return this.#setAsyncEvents(cdw11);
      case features.keepAliveTimer:
        return this.#setKeepAlive(cdw11, hooks);
      case features.hostBehavior:
        return this.#setHostBehavior(data);
      case features.reservationNotificationMask:
        return setNotificationMask(command, hooks);
      default:
        return refuse(statuses.invalidField);
    }
  }

  /** Number of Queues (Base 5.27.1.5): 0's based; FFFFh is not allowed; before I/O queues only. */
  #setNumberOfQueues(cdw11: number, hooks: FeatureHooks): CommandCompletion {
    const submission = cdw11 & 0xffff;
    const completion = cdw11 >>> 16;
    if (submission === 0xffff || completion === 0xffff) return refuse(statuses.invalidField);
    if (hooks.ioQueuesExist()) return refuse(statuses.commandSequenceError);
    // A queue pair has one of each.
    const asked = Math.min(submission, completion) + 1;
    this.#ioQueues = Math.min(asked, this.#input.maxIoQueues);
    return succeed(BigInt(zeroBasedQueues(this.#ioQueues)));
  }

  #setAsyncEvents(cdw11: number): CommandCompletion {
    const oaes = this.#input.kind === 'io' ? ioControllerOaes : discoveryControllerOaes;
    if ((cdw11 & ~(oaes | criticalWarningBits)) !== 0) return refuse(statuses.invalidField);
    this.#asyncEvents = cdw11;
    return succeed();
  }

  #setKeepAlive(cdw11: number, hooks: FeatureHooks): CommandCompletion {
    this.#keepAliveMs = roundKeepAlive(cdw11);
    hooks.setKeepAlive(this.#keepAliveMs);
    return succeed(BigInt(this.#keepAliveMs));
  }

  /** Host Behavior Support (Base 5.27.1.18): kept as given; nothing here depends on it. */
  #setHostBehavior(data: Uint8Array | null): CommandCompletion {
    if (data === null || data.length < 512) return refuse(statuses.dataSglLengthInvalid);
    this.#hostBehavior = data.slice(0, 512);
    return succeed();
  }

  /** Host Identifier (Base 5.27.1.25): given by Connect, always 128 bits over fabrics. */
  #getHostIdentifier(command: FeatureCommand): CommandCompletion {
    if ((command.cdw11 & 1) !== 1) return refuse(statuses.invalidField);
    return succeed(0n, this.#input.hostId.slice());
  }

  #temperatureThreshold(cdw11: number): number {
    const underTemperature = ((cdw11 >>> 20) & 0b11) === 1;
    return this.#temperatureThresholds.get(thresholdKey(cdw11)) ?? (underTemperature ? 0 : 0xffff);
  }
}

/**
 * Namespace Write Protection Config (Base 5.27.1.30, 8.12): states are 0 none, 1 write protect,
 * 3 permanent write protect. Grants decide, so that a host cannot set it (Feature Not Changeable).
 */
function getWriteProtection(
  command: FeatureCommand,
  namespace: FeatureNamespace | null,
): CommandCompletion {
  if (namespace === null) return refuse(statuses.invalidNamespaceOrFormat);
  if (command.select !== 0) return succeed(0n); // The default is none.
  if (namespace.frozen) return succeed(3n);
  return succeed(namespace.readOnly ? 1n : 0n);
}

/** Which namespaces a command is of: the one that it names, or with FFFFFFFFh all; null: none. */
function namedNsids({ nsid }: FeatureCommand, hooks: FeatureHooks): readonly number[] | null {
  const visible = hooks.visibleNsids();
  if (nsid === 0xffff_ffff) return visible;
  return visible.includes(nsid) ? [nsid] : null;
}

/** Reservation Notification Mask (Base 5.27.1.28): bits 3:1, one a type. */
function setNotificationMask(command: FeatureCommand, hooks: FeatureHooks): CommandCompletion {
  const nsids = namedNsids(command, hooks);
  if (nsids === null) return refuse(statuses.invalidNamespaceOrFormat);
  if ((command.cdw11 & ~0b1110) !== 0) return refuse(statuses.invalidField);
  for (const nsid of nsids) hooks.setNotificationMask(nsid, command.cdw11);
  return succeed();
}

/** Reservation Persistence (Base 5.27.1.29): PTPL is bit 0. */
async function setPersistence(
  command: FeatureCommand,
  hooks: FeatureHooks,
): Promise<CommandCompletion> {
  const nsids = namedNsids(command, hooks);
  if (nsids === null) return refuse(statuses.invalidNamespaceOrFormat);
  if ((command.cdw11 & ~1) !== 0) return refuse(statuses.invalidField);
  for (const nsid of nsids) {
    const status = await hooks.setPersistence(nsid, command.cdw11 === 1);
    if (status !== statuses.success) return refuse(status);
  }
  return succeed();
}

/** TMPSEL and THSEL name a threshold. */
function thresholdKey(cdw11: number): number {
  return (cdw11 >>> 16) & 0x3f;
}

function zeroBasedQueues(queues: number): number {
  const zeroBased = Math.max(queues, 1) - 1;
  return (zeroBased << 16) | zeroBased;
}

/** KATO is rounded up to the granularity that KAS reports (Base 3.9). */
export function roundKeepAlive(kato: number): number {
  const unitMs = keepAliveGranularity * 100;
  return Math.min(Math.ceil(kato / unitMs) * unitMs, maxKeepAliveMs);
}

/** The largest whole second that 32 bits of milliseconds hold. */
const maxKeepAliveMs = 4_294_967_000;
