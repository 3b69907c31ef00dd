/** What happened on this node: kept in memory and in a file, logged, and told to listeners. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { type AshlarError, asTenantsSee } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { OwnedLog } from '../volumes/owned_log.js';
import type { EventFile, KeptEvent } from './event_file.js';
import type { NodeEvent } from './types.js';

/** Events kept of the node itself; older ones are in the log only. */
export const eventsKept = 1000;
/** Events kept of each tenant. Of 1,024 tenants that is about 120 MB, if all have so many. */
export const eventsKeptOfTenant = 200;
/** What a host or the system says may be part of a message, and is not ours to bound. */
const maxMessageLength = 4096;

const logLevels = { info: 'info', warning: 'warn', error: 'error' } as const;

/**
 * Whose an event is. Names may be given again. Record ids are not while the node runs, and go by
 * them in memory; UUIDs never are, and go by them in the file.
 */
export interface EventOwner {
  id: bigint;
  uuid: string;
  name: string;
}

export class EventLog {
  readonly #logger: Logger;
  readonly #file: EventFile | null;
  readonly #events = new OwnedLog<NodeEvent>({
    ofNode: eventsKept,
    ofTenant: eventsKeptOfTenant,
  });
  /** UUIDs of tenants that have events. */
  readonly #uuids = new Map<bigint, string>();
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  #sequence = 0;

  constructor(logger: Logger, file: EventFile | null = null) {
    this.#logger = logger;
    this.#file = file;
  }

  /**
   * Takes what earlier runs kept, before anything is added. Nobody is told of it again.
   *
   * @param ownerOf the tenant with a UUID; null: it is gone, and its events are the node's.
   */
  restore(events: readonly KeptEvent[], ownerOf: (uuid: string) => EventOwner | null): void {
    for (const { event, owner } of events) {
      this.#sequence = event.sequence;
      this.#keep(event, owner === null ? null : ownerOf(owner));
    }
  }

  /** The node serves: from now on the file has what is kept. */
  started(): void {
    this.#file?.start(this.#events.size, () => this.#kept());
  }

  /**
   * Records an event. `details` go to the log alone.
   *
   * @param error whose message is part of this one: the tenant reads it as tenants do.
   */
  add(
    severity: NodeEvent['severity'],
    kind: EventKind,
    message: string,
    subject: string | null = null,
    details: Record<string, unknown> = {},
    owner: EventOwner | null = null,
    error?: AshlarError,
  ): void {
    this.#sequence += 1;
    const event: NodeEvent = {
      sequence: this.#sequence,
      id: randomUUID(),
      time: new Date().toISOString(),
      severity,
      kind,
      message: bounded(message),
      toTenants: bounded(error === undefined ? message : replaced(message, error)),
      subject,
      tenant: owner?.name ?? null,
    };
    this.#keep(event, owner);
    this.#file?.add({ event, owner: owner?.uuid ?? null });
    this.#logger[logLevels[severity]]({ kind, subject, ...details }, message);
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (thrown) {
        this.#logger.error({ err: thrown }, 'a listener of events failed');
      }
    }
  }

  after(sequence: number): NodeEvent[] {
    return [...this.#events.all()].filter((event) => event.sequence > sequence);
  }

  /** What is kept. */
  get kept(): OwnedLog<NodeEvent> {
    return this.#events;
  }

  /** Seals cursors for as long as events are kept; null: they end with this process. */
  get cursorKey(): Uint8Array | null {
    return this.#file?.cursorKey ?? null;
  }

  /** The tenant is gone: its events are the node's. */
  disown(tenant: bigint): void {
    this.#events.disown(tenant);
    this.#uuids.delete(tenant);
  }

  listen(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Resolves when the file has what it is to have; later events are in memory only. */
  async close(): Promise<void> {
    await this.#file?.close();
  }

  #keep(event: NodeEvent, owner: EventOwner | null): void {
    if (owner !== null) this.#uuids.set(owner.id, owner.uuid);
    this.#events.add(event, owner?.id ?? null, event.sequence);
  }

  #kept(): KeptEvent[] {
    return [...this.#events.allOwned()].map(({ item, tenant }) => {
      return { event: item, owner: tenant === null ? null : (this.#uuids.get(tenant) ?? null) };
    });
  }
}

function bounded(message: string): string {
  return message.length <= maxMessageLength ? message : `${message.slice(0, maxMessageLength)}…`;
}

function replaced(message: string, error: AshlarError): string {
  return message.replace(error.message, () => asTenantsSee(error).message);
}
