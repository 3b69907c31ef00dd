/** What the paired runs share: an Ashlar of this checkout and its load generator, both pinned. */
import path from 'node:path';
import type { RunEvent } from '../lib/bench/run.js';
import { SelfSubject } from '../lib/bench/self.js';

export interface PairedOptions {
  root: string;
  hostCpu: number;
  targetCpu: number;
  rounds: number;
  durationMs: number;
  tell: (event: RunEvent) => void;
}

/** How long load generators, and targets that poll, look for work before they sleep. */
export const pollUs = 1000;
export const gib = 1024 ** 3;
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000b47c7';

export interface PoolPlace {
  name: string;
  /** null: in memory. */
  poolFile: string | null;
  poolBytes: number;
  busyPollUs: number;
}

/** One reactor on the target's CPU. */
export function openAshlar(
  { root, hostCpu, targetCpu }: PairedOptions,
  place: PoolPlace,
): Promise<SelfSubject> {
  return SelfSubject.open({
    ...{ ...place, program: [path.join(root, '.build/lib/cli/main.js')], reactors: 1 },
    ...{ cpus: [targetCpu], hostnqn, generator: { cpus: [hostCpu], pollUs } },
  });
}
