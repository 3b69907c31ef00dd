/** The events that a node keeps, as lists: filtered, newest first, a page at a time. */
import type { Catalog } from '../catalog/catalog.js';
import { AshlarError } from '../errors.js';
import { pageLimit } from '../volumes/pages.js';
import { tenantOf } from '../volumes/state.js';
import type { CallOptions, Page } from '../volumes/types.js';
import type { EventLog } from './event_log.js';
import type { EventFilter, NodeEvent, NodeEvents } from './types.js';

export class EventList implements NodeEvents {
  readonly #log: EventLog;
  readonly #catalog: Catalog;

  constructor(log: EventLog, catalog: Catalog) {
    this.#log = log;
    this.#catalog = catalog;
  }

  page(options: EventFilter = {}): Page<NodeEvent> {
    const limit = pageLimit(options);
    const items: NodeEvent[] = [];
    let last: string | null = null;
    for (const { key, item } of this.#log.kept.newestFirst(this.#owner(options), options.after)) {
      if (!matches(item, options)) continue;
      if (items.length === limit) return { items, next: last };
      items.push(item);
      last = key;
    }
    return { items, next: null };
  }

  show(id: string, options: CallOptions = {}): NodeEvent {
    const owner = this.#owner(options);
    const found = this.#log.kept.find(id);
    if (found !== null && (owner === undefined || found.tenant === owner)) return found.item;
    throw new AshlarError('not-found', `event '${id.slice(0, 80)}' is not kept, or never was`);
  }

  get cursorKey(): Uint8Array | null {
    return this.#log.cursorKey;
  }

  #owner(options: CallOptions): bigint | undefined {
    return options.tenant === undefined ? undefined : tenantOf(this.#catalog, options).id;
  }
}

function matches(event: NodeEvent, filter: EventFilter): boolean {
  const { severity, kind, subject, sinceMs, untilMs } = filter;
  const ms = Date.parse(event.time);
  return (
    (sinceMs === undefined || ms >= sinceMs) &&
    (untilMs === undefined || ms < untilMs) &&
    (severity === undefined || event.severity === severity) &&
    (kind === undefined || event.kind === kind) &&
    (subject === undefined || event.subject === subject)
  );
}
