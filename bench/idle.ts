/**
 * What an Ashlar takes while nothing happens: CPU time with 100 connections and 100 volumes, and
 * resident memory with 1,000 connections. A daemon with a pool in a file, as people run it.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processCpuNs } from '../lib/bench/machine.js';
import type { SelfSubject } from '../lib/bench/self.js';
import { connectHost, type Host } from '../lib/host/index.js';
import { openReactors } from '../lib/host/reactors.js';
import { loadNative } from '../lib/native.js';
import type { Row } from './pairs.js';
import { gib, openAshlar, type PairedOptions } from './subjects.js';

/** Resident bytes of a process. */
export interface Residence {
  rss: number;
  /** Pages that others map too count as a share. */
  pss: number;
  /** Of nobody else and of no file. */
  anonymous: number;
}

export interface IdleReport {
  seconds: number;
  /** Of the daemon's whole process, percent of one CPU. */
  cpuPercent: number;
  before: Residence;
  after: Residence;
  rows: Row[];
}

/** An admin queue and 24 I/O queues are what a host of 24 CPUs has. */
const ioQueues = 24;
const queuesEach = ioQueues + 1;
const volumes = 100;
const volumeBytes = 64 * 2 ** 20;
const wanted = { cpuPercent: 1, residentMib: 256 };
const mib = 2 ** 20;

/** Hosts on one reactor of ours, with queues of 128 entries; they keep alive as usual. */
class Hosts implements AsyncDisposable {
  readonly #runtime;
  readonly #hosts: Host[] = [];

  constructor(cpu: number) {
    this.#runtime = openReactors({ cpu });
  }
  get connections(): number {
    return this.#hosts.length * queuesEach;
  }
  async connect(self: SelfSubject, connections: number): Promise<void> {
    const { address, port, subnqn, hostnqn } = self.place;
    while (this.connections < connections) {
      const options = { address, port, subnqn, hostnqn, ioQueues, runtime: this.#runtime };
      this.#hosts.push(await connectHost(options));
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.#hosts) await host[Symbol.asyncDispose]();
    await loadNative().runtimeClose(this.#runtime);
  }
}

async function residence(pid: number): Promise<Residence> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const bytes = (name: string): number =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN);
  return { rss: bytes('Rss'), pss: bytes('Pss'), anonymous: bytes('Pss_Anon') };
}

async function cpuPercent(pid: number, seconds: number): Promise<number> {
  const before = (await processCpuNs(pid)) ?? Number.NaN;
  const from = performance.now();
  await sleep(seconds * 1000);
  const elapsedMs = performance.now() - from;
  const tookNs = ((await processCpuNs(pid)) ?? Number.NaN) - before;
  return (100 * tookNs) / 1e6 / elapsedMs;
}

/** CPU time is watched for `seconds`, after the connections have settled. */
export async function measureIdle(options: PairedOptions, seconds: number): Promise<IdleReport> {
  const folder = await mkdtemp(path.join(tmpdir(), 'ashlar-idle-'));
  try {
    const pool = { poolFile: path.join(folder, 'pool'), poolBytes: 2 * gib, busyPollUs: 0 };
    await using self = await openAshlar(options, { name: 'idle', ...pool });
    const setting = { volumes, spanBytes: volumeBytes, snapshots: 0, state: 'as-is' } as const;
    await self.prepare(setting, () => {});
    await sleep(2000);
    const before = await residence(self.pid);
    await using hosts = new Hosts(options.hostCpu);
    await hosts.connect(self, 100);
    await sleep(2000);
    const percent = await cpuPercent(self.pid, seconds);
    await hosts.connect(self, 1000);
    await sleep(2000);
    const after = await residence(self.pid);
    return { seconds, cpuPercent: percent, before, after, rows: rowsOf(percent, before, after) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function rowsOf(percent: number, before: Residence, after: Residence): Row[] {
  const shown = (bytes: number): string => (bytes / mib).toFixed(0);
  const each = ((after.anonymous - before.anonymous) / 1000 / 1024).toFixed(0);
  return [
    {
      what: `CPU time with 100 connections and ${volumes} volumes, idle`,
      wanted: `<= ${wanted.cpuPercent} % of a core`,
      reached: `${percent.toFixed(2)} %`,
      fine: percent <= wanted.cpuPercent,
    },
    {
      what: 'resident memory with 1,000 idle connections',
      wanted: `<= ${wanted.residentMib} MiB`,
      reached:
        `${shown(after.rss)} MiB (PSS ${shown(after.pss)} MiB); with none ${shown(before.rss)} MiB ` +
        `(PSS ${shown(before.pss)} MiB); ${each} KiB a connection`,
      fine: after.rss <= wanted.residentMib * mib,
    },
  ];
}
