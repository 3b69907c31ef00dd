/**
 * Reservation commands of I/O queues (Base 7.2 to 7.5): from submission queue entry to completion.
 * What they mean is in reservations.ts; who has to wait for whom in subsystem.ts.
 */
import { exactly } from '../bytes.js';
import type { AnaState, CommandCompletion, CommandEvent } from '../native.js';
import type { Controller } from './controller.js';
import { maxTransferBytes } from './limits.js';
import { decodeReservation, encodeReservationStatus, reservationOpcodes } from './reservations.js';
import { decodeSqe, type Sqe } from './sqe.js';
import { failRetryably, refuse, type Status, statuses, succeed } from './statuses.js';

/** What a state of the path leaves of reservations (Base 8.1.3): nothing but a retry elsewhere. */
const pathStatuses: Readonly<Record<AnaState, Status | null>> = {
  optimized: null,
  'non-optimized': null,
  inaccessible: statuses.anaInaccessible,
  'persistent-loss': statuses.anaPersistentLoss,
  change: statuses.anaTransition,
};

/**
 * Answers a command that native code does not answer on an I/O queue. A success means that every
 * controller judges by the new reservation, that no command judged by the old one is under way,
 * and, with Persist Through Power Loss, that it is durable.
 *
 * @param anaState of a group through the controller's portal.
 */
export async function answerReservation(
  controller: Controller,
  event: CommandEvent,
  anaState: (anagrpid: number) => AnaState,
): Promise<CommandCompletion> {
  const sqe = decodeSqe(event.sqe);
  const { subsystem } = controller.identity;
  const known: readonly number[] = Object.values(reservationOpcodes);
  if (subsystem === null || !known.includes(sqe.opcode)) return refuse(statuses.invalidOpcode);
  const namespace = controller.visible.get(sqe.nsid);
  if (namespace === undefined) return refuse(statuses.invalidNamespaceOrFormat);
  const unreachable = pathStatuses[anaState(namespace.anagrpid)];
  if (unreachable !== null) return failRetryably(unreachable);
  if (sqe.opcode === reservationOpcodes.report) {
    return report(controller, sqe, event.dataRoomBytes);
  }
  const command = decodeReservation(sqe.opcode, sqe.cdw10, event.data);
  if (typeof command === 'number') return refuse(command);
  const status = await subsystem.reserve(sqe.nsid, controller.host, command);
  return status === statuses.success ? succeed() : refuse(status);
}

/** Reservation Report (Base 7.5): NUMD is 0's based; the status is cut to it or padded. */
function report(controller: Controller, sqe: Sqe, roomBytes: number): CommandCompletion {
  const { subsystem } = controller.identity;
  if (subsystem === null) return refuse(statuses.invalidOpcode);
  // EDS: without it, identifiers of hosts have 64 bits, and ours have 128.
  if ((sqe.cdw11 & 1) === 0) return refuse(statuses.hostIdentifierInconsistentFormat);
  const lengthBytes = (sqe.cdw10 + 1) * 4;
  if (lengthBytes > roomBytes || lengthBytes > maxTransferBytes) {
    return refuse(statuses.dataSglLengthInvalid);
  }
  const state = subsystem.reservationsOf(sqe.nsid);
  const page = encodeReservationStatus(state, (host) => subsystem.cntlidsOfHost(host));
  return succeed(0n, exactly(page, lengthBytes));
}
