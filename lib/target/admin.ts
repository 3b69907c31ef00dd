/** Commands that native code does not answer itself: from submission queue entry to completion. */
import type { AnaState, CommandCompletion, CommandEvent, ErrorLog } from '../native.js';
import type { Controller } from './controller.js';
import type { FeatureHooks, FeatureNamespace } from './features.js';
import { identify } from './identify.js';
import { errorLogEntries } from './limits.js';
import {
  type AnaGroup,
  cutLogPage,
  encodeAna,
  encodeChangedNamespaces,
  encodeCommandEffects,
  encodeErrorLog,
  encodeFeatureEffects,
  encodeFirmwareSlot,
  encodeManagementEffects,
  encodeSmart,
  encodeSupportedLogPages,
  hasLogPage,
  type LogPage,
  logPages,
  type SmartInput,
} from './logs.js';
import { answerReservation } from './reservation_commands.js';
import {
  adminOpcodes,
  decodeGetLogPage,
  decodeProperty,
  decodeSqe,
  fabricsTypes,
  type GetLogPageCommand,
  type Sqe,
} from './sqe.js';
import { refuse, type Status, statuses } from './statuses.js';

/** What admin commands ask of the node around the controller. */
export interface AdminEnvironment {
  firmware: string;
  writeThrough: boolean;
  atomicWriteBytes: number;
  serialOf(controller: Controller): string;
  /** SUBNQN of Identify. */
  subnqnOf(controller: Controller): string;
  /** Of the pool, without the error log count, which is the controller's. */
  health(): Promise<Omit<SmartInput, 'errorLogEntries'>>;
  /** Of a group, through this controller's portal. */
  anaState(controller: Controller, anagrpid: number): AnaState;
  /** ANA groups as this controller's portal and host see them, and the log's change count. */
  anaGroups(controller: Controller): { groups: AnaGroup[]; changeCount: bigint };
  /** What this host may discover, for a read that starts at `offset`. */
  discoveryLog(controller: Controller, offset: bigint): LogPage;
  /** The host has read it with RAE cleared. */
  discoveryRead(controller: Controller): void;
}

/** Decodes and answers one command of any queue. */
export function answerCommand(
  controller: Controller,
  event: CommandEvent,
  environment: AdminEnvironment,
): Promise<CommandCompletion> {
  if (event.qid === 0) return answerAdmin(controller, event, environment);
  return answerReservation(controller, event, (anagrpid) =>
    environment.anaState(controller, anagrpid),
  );
}

/** Decodes and answers one admin command. Native code keeps the error log, of all queues. */
export async function answerAdmin(
  controller: Controller,
  event: CommandEvent,
  environment: AdminEnvironment,
): Promise<CommandCompletion> {
  const sqe = decodeSqe(event.sqe);
  if (sqe.opcode === adminOpcodes.fabrics) return fabrics(controller, sqe);
  // Until CC.EN and CSTS.RDY are 1 a controller takes Fabrics commands only (Base 3.6.1).
  if (!controller.properties.ready) return refuse(statuses.commandSequenceError);
  switch (sqe.opcode) {
    case adminOpcodes.identify:
      if (event.dataRoomBytes < 4096) return refuse(statuses.dataSglLengthInvalid);
      return identify(sqe, identifyContext(controller, environment));
    case adminOpcodes.getLogPage:
      return getLogPage(controller, sqe, event.dataRoomBytes, environment);
    case adminOpcodes.getFeatures:
      return controller.features.get(sqe, namespaceOf(controller, sqe.nsid));
    case adminOpcodes.setFeatures:
      return controller.features.set(sqe, event.data, featureHooks(controller));
    default:
      return refuse(statuses.invalidOpcode);
  }
}

/** What features say of a namespace; null: the host sees none there. */
function namespaceOf(controller: Controller, nsid: number): FeatureNamespace | null {
  const visible = controller.visible.get(nsid);
  const { subsystem } = controller.identity;
  if (visible === undefined || subsystem === null) return null;
  return {
    readOnly: visible.readOnly,
    frozen: visible.frozen,
    notificationMask: controller.reservationNotices.mask(nsid),
    persistsReservations: subsystem.reservationsOf(nsid).ptpl,
  };
}

function featureHooks(controller: Controller): FeatureHooks {
  const { subsystem } = controller.identity;
  return {
    setKeepAlive: (timeoutMs) => controller.setKeepAlive(timeoutMs),
    ioQueuesExist: () => controller.ioQids.size > 0,
    visibleNsids: () => [...controller.visible.keys()],
    setNotificationMask: (nsid, mask) => controller.reservationNotices.setMask(nsid, mask),
    setPersistence: async (nsid, ptpl) =>
      subsystem === null ? statuses.invalidField : subsystem.setPersistence(nsid, ptpl),
  };
}

function fabrics(controller: Controller, sqe: Sqe): CommandCompletion {
  switch (sqe.fctype) {
    case fabricsTypes.propertyGet:
      return controller.properties.get(decodeProperty(sqe));
    case fabricsTypes.propertySet: {
      const { completion, effect } = controller.properties.set(decodeProperty(sqe));
      controller.apply(effect);
      return completion;
    }
    case fabricsTypes.connect: // The queue is connected already (Base 6.3).
      return refuse(statuses.commandSequenceError);
    default:
      return refuse(statuses.invalidOpcode);
  }
}

function identifyContext(controller: Controller, environment: AdminEnvironment) {
  const { identity } = controller;
  return {
    kind: identity.kind,
    cntlid: identity.cntlid,
    subnqn: environment.subnqnOf(controller),
    serial: environment.serialOf(controller),
    firmware: environment.firmware,
    writeThrough: environment.writeThrough,
    atomicWriteBytes: environment.atomicWriteBytes,
    namespaces: controller.visible,
    ownCntlids: identity.subsystem?.cntlidsOf(identity.hostnqn) ?? [identity.cntlid],
  };
}

async function getLogPage(
  controller: Controller,
  sqe: Sqe,
  roomBytes: number,
  environment: AdminEnvironment,
): Promise<CommandCompletion> {
  const command = decodeGetLogPage(sqe);
  if (!hasLogPage(controller.identity.kind, command.lid)) return refuse(statuses.invalidLogPage);
  const problem = logPageProblem(command);
  if (problem !== null) return refuse(problem);
  // What must be waited for. What follows is one moment: a change that comes after the page was
  // built raises a new event, because this read has cleared the old one already.
  const health = command.lid === logPages.smart ? await environment.health() : null;
  const withErrors = command.lid === logPages.smart || command.lid === logPages.error;
  const errors = withErrors ? await controller.errorLog() : null;
  const page = buildLogPage(controller, command, environment, { health, errors });
  const completion = cutLogPage(command, page, roomBytes);
  if (completion.status === statuses.success && !command.rae) {
    clearAfterRead(controller, command, environment);
  }
  return completion;
}

/** The NSID that a page is of (Base Figure 202), and its command set. */
function logPageProblem(command: GetLogPageCommand): Status | null {
  const wholeController = command.nsid === 0 || command.nsid === 0xffff_ffff;
  // LPA bit 0 is clear: there is no SMART page of a namespace.
  if (command.lid === logPages.smart && !wholeController) return statuses.invalidField;
  if (command.lid === logPages.commandEffects && command.csi !== 0) return statuses.invalidField;
  return null;
}

function buildLogPage(
  controller: Controller,
  command: GetLogPageCommand,
  environment: AdminEnvironment,
  {
    health,
    errors,
  }: { health: Omit<SmartInput, 'errorLogEntries'> | null; errors: ErrorLog | null },
): LogPage {
  switch (command.lid) {
    case logPages.supportedLogPages:
      return encodeSupportedLogPages(controller.identity.kind);
    case logPages.error:
      return encodeErrorLog(errors?.entries ?? [], errorLogEntries);
    case logPages.smart:
      if (health === null) throw new TypeError('the SMART page needs the health of the pool');
      return encodeSmart({ ...health, errorLogEntries: errors?.errorCount ?? 0n });
    case logPages.firmwareSlot:
      return encodeFirmwareSlot(environment.firmware);
    case logPages.changedNamespaces:
      return encodeChangedNamespaces(controller.changedNamespaces(false));
    case logPages.commandEffects:
      return encodeCommandEffects();
    case logPages.ana: {
      const { groups, changeCount } = environment.anaGroups(controller);
      return encodeAna(groups, changeCount, (command.lsp & 1) === 1);
    }
    case logPages.featureEffects:
      return encodeFeatureEffects();
    case logPages.managementEffects:
      return encodeManagementEffects();
    case logPages.reservationNotification:
      return controller.reservationNotices.page();
    case logPages.discovery:
      return environment.discoveryLog(controller, command.offset);
    default:
      throw new TypeError(`log page ${command.lid} is listed but cannot be built`);
  }
}

function clearAfterRead(
  controller: Controller,
  command: GetLogPageCommand,
  environment: AdminEnvironment,
): void {
  if (command.lid === logPages.changedNamespaces) {
    controller.changedNamespaces(true);
    controller.acknowledge('namespaceAttribute');
  } else if (command.lid === logPages.ana) {
    controller.acknowledge('anaChange');
  } else if (command.lid === logPages.reservationNotification) {
    controller.acknowledgeReservationNotice();
  } else if (command.lid === logPages.discovery) {
    environment.discoveryRead(controller);
  }
}
