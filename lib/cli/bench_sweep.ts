/** The scenarios that a command line asks for. */
import type { Pattern, Scenario, Setting } from '../bench/results.js';
import {
  defaultSweep,
  planSweep,
  quickSet,
  type Sweep,
  standardSet,
  unique,
} from '../bench/scenarios.js';
import { AshlarError } from '../errors.js';

export interface SweepOptions {
  set?: string;
  depth?: number[];
  queues?: number[];
  size?: number[];
  mix?: number[];
  pattern?: Pattern[];
  theta?: number;
  rate?: number[];
  volumes?: number[];
  snapshots?: number[];
  freshSnapshot?: boolean;
  span?: number;
  digests?: boolean;
  verify?: boolean;
}

const lists = [
  'depth',
  'queues',
  'size',
  'mix',
  'pattern',
  'rate',
  'volumes',
  'snapshots',
] as const;

/**
 * A set, or every combination of the lists.
 *
 * @param state what volumes are like, where the options do not say.
 * @throws AshlarError 'usage', 'limit-exceeded'.
 */
export function scenariosOf(options: SweepOptions, state: Setting['state']): Scenario[] {
  const given = lists.find((name) => options[name] !== undefined);
  if (options.set !== undefined && given !== undefined) {
    throw new AshlarError(
      'usage',
      `--set and --${given} exclude each other: a set has its own lists`,
    );
  }
  const base: Sweep = {
    ...defaultSweep,
    state: stateOf(options, state),
    spanBytes: options.span ?? defaultSweep.spanBytes,
    zipfTheta: options.theta ?? defaultSweep.zipfTheta,
    verify: options.verify === true,
    digests: options.digests === true,
  };
  if (given === undefined && options.freshSnapshot !== true && options.verify !== true) {
    if (options.set === 'standard') return standardSet(base);
    if (options.set === undefined || options.set === 'quick') return quickSet(base);
    throw new AshlarError('usage', `no set '${options.set}'; there are quick and standard`);
  }
  const scenarios = planSweep({
    ...base,
    depths: options.depth ?? (options.verify === true ? [32] : base.depths),
    queues: options.queues ?? base.queues,
    ioBytes: options.size ?? base.ioBytes,
    readPercents: options.mix ?? (options.verify === true ? [50] : base.readPercents),
    patterns: options.pattern ?? base.patterns,
    rates: options.rate ?? base.rates,
    volumes: options.volumes ?? base.volumes,
    snapshots: options.snapshots ?? base.snapshots,
  });
  return unique(scenarios);
}

/** Whether something of it writes. */
export function writesOf(scenarios: readonly Scenario[]): boolean {
  return scenarios.some(({ workload }) => workload.readPercent < 100);
}

/** Who verifies also wants to see first writes. */
function stateOf(options: SweepOptions, state: Setting['state']): Setting['state'] {
  if (options.freshSnapshot === true) return 'fresh-snapshot';
  return options.verify === true ? 'as-is' : state;
}
