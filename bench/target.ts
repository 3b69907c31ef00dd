/** Starts and stops the benchmark's daemon. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { connectHost, type Host } from '../lib/host/index.js';

/** A running daemon with one volume. */
export class BenchTarget implements AsyncDisposable {
  readonly pid: number;
  readonly nsid: number;
  readonly #child: ChildProcess;
  readonly port: number;
  readonly #subnqn: string;

  private constructor(child: ChildProcess, at: { port: number; subnqn: string; nsid: number }) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.nsid = at.nsid;
    this.port = at.port;
    this.#subnqn = at.subnqn;
  }

  /**
   * `poolBytes`: not given, room for the volume, the journal and the map. `populate`: its memory is
   * there from the start; without it the first write to each page costs a page fault.
   */
  static async start(
    cpu: number,
    volumeBytes: number,
    poolBytes = volumeBytes * 1.5 + 512 * 1024 * 1024,
    populate = false,
  ): Promise<BenchTarget> {
    const program = fileURLToPath(new URL('./daemon.js', import.meta.url));
    const child = fork(program, [cpu, poolBytes, volumeBytes, populate].map(String));
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the daemon of the benchmark ended with ${String(code)}`);
    });
    ended.catch(() => {});
    const [message] = (await Promise.race([once(child, 'message'), ended])) as unknown[];
    return new BenchTarget(child, message as { port: number; subnqn: string; nsid: number });
  }

  connect(options: {
    cpu: number;
    queues: number;
    depth: number;
    digests?: boolean;
  }): Promise<Host> {
    return connectHost({
      address: '127.0.0.1',
      port: this.port,
      subnqn: this.#subnqn,
      hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000b47c4',
      ioQueues: options.queues,
      queueDepth: options.depth + 1,
      headerDigest: options.digests ?? false,
      dataDigest: options.digests ?? false,
      cpu: options.cpu,
    });
  }

  /** Takes a snapshot of the volume. */
  async snapshot(): Promise<void> {
    const taken = once(this.#child, 'message');
    this.#child.send('snapshot');
    await taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.send('stop');
    await gone;
  }
}
