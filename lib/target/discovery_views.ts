/**
 * What each host may discover, and which version of it the host has been told.
 *
 * GENCTR is of one host's view, not of the node: what is granted to others neither makes a host
 * read its page again nor tells it that others exist. All versions come from one counter that only
 * ascends, so that two different pages of a host never have the same one.
 */
import { createHash } from 'node:crypto';
import type { Controller } from './controller.js';
import { DiscoveryLog, type DiscoveryRecord } from './discovery.js';

/**
 * Versions that a node may give from one start to the next. The catalog keeps where the next start
 * begins, so that they never go back, without a commit for each change and whatever the clock does.
 * 2^40 are 35 years of 1,000 changes a second; 2^24 starts fill the 64 bits.
 */
export const generationsPerStart = 1n << 40n;

/** Views remembered of hosts that are not connected. */
const viewsKept = 4096;

interface Version {
  digest: string;
  generation: bigint;
}

/** What is known of a connected discovery controller. */
interface Reader {
  /** Version that the host was last told of, by a page or an event. */
  told: bigint;
  /** The page that it is reading; the parts after the first are of the same version. */
  page: DiscoveryLog | null;
}

export interface DiscoverySource {
  /** Subsystems that the host may see. */
  visibleTo(hostnqn: string): readonly string[];
  records(controller: Controller, subnqns: readonly string[]): DiscoveryRecord[];
}

export class DiscoveryViews {
  readonly #source: DiscoverySource;
  readonly #readers = new Map<Controller, Reader>();
  /** By host and the way it came; the one used last is the last. */
  readonly #versions = new Map<string, Version>();
  /** Hosts that may see the same share one list, however many of them read at once. */
  readonly #shared = new Map<string, WeakRef<readonly DiscoveryRecord[]>>();
  #generation: bigint;
  #look: NodeJS.Immediate | null = null;

  /** @param first versions begin above this. */
  constructor(source: DiscoverySource, first: bigint) {
    this.#source = source;
    this.#generation = first;
  }

  /** The host has just connected and knows nothing: what changes from now on is an event. */
  add(controller: Controller): void {
    const { generation } = this.#current(controller, new Map());
    this.#readers.set(controller, { told: generation, page: null });
  }

  remove(controller: Controller): void {
    this.#readers.delete(controller);
  }

  /**
   * Something that hosts may discover could have changed. Many changes in one turn of the event
   * loop are looked at once.
   */
  changed(): void {
    if (this.#readers.size === 0) return; // Whoever comes later is compared with what it saw.
    this.#look ??= setImmediate(() => this.#tellHosts());
  }

  /** Nobody is told any more. */
  close(): void {
    if (this.#look !== null) clearImmediate(this.#look);
    this.#readers.clear();
  }

  #tellHosts(): void {
    this.#look = null;
    const visible = new Map<string, readonly string[]>();
    for (const [controller, reader] of this.#readers) {
      const { generation } = this.#current(controller, visible);
      if (generation === reader.told) continue;
      reader.told = generation;
      controller.notify('discoveryChange');
    }
  }

  /**
   * The page for a read at an offset. From its beginning it is what holds now; further parts are of
   * the page that the host began to read, so that they fit together. A host sees by reading the
   * header again (GENCTR) whether there is a newer one.
   */
  page(controller: Controller, offset: bigint): DiscoveryLog {
    const reader = this.#readers.get(controller);
    if (reader?.page && offset !== 0n) return reader.page;
    const page = this.#current(controller, new Map());
    if (reader !== undefined) {
      reader.page = page;
      reader.told = page.generation;
    }
    return page;
  }

  /**
   * The host has read with RAE cleared, which ends the event. When what it read is old by now, the
   * event is due again.
   */
  acknowledge(controller: Controller): void {
    controller.acknowledge('discoveryChange');
    const reader = this.#readers.get(controller);
    if (reader === undefined || reader.page === null) return;
    const { generation } = this.#current(controller, new Map());
    reader.told = generation;
    if (generation !== reader.page.generation) controller.notify('discoveryChange');
  }

  #current(controller: Controller, visible: Map<string, readonly string[]>): DiscoveryLog {
    const { hostnqn, portalId, localAddress } = controller.identity;
    let subnqns = visible.get(hostnqn);
    if (subnqns === undefined) {
      subnqns = this.#source.visibleTo(hostnqn);
      visible.set(hostnqn, subnqns);
    }
    const fresh = this.#source.records(controller, subnqns);
    const digest = createHash('sha256').update(JSON.stringify(fresh)).digest('base64');
    const records = this.#share(digest, fresh);
    const generation = this.#version(`${portalId} ${localAddress} ${hostnqn}`, digest);
    return new DiscoveryLog(records, generation);
  }

  #version(key: string, digest: string): bigint {
    const known = this.#versions.get(key);
    this.#versions.delete(key);
    let generation = known?.generation;
    if (generation === undefined || known?.digest !== digest) {
      this.#generation += 1n;
      generation = this.#generation;
    }
    this.#versions.set(key, { digest, generation });
    if (this.#versions.size > viewsKept) {
      // A host that comes back after that gets a new version: it reads once too often.
      const [oldest] = this.#versions.keys();
      if (oldest !== undefined) this.#versions.delete(oldest);
    }
    return generation;
  }

  #share(digest: string, fresh: readonly DiscoveryRecord[]): readonly DiscoveryRecord[] {
    const shared = this.#shared.get(digest)?.deref();
    if (shared !== undefined) return shared;
    if (this.#shared.size > 2 * this.#readers.size + 16) {
      for (const [key, records] of this.#shared) {
        if (records.deref() === undefined) this.#shared.delete(key);
      }
    }
    this.#shared.set(digest, new WeakRef(fresh));
    return fresh;
  }
}
