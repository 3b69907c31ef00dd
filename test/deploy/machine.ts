/** A machine run by systemd, in namespaces on this one; see machine.sh. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Workspace } from '../rig/daemon.js';

const bootTimeoutMs = 30_000;
const scriptTimeoutMs = 60_000;

export interface ScriptResult {
  code: number;
  /** Of both streams. */
  output: string;
}

/** Why none can be booted here; null: one can. */
export function machineProblem(): string | null {
  if (process.getuid?.() !== 0) return 'it takes root to boot systemd in namespaces';
  if (!fs.existsSync('/lib/systemd/systemd')) return 'systemd is not installed';
  const script =
    'set -e; d=$(mktemp -d); mount -t cgroup2 cgroup2 $d; umount $d; mount -t tmpfs tmpfs $d; ' +
    'mkdir $d/u $d/w $d/r; mount -t overlay overlay -o lowerdir=/,upperdir=$d/u,workdir=$d/w $d/r; ' +
    'umount $d/r $d; rmdir $d';
  const { status, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', script]);
  return status === 0 ? null : `no namespaces to boot systemd in: ${String(stderr).trim()}`;
}

export class Machine implements AsyncDisposable {
  readonly #workspace = new Workspace();
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #init = 0;
  #log = '';

  private constructor() {
    const { path: folder } = this.#workspace;
    for (const name of ['groups', 'layers']) fs.mkdirSync(path.join(folder, name));
    const script = path.join(process.cwd(), 'test/deploy/machine.sh');
    this.#child = spawn(
      'unshare',
      ['-m', '/bin/sh', script, folder, process.cwd(), fs.realpathSync(process.execPath)],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const note = (piece: Buffer) => {
      this.#log += piece.toString();
    };
    this.#child.stdout?.on('data', note);
    this.#child.stderr?.on('data', note);
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()));
  }

  /** Boots; resolves when systemd has nothing more to start, after about two seconds. */
  static async boot(): Promise<Machine> {
    const machine = new Machine();
    try {
      await machine.#booted();
      return machine;
    } catch (thrown) {
      await machine[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  async #booted(): Promise<void> {
    const deadline = Date.now() + bootTimeoutMs;
    for (;;) {
      this.#init = this.#findInit();
      if (this.#init !== 0) {
        const { output } = await this.attempt('systemctl is-system-running --wait');
        if (/^(running|degraded)$/m.test(output)) return;
      }
      if (Date.now() > deadline || this.#child.exitCode !== null) {
        throw new Error(`the machine did not boot:\n${this.#log}`);
      }
      await delay(50);
    }
  }

  /** systemd is the one child of the process that holds its namespaces. */
  #findInit(): number {
    const { pid } = this.#child;
    try {
      const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
      const init = Number(children.trim());
      return fs.readFileSync(`/proc/${init}/comm`, 'utf8') === 'systemd\n' ? init : 0;
    } catch {
      return 0;
    }
  }

  /** Runs a script as root in there, whatever it returns. */
  attempt(script: string): Promise<ScriptResult> {
    const inside = ['-t', String(this.#init), '-a', '--wd=/'];
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LC_ALL: 'C.UTF-8' };
    return new Promise((resolve) => {
      execFile(
        'nsenter',
        [...inside, '/bin/sh', '-c', `exec 2>&1; cd /\n${script}`],
        { env, timeout: scriptTimeoutMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20 },
        (error, stdout) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
          resolve({ code, output: stdout });
        },
      );
    });
  }

  /** A script that must succeed (`set -e` is on); what it printed, without space around. */
  async sh(script: string): Promise<string> {
    const { code, output } = await this.attempt(`set -e\n${script}`);
    if (code === 0) return output.trim();
    const { output: journal } = await this.attempt('journalctl -u ashlar --no-pager | tail -40');
    throw new Error(`exit code ${code} in the machine:\n${script}\n${output}\n${journal}`);
  }

  /** Copies a file of this machine into it. */
  async give(file: string, place: string): Promise<void> {
    await fs.promises.copyFile(file, path.join(`/proc/${this.#init}/root`, place));
  }

  /** Asks again and again until the answer fits. */
  async until(script: string, wanted: RegExp, timeoutMs = 20_000): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const { output } = await this.attempt(script);
      if (wanted.test(output)) return output.trim();
      if (Date.now() > deadline) {
        throw new Error(`'${script}' did not come to ${wanted}; it says: ${output}`);
      }
      await delay(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
    // The group and those below it are left behind in the hierarchy, empty.
    const { path: folder } = this.#workspace;
    const group = path.join(folder, 'groups', path.basename(folder));
    const script =
      `mount -t cgroup2 cgroup2 ${folder}/groups; ` +
      `for try in 1 2 3 4 5 6 7 8 9 10; do ` +
      `find ${group} -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.1; done`;
    spawnSync('unshare', ['-m', '/bin/sh', '-c', script]);
    this.#workspace[Symbol.dispose]();
  }
}
