/** The state of the machine that a figure was measured on, and its own limits. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { cpus, loadavg, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

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

/** The reference program, compiled on first use. */
export class Loopback {
  readonly #program: string;
  readonly #cpus: readonly [number, number];

  private constructor(program: string, pair: readonly [number, number]) {
    this.#program = program;
    this.#cpus = pair;
  }

  /** `pair`: the CPUs of the host's and the target's reactor. */
  static async build(root: string, pair: readonly [number, number]): Promise<Loopback> {
    const source = `${root}/bench/loopback.cc`;
    const folder = `${root}/.build/bench`;
    const program = `${folder}/loopback`;
    await mkdir(folder, { recursive: true });
    const [from, made] = await Promise.all([stat(source), stat(program).catch(() => null)]);
    if (made === null || made.mtimeMs < from.mtimeMs) {
      await run('g++', ['-std=c++20', '-O2', '-o', program, source, '-pthread']);
    }
    return new Loopback(program, pair);
  }

  /** Exchanges a second of plain TCP with these sizes. */
  async exchanges(request: number, response: number, depth: number, ms: number): Promise<number> {
    const sizes = [request, response, depth, ms].map(String);
    const { stdout } = await run(this.#program, ['tcp', ...this.#cpus.map(String), ...sizes]);
    return Number(stdout);
  }

  async cacheLineNs(): Promise<number> {
    const { stdout } = await run(this.#program, ['ping', ...this.#cpus.map(String)]);
    return Number(stdout);
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

/** The folder of the checkout: the nearest above the compiled file that has bench/loopback.cc. */
export function checkout(): string {
  return fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
}
