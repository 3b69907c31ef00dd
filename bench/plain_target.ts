/** The program of bench/plain, or the same as bench/lines compiles it, while it serves. */
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';

export interface PlainTargetOptions {
  root: string;
  /** Its folder in bench/, and its name. */
  name: 'plain' | 'lines';
  /** How long reactors poll before they sleep. */
  busyPollUs: number;
  /** A reactor on each. */
  cpus: readonly number[];
  volumeBytes: number;
}

/** It takes any. */
export const plainNqn = 'nqn.2014-08.org.nvmexpress:ashlar-plain';

/** On 127.0.0.1: NSID 1 is a thin volume of a pool in memory, NSID 2 a flat piece of memory. */
export class PlainTarget implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #ended: Promise<never>;
  port = 0;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.#lines = createInterface({ input: child.stdout });
    this.#ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the target of the benchmark ended with ${String(code)}`);
    });
    this.#ended.catch(() => {});
  }

  /** @throws Error what make or the program had to say. */
  static async start(options: PlainTargetOptions): Promise<PlainTarget> {
    const { root, name, volumeBytes, busyPollUs, cpus } = options;
    await promisify(execFile)('make', ['-C', `${root}/bench/${name}`]);
    const args = [volumeBytes, busyPollUs, ...cpus].map(String);
    const stdio: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit'];
    const child = spawn(`${root}/.build/bench/${name}/${name}`, args, { stdio });
    const target = new PlainTarget(child);
    const line = once(target.#lines, 'line') as Promise<[string]>;
    target.port = Number((await Promise.race([line, target.#ended]))[0]);
    return target;
  }

  /** Says `word` to it and hears what it answers, up to an empty object. */
  async ask<T>(word: string): Promise<T[]> {
    const answer = new Promise<T[]>((resolve) => {
      const heard: T[] = [];
      const take = (line: string): void => {
        if (line !== '{}') return void heard.push(JSON.parse(line) as T);
        this.#lines.off('line', take);
        resolve(heard);
      };
      this.#lines.on('line', take);
    });
    this.say(word);
    return await Promise.race([answer, this.#ended]);
  }

  say(word: string): void {
    this.#child.stdin.write(word);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.stdin.end();
    await gone;
  }
}
