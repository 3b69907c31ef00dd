/**
 * Starts the programs of the system, without a shell: each has a time to end in, is ended together
 * with all that it started, and what it wrote is in the error.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { CsiError, type Status } from '../errors.js';

/** Of what a program writes, the last bytes are kept: enough for what it says to people. */
const saidBytes = 4 << 10;
/** After SIGTERM, for what it has open to be closed properly. */
const graceMs = 2_000;
/** After SIGKILL: one that waits in the kernel for a disk does not end even then. */
const goneMs = 1_000;

export interface RunOptions {
  /** For its standard input, and never on its command line: secrets. */
  readonly input?: string | Uint8Array;
  /** After so long it is ended. */
  readonly timeoutMs: number;
  /** Ends it as well. Left out where half of the work is worse than none. */
  readonly signal?: AbortSignal;
  /** How much of its output is kept, the last of it; 4 KiB unless told. */
  readonly maxOutputBytes?: number;
}

export interface FollowOptions {
  readonly line: (text: string) => void;
  readonly signal: AbortSignal;
  /** Of its environment, beside those that every program has. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** How a program ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Programs are looked up here, whatever the environment of the plugin is. */
const environment = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin',
  LANG: 'C',
  LC_ALL: 'C',
};

/**
 * Runs it to its end, whatever its exit code is.
 *
 * @throws CsiError FAILED_PRECONDITION when there is no such program, INTERNAL when it did not end
 * in time or was killed.
 */
export function run(
  program: string,
  args: readonly string[],
  { input, timeoutMs, signal, maxOutputBytes }: RunOptions,
): Promise<Ended> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    // A process group of its own, to be ended as a whole.
    const child = spawn(program, args, {
      detached: true,
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const [stdout, stderr] = [new Tail(maxOutputBytes), new Tail()];
    child.stdout.on('data', (piece: Buffer) => stdout.add(piece));
    child.stderr.on('data', (piece: Buffer) => stderr.add(piece));
    // One that does not read its input has ended, and its exit code says more.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input ?? '');
    const fail = (what: string) => {
      settled();
      const said = stderr.text === '' ? stdout.text : stderr.text;
      reject(new CsiError('INTERNAL', `${shown(program, args)} ${what}${said && `: ${said}`}`));
    };
    const ending = new Ending(child, fail);
    const timer = setTimeout(() => ending.begin(`did not end within ${timeoutMs} ms`), timeoutMs);
    const cancel = () => ending.begin('was cancelled');
    const settled = () => {
      clearTimeout(timer);
      ending.settled();
      signal?.removeEventListener('abort', cancel);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    child.once('error', (error) => {
      settled();
      reject(cannotStart(program, error));
    });
    child.once('close', (code, killedBy) => {
      if (ending.reason !== null) return fail(ending.reason);
      if (code === null) return fail(`was ended by ${killedBy}`);
      settled();
      resolve({ code, stdout: stdout.text, stderr: stderr.text });
    });
  });
}

/**
 * Runs a program that goes on, and hands over what it writes line by line, until `signal` is
 * aborted.
 *
 * @throws CsiError FAILED_PRECONDITION when there is no such program, INTERNAL when it ended by
 * itself.
 */
export function follow(
  program: string,
  args: readonly string[],
  { line, signal, variables = {} }: FollowOptions,
): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...environment, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const stderr = new Tail();
    child.stderr.on('data', (piece: Buffer) => stderr.add(piece));
    createInterface({ input: child.stdout }).on('line', line);
    const cancel = () => child.kill('SIGTERM');
    const settled = () => signal.removeEventListener('abort', cancel);
    signal.addEventListener('abort', cancel, { once: true });
    child.once('error', (error) => {
      settled();
      reject(cannotStart(program, error));
    });
    child.once('close', (code, killedBy) => {
      settled();
      if (signal.aborted) return resolve();
      const how = code === null ? `was ended by ${killedBy}` : `ended with exit code ${code}`;
      const said = stderr.text && `: ${stderr.text}`;
      reject(new CsiError('INTERNAL', `${shown(program, args)} ${how}${said}`));
    });
  });
}

/** Like {@link run}, for programs that have to succeed; returns what they wrote. */
export async function succeed(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<string> {
  const ended = await run(program, args, options);
  if (ended.code === 0) return ended.stdout;
  throw failed(program, args, ended);
}

/** What an exit code other than the right one is for the caller. */
export function failed(
  program: string,
  args: readonly string[],
  { code, stdout, stderr }: Ended,
  status: Status = 'INTERNAL',
): CsiError {
  const said = [stderr, stdout].filter((text) => text !== '').join('\n');
  return new CsiError(
    status,
    `${shown(program, args)} failed with exit code ${code}${said && `: ${said}`}`,
  );
}

function shown(program: string, args: readonly string[]): string {
  return [program, ...args].join(' ');
}

function cannotStart(program: string, error: Error): CsiError {
  const missing = 'code' in error && error.code === 'ENOENT';
  return missing
    ? new CsiError(
        'FAILED_PRECONDITION',
        `the program '${program}' is not installed on this node; install it where the plugin runs`,
      )
    : new CsiError('INTERNAL', `cannot start '${program}': ${error.message}`, { cause: error });
}

/** The last bytes of a stream. */
class Tail {
  #pieces = Buffer.alloc(0);

  constructor(private readonly maxBytes = saidBytes) {}

  add(piece: Buffer): void {
    this.#pieces = Buffer.concat([this.#pieces, piece]).subarray(-this.maxBytes);
  }

  get text(): string {
    return this.#pieces.toString().trim();
  }
}

/** The end of a program that is not to go on: first asked, then made. */
class Ending {
  reason: string | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly child: ChildProcess,
    private readonly giveUp: (what: string) => void,
  ) {}

  begin(reason: string): void {
    if (this.reason !== null) return;
    this.reason = reason;
    this.#signal('SIGTERM');
    this.#timer = setTimeout(() => {
      this.#signal('SIGKILL');
      this.#timer = setTimeout(() => {
        this.giveUp(`${reason}, and hangs in the kernel since`);
        this.child.unref();
      }, goneMs);
    }, graceMs);
  }

  settled(): void {
    clearTimeout(this.#timer);
  }

  #signal(name: NodeJS.Signals): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, name);
    } catch {
      // It has just ended.
    }
  }
}
