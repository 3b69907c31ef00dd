/** What a command line of `ashlar bench run` names as subjects, and what limits each of them. */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import {
  FileLimit,
  isOwnAddress,
  type LimitSource,
  Limits,
  loopbackLimit,
} from '../bench/limits.js';
import { LocalSubject } from '../bench/local.js';
import type { Scenario } from '../bench/results.js';
import { SelfSubject } from '../bench/self.js';
import type { Generator, OpenSubject } from '../bench/subject.js';
import { TargetSubject } from '../bench/target.js';
import { parseEndpoint } from '../config/endpoint.js';
import { AshlarError } from '../errors.js';
import type { LoopbackThreads } from '../native.js';
import { type SweepOptions, writesOf } from './bench_sweep.js';

export interface BenchOptions extends SweepOptions {
  target?: string[];
  nqn?: string[];
  nsid?: number[];
  hostnqn?: string;
  targetPid?: number;
  local?: string;
  self?: boolean;
  pool?: string;
  reactors?: number;
  targetCpus?: number[];
  busyPollUs?: number;
  overwrite?: boolean;
  /** False: no limit is measured. */
  limit?: boolean;
  limitLocal?: boolean;
  rounds?: number;
  duration?: number;
  warmup?: number;
  seed?: number;
  pollUs?: number;
  cpus?: number[];
  title?: string;
  output?: string;
  json?: boolean;
}

const nvmeTcpPort = 4420;
const benchHostnqn = 'nqn.2014-08.org.nvmexpress:uuid:a5b1a4be-4c40-4000-8000-000000000001';
/** How long the generator polls where nothing is said, µs. */
export const defaultPollUs = 1000;
export const defaultDurationMs = 1000;

/** Whether an Ashlar is started for the run. */
function ownOf(options: BenchOptions): boolean {
  return options.self === true || (options.target === undefined && options.local === undefined);
}

/** What is open for a run, in the order in which its parts are closed. */
export class OpenSubjects implements AsyncDisposable {
  readonly subjects: OpenSubject[] = [];
  readonly limits: Limits;
  readonly #files: FileLimit[] = [];

  private constructor(limitMs: number) {
    this.limits = new Limits(limitMs);
  }

  /**
   * Opens what the options name, after all of them have been read.
   *
   * @throws AshlarError 'usage', or what an opening says; nothing is left open then.
   */
  static async open(options: BenchOptions, scenarios: readonly Scenario[]): Promise<OpenSubjects> {
    checkSubjects(options, ownOf(options));
    const plans = plansOf(options, scenarios);
    const opened = new OpenSubjects((options.duration ?? defaultDurationMs) / 2);
    try {
      for (const plan of plans) await opened.#add(plan);
    } catch (error) {
      await opened[Symbol.asyncDispose]();
      throw error;
    }
    return opened;
  }

  async #add({ open, describe, loopback, file }: Plan): Promise<void> {
    const subject = await open();
    this.subjects.push(subject);
    const sources: LimitSource[] = [];
    if (loopback !== null) {
      sources.push(({ workload }, ms) => loopbackLimit(workload, loopback, ms));
    }
    if (file !== null) {
      const limit = await FileLimit.open(file.pool, file.bytes, file.generator);
      this.#files.push(limit);
      sources.push(limit.measure);
    }
    this.limits.add(subject.subject.name, { description: describe, sources });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of [...this.#files, ...this.subjects.reverse()]) {
      await each[Symbol.asyncDispose]();
    }
  }
}

/** A subject before it is opened, and what limits it. */
interface Plan {
  open: () => Promise<OpenSubject>;
  /** As of LimitMeter.describe. */
  describe: string;
  loopback: { requester: LoopbackThreads; responder: LoopbackThreads } | null;
  file: { pool: string; bytes: number; generator: Generator } | null;
}

function plansOf(options: BenchOptions, scenarios: readonly Scenario[]): Plan[] {
  const generator: Generator = {
    cpus: options.cpus ?? null,
    pollUs: options.pollUs ?? defaultPollUs,
  };
  const selves = ownOf(options) ? [selfPlan(options, scenarios, generator)] : [];
  const targets = (options.target ?? []).map((text, index) =>
    targetPlan(options, scenarios, generator, { text, index }),
  );
  return [...selves, ...targets, ...localPlans(options, scenarios, generator)];
}

function requesterOf({ cpus }: Generator): LoopbackThreads {
  return { threads: cpus?.length ?? 1, cpus: cpus === null ? null : [...cpus] };
}

function targetPlan(
  options: BenchOptions,
  scenarios: readonly Scenario[],
  generator: Generator,
  { text, index }: { text: string; index: number },
): Plan {
  const { address, port } = parseEndpoint(text, nvmeTcpPort, '--target');
  const name = options.target?.length === 1 ? 'target' : `target${index + 1}`;
  const hostnqn = options.hostnqn ?? benchHostnqn;
  const place = { name, address, port, subnqn: options.nqn?.[index] ?? '', hostnqn };
  const how = {
    ...{ nsids: options.nsid ?? [], pid: options.targetPid ?? null, generator },
    ...{ overwrite: options.overwrite === true, writes: writesOf(scenarios) },
  };
  const requester = requesterOf(generator);
  // How many threads it has is not known: as many as may be.
  const threads = Math.min(64, Math.max(1, availableParallelism() - requester.threads));
  const own = isOwnAddress(address);
  const measured = options.limit !== false && (own || options.limitLocal === true);
  return {
    open: () => TargetSubject.open({ ...place, ...how }),
    describe: !measured
      ? own
        ? 'not measured (--no-limit)'
        : 'none known: the target is on another machine (--limit-local: what loopback does here)'
      : own
        ? 'plain TCP over loopback, with the same sizes, depth and connections'
        : 'plain TCP over the loopback of this machine, which is no limit of the network',
    loopback: measured ? { requester, responder: { threads, cpus: null } } : null,
    file: null,
  };
}

function localPlans(
  options: BenchOptions,
  scenarios: readonly Scenario[],
  generator: Generator,
): Plan[] {
  const { local } = options;
  if (local === undefined) return [];
  const spanBytes = Math.max(...scenarios.map(({ setting }) => setting.spanBytes));
  const open = (): Promise<OpenSubject> =>
    LocalSubject.open({
      ...{ name: 'local', path: local, createBytes: spanBytes, generator },
      ...{ overwrite: options.overwrite === true, writes: writesOf(scenarios) },
    });
  const describe = 'it is one itself: io_uring without network and store';
  return [{ open, describe, loopback: null, file: null }];
}

function selfPlan(
  options: BenchOptions,
  scenarios: readonly Scenario[],
  generator: Generator,
): Plan {
  const program = process.argv[1];
  if (program === undefined) throw new AshlarError('internal', 'no program to start a daemon from');
  const { pool, targetCpus } = options;
  const reactors = options.reactors ?? 1;
  const open = (): Promise<OpenSubject> =>
    SelfSubject.open({
      ...{ name: 'self', program: [resolve(program)], reactors, generator },
      ...{ poolFile: pool ?? null, poolBytes: poolBytes(scenarios), cpus: targetCpus ?? null },
      ...{ busyPollUs: options.busyPollUs ?? 0, hostnqn: options.hostnqn ?? benchHostnqn },
    });
  if (options.limit === false) {
    return { open, describe: 'not measured (--no-limit)', loopback: null, file: null };
  }
  const responder = { threads: reactors, cpus: targetCpus ?? null };
  const loopback = { requester: requesterOf(generator), responder };
  const describe = 'plain TCP over loopback, with the same sizes, depth and connections';
  if (pool === undefined) return { open, describe, loopback, file: null };
  const bytes = Math.max(...scenarios.map(({ setting }) => setting.volumes * setting.spanBytes));
  return {
    open,
    describe: `${describe}, or io_uring on a file beside the pool: the lower`,
    loopback,
    // The I/Os of the pool are its reactors'.
    file: { pool, bytes, generator: { cpus: targetCpus ?? null, pollUs: generator.pollUs } },
  };
}

function checkSubjects(options: BenchOptions, own: boolean): void {
  const wrong = (message: string): AshlarError => new AshlarError('usage', message);
  const targets = options.target?.length ?? 0;
  if ((options.nqn?.length ?? 0) !== targets) {
    throw wrong('--target and --nqn go in pairs: the address of a target, and its subsystem NQN');
  }
  if (targets !== 1 && (options.nsid !== undefined || options.targetPid !== undefined)) {
    throw wrong('--nsid and --target-pid go with one --target');
  }
  if (!own && (options.pool !== undefined || options.reactors !== undefined)) {
    throw wrong('--pool and --reactors are of the Ashlar that --self starts');
  }
  if (options.targetCpus !== undefined && options.targetCpus.length !== (options.reactors ?? 1)) {
    throw wrong('--target-cpus names one CPU for each of --reactors');
  }
}

/** Room for the volumes, a copy of each by snapshots, the map and the journal; it is sparse. */
function poolBytes(scenarios: readonly Scenario[]): number {
  const mib = 1024 * 1024;
  const largest = Math.max(
    ...scenarios.map(({ setting }) => setting.volumes * setting.spanBytes * 3),
  );
  return Math.ceil(largest / mib) * mib + 1024 * mib;
}
