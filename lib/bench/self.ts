/**
 * An Ashlar of the benchmark's own: a daemon as a process, with a pool in memory or in a file, that
 * ends with the run. Its volumes are made for each setting and deleted after it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiClient } from '../api/client.js';
import { AshlarError } from '../errors.js';
import type { LoadResult } from '../native.js';
import { version } from '../node/version.js';
import type { Setting, Subject, Workload } from './results.js';
import type { Generator, OpenSubject, Turn } from './subject.js';
import { connect, fill, type HostPlace, loadHost, type NamespaceFacts } from './target.js';

export interface SelfOptions {
  name: string;
  /** The program that has `serve`: arguments for Node.js. */
  program: readonly string[];
  /** Where the pool's file is made, and removed at the end; null: in memory. */
  poolFile: string | null;
  poolBytes: number;
  reactors: number;
  /** Pinned to these; null: not pinned. */
  cpus: readonly number[] | null;
  busyPollUs: number;
  hostnqn: string;
  generator: Generator;
}

const startTimeoutMs = 30_000;
const stopTimeoutMs = 20_000;
const pollMs = 20;
/** Between two snapshots so many blocks are written, at random. */
const commandsBetweenSnapshots = 2000n;

export class SelfSubject implements OpenSubject {
  readonly subject: Subject;
  readonly #daemon: DaemonProcess;
  /** Where it listens, for hosts other than its own. */
  readonly place: HostPlace;
  #setting = '';
  #volumes: string[] = [];
  #namespaces: NamespaceFacts[] = [];
  #snapshots = 0;

  private constructor(options: SelfOptions, daemon: DaemonProcess, place: HostPlace) {
    this.#daemon = daemon;
    this.place = place;
    const pool = options.poolFile === null ? 'a memory pool' : `the pool ${options.poolFile}`;
    this.subject = {
      name: options.name,
      kind: 'self',
      description: `Ashlar ${version}, ${pool}, ${options.reactors} reactor(s)`,
      facts: {
        version,
        pool: options.poolFile ?? 'memory',
        poolBytes: String(options.poolBytes),
        reactors: String(options.reactors),
        cpus: options.cpus?.join(',') ?? 'not pinned',
        busyPollUs: String(options.busyPollUs),
      },
    };
  }

  /**
   * @throws AshlarError when the daemon does not start; its own words are in the message.
   */
  static async open(options: SelfOptions): Promise<SelfSubject> {
    const daemon = await DaemonProcess.start(options);
    try {
      const { items } = await daemon.client.call('listTenants', {});
      const subnqn = items.find(({ name }) => name === 'default')?.subnqn ?? '';
      const { name, generator, hostnqn } = options;
      const place = { name, generator, hostnqn, subnqn, address: '127.0.0.1', port: daemon.port };
      return new SelfSubject(options, daemon, place);
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  }

  get pid(): number {
    return this.#daemon.pid;
  }

  /** For what no setting says. */
  get client(): ApiClient {
    return this.#daemon.client;
  }

  /** It can be brought to any. */
  check(): void {}

  async prepare(setting: Setting, tell: (what: string) => void): Promise<void> {
    const wanted = JSON.stringify(setting);
    if (this.#setting === wanted) return;
    await this.#clear();
    tell(`making ${setting.volumes} volume(s) for ${this.subject.name}`);
    for (let i = 0; i < setting.volumes; i += 1) {
      const volume = await this.#daemon.client.call('createVolume', {
        body: { name: `bench${i}`, sizeBytes: setting.spanBytes, hosts: ['*'] },
      });
      this.#volumes.push(volume.name);
      this.#namespaces.push({
        nsid: volume.nsid,
        sizeBytes: BigInt(volume.sizeBytes),
        blockBytes: volume.blockBytes,
      });
    }
    if (setting.state !== 'as-is') await fill(this.place, this.#namespaces, setting.spanBytes);
    for (let i = 0; i < setting.snapshots; i += 1) {
      await this.#snapshot();
      await this.#writeSome(setting);
    }
    this.#setting = wanted;
  }

  /** The last round’s snapshot goes and the pool comes to rest, before a new one is made. */
  async beforeRound(setting: Setting): Promise<void> {
    if (setting.state !== 'fresh-snapshot') return;
    const last = `s${this.#snapshots}`;
    if (this.#snapshots > setting.snapshots) await this.#deleteSnapshots(last);
    await this.#settle();
    await this.#snapshot();
  }

  async load(workload: Workload, setting: Setting, turn: Turn): Promise<LoadResult> {
    const { queues, depth, digests } = workload;
    await using host = await connect(this.place, queues, depth, digests);
    return await loadHost(host, this.#namespaces, workload, setting, turn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
  }

  async #snapshot(): Promise<void> {
    this.#snapshots += 1;
    const body = { volumes: this.#volumes, name: `s${this.#snapshots}` };
    await this.#daemon.client.call('createSnapshots', { body });
  }

  async #deleteSnapshots(name: string): Promise<void> {
    for (const volume of this.#volumes) {
      await this.#daemon.client.call('deleteSnapshot', {
        params: { snapshot: `${volume}@${name}` },
      });
    }
  }

  async #writeSome(setting: Setting): Promise<void> {
    await using host = await connect(this.place, 1, 32, false);
    const result = await host.load({
      ...{ nsids: this.#namespaces.map(({ nsid }) => nsid), blockBytes: 4096, ioBytes: 4096 },
      ...{ spanBytes: BigInt(setting.spanBytes), readPercent: 0, depth: 32 },
      ...{ maxCommands: commandsBetweenSnapshots, maxErrors: 1, seed: BigInt(this.#snapshots) },
    });
    if (result.firstError !== null) throw new AshlarError('io-error', result.firstError);
  }

  /** Until nothing is given back in the background any more. */
  async #settle(): Promise<void> {
    const deadline = performance.now() + stopTimeoutMs;
    while (performance.now() < deadline) {
      const [pool] = await this.#daemon.client.list('listPools');
      if (pool === undefined || (pool.reclaimingBytes === 0 && pool.reclaimingLayers === 0)) return;
      await delay(pollMs);
    }
  }

  async #clear(): Promise<void> {
    const { client } = this.#daemon;
    const query = { force: 'true' as const };
    const snapshots = await client.list('listSnapshots');
    for (const volume of this.#volumes) {
      await client.call('deleteVolume', { params: { volume }, query });
    }
    for (const { reference } of snapshots) {
      await client.call('deleteSnapshot', { params: { snapshot: reference }, query });
    }
    await this.#settle();
    this.#volumes = [];
    this.#namespaces = [];
    this.#snapshots = 0;
  }
}

/** `ashlar serve` in a folder of its own. */
class DaemonProcess implements AsyncDisposable {
  readonly client: ApiClient;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #poolFile: string | null;
  readonly #ended: Promise<void>;
  readonly #onExit = (): void => {
    this.#child.kill('SIGKILL');
  };
  #log = '';
  #over = false;
  port = 0;

  private constructor(options: SelfOptions, folder: string) {
    const socket = join(folder, 'ashlar.sock');
    this.#folder = folder;
    this.#poolFile = options.poolFile === null ? null : resolve(options.poolFile);
    const pool =
      this.#poolFile === null
        ? ['--memory', String(options.poolBytes)]
        : ['--pool', this.#poolFile, '--size', String(options.poolBytes)];
    const args = [
      ...['serve', ...pool, '--socket', socket, '--portal', '127.0.0.1:0'],
      ...['--no-discovery', '--no-mdns', '--log-level', 'warn'],
      ...['--reactors', String(options.reactors), '--busy-poll-us', String(options.busyPollUs)],
      ...(options.cpus === null ? [] : ['--cpus', options.cpus.join(',')]),
    ];
    // A group of its own: Ctrl-C ends the run in order, and the run ends the daemon.
    this.#child = spawn(process.execPath, [...options.program, ...args], {
      cwd: folder,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const note = (piece: Buffer): void => {
      this.#log = (this.#log + piece.toString()).slice(-4000);
    };
    this.#child.stdout?.on('data', note);
    this.#child.stderr?.on('data', note);
    this.#ended = new Promise((done) => {
      this.#child.once('error', (error) => {
        this.#log += error.message;
        this.#over = true;
        done();
      });
      this.#child.once('close', () => {
        this.#over = true;
        done();
      });
    });
    process.once('exit', this.#onExit);
    this.client = new ApiClient({ socket });
  }

  static async start(options: SelfOptions): Promise<DaemonProcess> {
    if (options.poolFile !== null && existsSync(options.poolFile)) {
      throw new AshlarError(
        'already-exists',
        `${options.poolFile} is there already; name a file that is not: it is removed at the end`,
      );
    }
    const folder = await mkdtemp(join(tmpdir(), 'ashlar-bench-'));
    const daemon = new DaemonProcess(options, folder);
    try {
      await daemon.#serving();
      return daemon;
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async #serving(): Promise<void> {
    const deadline = performance.now() + startTimeoutMs;
    for (;;) {
      const portals = await this.client.list('listPortals').catch(() => []);
      const [portal] = portals;
      if (portal !== undefined) {
        this.port = portal.port;
        return;
      }
      if (this.#over || performance.now() > deadline) {
        const what = this.#over ? 'did not start' : `did not serve in ${startTimeoutMs} ms`;
        const words = this.#log.trim() === '' ? '' : `: ${this.#log.trim()}`;
        throw new AshlarError('daemon-not-running', `the Ashlar of the benchmark ${what}${words}`);
      }
      await delay(pollMs);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs);
    await this.#ended;
    clearTimeout(late);
    process.off('exit', this.#onExit);
    await rm(this.#folder, { recursive: true, force: true });
    if (this.#poolFile === null) return;
    for (const ending of ['', '.audit.log', '.events.log'])
      await rm(`${this.#poolFile}${ending}`, { force: true });
  }
}
