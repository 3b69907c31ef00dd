/**
 * A host that takes all it can get, as a process of its own that is to be started under SCHED_IDLE:
 * whoever shares its CPU and wakes up runs at once, so that what it costs a neighbour is the
 * target's doing. Its orders come as messages; each is answered when it is done.
 */
import { connectHost, type Host } from '../lib/host/index.js';
import type { LoadSettings } from '../lib/host/load.js';

/** The load's, but for what a message cannot carry. */
export interface NoisyLoad extends Omit<LoadSettings, 'spanBytes' | 'seed' | 'maxCommands'> {
  spanBytes: number;
  seed: number;
}

export interface NoisyPlace {
  port: number;
  subnqn: string;
  hostnqn: string;
  cpu: number;
  queues: number;
  depth: number;
}

export type NoisyOrder =
  | { kind: 'connect'; place: NoisyPlace }
  | { kind: 'load'; load: NoisyLoad }
  /** Keeps the CPU from sleeping for so long, with nothing. */
  | { kind: 'spin'; ms: number }
  | { kind: 'end' };

/** Commands answered a second; 0 for what is no load. */
export interface NoisyAnswer {
  iops: number;
  /** Why it could not be done; null: it was. */
  problem: string | null;
}

/** Between two looks at what time it is. */
const spinTurns = 100_000;

let host: Host | null = null;

async function obey(order: NoisyOrder): Promise<number> {
  if (order.kind === 'connect') {
    const { queues, depth, cpu, ...place } = order.place;
    await host?.close();
    host = await connectHost({
      ...{ ...place, address: '127.0.0.1', cpus: [cpu] },
      ...{ ioQueues: queues, queueDepth: depth + 1, busyPollUs: 1000 },
    });
    return 0;
  }
  if (order.kind === 'spin') {
    const end = performance.now() + order.ms;
    let turns = 0;
    while (performance.now() < end) for (let i = 0; i < spinTurns; i += 1) turns += 1;
    return turns > 0 ? 0 : Number.NaN;
  }
  if (order.kind === 'load') {
    if (host === null) throw new Error('a load before a connection');
    const { spanBytes, seed, ...rest } = order.load;
    const result = await host.load({ ...rest, spanBytes: BigInt(spanBytes), seed: BigInt(seed) });
    if (result.firstError !== null) throw new Error(result.firstError);
    return Number(result.commands) / (Number(result.elapsedNs) / 1e9);
  }
  await host?.close();
  return 0;
}

process.on('message', (order: NoisyOrder) => {
  const answer = (given: NoisyAnswer): void => {
    process.send?.(given, () => {
      if (order.kind === 'end') process.exit();
    });
  };
  void obey(order).then(
    (iops) => answer({ iops, problem: null }),
    (error: Error) => answer({ iops: 0, problem: error.message }),
  );
});
