/** `ashlar serve` as a child process, as a person would run it, with a configuration of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** The program under test, as the development build has it. */
export const program = path.join(process.cwd(), '.build/lib/cli/main.js');

/** An empty folder, removed when it is disposed of. */
export class Workspace implements Disposable {
  readonly path = fs.mkdtempSync(path.join(os.tmpdir(), 'ashlar-test-'));

  file(name: string): string {
    return path.join(this.path, name);
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.path, { recursive: true, force: true });
  }
}

export interface DaemonOptions {
  /** A pool file in the workspace; null: a pool in memory. */
  poolFile: string | null;
  /** Size of the pool when it is created. */
  poolSize?: string;
  /** The volume that is made with the pool; null: none. */
  demoSize?: string | null;
  /** Portals that serve volumes; one when not given. */
  portals?: number;
  reactors?: number;
  writeThrough?: boolean;
  discovery?: boolean;
  /** Metrics over plain HTTP too, at a free port, which it says in its log. */
  metrics?: boolean;
  /** A section of its own for spans; not given: nothing is traced. */
  tracing?: { endpoint: string; headersFile?: string };
  /** Of every portal; none when not given. */
  tls?: 'none' | 'allowed' | 'required';
  /** Whether the kernel may do its records; as the program has it when not given. */
  ktls?: 'auto' | 'off';
  /** The API over HTTPS too, on loopback, with these files. */
  https?: { port: number; certificate: string; key: string };
  /** The web console on loopback; none when not given. */
  console?: boolean;
  /** Another script than the program itself, given the same arguments. */
  script?: string;
  /** Where files and the socket are; a folder of its own when not given. */
  workspace?: Workspace;
}

/** What the API answered. */
export interface Answer<T> {
  status: number;
  body: T;
}

interface Portal {
  address: string;
  port: number;
  discoveryOnly: boolean;
}

export interface Tenant {
  name: string;
  subnqn: string;
}

export interface Volume {
  name: string;
  uuid: string;
  nguid: string;
  nsid: number;
  subnqn: string;
  sizeBytes: number;
  blockBytes: number;
}

/** Ended by a signal, or with an exit code. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const startTimeoutMs = 20_000;

export class Daemon implements AsyncDisposable {
  readonly #options: DaemonOptions;
  readonly #ownsWorkspace: boolean;
  readonly workspace: Workspace;
  #child: ChildProcess | null = null;
  #exit: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  #log = '';
  #ports: number[] = [];

  private constructor(options: DaemonOptions) {
    this.#options = options;
    this.#ownsWorkspace = options.workspace === undefined;
    this.workspace = options.workspace ?? new Workspace();
  }

  /** Starts one and waits until it serves. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options);
    await daemon.start();
    return daemon;
  }

  /** Port of the portal that serves volumes; the same after every restart. */
  get port(): number {
    return this.#ports[0] ?? 0;
  }

  /** The ports of all portals that serve volumes. */
  get ports(): readonly number[] {
    return this.#ports.slice(0, this.#options.portals ?? 1);
  }

  get discoveryPort(): number {
    return this.#ports[this.#options.portals ?? 1] ?? 0;
  }

  /** Everything that it wrote, of every start. */
  get log(): string {
    return this.#log;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** How it ended; pending while it runs. */
  get exit(): Promise<Exit> {
    return this.#exit;
  }

  get socket(): string {
    return this.workspace.file('ashlar.sock');
  }

  /** The message channel of the child, for a `script` that listens to it. */
  tell(message: string): void {
    this.#child?.send(message);
  }

  /** The next message of such a script. */
  heard(): Promise<unknown> {
    return new Promise((resolve) => this.#child?.once('message', resolve));
  }

  #writeConfig(): string {
    const { poolFile, poolSize = '256MiB', demoSize = '64MiB' } = this.#options;
    const count = this.#options.portals ?? 1;
    const portal = (index: number) => `"127.0.0.1:${this.#ports[index] ?? 0}"`;
    const text = [
      '[pool]',
      poolFile === null
        ? `memory = "${poolSize}"`
        : `file = ${JSON.stringify(this.workspace.file(poolFile))}\nsize = "${poolSize}"`,
      ...(this.#options.writeThrough === true ? ['writeThrough = true'] : []),
      '[target]',
      `portals = [${Array.from({ length: count }, (_, index) => portal(index)).join(', ')}]`,
      `discovery = [${this.#options.discovery === true ? portal(count) : ''}]`,
      `tls = "${this.#options.tls ?? 'none'}"`,
      ...(this.#options.ktls === undefined ? [] : [`ktls = "${this.#options.ktls}"`]),
      '[runtime]',
      `reactors = ${this.#options.reactors ?? 1}`,
      ...(this.#options.metrics === true ? ['[metrics]', 'listen = "127.0.0.1:0"'] : []),
      ...Object.entries(this.#options.tracing ?? {}).map(
        ([key, value], at) => `${at === 0 ? '[tracing]\n' : ''}${key} = ${JSON.stringify(value)}`,
      ),
      '[api]',
      `socket = ${JSON.stringify(this.socket)}`,
      `console = "${this.#options.console === true ? '127.0.0.1:0' : 'off'}"`,
      ...httpsLines(this.#options.https),
      ...(demoSize === null ? [] : ['[demo]', 'volume = "demo"', `size = "${demoSize}"`]),
    ].join('\n');
    const file = this.workspace.file('config.toml');
    fs.writeFileSync(file, `${text}\n`);
    return file;
  }

  /** Starts it (again) on the same pool, ports and socket. */
  async start(): Promise<void> {
    const config = this.#writeConfig();
    const script = this.#options.script ?? program;
    const child = spawn(
      process.execPath,
      ['--enable-source-maps', script, 'serve', '--config', config],
      { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
    );
    this.#child = child;
    const note = (piece: Buffer) => {
      this.#log += piece.toString();
    };
    child.stdout?.on('data', note);
    child.stderr?.on('data', note);
    let ended = false;
    this.#exit = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        ended = true;
        resolve({ code, signal });
      });
    });
    const deadline = Date.now() + startTimeoutMs;
    for (;;) {
      const portals = await this.#portals();
      if (portals !== null) {
        this.#ports = portals.map(({ port }) => port);
        return;
      }
      if (ended || Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`the daemon ${ended ? 'ended' : 'did not serve'}; its log:\n${this.#log}`);
      }
      await delay(20);
    }
  }

  async #portals(): Promise<Portal[] | null> {
    try {
      const answer = await this.api<{ items: Portal[] }>('GET', '/v1/portals');
      return answer.status === 200 ? answer.body.items : null;
    } catch {
      return null;
    }
  }

  /** One call of the control API. */
  api<T>(method: string, url: string, body?: unknown): Promise<Answer<T>> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? null : JSON.stringify(body);
      const request = http.request(
        {
          socketPath: this.socket,
          method,
          path: url,
          agent: false,
          headers: {
            accept: 'application/json',
            ...(payload === null ? {} : { 'content-type': 'application/json' }),
          },
        },
        (response) => {
          const pieces: Buffer[] = [];
          response.on('data', (piece: Buffer) => pieces.push(piece));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(pieces).toString();
            const parsed: unknown = text === '' ? null : JSON.parse(text);
            resolve({ status: response.statusCode ?? 0, body: parsed as T });
          });
        },
      );
      request.on('error', reject);
      if (payload !== null) request.write(payload);
      request.end();
    });
  }

  /** A call that must succeed. */
  async call<T>(method: string, url: string, body?: unknown): Promise<T> {
    const answer = await this.api<T>(method, url, body);
    if (answer.status >= 200 && answer.status < 300) return answer.body;
    throw new Error(`${method} ${url}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }

  /** NQN of the default tenant's subsystem. */
  async subnqn(): Promise<string> {
    const { items } = await this.call<{ items: Tenant[] }>('GET', '/v1/tenants');
    const found = items.find(({ name }) => name === 'default');
    if (found === undefined) throw new Error('there is no default tenant');
    return found.subnqn;
  }

  volume(name: string): Promise<Volume> {
    return this.call<Volume>('GET', `/v1/volumes/${name}`);
  }

  /** kill −9, and the end of the process. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exit;
  }

  /** An orderly end; resolves to how it ended. */
  async stop(): Promise<Exit> {
    this.#child?.kill('SIGTERM');
    return this.#exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#ownsWorkspace) this.workspace[Symbol.dispose]();
  }
}

function httpsLines(https: DaemonOptions['https']): string[] {
  if (https === undefined) return [];
  const { port, certificate, key } = https;
  return [
    `listen = "127.0.0.1:${port}"`,
    `certificate = ${JSON.stringify(certificate)}`,
    `key = ${JSON.stringify(key)}`,
  ];
}

/**
 * Runs the program to its end, with no daemon of its own. `heard` is told all of stderr so far each
 * time that some of it comes, and may send the program a signal.
 */
export function runProgram(
  args: readonly string[],
  heard: (err: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Exit & { out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--enable-source-maps', program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (piece: Buffer) => {
      out += piece.toString();
    });
    child.stderr.on('data', (piece: Buffer) => {
      err += piece.toString();
      heard(err, (signal) => child.kill(signal));
    });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, out, err }));
  });
}
