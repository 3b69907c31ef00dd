/**
 * Announces the discovery service by mDNS and DNS-SD (TP 8009), so that hosts find it without being
 * given an address. Nothing that goes wrong here concerns the service itself.
 */

import { networkInterfaces } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { EventKind } from '../events/kinds.js';
import { type AnnouncedPortal, type Announcement, announcements } from './announcements.js';

export interface AnnouncerOptions {
  /** Label of the host name under .local, of this node alone. */
  hostname: string;
  /** Name of the service for people; on a conflict it gets a number. At most 48 bytes. */
  name: string;
  /** NQN of the discovery subsystem. */
  nqn: string;
  portals(): readonly AnnouncedPortal[];
  emit(severity: 'info' | 'warning', kind: EventKind, message: string): void;
}

/** What a responder is to do. */
export interface ResponderTask {
  hostname: string;
  nqn: string;
  /** Names of network interfaces. */
  interfaces: readonly string[];
  services: readonly (Announcement & { name: string })[];
}

export interface ResponderMessage {
  /** Full name of a service whose name was found to be free. */
  announced: string;
}

/** Portals and addresses are compared with what is announced this often. */
const lookIntervalMs = 15_000;
/** A responder that failed is not started again before. */
const restartMs = 60_000;
/** Goodbyes take no longer. */
const goodbyeMs = 2_000;

export class Announcer {
  readonly #options: AnnouncerOptions;
  #timer: NodeJS.Timeout | null = null;
  /** What the running responder announces, as text. */
  #announced = '[]';
  #responder: Responder | null = null;
  #failedAt = Number.NEGATIVE_INFINITY;
  /** Responders follow one another. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  start(): void {
    this.look();
    this.#timer = setInterval(() => this.look(), lookIntervalMs);
    this.#timer.unref();
  }

  /** Portals may have changed; what is announced follows in a moment. */
  look(): void {
    const interfaces = networkInterfaces();
    const wanted = announcements(this.#options.portals(), interfaces);
    const text = JSON.stringify(wanted);
    if (text === this.#announced || performance.now() - this.#failedAt < restartMs) return;
    this.#announced = text;
    const task = taskOf(this.#options, wanted, interfaces);
    this.#turn = this.#turn.then(async () => {
      await this.#responder?.stop();
      this.#responder = task === null ? null : this.#start(task);
    });
  }

  /** Hosts are told that it is gone; never rejects, and takes two seconds at most. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#turn;
    await this.#responder?.stop();
  }

  #start(task: ResponderTask): Responder {
    const { emit } = this.#options;
    return new Responder(task, {
      announced: (name) => emit('info', 'mdns-announced', `mDNS: announced as '${name}'`),
      failed: (why) => {
        this.#failedAt = performance.now();
        this.#announced = '';
        this.#responder = null;
        const next = `hosts that were given an address find it; next try in ${restartMs / 1000} s`;
        emit('warning', 'mdns-failed', `mDNS: discovery is not announced: ${why}; ${next}`);
      },
    });
  }
}

function taskOf(
  { hostname, name, nqn }: AnnouncerOptions,
  wanted: readonly Announcement[],
  interfaces: ReturnType<typeof networkInterfaces>,
): ResponderTask | null {
  if (wanted.length === 0) return null;
  const addresses = new Set(wanted.flatMap((each) => each.addresses));
  return {
    hostname,
    nqn,
    interfaces: Object.entries(interfaces)
      .filter(([, infos = []]) => infos.some(({ address }) => addresses.has(address)))
      .map(([interfaceName]) => interfaceName),
    services: wanted.map((each) => {
      return { ...each, name: wanted.length === 1 ? name : `${name} port ${each.port}` };
    }),
  };
}

interface ResponderListener {
  announced(name: string): void;
  failed(why: string): void;
}

/** A thread with bounded memory, as anyone on the network may send to it. */
class Responder {
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  #stopping = false;

  constructor(task: ResponderTask, listener: ResponderListener) {
    this.#worker = new Worker(new URL('./responder.js', import.meta.url), {
      workerData: task,
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16 },
    });
    this.#worker.unref();
    let why = '';
    // What the library prints is not for our log, except for the last words before its end.
    const note = (piece: Buffer): void => {
      why = piece.toString().trim().split('\n')[0] ?? '';
    };
    this.#worker.stdout.on('data', note);
    this.#worker.stderr.on('data', note);
    this.#worker.on('message', ({ announced }: ResponderMessage) => listener.announced(announced));
    this.#worker.on('error', ({ message }) => {
      why = message;
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        resolve();
        if (!this.#stopping) listener.failed(why === '' ? `its thread ended with ${code}` : why);
      });
    });
  }

  /** Goodbyes, then the end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#worker.postMessage('stop');
    const timer = setTimeout(() => void this.#worker.terminate(), goodbyeMs);
    await this.#ended;
    clearTimeout(timer);
  }
}
