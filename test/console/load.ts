/** A host that reads and writes a volume until it is told to end. */
import type { Host } from '../../lib/host/index.js';

const blockBytes = 4096;

export class Load implements AsyncDisposable {
  #over = false;
  readonly #workers: Promise<void>[];

  private constructor(workers: (over: () => boolean) => Promise<void>[]) {
    this.#workers = workers(() => this.#over);
  }

  /** So many commands at once; `readShare` of them are reads, 0 to 1. */
  static async start(host: Host, nsid: number, depth: number, readShare: number): Promise<Load> {
    const namespace = await host.namespace(nsid);
    const data = new Uint8Array(blockBytes).fill(0xa5);
    const blocks = Math.min(16_384, Number(namespace.sizeBytes) / blockBytes);
    const work = async (over: () => boolean): Promise<void> => {
      while (!over()) {
        const offset = BigInt(Math.floor(Math.random() * blocks) * blockBytes);
        if (Math.random() < readShare) await namespace.read(offset, blockBytes);
        else await namespace.write(offset, data);
      }
    };
    return new Load((over) => Array.from({ length: depth }, () => work(over)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await Promise.all(this.#workers);
  }
}
