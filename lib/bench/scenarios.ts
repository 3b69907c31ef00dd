/** Scenarios from lists of depths, sizes, mixes and so on, and the sets that have a name. */
import { AshlarError } from '../errors.js';
import type { Pattern, Scenario, Setting, Workload } from './results.js';

/** Every combination of these is one scenario. Lists hold at least one element. */
export interface Sweep {
  patterns: readonly Pattern[];
  zipfTheta: number;
  /** Shares of reads, 0 to 100. */
  readPercents: readonly number[];
  ioBytes: readonly number[];
  queues: readonly number[];
  depths: readonly number[];
  /** null: closed loop. */
  rates: readonly (number | null)[];
  volumes: readonly number[];
  snapshots: readonly number[];
  spanBytes: number;
  state: Setting['state'];
  verify: boolean;
  digests: boolean;
}

/** More than anybody waits for. */
export const maxScenarios = 1000;

export const defaultSweep: Sweep = {
  patterns: ['random'],
  zipfTheta: 1.2,
  readPercents: [100, 0],
  ioBytes: [4096],
  queues: [1],
  depths: [1, 32, 128],
  rates: [null],
  volumes: [1],
  snapshots: [0],
  spanBytes: 512 * 2 ** 20,
  state: 'filled',
  verify: false,
  digests: false,
};

/**
 * The scenarios of a sweep, those with one setting side by side.
 *
 * @throws AshlarError 'limit-exceeded' when there are more than {@link maxScenarios}.
 */
export function planSweep(sweep: Sweep): Scenario[] {
  const { spanBytes, state, verify, digests } = sweep;
  const settings = cross(sweep.volumes, sweep.snapshots).map(
    ([volumes, snapshots]): Setting => ({ volumes, snapshots, spanBytes, state }),
  );
  const shapes = cross(cross(sweep.ioBytes, sweep.patterns), sweep.readPercents);
  const amounts = cross(cross(sweep.queues, sweep.depths), sweep.rates);
  const count = settings.length * shapes.length * amounts.length;
  if (count > maxScenarios) {
    throw new AshlarError(
      'limit-exceeded',
      `the lists combine to ${count} scenarios; the most is ${maxScenarios}: shorten some`,
    );
  }
  const workloads = cross(shapes, amounts).map(
    ([[[ioBytes, pattern], readPercent], [[queues, depth], ratePerSecond]]): Workload => ({
      ...{ pattern, zipfTheta: pattern === 'zipf' ? sweep.zipfTheta : null },
      ...{ readPercent, ioBytes, queues, depth, ratePerSecond, verify, digests },
    }),
  );
  return cross(settings, workloads).map(([setting, workload]) => ({
    name: scenarioName(workload, setting),
    workload,
    setting,
  }));
}

function cross<A, B>(first: readonly A[], second: readonly B[]): [A, B][] {
  return first.flatMap((a) => second.map((b): [A, B] => [a, b]));
}

/** "4 KiB random read, depth 32, 8 queues": what differs from the usual is said, the rest is not. */
export function scenarioName(workload: Workload, setting: Setting): string {
  const { pattern, zipfTheta, ratePerSecond } = workload;
  const skew = pattern === 'zipf' ? `zipf ${zipfTheta ?? ''}` : pattern;
  const mix =
    workload.readPercent === 100
      ? 'read'
      : workload.readPercent === 0
        ? 'write'
        : `${workload.readPercent} % read`;
  return [
    `${shortSize(workload.ioBytes)} ${skew} ${mix}`,
    `depth ${workload.depth}`,
    ...(workload.queues === 1 ? [] : [`${workload.queues} queues`]),
    ...(ratePerSecond === null ? [] : [`${ratePerSecond} a second`]),
    ...(workload.digests ? ['digests'] : []),
    ...(workload.verify ? ['verify'] : []),
    ...(setting.volumes === 1 ? [] : [`${setting.volumes} volumes`]),
    ...(setting.snapshots === 0 ? [] : [`${setting.snapshots} snapshots`]),
    ...(setting.state === 'fresh-snapshot' ? ['after a snapshot'] : []),
  ].join(', ');
}

/** `4 KiB`, `1.5 MiB`, `512 B`. */
export function shortSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}

const kib = 1024;

/** What tells most in a minute: latency, throughput and bandwidth, reads and writes. */
export function quickSet(base: Sweep): Scenario[] {
  return [
    ...planSweep({ ...base, ioBytes: [4 * kib], depths: [1, 32, 128], readPercents: [100, 0] }),
    ...planSweep({ ...base, ioBytes: [128 * kib], depths: [32], readPercents: [100, 0] }),
  ];
}

/**
 * What is measured before anybody says "faster": every workload of the quick set with one queue and
 * eight, a mix, skew, sequences, digests, snapshots and many volumes, and latency under half the
 * load. Needs an Ashlar of its own, for the snapshots.
 */
export function standardSet(base: Sweep): Scenario[] {
  const only4k = { ...base, ioBytes: [4 * kib] };
  return unique([
    ...quickSet(base),
    ...planSweep({ ...only4k, queues: [8], depths: [1, 32, 128], readPercents: [100, 0] }),
    ...planSweep({ ...only4k, depths: [32], readPercents: [70] }),
    ...planSweep({ ...only4k, patterns: ['zipf'], depths: [32], readPercents: [100, 0] }),
    ...planSweep({
      ...{ ...base, patterns: ['sequential'], ioBytes: [128 * kib] },
      ...{ depths: [8], readPercents: [100, 0] },
    }),
    ...planSweep({ ...only4k, digests: true, depths: [32], readPercents: [100, 0] }),
    ...planSweep({ ...only4k, rates: [20_000], depths: [128], readPercents: [100] }),
    ...planSweep({ ...only4k, state: 'fresh-snapshot', depths: [32], readPercents: [0] }),
    ...planSweep({ ...only4k, snapshots: [10], depths: [32], readPercents: [100, 0] }),
    ...planSweep({
      ...{ ...only4k, volumes: [64], spanBytes: base.spanBytes / 64 },
      ...{ depths: [32], readPercents: [100, 0] },
    }),
  ]);
}

/** The first of each name. */
export function unique(scenarios: readonly Scenario[]): Scenario[] {
  const byName = new Map<string, Scenario>();
  for (const scenario of scenarios) {
    if (!byName.has(scenario.name)) byName.set(scenario.name, scenario);
  }
  return [...byName.values()];
}
