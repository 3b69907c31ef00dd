/**
 * What hostile peers cost a host that does everything right: its latency with and without them, in
 * turns of one run, so that other work on the machine falls on both.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { BenchTarget } from './target.js';

export interface HostileReport {
  turns: number;
  connectionsPerSecond: number;
  /** Connections that the peers have opened in all. */
  opened: number;
  /** Medians over the turns, microseconds. */
  quiet: { p50Us: number; p99Us: number };
  hostile: { p50Us: number; p99Us: number };
  /** Medians of the ratios of neighbouring turns. */
  ratio: { p50: number; p99: number };
  wanted: number;
}

const mib = 1024 * 1024;
const volumeBytes = 256 * mib;
/** The issue's: another host's latency stays within this factor. */
const wanted = 1.5;

interface Latency {
  p50Us: number;
  p99Us: number;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Starts the peers; the function ends them and answers how many connections they have opened. */
function peers(port: number, perSecond: number): () => Promise<number> {
  const program = fileURLToPath(new URL('./hostile_peer.js', import.meta.url));
  const child = fork(program, [port, perSecond].map(String));
  return async () => {
    const said = once(child, 'message');
    const gone = once(child, 'exit');
    child.send('end');
    const [opened] = (await said) as [number];
    await gone;
    return opened;
  };
}

/** `durationMs`: of each turn. */
export async function measureHostile(
  cpus: { targetCpu: number; hostCpu: number },
  { turns, durationMs, perSecond }: { turns: number; durationMs: number; perSecond: number },
): Promise<HostileReport> {
  await using target = await BenchTarget.start(cpus.targetCpu, volumeBytes);
  await using host = await target.connect({ cpu: cpus.hostCpu, queues: 1, depth: 4 });
  const { blockBytes } = await host.identifyNamespace(target.nsid);
  const measure = async (): Promise<Latency> => {
    const result = await host.load({
      ...{ nsid: target.nsid, blockBytes, depth: 4, queues: 1, ioBytes: 4096 },
      ...{ pattern: 'random', readPercent: 50, spanBytes: BigInt(volumeBytes / 2) },
      ...{ warmupMs: 200, durationMs, seed: 1n },
    });
    if (result.errors > 0n) throw new Error(`${result.errors} errors: ${result.firstError}`);
    return {
      p50Us: Number(result.latencyNs[0]) / 1000,
      p99Us: Number(result.latencyNs[1]) / 1000,
    };
  };
  const quiet: Latency[] = [];
  const hostile: Latency[] = [];
  let opened = 0;
  for (let turn = 0; turn < turns; turn += 1) {
    quiet.push(await measure());
    const end = peers(target.port, perSecond);
    hostile.push(await measure());
    opened += await end();
  }
  const of = (list: readonly Latency[]): Latency => ({
    p50Us: median(list.map(({ p50Us }) => p50Us)),
    p99Us: median(list.map(({ p99Us }) => p99Us)),
  });
  const ratio = (what: keyof Latency): number =>
    median(hostile.map((each, i) => each[what] / (quiet[i]?.[what] ?? 1)));
  return {
    ...{ turns, connectionsPerSecond: perSecond, opened, wanted },
    ...{ quiet: of(quiet), hostile: of(hostile) },
    ratio: { p50: ratio('p50Us'), p99: ratio('p99Us') },
  };
}
