/**
 * A TCP relay in a process of its own, between a host and a target: a network that a test breaks
 * on purpose. Killing the process resets what it carries, stopping it (SIGSTOP) loses everything
 * silently, and by message it delays, cuts and refuses.
 */
import { type ChildProcess, fork } from 'node:child_process';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** What a relay is told to do. */
export type RelayOrder =
  /** Takes connections for the target: at this port, or at a free one when it is 0. */
  | { kind: 'listen'; port: number; targetPort: number }
  /** Bytes wait for so long before they go on, in each direction; 0 again: not at all. */
  | { kind: 'delay'; toTargetMs: number; toHostMs: number }
  /** Resets every connection. */
  | { kind: 'cut' }
  /** Stops listening: this machine refuses new connections. Those that the relay took stay. */
  | { kind: 'refuse' }
  | { kind: 'count' };

/** How a relay is after an order. */
export interface RelayCounts {
  port: number;
  /** Connections that it took since its process began. */
  accepted: number;
  /** Of these, the ones that it carries. */
  open: number;
}

/** Each order has one answer. */
export type RelayAnswer =
  | { id: number; counts: RelayCounts }
  | { id: number; code: string; message: string };

interface Waiting {
  resolve: (counts: RelayCounts) => void;
  reject: (reason: Error) => void;
}

const script = fileURLToPath(new URL('./relay_process.js', import.meta.url));

export class Relay implements AsyncDisposable {
  #child: ChildProcess | null = null;
  #exit: Promise<unknown> = Promise.resolve();
  #stopped = false;
  #port = 0;
  #count = 0;
  readonly #waiting = new Map<number, Waiting>();

  private constructor(private readonly targetPort: number) {}

  /** Starts one on 127.0.0.1. Rejects when the port is taken. */
  static async start(targetPort: number, port = 0): Promise<Relay> {
    const relay = new Relay(targetPort);
    relay.#port = port;
    try {
      await relay.start();
    } catch (error) {
      await relay.kill();
      throw error;
    }
    return relay;
  }

  /** Where it listens; the same after every start. */
  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts its process again after {@link kill}, at the same port and without a delay. */
  async start(): Promise<void> {
    // A test is run with options of Node's test runner, which are not for this child.
    const child = fork(script, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child = child;
    this.#stopped = false;
    this.#exit = new Promise((resolve) => {
      child.once('error', resolve);
      child.once('exit', resolve);
    });
    child.on('message', (answer: RelayAnswer) => this.#answered(answer));
    void this.#exit.then(() => this.#failAll('its process ended'));
    await this.accept();
  }

  /** Takes connections, as it does from its start until {@link refuse}. */
  async accept(): Promise<void> {
    const { port, targetPort } = { port: this.#port, targetPort: this.targetPort };
    this.#port = (await this.#order({ kind: 'listen', port, targetPort })).port;
  }

  async refuse(): Promise<void> {
    await this.#order({ kind: 'refuse' });
  }

  /** Resets every connection that it carries; new ones are welcome. */
  async cut(): Promise<void> {
    await this.#order({ kind: 'cut' });
  }

  /** Bytes that have come already keep the time that they were given. */
  async delay(toTargetMs: number, toHostMs: number): Promise<void> {
    await this.#order({ kind: 'delay', toTargetMs, toHostMs });
  }

  counts(): Promise<RelayCounts> {
    return this.#order({ kind: 'count' });
  }

  /** SIGKILL. Its connections are reset and new ones are refused until {@link start}. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exit;
  }

  /**
   * SIGSTOP, and the process stands still when this resolves. This machine goes on to accept
   * connections and bytes in its name; nothing of them comes out and no end hears of it.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#child?.kill('SIGSTOP');
    // The signal is delivered to a running process within its next tick of the scheduler.
    while (this.#processState() !== 'T') await delay(1);
  }

  /** SIGCONT: it carries on, with what has been waiting first. */
  resume(): void {
    this.#stopped = false;
    this.#child?.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /** The letter of proc(5). Throws when there is no process. */
  #processState(): string {
    const stat = fs.readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).charAt(0);
  }

  #order(order: RelayOrder): Promise<RelayCounts> {
    const child = this.#child;
    if (child === null || !child.connected) {
      return Promise.reject(new Error(`relay ${this.#port}: it has no process`));
    }
    if (this.#stopped) return Promise.reject(new Error(`relay ${this.#port}: it is stopped`));
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      child.send({ id, ...order }, (error) => {
        if (error !== null) this.#failAll(error.message);
      });
    });
  }

  #answered(answer: RelayAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('counts' in answer) waiting?.resolve(answer.counts);
    else waiting?.reject(Object.assign(new Error(answer.message), { code: answer.code }));
  }

  #failAll(reason: string): void {
    for (const { reject } of this.#waiting.values()) {
      reject(new Error(`relay ${this.#port}: ${reason}`));
    }
    this.#waiting.clear();
  }
}
