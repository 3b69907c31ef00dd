/** What happened on this node: kept in memory, logged, and told to listeners. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { NodeEvent } from './types.js';

/** Events kept; older ones are in the log only. */
export const eventsKept = 1000;

const logLevels = { info: 'info', warning: 'warn', error: 'error' } as const;

/** Whose an event is. Names may be given again, record ids are not while the node runs. */
export interface EventOwner {
  id: bigint;
  name: string;
}

/** An event, and the record id of the tenant that it is of; null: the node's own. */
export interface KeptEvent {
  readonly event: NodeEvent;
  readonly tenant: bigint | null;
}

export class EventLog {
  readonly #logger: Logger;
  readonly #events: KeptEvent[] = [];
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  #sequence = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Records an event. `details` go to the log alone. */
  add(
    severity: NodeEvent['severity'],
    kind: string,
    message: string,
    subject: string | null = null,
    details: Record<string, unknown> = {},
    owner: EventOwner | null = null,
  ): void {
    this.#sequence += 1;
    const event: NodeEvent = {
      sequence: this.#sequence,
      id: randomUUID(),
      time: new Date().toISOString(),
      severity,
      kind,
      message,
      subject,
      tenant: owner?.name ?? null,
    };
    this.#events.push({ event, tenant: owner?.id ?? null });
    if (this.#events.length > eventsKept) this.#events.shift();
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
    return this.#events.map(({ event }) => event).filter((event) => event.sequence > sequence);
  }

  /** What is kept, oldest first. */
  get kept(): readonly KeptEvent[] {
    return this.#events;
  }

  listen(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
