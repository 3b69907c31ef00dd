/**
 * The only place where errors are named.
 *
 * Every operating error that leaves a public function is an {@link AshlarError}: a code from one
 * closed union, a message that names the thing, the value, the limit and the next step, and the
 * cause where there is one. Our own mistakes surface as code 'internal' and are bugs to report.
 */
import type { NativeErrorCode } from './native.js';

/** Codes that the control plane adds to those of native code. */
export type ControlErrorCode =
  /** The configuration (file, environment or options) is wrong; the message names the key. */
  | 'config-invalid'
  /** The command line is wrong. */
  | 'usage'
  /** No daemon answers at the control socket. */
  | 'daemon-not-running'
  /** A daemon answers already at the control socket. */
  | 'daemon-running'
  /** No native binary fits this machine and this version. */
  | 'native-missing'
  /** The object changed in between, or its state forbids the call. */
  | 'conflict'
  /** A catalog record was written by a newer version of Ashlar. */
  | 'catalog-newer-format'
  /** A catalog record cannot be read, or contradicts another one or the pool. */
  | 'catalog-corrupt'
  /** An export stream is damaged, cut off, or none at all. */
  | 'stream-corrupt'
  /** An export stream was written by a newer version of Ashlar. */
  | 'stream-newer-format'
  /** The caller has not proved who it is, or its token has expired; or the daemon has not. */
  | 'unauthenticated'
  /** The object is not as the caller had seen it; nothing was changed. */
  | 'precondition-failed'
  /** An idempotency key came again with another request. */
  | 'key-reused'
  /** A controller completed an NVMe command with an error status; the cause is a CommandStatus. */
  | 'command-failed'
  /** A mistake of Ashlar's own. */
  | 'internal';

/** Every code an {@link AshlarError} can carry. */
export type ErrorCode = NativeErrorCode | ControlErrorCode;

/**
 * What a process exits with. Documented for scripts, so numbers never change their meaning:
 *
 * | code | meaning                                                                   |
 * |-----:|---------------------------------------------------------------------------|
 * |    0 | done                                                                      |
 * |    1 | operating error: an I/O error, a damaged stream, a cancelled call, a bug  |
 * |    2 | usage: a wrong command line, argument or configuration                    |
 * |    3 | the thing named does not exist                                            |
 * |    4 | conflict: it exists already, is busy, is locked, or its port is taken     |
 * |    5 | the pool is damaged, failed, of a newer format, or not a pool             |
 * |    6 | no room, or over a limit                                                  |
 * |    7 | this machine lacks something: kernel, io_uring, memlock, rights, binary   |
 * |    8 | the daemon or peer cannot be reached, or did not answer in time           |
 */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

const exitCodes: Readonly<Record<ErrorCode, ExitCode>> = {
  'invalid-argument': 2,
  'not-found': 3,
  'already-exists': 4,
  busy: 4,
  closed: 1,
  'limit-exceeded': 6,
  'timed-out': 8,
  cancelled: 1,
  'io-error': 1,
  'no-space': 6,
  'permission-denied': 7,
  'io-uring-forbidden': 7,
  'io-uring-missing': 7,
  'kernel-too-old': 7,
  'memlock-too-small': 7,
  'address-in-use': 4,
  'address-unavailable': 7,
  'connection-refused': 8,
  'connection-lost': 8,
  'protocol-error': 1,
  'pool-exists': 4,
  'pool-not-a-pool': 5,
  'pool-locked': 4,
  'pool-newer-format': 5,
  'pool-truncated': 5,
  'pool-corrupt': 5,
  'pool-failed': 5,
  'config-invalid': 2,
  usage: 2,
  'daemon-not-running': 8,
  'daemon-running': 4,
  'native-missing': 7,
  conflict: 4,
  'catalog-newer-format': 5,
  'catalog-corrupt': 5,
  'stream-corrupt': 1,
  'stream-newer-format': 1,
  unauthenticated: 7,
  'precondition-failed': 4,
  'key-reused': 2,
  'command-failed': 1,
  internal: 1,
};

/** Every code, for tests and for schemas of the API. */
export const errorCodes: readonly ErrorCode[] = Object.keys(exitCodes).filter(isErrorCode);

/** Whether a word is one of {@link ErrorCode}. */
export function isErrorCode(word: unknown): word is ErrorCode {
  return typeof word === 'string' && Object.hasOwn(exitCodes, word);
}

/** The exit code of a process that ends because of an error with this code. */
export function exitCodeOf(code: ErrorCode): ExitCode {
  return exitCodes[code];
}

/** What is wrong with one field of a document. */
export interface FieldError {
  /** Keys from the root to the field: ['quota', 'iops']. */
  path: readonly string[];
  /** Without the field's name: "must be a whole number from 1 to 10000, not 0". */
  message: string;
}

/** Optional parts of an {@link AshlarError}. */
export interface AshlarErrorOptions {
  /** A further line for people: what to try next, when it does not fit the message. */
  hint?: string | undefined;
  /** What led to it. */
  cause?: unknown;
  /** Instead of the message, for a tenant's caller: when the message tells of the node. */
  toTenants?: string | undefined;
  /** Every field that is wrong, for forms; the message names the first of them. */
  fields?: readonly FieldError[];
}

/** An operating error of Ashlar; see the head of this file. */
export class AshlarError extends Error {
  override readonly name = 'AshlarError';
  readonly code: ErrorCode;
  readonly hint: string | null;
  /** See {@link AshlarErrorOptions.toTenants}; null: nothing was said. */
  readonly toTenants: string | null;
  /** See {@link AshlarErrorOptions.fields}. */
  readonly fields: readonly FieldError[];

  /**
   * @param code what kind of error, for programs.
   * @param message one line for people: the thing, the value, the limit, what to do.
   */
  constructor(code: ErrorCode, message: string, options: AshlarErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
    this.toTenants = options.toTenants ?? null;
    this.fields = options.fields ?? [];
  }

  /** The exit code that a command ends with because of this error. */
  get exitCode(): ExitCode {
    return exitCodes[this.code];
  }
}

/** Operating-system codes of Node errors, as our own words. */
const systemCodes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'not-found',
  EEXIST: 'already-exists',
  EACCES: 'permission-denied',
  EPERM: 'permission-denied',
  EBUSY: 'busy',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EADDRINUSE: 'address-in-use',
  EADDRNOTAVAIL: 'address-unavailable',
  ECONNREFUSED: 'connection-refused',
  ECONNRESET: 'connection-lost',
  EPIPE: 'connection-lost',
  ETIMEDOUT: 'timed-out',
  EIO: 'io-error',
  ABORT_ERR: 'cancelled',
};

/**
 * Any thrown value as an {@link AshlarError}: native errors keep their code, system errors get the
 * word that fits, an abort becomes 'cancelled', and the rest is 'internal'.
 */
export function toAshlarError(thrown: unknown): AshlarError {
  if (thrown instanceof AshlarError) return thrown;
  if (!(thrown instanceof Error)) {
    return new AshlarError('internal', `unexpected: ${String(thrown)}`, { cause: thrown });
  }
  if (thrown.name === 'AbortError') {
    return new AshlarError('cancelled', 'the call was cancelled', { cause: thrown });
  }
  const code: unknown = 'code' in thrown ? thrown.code : undefined;
  if (isErrorCode(code)) return new AshlarError(code, thrown.message, { cause: thrown });
  const systemCode = typeof code === 'string' ? systemCodes[code] : undefined;
  return new AshlarError(systemCode ?? 'internal', thrown.message, { cause: thrown });
}

/** What a tenant is told when the node has all it can of something: not how many, nor whose. */
export function nodeIsFull(what: string): string {
  return `the node takes no more ${what}; delete some of yours, or ask its admin`;
}

/** Of these the message is about the node: its files, its space, its faults. */
const nodeCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'no-space',
  'io-error',
  'address-in-use',
  'address-unavailable',
  'pool-exists',
  'pool-not-a-pool',
  'pool-locked',
  'pool-newer-format',
  'pool-truncated',
  'pool-corrupt',
  'pool-failed',
  'catalog-newer-format',
  'catalog-corrupt',
  'config-invalid',
  'internal',
]);
/** Of these it is when the machine said so, and not a rule about what is the tenant's. */
const machineCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'limit-exceeded',
  'permission-denied',
]);

/**
 * The error as a tenant's callers may see it: nothing in it is counted or named that is the node's
 * or another tenant's.
 */
export function asTenantsSee(error: AshlarError): AshlarError {
  const { code, toTenants } = error;
  const hint = { hint: error.hint ?? undefined };
  if (toTenants !== null) return new AshlarError(code, toTenants, hint);
  if (code === 'no-space') {
    const message = 'the node has no room left for this; ask its admin for some';
    return new AshlarError(code, message, hint);
  }
  if (nodeCodes.has(code) || (machineCodes.has(code) && isOfMachine(error))) {
    const message = `the node cannot do this (${code}); its admin can find out why`;
    return new AshlarError(code, message, hint);
  }
  return error;
}

/** Whether it began as an error of native code or of the system. */
function isOfMachine({ cause }: AshlarError): boolean {
  if (cause instanceof AshlarError) return isOfMachine(cause);
  return cause instanceof Error && 'code' in cause;
}

/** Throws 'cancelled' when `signal` is aborted already; `what` names the call that ends. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) {
    throw new AshlarError('cancelled', `${what}: cancelled`, { cause: signal.reason });
  }
}
