/** QEMU's control port (QMP): what becomes of the guest's hardware. */
import type net from 'node:net';
import { createInterface } from 'node:readline';

interface Waiting {
  resolve: () => void;
  reject: (reason: Error) => void;
}

interface Message {
  id?: number;
  error?: { class: string; desc: string };
}

export class Monitor {
  readonly #socket: net.Socket;
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('error', (error) => this.fail(error));
    createInterface({ input: socket }).on('line', (line) => {
      const { id, error } = JSON.parse(line) as Message;
      const waiting = id === undefined ? undefined : this.#waiting.get(id);
      if (id === undefined || waiting === undefined) return;
      this.#waiting.delete(id);
      if (error === undefined) waiting.resolve();
      else waiting.reject(new Error(`QEMU: ${error.class}: ${error.desc}`));
    });
  }

  /** The other end of QEMU's socket, which QEMU connects to when it starts. */
  static async accept(server: net.Server): Promise<Monitor> {
    const socket = await new Promise<net.Socket>((resolve) => {
      server.once('connection', resolve);
    });
    const monitor = new Monitor(socket);
    await monitor.execute('qmp_capabilities');
    return monitor;
  }

  /** Resolves when QEMU has done it. */
  execute(command: string, words: Record<string, unknown> = {}): Promise<void> {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: words, id })}\n`);
    });
  }

  fail(reason: Error): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
    this.#socket.destroy();
  }
}
