/** SPDK's nvmf_tgt as a subject of a run: one of its namespaces, and the process stopped between turns. */
import type { Setting, Workload } from '../lib/bench/results.js';
import type { Generator, OpenSubject, Turn } from '../lib/bench/subject.js';
import { TargetSubject } from '../lib/bench/target.js';
import type { LoadResult } from '../lib/native.js';
import type { SpdkTarget } from './spdk.js';

export interface SpdkSubjectOptions {
  name: string;
  nsid: number;
  generator: Generator;
  /** Takes a fresh snapshot of the volume in place of the last; left out: it has no snapshots. */
  snapshot?: (() => Promise<void>) | undefined;
}

const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000b47c6';

/** It polls always: but for its turns it is stopped, so that the CPU is the others'. */
export class SpdkSubject implements OpenSubject {
  readonly pid: number;
  readonly #inner: TargetSubject;
  readonly #snapshot: (() => Promise<void>) | undefined;

  private constructor(inner: TargetSubject, pid: number, snapshot?: () => Promise<void>) {
    this.#inner = inner;
    this.pid = pid;
    this.#snapshot = snapshot;
  }

  /** The target outlives it, and is stopped from here to the first turn. */
  static async open(target: SpdkTarget, options: SpdkSubjectOptions): Promise<SpdkSubject> {
    const { subnqn, port, pid } = target;
    const { name, nsid, generator, snapshot } = options;
    const inner = await running(pid, () =>
      TargetSubject.open({
        ...{ name, address: '127.0.0.1', port, subnqn, hostnqn, pid, generator },
        ...{ nsids: [nsid], overwrite: true, writes: true },
      }),
    );
    return new SpdkSubject(inner, pid, snapshot);
  }

  get subject(): TargetSubject['subject'] {
    return this.#inner.subject;
  }

  check(setting: Setting): void {
    this.#inner.check(this.#plain(setting));
  }

  prepare(setting: Setting, tell: (what: string) => void): Promise<void> {
    return running(this.pid, () => this.#inner.prepare(this.#plain(setting), tell));
  }

  /** Of the snapshots that are due beforeRound knows. */
  #plain(setting: Setting): Setting {
    if (this.#snapshot === undefined || setting.state !== 'fresh-snapshot') return setting;
    return { ...setting, state: 'filled' };
  }

  async beforeRound(setting: Setting): Promise<void> {
    if (setting.state !== 'fresh-snapshot' || this.#snapshot === undefined) return;
    await running(this.pid, this.#snapshot);
  }

  load(workload: Workload, setting: Setting, turn: Turn): Promise<LoadResult> {
    return running(this.pid, () => this.#inner.load(workload, setting, turn));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#inner[Symbol.asyncDispose]();
  }
}

/** Lets the process run for the time of `work`. */
async function running<T>(pid: number, work: () => Promise<T>): Promise<T> {
  process.kill(pid, 'SIGCONT');
  try {
    return await work();
  } finally {
    process.kill(pid, 'SIGSTOP');
  }
}
