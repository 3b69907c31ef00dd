/** Results made up for tests: figures that are known beforehand. */
import { LatencyHistogram } from '../../lib/bench/histogram.js';
import {
  type BenchResult,
  type Machine,
  type Round,
  resultFormat,
  type Scenario,
  type ScenarioResult,
} from '../../lib/bench/results.js';
import { defaultSweep, planSweep } from '../../lib/bench/scenarios.js';
import { randomFrom, summary } from '../../lib/bench/statistics.js';

const machine: Machine = {
  hostname: 'bench1',
  cpuModel: 'Example CPU 3000',
  cpus: 2,
  memoryBytes: 8 * 2 ** 30,
  kernel: '6.1.0',
  congestionControl: 'cubic',
  loadAverage: 0.1,
  cacheLineNs: 120,
};

export const someScenarios: Scenario[] = planSweep({ ...defaultSweep, readPercents: [100] });

export interface Sample {
  title?: string;
  startedAt?: string;
  /** Throughput of the subjects by name; each round swings by `noise` around it. */
  iops: Readonly<Record<string, number>>;
  noise?: number;
  rounds?: number;
  seed?: number;
  /** Exchanges a second that the machine allows; swings with the rounds. */
  limit?: number | null;
  scenarios?: readonly Scenario[];
}

export function sampleResult(sample: Sample): BenchResult {
  const random = randomFrom(sample.seed ?? 1);
  const { noise = 0.02, rounds = 9, limit = null, scenarios = someScenarios } = sample;
  const results = scenarios.flatMap((scenario) => {
    // What hits a round hits all of its subjects.
    const phases = Array.from({ length: rounds }, () => 0.7 + 0.6 * random());
    return Object.entries(sample.iops).map(([subject, iops]) =>
      resultOf(
        scenario,
        subject,
        phases.map((phase, index) =>
          roundOf(index, iops * phase * (1 + noise * (random() - 0.5)), limit, phase),
        ),
      ),
    );
  });
  return {
    format: resultFormat,
    title: sample.title ?? '',
    startedAt: sample.startedAt ?? '2026-11-28T20:00:00.000Z',
    endedAt: '2026-11-28T20:10:00.000Z',
    versions: { ashlar: '0.1.0', node: 'v20.18.1', revision: 'abcdef012345' },
    command: 'ashlar bench',
    ...{ seed: 1, rounds, durationMs: 1000, warmupMs: 200, pollUs: 1000 },
    machine: { before: machine, after: machine },
    subjects: Object.keys(sample.iops).map((name) => ({
      ...{ name, kind: 'target' as const, description: `${name} at 192.0.2.7:4420`, facts: {} },
    })),
    results,
    complete: true,
    failure: null,
  };
}

function roundOf(index: number, iops: number, limit: number | null, phase: number): Round {
  const latency = new LatencyHistogram();
  latency.record(1e9 / iops, 1000);
  latency.record(5e9 / iops, 10);
  const percentiles = latency.percentiles();
  return {
    index,
    startedAt: '2026-11-28T20:00:00.000Z',
    elapsedNs: 1e9,
    commands: Math.round(iops),
    bytes: Math.round(iops) * 4096,
    iops,
    bytesPerSecond: iops * 4096,
    readLatencyNs: percentiles,
    writeLatencyNs: null,
    latencyNs: percentiles,
    hostCpuNs: 9e8,
    targetCpuNs: 8e8,
    ...{ behind: 0, verifiedBlocks: 0, errors: 0, failure: null, loadAverage: 0.5 },
    limit: limit === null ? null : { what: 'loopback TCP', perSecond: limit * phase },
  };
}

function resultOf(scenario: Scenario, subject: string, rounds: Round[]): ScenarioResult {
  const of = (value: (round: Round) => number): ScenarioResult['iops'] =>
    summary(rounds.map(value));
  const histogram = new LatencyHistogram();
  for (const { iops } of rounds) {
    histogram.record(1e9 / iops, 1000);
    histogram.record(5e9 / iops, 10);
  }
  const limited = rounds.every(({ limit }) => limit !== null);
  return {
    scenario,
    subject,
    rounds,
    iops: of(({ iops }) => iops),
    bytesPerSecond: of(({ bytesPerSecond }) => bytesPerSecond),
    p50Ns: of(({ latencyNs }) => latencyNs.p50),
    p99Ns: of(({ latencyNs }) => latencyNs.p99),
    p999Ns: of(({ latencyNs }) => latencyNs.p999),
    targetCpuNsPerCommand: of(({ targetCpuNs, commands }) => (targetCpuNs ?? 0) / commands),
    hostCpuNsPerCommand: of(({ hostCpuNs, commands }) => hostCpuNs / commands),
    limit: limited ? (rounds[0]?.limit ?? null) : null,
    shareOfLimit: limited ? of(({ iops, limit }) => iops / (limit?.perSecond ?? 1)) : null,
    readHistogram: histogram.encode(),
    writeHistogram: null,
  };
}
