/**
 * Ashlar, asleep and polling, beside SPDK's null device where somebody has built that: the
 * workloads of the table in docs/performance.md, each subject in turn within each round. Without
 * SPDK the share of the machine's limit stands alone.
 */
import path from 'node:path';
import type { BenchResult, Scenario, Setting, Workload } from '../lib/bench/results.js';
import { type RunEvent, runBench } from '../lib/bench/run.js';
import { defaultSweep, planSweep, unique } from '../lib/bench/scenarios.js';
import { SelfSubject } from '../lib/bench/self.js';
import type { OpenSubject, Turn } from '../lib/bench/subject.js';
import { TargetSubject } from '../lib/bench/target.js';
import type { LoadResult } from '../lib/native.js';
import { Loopback } from './machine.js';
import { SpdkTarget, spdkProgram } from './spdk.js';
import { loopbackLimit } from './standard.js';

export interface SideBySideOptions {
  root: string;
  hostCpu: number;
  targetCpu: number;
  rounds: number;
  durationMs: number;
  tell: (event: RunEvent) => void;
}

const pollUs = 1000;
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000b47c6';
const kib = 1024;
const gib = 1024 ** 3;
const spdkPort = 4498;

/** What all subjects can: no snapshots, no second volume. Its queues hold 127 commands. */
export function sideBySideSet(): Scenario[] {
  const base = { ...defaultSweep, readPercents: [100, 0] };
  return unique([
    ...planSweep({ ...base, ioBytes: [4 * kib], depths: [1, 32, 127] }),
    ...planSweep({ ...base, ioBytes: [4 * kib], queues: [8], depths: [1, 32, 127] }),
    ...planSweep({ ...base, ioBytes: [128 * kib], depths: [32] }),
    ...planSweep({ ...base, ioBytes: [4 * kib], depths: [32], digests: true }),
  ]);
}

/** SPDK, which polls always: between its turns it is stopped, so that the CPU is the others'. */
class SpdkSubject implements OpenSubject {
  readonly pid: number;

  constructor(
    readonly inner: TargetSubject,
    readonly target: SpdkTarget,
  ) {
    this.pid = target.pid;
    process.kill(this.pid, 'SIGSTOP');
  }
  get subject(): TargetSubject['subject'] {
    return this.inner.subject;
  }
  prepare(setting: Setting, tell: (what: string) => void): Promise<void> {
    return this.#running(() => this.inner.prepare(setting, tell));
  }
  async beforeRound(): Promise<void> {}
  load(workload: Workload, setting: Setting, turn: Turn): Promise<LoadResult> {
    return this.#running(() => this.inner.load(workload, setting, turn));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    process.kill(this.pid, 'SIGCONT');
    await this.inner[Symbol.asyncDispose]();
    await this.target[Symbol.asyncDispose]();
  }
  async #running<T>(work: () => Promise<T>): Promise<T> {
    process.kill(this.pid, 'SIGCONT');
    try {
      return await work();
    } finally {
      process.kill(this.pid, 'SIGSTOP');
    }
  }
}

async function openSpdk(program: string, options: SideBySideOptions): Promise<SpdkSubject> {
  const target = await SpdkTarget.start(program, {
    ...{ cpu: options.targetCpu, port: spdkPort, volumeBytes: gib },
  });
  const { subnqn, pid } = target;
  const inner = await TargetSubject.open({
    ...{ name: 'spdk null', address: '127.0.0.1', port: spdkPort, subnqn, hostnqn, pid },
    ...{ nsids: [target.nsid], overwrite: true, writes: true },
    generator: { cpus: [options.hostCpu], pollUs },
  });
  return new SpdkSubject(inner, target);
}

async function openSelf(
  name: string,
  busyPollUs: number,
  { root, hostCpu, targetCpu }: SideBySideOptions,
): Promise<OpenSubject> {
  return await SelfSubject.open({
    ...{ name, program: [path.join(root, '.build/lib/cli/main.js')], poolFile: null },
    ...{ poolBytes: 2 * gib, reactors: 1, cpus: [targetCpu], busyPollUs, hostnqn },
    generator: { cpus: [hostCpu], pollUs },
  });
}

export async function runSideBySide(options: SideBySideOptions): Promise<BenchResult> {
  const { root, hostCpu, targetCpu, rounds, durationMs, tell } = options;
  const loopback = await Loopback.build(root, [hostCpu, targetCpu]);
  const subjects: OpenSubject[] = [];
  try {
    subjects.push(await openSelf('ashlar asleep', 0, options));
    subjects.push(await openSelf('ashlar polling', pollUs, options));
    const program = spdkProgram();
    if (program !== null) subjects.push(await openSpdk(program, options));
    return await runBench({
      title: 'side by side',
      command: 'npm run bench -- side-by-side',
      scenarios: sideBySideSet(),
      subjects,
      ...{ rounds, durationMs, warmupMs: durationMs / 5, pollUs, seed: 1, tell },
      limit: (scenario) => loopbackLimit(loopback, scenario, durationMs / 2),
    });
  } finally {
    for (const subject of subjects.reverse()) await subject[Symbol.asyncDispose]();
  }
}
