/**
 * What the plugin answers with when it cannot: the status codes of gRPC that CSI gives a meaning to
 * (spec.md, "Error Scheme"), and what the errors of Ashlar's API are in those.
 */
import { type AshlarError, type ErrorCode, toAshlarError } from '../errors.js';

/** Status codes by their numbers in gRPC. */
export const statusCodes = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

export type Status = keyof typeof statusCodes;

/** An answer that is an error. The message names the thing, the value, the limit, what to do. */
export class CsiError extends Error {
  override readonly name = 'CsiError';

  constructor(
    readonly status: Status,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/**
 * The API's errors as CSI means them. Of what may have been done, or may work in a moment, a caller
 * has to know that calling again is right: UNAVAILABLE. Of what the driver's own token may not do,
 * that nobody's request is wrong: INTERNAL would page the wrong person, so PERMISSION_DENIED and
 * UNAUTHENTICATED stay what they are.
 */
const statuses: Readonly<Partial<Record<ErrorCode, Status>>> = {
  'invalid-argument': 'INVALID_ARGUMENT',
  'not-found': 'NOT_FOUND',
  'already-exists': 'ALREADY_EXISTS',
  busy: 'FAILED_PRECONDITION',
  conflict: 'FAILED_PRECONDITION',
  closed: 'UNAVAILABLE',
  'limit-exceeded': 'RESOURCE_EXHAUSTED',
  'no-space': 'RESOURCE_EXHAUSTED',
  'timed-out': 'UNAVAILABLE',
  cancelled: 'ABORTED',
  'permission-denied': 'PERMISSION_DENIED',
  unauthenticated: 'UNAUTHENTICATED',
  'connection-refused': 'UNAVAILABLE',
  'connection-lost': 'UNAVAILABLE',
  'daemon-not-running': 'UNAVAILABLE',
  'precondition-failed': 'ABORTED',
};

/** Any thrown value as an answer. */
export function toCsiError(thrown: unknown): CsiError {
  if (thrown instanceof CsiError) return thrown;
  const error = toAshlarError(thrown);
  return new CsiError(statuses[error.code] ?? 'INTERNAL', textOf(error), { cause: thrown });
}

function textOf({ message, hint }: AshlarError): string {
  return hint === null ? message : `${message} (${hint})`;
}
