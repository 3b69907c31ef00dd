/**
 * Errors on the wire: RFC 9457 problem documents, whose `code` is from the closed union in
 * errors.ts and is what programs should look at.
 */
import { AshlarError, type ErrorCode, type FieldError, isErrorCode } from '../errors.js';

/** A problem document. `type` names the code; `detail` is the one-line message. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  /** A further line: what to try next. Absent when the detail says it. */
  hint?: string;
  /** Of a body that does not fit its schema: each field that is wrong. Absent where none is. */
  errors?: { pointer: string; detail: string }[];
}

/** HTTP status and short title of each code. Exhaustive: a new code cannot be forgotten. */
const table: Readonly<Record<ErrorCode, readonly [status: number, title: string]>> = {
  'invalid-argument': [400, 'A value is not valid'],
  usage: [400, 'The call is not valid'],
  'config-invalid': [400, 'The configuration is not valid'],
  unauthenticated: [401, 'Who calls is not known'],
  'permission-denied': [403, 'Not permitted'],
  'not-found': [404, 'Does not exist'],
  'already-exists': [409, 'Exists already'],
  conflict: [409, 'Not possible in the present state'],
  busy: [409, 'In use'],
  'address-in-use': [409, 'The address is in use'],
  'pool-exists': [409, 'A pool is there already'],
  'pool-locked': [409, 'Another process holds the pool'],
  'daemon-running': [409, 'A daemon is running already'],
  'precondition-failed': [412, 'Changed in between'],
  'key-reused': [422, 'The idempotency key was used for something else'],
  'limit-exceeded': [422, 'Over a limit'],
  'no-space': [507, 'No space left'],
  'timed-out': [504, 'Took too long'],
  cancelled: [499, 'Cancelled'],
  closed: [503, 'Closed'],
  'connection-refused': [502, 'Connection refused'],
  'connection-lost': [502, 'Connection lost'],
  'protocol-error': [502, 'The peer broke the protocol'],
  'command-failed': [502, 'The controller refused a command'],
  'daemon-not-running': [503, 'No daemon is running'],
  'io-error': [500, 'Input or output failed'],
  'address-unavailable': [500, 'The address is not one of this machine'],
  'io-uring-forbidden': [500, 'io_uring is forbidden here'],
  'io-uring-missing': [500, 'The kernel has no io_uring'],
  'kernel-too-old': [500, 'The kernel is too old'],
  'memlock-too-small': [500, 'The locked-memory limit is too small'],
  'native-missing': [500, 'No native binary fits'],
  'pool-not-a-pool': [500, 'Not a pool'],
  'pool-newer-format': [500, 'The pool is of a newer format'],
  'pool-truncated': [500, 'The pool is truncated'],
  'pool-corrupt': [500, 'The pool is damaged'],
  'pool-failed': [500, 'The pool has failed'],
  'catalog-newer-format': [500, 'The catalog is of a newer format'],
  'catalog-corrupt': [500, 'The catalog is damaged'],
  'stream-corrupt': [422, 'The export stream is damaged'],
  'stream-newer-format': [422, 'The export stream is of a newer format'],
  internal: [500, 'A mistake of Ashlar itself'],
};

/** The HTTP status that an error with this code is answered with. */
export function httpStatusOf(code: ErrorCode): number {
  return table[code][0];
}

/** In a few words, for people. */
export function titleOf(code: ErrorCode): string {
  return table[code][1];
}

/** The document for an error; `status` overrides the code's own (413, 415 and their like). */
export function problemOf(error: AshlarError, status = httpStatusOf(error.code)): Problem {
  return {
    type: `urn:ashlar:error:${error.code}`,
    title: table[error.code][1],
    status,
    detail: error.message,
    code: error.code,
    ...(error.hint === null ? {} : { hint: error.hint }),
    ...(error.fields.length === 0 ? {} : { errors: error.fields.map(pointed) }),
  };
}

/** A field as a JSON pointer (RFC 6901) in a fragment, as in the example of RFC 9457. */
function pointed({ path, message }: FieldError): { pointer: string; detail: string } {
  const parts = path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`);
  return { pointer: `#${parts.join('')}`, detail: message };
}

/** The error that a document stands for; of a newer daemon, an unknown code becomes 'internal'. */
export function errorOf(body: unknown, status: number): AshlarError {
  if (typeof body === 'object' && body !== null && 'detail' in body) {
    const code = 'code' in body && isErrorCode(body.code) ? body.code : 'internal';
    const hint = 'hint' in body && typeof body.hint === 'string' ? body.hint : undefined;
    return new AshlarError(code, String(body.detail), { hint });
  }
  return new AshlarError(
    'internal',
    `the daemon answered with HTTP status ${status} and no reason`,
  );
}
