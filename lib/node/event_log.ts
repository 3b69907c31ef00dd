/** What happened on this node: kept in memory, logged, and told to listeners. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { type AshlarError, asTenantsSee } from '../errors.js';
import { OwnedLog } from '../volumes/owned_log.js';
import type { NodeEvent } from './types.js';

/** Events kept of the node itself; older ones are in the log only. */
export const eventsKept = 1000;
/** Events kept of each tenant. Of 1,024 tenants that is about 120 MB, if all have so many. */
export const eventsKeptOfTenant = 200;

const logLevels = { info: 'info', warning: 'warn', error: 'error' } as const;

/** Whose an event is. Names may be given again, record ids are not while the node runs. */
export interface EventOwner {
  id: bigint;
  name: string;
}

export class EventLog {
  readonly #logger: Logger;
  readonly #events = new OwnedLog<NodeEvent>({
    ofNode: eventsKept,
    ofTenant: eventsKeptOfTenant,
  });
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  #sequence = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /**
   * Records an event. `details` go to the log alone.
   *
   * @param error whose message is part of this one: the tenant reads it as tenants do.
   */
  add(
    severity: NodeEvent['severity'],
    kind: string,
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
      message,
      toTenants: error === undefined ? message : replaced(message, error),
      subject,
      tenant: owner?.name ?? null,
    };
    this.#events.add(event, owner?.id ?? null);
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

  /** The tenant is gone: its events are the node's. */
  disown(tenant: bigint): void {
    this.#events.disown(tenant);
  }

  listen(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

function replaced(message: string, error: AshlarError): string {
  return message.replace(error.message, () => asTenantsSee(error).message);
}
