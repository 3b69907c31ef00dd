/**
 * Command lines one after the other in one process, told and answered by messages: a hundred of
 * them take a second, where each in a process of its own takes a quarter of one.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { run } from '../../lib/cli/program.js';

export interface Ran {
  code: number;
  out: string;
  err: string;
}

/** A process that runs command lines; the daemon may be in this one. */
export class ManyLines implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor(env: Record<string, string>) {
    this.#child = fork(fileURLToPath(import.meta.url), ['run'], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  async run(args: readonly string[]): Promise<Ran> {
    const answer = once(this.#child, 'message');
    this.#child.send([...args]);
    const [ran] = await answer;
    return ran as Ran;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.disconnect();
    await gone;
  }
}

async function runOne(args: string[]): Promise<Ran> {
  const ran = { code: 0, out: '', err: '' };
  const { stdout, stderr } = process;
  const [out, err] = [stdout.write.bind(stdout), stderr.write.bind(stderr)];
  stdout.write = (text: string | Uint8Array) => {
    ran.out += text.toString();
    return true;
  };
  stderr.write = (text: string | Uint8Array) => {
    ran.err += text.toString();
    return true;
  };
  try {
    ran.code = await run(args);
  } finally {
    stdout.write = out;
    stderr.write = err;
  }
  return ran;
}

if (process.argv[2] === 'run') {
  process.on('message', (args: string[]) => {
    void runOne(args).then((ran) => process.send?.(ran));
  });
}
