/** What can be measured: something with namespaces that takes a load. */
import { AshlarError } from '../errors.js';
import type { LoadResult } from '../native.js';
import type { Setting, Subject, Workload } from './results.js';

/** How long, and from which seed. */
export interface Turn {
  warmupMs: number;
  durationMs: number;
  seed: bigint;
}

/** Reactors of the load generator. */
export interface Generator {
  /** Pinned to these, one reactor each; null: one, not pinned. */
  cpus: readonly number[] | null;
  pollUs: number;
}

/** A subject that is there. */
export interface OpenSubject extends AsyncDisposable {
  readonly subject: Subject;
  /** The process that serves, on this machine; null: not known. */
  readonly pid: number | null;
  /** Throws AshlarError 'usage' for a setting that it cannot be brought to. */
  check(setting: Setting): void;
  /**
   * Brings it to the setting; what is so already costs nothing.
   * @param tell hears what takes long.
   */
  prepare(setting: Setting, tell: (what: string) => void): Promise<void>;
  /** Before each round of the setting. */
  beforeRound(setting: Setting): Promise<void>;
  /** One round. Resolves also when commands failed or the connection was lost: see its result. */
  load(workload: Workload, setting: Setting, turn: Turn): Promise<LoadResult>;
}

/** After so many errors a round ends: it is no measurement any more. */
export const maxErrors = 100;

/** A run that would write where it may not. */
export function refuseOverwrite(what: string, data: string): AshlarError {
  return new AshlarError(
    'usage',
    `${what} would be overwritten${data}; say --overwrite if its data may go, or measure reads ` +
      'alone (--mix 100)',
  );
}

/** The part of a namespace that a scenario uses: the span, or all when that is smaller. */
export function usedBytes(spanBytes: number, sizeBytes: bigint, ioBytes: number): bigint {
  const used = BigInt(spanBytes) < sizeBytes ? BigInt(spanBytes) : sizeBytes;
  return used - (used % BigInt(ioBytes));
}
