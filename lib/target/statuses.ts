/**
 * Statuses as SCT << 8 | SC (Base 3.3.3.2.1, Figures 94 to 98; Fabrics 3.3), and what an admin
 * command answers with.
 */
import type { CommandCompletion } from '../native.js';

export const statuses = {
  success: 0x000,
  invalidOpcode: 0x001,
  invalidField: 0x002,
  internalError: 0x006,
  invalidNamespaceOrFormat: 0x00b,
  commandSequenceError: 0x00c,
  dataSglLengthInvalid: 0x00f,
  hostIdentifierInconsistentFormat: 0x018,
  keepAliveTimeoutInvalid: 0x01a,
  reservationConflict: 0x083,
  invalidLogPage: 0x109,
  featureNotSaveable: 0x10d,
  featureNotChangeable: 0x10e,
  featureNotNamespaceSpecific: 0x10f,
  connectIncompatibleFormat: 0x180,
  connectControllerBusy: 0x181,
  connectInvalidParameters: 0x182,
  connectRestartDiscovery: 0x183,
  connectInvalidHost: 0x184,
  authenticationRequired: 0x191,
  anaPersistentLoss: 0x301,
  anaInaccessible: 0x302,
  anaTransition: 0x303,
} as const;
export type Status = (typeof statuses)[keyof typeof statuses];

/** Success, with dwords 0 and 1 of the completion and data to the host. */
export function succeed(result = 0n, data: Uint8Array | null = null): CommandCompletion {
  return { status: statuses.success, doNotRetry: false, result, data };
}

/** A refusal that the host must not repeat as it is (DNR). */
export function refuse(status: Status): CommandCompletion {
  return { status, doNotRetry: true, result: 0n, data: null };
}

/** A failure that may pass. */
export function failRetryably(status: Status): CommandCompletion {
  return { status, doNotRetry: false, result: 0n, data: null };
}
