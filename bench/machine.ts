/** The state of the machine that a figure was measured on, and its own limits. */
import { readFile } from 'node:fs/promises';
import { cpus, loadavg, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Limits } from './limits.js';

/** What can change figures between two runs. */
export interface MachineState {
  cpuModel: string;
  cpus: number;
  kernel: string;
  congestionControl: string;
  loadAverage: number;
  /** One cache-line round trip between the two CPUs, ns; it doubles when they are far apart. */
  cacheLineNs: number;
}

/** Plain TCP between the two CPUs, and what else the machine says of itself. */
export class Loopback {
  readonly #limits: Limits;

  private constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** `pair`: the CPUs of the host's and the target's reactor. */
  static async build(root: string, pair: readonly [number, number]): Promise<Loopback> {
    return new Loopback(await Limits.build(root, pair));
  }

  /** Exchanges a second at most: `depth` on each connection, `ms` for all variants together. */
  async exchanges(
    requestBytes: number,
    responseBytes: number,
    depth: number,
    connections: number,
    ms: number,
  ): Promise<number> {
    const exchange = { requestBytes, responseBytes, depth, connections, ms: ms / 4 };
    return (await this.#limits.tcp(exchange)).perSecond;
  }

  cacheLineNs(): Promise<number> {
    return this.#limits.cacheLineNs();
  }

  async state(): Promise<MachineState> {
    const congestion = '/proc/sys/net/ipv4/tcp_congestion_control';
    return {
      cpuModel: cpus()[0]?.model ?? 'unknown',
      cpus: cpus().length,
      kernel: release(),
      congestionControl: (await readFile(congestion, 'utf8').catch(() => 'unknown')).trim(),
      loadAverage: loadavg()[0] ?? 0,
      cacheLineNs: await this.cacheLineNs(),
    };
  }
}

/** CPU time of a process so far, all its threads, ms. */
export async function processCpuMs(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The command's name is in parentheses and may hold anything; fields 14 and 15 are utime, stime.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticksPerSecond = 100;
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

/** The folder of the checkout: two folders above this file once it is compiled. */
export function checkout(): string {
  return fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
}
