/**
 * What limits and weights are worth: whether a limit is held, what a quiet tenant feels of a noisy
 * one, and what a limit costs that is never reached. Turns of all cases are interleaved in rounds.
 *
 * The generator of the noisy tenant has the quiet one's CPU, and under SCHED_IDLE only what that
 * leaves, so that the quiet one's waits are the target's. Where the quiet tenant is alone the same
 * process spins, for a CPU that sleeps wakes late: that would flatter what is measured beside the
 * noise.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ApiClient } from '../lib/api/client.js';
import { mergeBuckets, percentileBucket } from '../lib/api/latency.js';
import { SelfSubject } from '../lib/bench/self.js';
import { bootstrapRatio, median } from '../lib/bench/statistics.js';
import { connect, fill, type HostPlace, type NamespaceFacts } from '../lib/bench/target.js';
import type { Host } from '../lib/host/index.js';
import type { NoisyAnswer, NoisyOrder } from './noisy_host.js';
import type { Row } from './pairs.js';
import { gib, pollUs } from './subjects.js';

export interface QosOptions {
  root: string;
  hostCpu: number;
  targetCpu: number;
  rounds: number;
  /** Of each turn. */
  durationMs: number;
  tell: (what: string) => void;
}

/** The figures of one row, round by round. */
export interface QosFigures {
  what: string;
  /** Of the limit; of alone; of without a limit. */
  ratios: number[];
}

export interface QosReport {
  rows: Row[];
  figures: QosFigures[];
}

const mib = 2 ** 20;
const spanBytes = 128 * mib;
const warmupMs = 250;
const kib = 1024;
const policy = 'bench';
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000b47c8';

/** A limit is held within this share of it. */
const wantedShare = 0.05;
/** The p99 of a quiet tenant beside a noisy one, in multiples of that alone. */
const wantedTimes = 2;
/** Throughput under a limit that is never reached, as a share of that without. */
const wantedUnlimited = 0.95;

type Rates = Partial<
  Record<
    | 'readIops'
    | 'writeIops'
    | 'iops'
    | 'readBytesPerSecond'
    | 'writeBytesPerSecond'
    | 'bytesPerSecond',
    number
  >
>;
const unlimited = {
  ...{ readIops: null, writeIops: null, iops: null },
  ...{ readBytesPerSecond: null, writeBytesPerSecond: null, bytesPerSecond: null },
};

/** A tenant's volume, written once. */
interface Place {
  place: HostPlace;
  namespace: NamespaceFacts;
}

function openTarget(options: QosOptions, reactors: 1 | 2): Promise<SelfSubject> {
  const { root, hostCpu, targetCpu } = options;
  return SelfSubject.open({
    ...{ name: 'ashlar', poolFile: null, poolBytes: 2 * gib, busyPollUs: pollUs },
    ...{ program: [path.join(root, '.build/lib/cli/main.js')], reactors, hostnqn },
    ...{ cpus: reactors === 1 ? [targetCpu] : [targetCpu, hostCpu] },
    generator: { cpus: [hostCpu], pollUs },
  });
}

async function makeVolume({ client, place }: SelfSubject, tenant: string): Promise<Place> {
  if (tenant !== 'default') await client.call('createTenant', { body: { name: tenant } });
  const body = { name: tenant, sizeBytes: spanBytes, hosts: ['*'] };
  const { nsid, subnqn, sizeBytes, blockBytes } = await client.call('createVolume', {
    query: { tenant },
    body,
  });
  const made = {
    place: { ...place, subnqn },
    namespace: { nsid, sizeBytes: BigInt(sizeBytes), blockBytes },
  };
  await fill(made.place, [made.namespace], spanBytes);
  return made;
}

// ---- A limit is held ----------------------------------------------------------------------------

interface LimitCase {
  name: string;
  limits: Rates;
  ioBytes: number;
  readPercent: number;
}

/** Commands a second that the limits leave to this load. */
function allowed({ limits, ioBytes, readPercent }: LimitCase): number {
  const share = { read: readPercent / 100, write: 1 - readPercent / 100 };
  const of = (rate: number | undefined, part: number, cost: number): number =>
    rate === undefined || part === 0 ? Number.POSITIVE_INFINITY : rate / cost / part;
  return Math.min(
    of(limits.iops, 1, 1),
    of(limits.readIops, share.read, 1),
    of(limits.writeIops, share.write, 1),
    of(limits.bytesPerSecond, 1, ioBytes),
    of(limits.readBytesPerSecond, share.read, ioBytes),
    of(limits.writeBytesPerSecond, share.write, ioBytes),
  );
}

const small = { ioBytes: 4 * kib };
const limitCases: readonly LimitCase[] = [
  { ...small, name: '500 reads/s, 4 KiB', limits: { readIops: 500 }, readPercent: 100 },
  { ...small, name: '500 writes/s, 4 KiB', limits: { writeIops: 500 }, readPercent: 0 },
  { ...small, name: '10,000/s, 4 KiB, half of each', limits: { iops: 10_000 }, readPercent: 50 },
  { ...small, name: '50,000 reads/s, 4 KiB', limits: { readIops: 50_000 }, readPercent: 100 },
  { ...small, name: '50,000 writes/s, 4 KiB', limits: { writeIops: 50_000 }, readPercent: 0 },
  {
    ...{ name: '20 MiB/s written, 64 KiB', ioBytes: 64 * kib, readPercent: 0 },
    limits: { writeBytesPerSecond: 20 * mib },
  },
  {
    ...{ name: '400 MiB/s read, 128 KiB', ioBytes: 128 * kib, readPercent: 100 },
    limits: { readBytesPerSecond: 400 * mib },
  },
  {
    ...{ name: '200 MiB/s, 4 KiB, half of each', ioBytes: 4 * kib, readPercent: 50 },
    limits: { bytesPerSecond: 200 * mib },
  },
];

const layouts = [
  { reactors: 1, queues: 1 },
  { reactors: 1, queues: 8 },
  { reactors: 2, queues: 8 },
] as const;

/**
 * Commands a second that a closed loop gets through, as the target counts them while it is under
 * way: a generator counts what has begun and ended within its time, which under a low limit misses
 * all that waits at its ends.
 */
async function throughput(
  options: QosOptions,
  client: ApiClient,
  { place, namespace }: Place,
  load: { queues: number; depth: number; ioBytes: number; readPercent: number; seed: number },
): Promise<number> {
  await using host = await connect(place, load.queues, load.depth, false);
  const loaded = host.load({
    ...{ nsid: namespace.nsid, blockBytes: namespace.blockBytes, spanBytes: BigInt(spanBytes) },
    ...{ ...load, seed: BigInt(load.seed), warmupMs, durationMs: options.durationMs + warmupMs },
  });
  const read = async (afterMs: number) => {
    await setTimeout(afterMs);
    const { reads, writes, atMs } = await client.call('getVolumeStatistics', {
      params: { volume: 'default' },
    });
    return { commands: reads + writes, atMs };
  };
  const before = await read(warmupMs);
  const after = await read(options.durationMs);
  const { firstError } = await loaded;
  if (firstError !== null) throw new Error(firstError);
  return ((after.commands - before.commands) * 1000) / (after.atMs - before.atMs);
}

async function measureLimits(options: QosOptions, reactors: 1 | 2): Promise<QosFigures[]> {
  await using self = await openTarget(options, reactors);
  const volume = await makeVolume(self, 'default');
  await self.client.call('createPolicy', { body: { name: policy } });
  await givePolicy(self.client, 'default');
  const cases = layouts
    .filter((layout) => layout.reactors === reactors)
    .flatMap(({ queues }) => limitCases.map((each) => ({ ...each, queues })));
  const figures = cases.map(({ name, queues }) => ({
    what: `${name}; ${queues} queue(s) of 32, ${reactors} reactor(s)`,
    ratios: [] as number[],
  }));
  for (let round = 0; round < options.rounds; round += 1) {
    options.tell(`limits on ${reactors} reactor(s), round ${round + 1} of ${options.rounds}`);
    for (const [at, each] of cases.entries()) {
      const { queues, ioBytes, readPercent } = each;
      await setPolicy(self.client, each.limits);
      const load = { queues, depth: 32, ioBytes, readPercent, seed: round + 1 };
      figures[at]?.ratios.push(
        (await throughput(options, self.client, volume, load)) / allowed(each),
      );
    }
  }
  return figures;
}

async function givePolicy(client: ApiClient, tenant: string): Promise<void> {
  const params = { volume: tenant };
  await client.call('changeVolume', { params, query: { tenant }, body: { policy } });
}

async function setPolicy(client: ApiClient, limits: Rates): Promise<void> {
  const params = { policy };
  await client.call('changePolicy', { params, body: { ...unlimited, ...limits } });
}

/** Where the median lies with 95 %, by rounds. */
function interval(ratios: readonly number[]): { middle: number; low: number; high: number } {
  const ones = ratios.map(() => 1);
  const { ratio, low, high } = bootstrapRatio(ones, ratios, { paired: true, seed: 1 });
  return { middle: ratio, low, high };
}

function limitRow({ what, ratios }: QosFigures): Row {
  const { middle, low, high } = interval(ratios);
  return {
    what: `limit held: ${what}`,
    wanted: `${1 - wantedShare} to ${1 + wantedShare} of it`,
    reached:
      `${middle.toFixed(3)} (95 %: ${low.toFixed(3)} to ${high.toFixed(3)}, ` +
      `${ratios.length} rounds; ${Math.min(...ratios).toFixed(3)} to ` +
      `${Math.max(...ratios).toFixed(3)} in all)`,
    fine: low >= 1 - wantedShare && high <= 1 + wantedShare,
  };
}

// ---- A limit that is never reached --------------------------------------------------------------

async function measureUnlimited(options: QosOptions): Promise<QosFigures[]> {
  await using self = await openTarget(options, 1);
  const volume = await makeVolume(self, 'default');
  await self.client.call('createPolicy', { body: { name: policy } });
  await givePolicy(self.client, 'default');
  const kinds = [
    { what: '4 KiB reads, depth 32', readPercent: 100 },
    { what: '4 KiB overwrites, depth 32', readPercent: 0 },
  ];
  const figures = kinds.map(({ what }) => ({ what, ratios: [] as number[] }));
  for (let round = 0; round < options.rounds; round += 1) {
    options.tell(`a limit beyond reach, round ${round + 1} of ${options.rounds}`);
    for (const [at, { readPercent }] of kinds.entries()) {
      const load = { queues: 1, depth: 32, ioBytes: 4 * kib, readPercent, seed: round + 1 };
      await setPolicy(self.client, {});
      const without = await throughput(options, self.client, volume, load);
      await setPolicy(self.client, { iops: 2 ** 40, bytesPerSecond: 2 ** 40 });
      figures[at]?.ratios.push((await throughput(options, self.client, volume, load)) / without);
    }
  }
  return figures;
}

function unlimitedRow({ what, ratios }: QosFigures): Row {
  const { middle, low, high } = interval(ratios);
  return {
    what: `${what}: under a limit that is never reached, against without`,
    wanted: `>= ${wantedUnlimited}`,
    reached:
      `${middle.toFixed(3)} (95 %: ${low.toFixed(3)} to ${high.toFixed(3)}, ` +
      `${ratios.length} rounds)`,
    fine: middle >= wantedUnlimited,
  };
}

// ---- A noisy neighbour --------------------------------------------------------------------------

/** The noisy host's process. */
class NoisyHost implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor() {
    // Even the lowest priority of the usual policy keeps the CPU for a slice of 3 to 4 ms.
    this.#child = fork(fileURLToPath(new URL('./noisy_host.js', import.meta.url)), {
      execPath: 'chrt',
      execArgv: ['--idle', '0', process.execPath],
    });
  }

  /** @throws Error with what the process says. */
  async order(order: NoisyOrder): Promise<number> {
    const answered = once(this.#child, 'message');
    this.#child.send(order);
    const [{ iops, problem }] = (await answered) as [NoisyAnswer];
    if (problem !== null) throw new Error(`the noisy host: ${problem}`);
    return iops;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, 'exit');
    await this.order({ kind: 'end' });
    await gone;
  }
}

/** What is done about the noise. */
const modes = [
  { mode: 'equal weights', limits: {}, quietWeight: 100 },
  { mode: 'weights 4 to 1', limits: {}, quietWeight: 400 },
  { mode: 'a limit of 20,000/s for the noisy', limits: { iops: 20_000 }, quietWeight: 100 },
] as const;

interface NeighbourCase {
  depth: 1 | 4;
  queues: 1 | 8;
  readPercent: 0 | 100;
}

const neighbourCases: readonly NeighbourCase[] = ([1, 4] as const).flatMap((depth) =>
  ([1, 8] as const).flatMap((queues) =>
    ([100, 0] as const).map((readPercent) => ({ depth, queues, readPercent })),
  ),
);

interface Neighbours {
  self: SelfSubject;
  quiet: Place;
  noisy: Place;
  noise: NoisyHost;
}

interface NeighbourFigures extends QosFigures {
  alone: P99[];
  beside: P99[];
  noisyIops: number[];
}

/** Microseconds: as the host has it, and from the target's receiving it to its answer. */
interface P99 {
  hostUs: number;
  targetUs: number;
  /** Mean of the reactor's turns meanwhile: a read may come when one has just begun. */
  turnUs: number;
}

/** The quiet tenant's reads. */
async function quietP99(
  options: QosOptions,
  { client }: SelfSubject,
  host: Host,
  { namespace }: Place,
  depth: number,
  seed: number,
): Promise<P99> {
  const latencies = async () => {
    const query = { tenant: 'quiet' };
    const params = { volume: 'quiet' };
    return (await client.call('getVolumeStatistics', { params, query })).readLatency;
  };
  const turns = async () => (await client.call('getStatus', {})).reactors[0];
  const before = await latencies();
  const turnsBefore = await turns();
  const result = await host.load({
    ...{ nsid: namespace.nsid, blockBytes: namespace.blockBytes, spanBytes: BigInt(spanBytes) },
    ...{ ioBytes: 4 * kib, depth, queues: 1, readPercent: 100, seed: BigInt(seed) },
    ...{ warmupMs, durationMs: options.durationMs },
  });
  if (result.firstError !== null) throw new Error(result.firstError);
  const turnsAfter = await turns();
  const bucket = percentileBucket(mergeBuckets(await latencies(), before, -1), 0.99);
  const busyNs = (turnsAfter?.busyNs ?? 0) - (turnsBefore?.busyNs ?? 0);
  return {
    hostUs: Number(result.latencyNs[1]) / 1000,
    targetUs: (bucket?.belowNs ?? Number.NaN) / 1000,
    turnUs: busyNs / ((turnsAfter?.turns ?? 0) - (turnsBefore?.turns ?? 0)) / 1000,
  };
}

async function neighbourRound(
  options: QosOptions,
  { self, quiet, noisy, noise }: Neighbours,
  { depth, queues, readPercent }: NeighbourCase,
  figures: readonly NeighbourFigures[],
  seed: number,
): Promise<void> {
  const { hostCpu, durationMs } = options;
  // It sleeps until it is answered: one that polls would leave the noisy one no time.
  const asleep = { ...quiet.place, generator: { cpus: [hostCpu], pollUs: 0 } };
  await using host = await connect(asleep, 1, depth, false);
  const longer = durationMs + 3 * warmupMs;
  const { port } = self.place;
  const place = { port, subnqn: noisy.place.subnqn, hostnqn, cpu: hostCpu, queues, depth: 128 };
  await noise.order({ kind: 'connect', place });
  const { nsid, blockBytes } = noisy.namespace;
  const load = { nsid, blockBytes, ioBytes: 4 * kib, depth: 128, queues, readPercent };
  const makeNoise = (): Promise<number> =>
    noise.order({
      kind: 'load',
      load: { ...load, spanBytes, seed, warmupMs: warmupMs / 2, durationMs: longer },
    });
  // Thrown away: connections begin slowly, and their windows and rates are found meanwhile.
  await setPolicy(self.client, {});
  const first = makeNoise();
  await quietP99(options, self, host, quiet, depth, seed);
  await first;
  // In another order each round.
  for (let turn = 0; turn < modes.length; turn += 1) {
    const at = (turn + seed) % modes.length;
    const { limits, quietWeight } = modes[at] ?? modes[0];
    await setPolicy(self.client, limits);
    const weight = { params: { policy: 'quiet' }, body: { weight: quietWeight } };
    await self.client.call('changePolicy', weight);
    const spinning = noise.order({ kind: 'spin', ms: longer });
    const alone = await quietP99(options, self, host, quiet, depth, seed);
    await spinning;
    const loading = makeNoise();
    const beside = await quietP99(options, self, host, quiet, depth, seed);
    figures[at]?.noisyIops.push(await loading);
    figures[at]?.alone.push(alone);
    figures[at]?.beside.push(beside);
    figures[at]?.ratios.push(beside.hostUs / alone.hostUs);
  }
}

async function measureNeighbours(options: QosOptions): Promise<NeighbourFigures[]> {
  await using self = await openTarget(options, 1);
  const { client } = self;
  const [quiet, noisy] = [await makeVolume(self, 'quiet'), await makeVolume(self, 'noisy')];
  for (const [name, tenant] of [
    [policy, 'noisy'],
    ['quiet', 'quiet'],
  ] as const) {
    await client.call('createPolicy', { body: { name } });
    await client.call('changeTenant', { params: { tenant }, body: { policy: name } });
  }
  await using noise = new NoisyHost();
  const figures = neighbourCases.map(({ depth, queues, readPercent }) =>
    modes.map(({ mode }) => ({
      what:
        `quiet reads at depth ${depth} beside ${queues} queue(s) of 128 ` +
        `${readPercent === 100 ? 'reads' : 'writes'}, ${mode}`,
      ...{ ratios: [], alone: [], beside: [], noisyIops: [] },
    })),
  );
  for (let round = 0; round < options.rounds; round += 1) {
    options.tell(`neighbours, round ${round + 1} of ${options.rounds}`);
    for (const [at, each] of neighbourCases.entries()) {
      const own = figures[at] ?? [];
      await neighbourRound(options, { self, quiet, noisy, noise }, each, own, round + 1);
    }
  }
  return figures.flat();
}

function neighbourRow(figures: NeighbourFigures): Row {
  const { middle, low, high } = interval(figures.ratios);
  const us = (values: readonly P99[], where: keyof P99): string =>
    median(values.map((each) => each[where])).toFixed(0);
  const both = (where: keyof P99): string =>
    `${us(figures.beside, where)} against ${us(figures.alone, where)} us`;
  return {
    what: `${figures.what}: p99 against alone`,
    wanted: `<= ${wantedTimes}`,
    reached:
      `${middle.toFixed(2)} (95 %: ${low.toFixed(2)} to ${high.toFixed(2)}, ` +
      `${figures.ratios.length} rounds), ${both('hostUs')}, within the target ` +
      `${both('targetUs')}, in turns of ${us(figures.beside, 'turnUs')} us; the noisy ${median(figures.noisyIops).toFixed(0)}/s`,
    fine: middle <= wantedTimes,
  };
}

// ---- All of it ----------------------------------------------------------------------------------

/** `only`: of 'limits', 'unlimited' and 'neighbours'; null: all. */
export async function measureQos(
  options: QosOptions,
  only: readonly string[] | null,
  tell: (row: Row) => void,
): Promise<QosReport> {
  const report: QosReport = { rows: [], figures: [] };
  const take = <F extends QosFigures>(figures: readonly F[], rowOf: (figures: F) => Row): void => {
    report.figures.push(...figures);
    for (const row of figures.map(rowOf)) {
      report.rows.push(row);
      tell(row);
    }
  };
  const wanted = (part: string): boolean => only === null || only.includes(part);
  if (wanted('limits')) {
    take(await measureLimits(options, 1), limitRow);
    take(await measureLimits(options, 2), limitRow);
  }
  if (wanted('unlimited')) take(await measureUnlimited(options), unlimitedRow);
  if (wanted('neighbours')) take(await measureNeighbours(options), neighbourRow);
  return report;
}
