/** The machine that figures were measured on, and the CPU time that a process has taken. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { cpus, hostname, loadavg, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { Machine } from './results.js';

/** What can change figures between two runs. */
export async function describeMachine(): Promise<Machine> {
  const congestion = '/proc/sys/net/ipv4/tcp_congestion_control';
  return {
    hostname: hostname(),
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    cpus: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    congestionControl: (await readFile(congestion, 'utf8').catch(() => 'unknown')).trim(),
    loadAverage: loadAverage(),
    cacheLineNs: await cacheLineNs(),
  };
}

/** Of one minute. */
export function loadAverage(): number {
  return loadavg()[0] ?? 0;
}

/** The revision of the checkout that this runs from; null: it runs from a package. */
export async function revision(): Promise<string | null> {
  const folder = dirname(fileURLToPath(import.meta.url));
  const run = promisify(execFile);
  try {
    const { stdout } = await run('git', ['-C', folder, 'rev-parse', '--short=12', 'HEAD']);
    return stdout.trim();
  } catch {
    return null;
  }
}

const rounds = 100;
const batches = 100;
const patienceMs = 2000;

/** The other end: answers every odd turn with the next even one. */
const answering = `
  const { workerData } = require('node:worker_threads');
  const turn = new Int32Array(workerData);
  for (let next = 1; ; ) {
    const now = Atomics.load(turn, 0);
    if (now < 0) break;
    if (now !== next) continue;
    Atomics.store(turn, 0, next + 1);
    next += 2;
  }
`;

/**
 * One cache line there and back between two threads, ns: the shortest of several batches. It says
 * whether the machine is in a slow phase, or whether its CPUs are far apart. null: both threads
 * never ran at once.
 */
export async function cacheLineNs(): Promise<number | null> {
  const shared = new SharedArrayBuffer(64);
  const turn = new Int32Array(shared);
  const other = new Worker(answering, { eval: true, workerData: shared });
  try {
    await new Promise<void>((resolve, reject) => {
      other.once('online', resolve);
      other.once('error', reject);
    });
    return bounce(turn);
  } finally {
    Atomics.store(turn, 0, -1);
    await other.terminate();
  }
}

function bounce(turn: Int32Array): number | null {
  const giveUp = performance.now() + patienceMs;
  let shortest = Number.POSITIVE_INFINITY;
  let next = 1;
  // The first batch waits for the other thread to begin.
  for (let batch = 0; batch <= batches; batch += 1) {
    const from = performance.now();
    for (let round = 0; round < rounds; round += 1) {
      Atomics.store(turn, 0, next);
      for (let spin = 0; Atomics.load(turn, 0) !== next + 1; spin += 1) {
        // Where others run too, the other thread may be away for long: what was seen counts.
        if (spin % 4096 === 4095 && performance.now() > giveUp) return nsOf(shortest);
      }
      next += 2;
    }
    if (batch > 0) shortest = Math.min(shortest, performance.now() - from);
  }
  return nsOf(shortest);
}

function nsOf(shortestMs: number): number | null {
  return Number.isFinite(shortestMs) ? (shortestMs * 1e6) / rounds : null;
}

/**
 * CPU time of a process so far, all its threads, ns; null: there is no such process, or this is
 * another machine's. By the scheduler's own count where the kernel keeps one, else by ticks.
 */
export async function processCpuNs(pid: number): Promise<number | null> {
  try {
    const tasks = await readdir(`/proc/${pid}/task`);
    const times = await Promise.all(
      tasks.map((task) => readFile(`/proc/${pid}/task/${task}/schedstat`, 'utf8')),
    );
    return times.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0);
  } catch {
    return tickedCpuNs(pid);
  }
}

async function tickedCpuNs(pid: number): Promise<number | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command's name is in parentheses and may hold anything; then field 3. 14: utime.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const nsPerTick = 1e7;
    return (Number(fields[11]) + Number(fields[12])) * nsPerTick;
  } catch {
    return null;
  }
}
