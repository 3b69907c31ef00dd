/**
 * Paths of this node: one association for each subsystem (a tenant) and portal, for as long as any
 * volume of it is on the node. The kernel keeps a path alive; here is who adds and removes them.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { formatEndpoint } from '../../config/config.js';
import { CsiError, toCsiError } from '../errors.js';
import {
  type NodeHost,
  type NvmePath,
  noSecrets,
  type PathOptions,
  type PathSecrets,
} from '../host/types.js';
import { Turns } from '../locks.js';
import { parsePortal } from './requests.js';
import { currentRecords } from './volumes.js';

/** A subsystem, and every way to it. */
export interface Subsystem {
  readonly subnqn: string;
  readonly portals: readonly string[];
}

/** While one path is up, the others have so long to come up too; then they do it behind us. */
const graceMs = 2_000;
/** How long a call waits for the first path. */
const firstPathMs = 20_000;
/** Between two questions for portals that have been added to a subsystem, when there is no news. */
const discoverEveryMs = 60_000;
/** A portal that has failed so recently is not waited for, as long as there is another path. */
const recentMs = 60_000;

interface Pending {
  readonly subnqn: string;
  readonly ended: Promise<void>;
  readonly abort: AbortController;
}

export class Associations implements AsyncDisposable {
  readonly #turns = new Turns();
  readonly #pending = new Map<string, Pending>();
  /** When, and why, a portal could not be connected to last. */
  readonly #failures = new Map<string, { atMs: number; error: CsiError }>();
  /** When a subsystem was asked for its portals last. */
  readonly #asked = new Map<string, number>();
  /** Subsystems whose paths are being taken away: nobody begins to ask over those. */
  readonly #closing = new Set<string>();
  /** Being asked now. */
  readonly #questions = new Map<string, { ended: Promise<unknown>; abort: AbortController }>();
  /** Of subsystems that were opened since the plugin began; nowhere else. */
  readonly #secrets = new Map<string, PathSecrets>();

  constructor(
    private readonly host: NodeHost,
    private readonly options: PathOptions,
    private readonly logger: Logger,
  ) {}

  /**
   * Runs alone for a subsystem, behind those that came first: nobody may add a record of a volume
   * while another finds that there is none, and disconnects.
   */
  alone<T>(subnqn: string, body: () => Promise<T>): Promise<T> {
    return this.#turns.run(subnqn, body);
  }

  /**
   * Connects to every portal at once; done when one path is live and the others are, or have had
   * their time. Call it in {@link alone}.
   *
   * @throws CsiError UNAVAILABLE, or what the first portal said, when no path can be had.
   */
  async open(subsystem: Subsystem, secrets: PathSecrets, signal: AbortSignal): Promise<void> {
    const { subnqn } = subsystem;
    this.#secrets.set(subnqn, secrets);
    const before = await this.host.paths();
    const live = before.some((path) => path.subnqn === subnqn && path.state === 'live');
    const started = await this.#connectMissing(subsystem, secrets);
    const waitedFor = started.filter(({ recent }) => !live || !recent).map(({ ended }) => ended);
    await this.#firstPath(subsystem, waitedFor, signal);
    await this.#tune(subnqn);
  }

  /** A kernel that does not know an option does without it. */
  async #tune(subnqn: string): Promise<void> {
    await this.host.tune(subnqn, this.options).catch((thrown: unknown) => {
      this.logger.warn({ subnqn }, `${subnqn}: ${toCsiError(thrown).message}`);
    });
  }

  async #firstPath(
    { subnqn, portals }: Subsystem,
    connecting: readonly Promise<void>[],
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const all = Promise.all(connecting);
    const stop = new AbortController();
    const ended = AbortSignal.any([signal, stop.signal]);
    try {
      // With every try ended, a path that the kernel has already may still come back.
      const live = this.host.waitForPath(subnqn, firstPathMs, ended);
      // Nobody may be listening any more when it is stopped.
      live.catch(() => undefined);
      const failed = all.then(async () => {
        const any = (await this.host.paths()).some((path) => path.subnqn === subnqn);
        return any ? live : false;
      });
      if (!(await Promise.race([live, failed]))) throw this.#noPath(subnqn, portals);
      const grace = delay(graceMs, undefined, { signal: ended }).catch(() => undefined);
      await Promise.race([all, grace]);
    } finally {
      stop.abort();
    }
  }

  #noPath(subnqn: string, portals: readonly string[]): CsiError {
    const failures = portals.flatMap((portal) => {
      const failure = this.#failures.get(keyOf(subnqn, portal));
      return failure === undefined ? [] : [failure.error];
    });
    const said = failures.map(({ message }) => message).join('; ');
    return new CsiError(
      failures.length === portals.length ? (failures[0]?.status ?? 'UNAVAILABLE') : 'UNAVAILABLE',
      `no path to ${subnqn} is up${said === '' ? ', and the kernel tries on' : `: ${said}`}`,
    );
  }

  /** Begins to connect to what is missing. */
  async #connectMissing(
    { subnqn, portals }: Subsystem,
    secrets: PathSecrets,
  ): Promise<{ ended: Promise<void>; recent: boolean }[]> {
    const there = (await this.host.paths())
      .filter((path) => path.subnqn === subnqn && !/^(dead|deleting)/.test(path.state))
      .map(({ address, port }) => keyOf(address, String(port)));
    return portals.flatMap((portal) => {
      const key = keyOf(subnqn, portal);
      const { address, port } = parsePortal(portal);
      if (there.includes(keyOf(address, String(port)))) {
        this.#failures.delete(key);
        return [];
      }
      const failedAtMs = this.#failures.get(key)?.atMs;
      const recent = failedAtMs !== undefined && performance.now() - failedAtMs < recentMs;
      const { ended } =
        this.#pending.get(key) ?? this.#begin(key, { subnqn, address, port }, secrets);
      return [{ ended, recent }];
    });
  }

  #begin(
    key: string,
    to: { subnqn: string; address: string; port: number },
    secrets: PathSecrets,
  ): Pending {
    const abort = new AbortController();
    const ended = this.host
      .connect(to, this.options, secrets, abort.signal)
      .then(
        () => {
          this.#failures.delete(key);
        },
        (thrown: unknown) => {
          const error = toCsiError(thrown);
          // Every half a minute the same would be said.
          if (!this.#failures.has(key)) {
            this.logger.warn({ subnqn: to.subnqn }, `a path is missing: ${error.message}`);
          }
          this.#failures.set(key, { atMs: performance.now(), error });
        },
      )
      .finally(() => {
        this.#pending.delete(key);
      });
    const pending = { subnqn: to.subnqn, ended, abort };
    this.#pending.set(key, pending);
    return pending;
  }

  /** A discovery service has news: all are to be asked again. */
  forgetAsked(): void {
    this.#asked.clear();
  }

  /**
   * Portals that a subsystem has beside those that are known; asked now and then, or when there is
   * news. Only where all that are known are told too: else the addresses are others than those by
   * which this node knows them (translated on the way), or one is drained, and nobody is to come.
   */
  async discover(subsystem: Subsystem, signal: AbortSignal): Promise<readonly string[]> {
    const { subnqn, portals } = subsystem;
    const askedMs = this.#asked.get(subnqn);
    if (askedMs !== undefined && performance.now() - askedMs < discoverEveryMs) return [];
    if (this.#closing.has(subnqn)) return [];
    const abort = new AbortController();
    const asked = this.#ask(subnqn, AbortSignal.any([signal, abort.signal]));
    this.#questions.set(subnqn, { ended: asked, abort });
    const told = await asked;
    this.#questions.delete(subnqn);
    if (!portals.every((portal) => told.includes(portal))) return [];
    return told.filter((portal) => !portals.includes(portal));
  }

  /** All portals as a discovery service tells them; none when nobody does. */
  async #ask(subnqn: string, signal: AbortSignal): Promise<readonly string[]> {
    try {
      const path = await this.#pathToAsk(subnqn);
      if (path === undefined) return [];
      this.#asked.set(subnqn, performance.now());
      const portals = await this.host.discover(path, this.options, signal);
      this.logger.debug({ subnqn, portals }, `${formatEndpoint(path)} tells of portals`);
      return portals;
    } catch (thrown) {
      this.logger.debug({ subnqn }, toCsiError(thrown).message);
      return [];
    }
  }

  /** A live path at whose portal a discovery controller is live too, or else there is none yet. */
  async #pathToAsk(subnqn: string): Promise<NvmePath | undefined> {
    const all = await this.host.paths();
    const services = all.filter(({ discovery }) => discovery);
    const live = all.filter((path) => path.subnqn === subnqn && path.state === 'live');
    const at = (path: NvmePath) => services.filter((service) => isAtSamePortal(service, path));
    return (
      live.find((path) => at(path).some(({ state }) => state === 'live')) ??
      live.find((path) => at(path).length === 0)
    );
  }

  /** Takes away what discovery does not need any more for the subsystems of this node's volumes. */
  async endDiscovery(closing?: string): Promise<void> {
    const records = await currentRecords(this.host);
    const needed = records.filter((record) => record.subnqn !== closing);
    await this.host.endDiscovery(needed.flatMap(({ portals }) => portals));
  }

  /**
   * Begins to add paths again that the kernel has given up, or that could not be had. Call it in
   * {@link alone}.
   */
  async repair(subsystem: Subsystem, needsSecrets: boolean): Promise<void> {
    const secrets = this.#secrets.get(subsystem.subnqn);
    // The keys of an earlier plugin's paths come with the next NodeStageVolume.
    if (needsSecrets && secrets === undefined) return;
    await this.#connectMissing(subsystem, secrets ?? noSecrets);
    await this.#tune(subsystem.subnqn);
  }

  /** Takes all paths away. Call it in {@link alone}, when nothing of the subsystem is in use. */
  async close(subnqn: string): Promise<void> {
    this.#closing.add(subnqn);
    try {
      await this.#close(subnqn);
    } finally {
      this.#closing.delete(subnqn);
    }
  }

  async #close(subnqn: string): Promise<void> {
    const pending = [...this.#pending.values()].filter((each) => each.subnqn === subnqn);
    const question = this.#questions.get(subnqn);
    const all = question === undefined ? pending : [...pending, question];
    for (const { abort } of all) abort.abort();
    await Promise.all(all.map(({ ended }) => ended));
    await this.host.disconnect(subnqn);
    await this.endDiscovery(subnqn);
    this.#secrets.delete(subnqn);
    this.#asked.delete(subnqn);
    for (const key of [...this.#failures.keys()]) {
      if (key.startsWith(`${subnqn} `)) this.#failures.delete(key);
    }
  }

  /** Until nothing is being connected any more. */
  async idle(): Promise<void> {
    await Promise.all([...this.#pending.values()].map(({ ended }) => ended));
  }

  /** Ends what is being connected; paths stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { abort } of this.#pending.values()) abort.abort();
    await this.idle();
  }
}

function keyOf(subnqn: string, portal: string): string {
  return `${subnqn} ${portal}`;
}

function isAtSamePortal(one: NvmePath, other: NvmePath): boolean {
  return one.address === other.address && one.port === other.port;
}
