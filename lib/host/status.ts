/** What a controller says of a command that it did not complete well. */
import { AshlarError } from '../errors.js';
import type { HostCompletion } from '../native.js';

/** The cause of an AshlarError 'command-failed'. */
export interface CommandStatus {
  /** SCT << 8 | SC (NVMe Base 3.3.3.2.1). */
  status: number;
  /** The same command will fail again. */
  doNotRetry: boolean;
  /** Completion dwords 0 and 1. */
  result: bigint;
}

const names: Readonly<Record<number, string>> = {
  1: 'Invalid Command Opcode',
  2: 'Invalid Field in Command',
  4: 'Data Transfer Error',
  6: 'Internal Error',
  7: 'Command Abort Requested',
  11: 'Invalid Namespace or Format',
  12: 'Command Sequence Error',
  15: 'Data SGL Length Invalid',
  32: 'Namespace is Write Protected',
  34: 'Transient Transport Error',
  128: 'LBA Out of Range',
  129: 'Capacity Exceeded',
  130: 'Namespace Not Ready',
  265: 'Invalid Log Page',
  384: 'Conflicting Attributes',
  640: 'Write Fault',
  641: 'Unrecovered Read Error',
  645: 'Compare Failure',
  769: 'ANA Persistent Loss',
  770: 'ANA Inaccessible',
  771: 'ANA Transition',
};

/** "281h (Unrecovered Read Error)". */
export function describeStatus(status: number): string {
  const hex = `${status.toString(16).padStart(3, '0')}h`;
  const name = names[status];
  return name === undefined ? hex : `${hex} (${name})`;
}

/** The completion itself when it is a success; throws 'command-failed' otherwise. */
export function succeeded(completion: HostCompletion, what: string): HostCompletion {
  if (completion.status === 0) return completion;
  const cause: CommandStatus = {
    status: completion.status,
    doNotRetry: completion.doNotRetry,
    result: completion.result,
  };
  const retry = completion.doNotRetry ? ', do not retry' : '';
  throw new AshlarError(
    'command-failed',
    `${what}: the controller answered ${describeStatus(completion.status)}${retry}`,
    { cause },
  );
}

/** The status behind an error 'command-failed'; null for every other error. */
export function commandStatusOf(error: unknown): CommandStatus | null {
  if (!(error instanceof AshlarError) || error.code !== 'command-failed') return null;
  const cause = error.cause;
  if (typeof cause !== 'object' || cause === null || !('status' in cause)) return null;
  return cause as CommandStatus;
}
