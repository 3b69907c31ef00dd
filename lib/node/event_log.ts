/** What happened on this node: kept in memory, logged, and told to listeners. */
import type { Logger } from 'pino';
import type { NodeEvent } from './types.js';

/** Events kept; older ones are in the log only. */
export const eventsKept = 1000;

const logLevels = { info: 'info', warning: 'warn', error: 'error' } as const;

export class EventLog {
  readonly #logger: Logger;
  readonly #events: NodeEvent[] = [];
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
  ): void {
    this.#sequence += 1;
    const time = new Date().toISOString();
    const event: NodeEvent = { sequence: this.#sequence, time, severity, kind, message, subject };
    this.#events.push(event);
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
    return this.#events.filter((event) => event.sequence > sequence);
  }

  listen(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
