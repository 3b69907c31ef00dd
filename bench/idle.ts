/** The CPU time of a daemon that has 16 connected queues and nothing to do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { processCpuMs } from './machine.js';
import { BenchTarget } from './target.js';

export interface IdleReport {
  queues: number;
  seconds: number;
  /** Of the daemon's whole process, percent of one CPU. */
  cpuPercent: number;
  wanted: number;
}

/** Measures for `seconds`, after the connections have settled. */
export async function measureIdle(
  cpus: { targetCpu: number; hostCpu: number },
  seconds: number,
): Promise<IdleReport> {
  const queues = 16;
  await using target = await BenchTarget.start(cpus.targetCpu, 64 * 1024 * 1024);
  await using host = await target.connect({ cpu: cpus.hostCpu, queues, depth: 31 });
  await host.identifyController();
  await sleep(2000);
  const before = await processCpuMs(target.pid);
  const from = performance.now();
  await sleep(seconds * 1000);
  const elapsedMs = performance.now() - from;
  const cpuMs = (await processCpuMs(target.pid)) - before;
  return { queues, seconds, cpuPercent: (100 * cpuMs) / elapsedMs, wanted: 2 };
}
