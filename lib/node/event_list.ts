/** The events that a node keeps, as lists: filtered, newest first, a page at a time. */
import type { Catalog } from '../catalog/catalog.js';
import { AshlarError } from '../errors.js';
import { pageLimit } from '../volumes/pages.js';
import { tenantOf } from '../volumes/state.js';
import type { CallOptions, Page } from '../volumes/types.js';
import { isUuidText } from '../volumes/uuid.js';
import type { EventLog, KeptEvent } from './event_log.js';
import type { EventFilter, NodeEvent, NodeEvents } from './types.js';

export class EventList implements NodeEvents {
  readonly #log: EventLog;
  readonly #catalog: Catalog;

  constructor(log: EventLog, catalog: Catalog) {
    this.#log = log;
    this.#catalog = catalog;
  }

  /** The cursor is the id of the last event: a number would tell how many others there are. */
  page(options: EventFilter = {}): Page<NodeEvent> {
    const limit = pageLimit(options);
    const older = this.#log.kept.slice(0, this.#start(options.after)).reverse();
    const items: NodeEvent[] = [];
    for (const { event } of older.filter(this.#visible(options))) {
      if (!matches(event, options)) continue;
      if (items.length === limit) return { items, next: items.at(-1)?.id ?? null };
      items.push(event);
    }
    return { items, next: null };
  }

  show(id: string, options: CallOptions = {}): NodeEvent {
    const found = this.#log.kept
      .filter(this.#visible(options))
      .find(({ event }) => event.id === id);
    if (found !== undefined) return found.event;
    throw new AshlarError('not-found', `event '${id.slice(0, 80)}' is not kept, or never was`);
  }

  /** How many of the kept events are older than the cursor's; all behind one that is kept no more. */
  #start(cursor: string | undefined): number {
    const { kept } = this.#log;
    if (cursor === undefined) return kept.length;
    if (!isUuidText(cursor)) {
      throw new AshlarError(
        'invalid-argument',
        `'${cursor.slice(0, 80)}' is not where a page ended; start again without it`,
      );
    }
    return Math.max(
      0,
      kept.findIndex(({ event }) => event.id === cursor),
    );
  }

  #visible(options: CallOptions): (kept: KeptEvent) => boolean {
    if (options.tenant === undefined) return () => true;
    const { id } = tenantOf(this.#catalog, options);
    return ({ tenant }) => tenant === id;
  }
}

function matches(event: NodeEvent, { severity, kind, subject }: EventFilter): boolean {
  return (
    (severity === undefined || event.severity === severity) &&
    (kind === undefined || event.kind === kind) &&
    (subject === undefined || event.subject === subject)
  );
}
