/** Loads as callers describe them: what is left out has a default. */
import { AshlarError } from '../errors.js';
import type { LoadOptions } from '../native.js';

/** See {@link LoadOptions} for each. */
export interface LoadSettings {
  /** One namespace, or `nsids`. */
  nsid?: number | undefined;
  nsids?: readonly number[] | undefined;
  blockBytes: number;
  /** 1 when left out. */
  depth?: number | undefined;
  /** 1 when left out. */
  queues?: number | undefined;
  ioBytes: number;
  /** 'random' when left out. */
  pattern?: LoadOptions['pattern'] | undefined;
  /** Of 'zipf': 1.2 when left out. */
  zipfTheta?: number | undefined;
  /** 100 when left out. */
  readPercent?: number | undefined;
  spanBytes: bigint;
  /** Commands a second over all queues; left out: closed loop. */
  ratePerSecond?: number | undefined;
  verify?: boolean | undefined;
  warmupMs?: number | undefined;
  /** Needed where `maxCommands` is not given. */
  durationMs?: number | undefined;
  maxCommands?: bigint | undefined;
  /** Left out: goes on after any number of errors. */
  maxErrors?: number | undefined;
  /** 1 when left out. */
  seed?: bigint | undefined;
}

const defaultTheta = 1.2;

/**
 * The whole of the options that native code wants.
 *
 * @throws AshlarError 'invalid-argument' when no namespace is named.
 */
export function loadOptions(settings: LoadSettings): LoadOptions {
  const nsids = settings.nsids ?? (settings.nsid === undefined ? [] : [settings.nsid]);
  if (nsids.length === 0) throw new AshlarError('invalid-argument', 'a load without a namespace');
  const pattern = settings.pattern ?? 'random';
  return {
    nsids: [...nsids],
    blockBytes: settings.blockBytes,
    depth: settings.depth ?? 1,
    queues: settings.queues ?? 1,
    ioBytes: settings.ioBytes,
    pattern,
    zipfTheta: pattern === 'zipf' ? (settings.zipfTheta ?? defaultTheta) : 0,
    readPercent: settings.readPercent ?? 100,
    spanBytes: settings.spanBytes,
    ratePerSecond: settings.ratePerSecond ?? 0,
    verify: settings.verify ?? false,
    warmupMs: settings.warmupMs ?? 0,
    durationMs: settings.durationMs ?? 0,
    maxCommands: settings.maxCommands ?? 0n,
    maxErrors: settings.maxErrors ?? 0,
    seed: settings.seed ?? 1n,
  };
}
