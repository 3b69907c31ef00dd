/** `ashlar csi` as a child process, as a pod runs it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { program, type Workspace } from '../rig/daemon.js';
import { CsiClient } from './client.js';

const startTimeoutMs = 20_000;

export class PluginProcess implements AsyncDisposable {
  #log = '';

  private constructor(
    private readonly child: ChildProcess,
    readonly client: CsiClient,
  ) {}

  /** Starts one with a file of these lines; resolves when it serves. */
  static async start(workspace: Workspace, lines: readonly string[]): Promise<PluginProcess> {
    const socket = workspace.file('csi.sock');
    const config = workspace.file('csi.toml');
    fs.writeFileSync(config, `${lines.join('\n')}\n`);
    const child = spawn(
      process.execPath,
      ['--enable-source-maps', program, 'csi', '--config', config, '--csi-socket', socket],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const plugin = new PluginProcess(child, new CsiClient(`unix:${socket}`));
    child.stderr?.on('data', (piece: Buffer) => {
      plugin.#log += piece.toString();
    });
    const deadline = Date.now() + startTimeoutMs;
    while (!plugin.#log.includes('the plugin serves')) {
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`the plugin did not serve; its log:\n${plugin.#log}`);
      }
      await delay(20);
    }
    return plugin;
  }

  get log(): string {
    return this.#log;
  }

  /** Ends it by a signal; resolves to its exit code, null when the signal itself ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.client[Symbol.dispose]();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const ended = once(this.child, 'close');
    this.child.kill(signal);
    await ended;
    return this.child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}
