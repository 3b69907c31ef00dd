/**
 * SPDK's nvmf_tgt as the other target of a side-by-side run, where somebody has built it: the
 * program is named by `ASHLAR_SPDK_TGT`. It is driven over its JSON-RPC socket.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** One JSON-RPC. */
export type SpdkCall = (method: string, params: unknown) => Promise<unknown>;

export interface SpdkOptions {
  /** The CPU that its reactor polls on. */
  cpu: number;
  port: number;
  /** Makes the block devices to serve and answers their names: NSID 1, 2 and so on. */
  makeDevices: (call: SpdkCall) => Promise<readonly string[]>;
}

export const spdkBlockBytes = 4096;
const memoryMebibytes = 1024;
const subnqn = 'nqn.2016-06.io.spdk:ashlar-bench';
const startMs = 60_000;

/** Where it is built on this machine; null: nowhere, and no run is made against it. */
export function spdkProgram(): string | null {
  return process.env.ASHLAR_SPDK_TGT ?? null;
}

/** A running nvmf_tgt on 127.0.0.1. */
export class SpdkTarget implements AsyncDisposable {
  readonly subnqn = subnqn;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(
    child: ChildProcess,
    folder: string,
    readonly port: number,
  ) {
    this.#child = child;
    this.#folder = folder;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Without huge pages: it needs nothing of the machine. One reactor, which always polls. */
  static async start(program: string, options: SpdkOptions): Promise<SpdkTarget> {
    const folder = await mkdtemp(path.join(tmpdir(), 'ashlar-spdk-'));
    const mask = `0x${(1n << BigInt(options.cpu)).toString(16)}`;
    const args = ['--no-huge', '-s', String(memoryMebibytes), '-m', mask];
    const child = spawn(program, [...args, '-r', path.join(folder, 'rpc')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const target = new SpdkTarget(child, folder, options.port);
    try {
      await target.#configure(options);
    } catch (thrown) {
      await target[Symbol.asyncDispose]();
      throw thrown;
    }
    return target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      // One that is stopped does not hear it.
      this.#child.kill('SIGCONT');
      await gone;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #configure({ port, makeDevices }: SpdkOptions): Promise<void> {
    await this.#ready();
    await this.call('nvmf_create_transport', { trtype: 'TCP', max_queue_depth: 256 });
    await this.call('nvmf_create_subsystem', { nqn: subnqn, allow_any_host: true });
    const names = await makeDevices((method, params) => this.call(method, params));
    for (const [at, name] of names.entries()) {
      const namespace = { bdev_name: name, nsid: at + 1 };
      await this.call('nvmf_subsystem_add_ns', { nqn: subnqn, namespace });
    }
    await this.call('nvmf_subsystem_add_listener', {
      nqn: subnqn,
      listen_address: { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: String(port) },
    });
  }

  /** Until it answers on its socket. */
  async #ready(): Promise<void> {
    let said = '';
    this.#child.stderr?.on('data', (piece: Buffer) => {
      said = (said + piece.toString()).slice(-2000);
    });
    const until = performance.now() + startMs;
    for (;;) {
      if (this.#child.exitCode !== null) throw new Error(`nvmf_tgt ended: ${said.trim()}`);
      try {
        await this.call('spdk_get_version', null);
        return;
      } catch (thrown) {
        if (performance.now() > until) throw thrown;
        await delay(100);
      }
    }
  }

  /** @throws Error with its own words. */
  async call(method: string, params: unknown): Promise<unknown> {
    const socket = connect(path.join(this.#folder, 'rpc'));
    try {
      await once(socket, 'connect');
      const request = { jsonrpc: '2.0', id: 1, method, ...(params === null ? {} : { params }) };
      socket.write(JSON.stringify(request));
      let text = '';
      for await (const piece of socket) {
        text += String(piece);
        const answer = parse(text);
        if (answer === null) continue;
        if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
        return answer.result;
      }
      throw new Error(`nvmf_tgt closed the connection in the middle of '${method}'`);
    } finally {
      socket.destroy();
    }
  }
}

interface Answer {
  result?: unknown;
  error?: { message: string };
}

/** null: not whole yet. */
function parse(text: string): Answer | null {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return null;
  }
}
