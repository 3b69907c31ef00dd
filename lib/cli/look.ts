/**
 * What commands share that look at something and change nothing: one reading for people or for
 * programs, or with --watch one after the other.
 */
import type { ApiClient, ClientInput } from '../api/client.js';
import type { Input, Output } from '../api/contract.js';
import { type DaemonOptions, tenantQuery, withDaemon } from './daemon.js';
import { type ListId, type ListOptions, queryOf } from './filters.js';
import { printJson, printLines, terminalWidth } from './terminal.js';

export interface LookOptions extends DaemonOptions {
  /** Read again so often, milliseconds, until somebody ends it; true: every 2 s. */
  watch?: number | true;
}

/** How something is read and shown. */
export interface View<T> {
  read: (client: ApiClient) => Promise<T>;
  /** For people. `width`: columns of the terminal; null: nobody's. */
  lines: (found: T, width: number | null) => string[];
  /** For programs; as it was read when not given. */
  json?: (found: T) => unknown;
}

/** Shows it once and gives what was read; null: it was watched, and somebody has ended that. */
export async function look<T>(options: LookOptions, view: View<T>): Promise<T | null> {
  if (options.watch !== undefined) {
    const intervalMs = options.watch === true ? 2000 : options.watch;
    await (await import('./watch.js')).watch(options, intervalMs, view);
    return null;
  }
  const found = await withDaemon(options, view.read);
  if (options.json === true) printJson(view.json === undefined ? found : view.json(found));
  else printLines(view.lines(found, terminalWidth()));
  return found;
}

type ItemOf<K extends ListId> = Output<K>['items'][number];

/** How a list is shown. */
export interface ListView<K extends ListId> {
  lines: (items: readonly ItemOf<K>[], width: number | null) => string[];
  /** Said when there is nothing, and no filter was given: what to do. */
  none: string;
  /** Of the path; asked for when the list is read. */
  params?: (client: ApiClient) => Promise<Input<K>['params']>;
}

interface PageOf<T> {
  items: T[];
  next: string | null;
}

/** All of a list, or with --limit or --after a page; by the filters that were given. */
export async function lookAtList<K extends ListId>(
  id: K,
  options: LookOptions & ListOptions,
  view: ListView<K>,
): Promise<void> {
  const { limit, after } = options;
  const paged = limit !== undefined || after !== undefined;
  const filters = queryOf(id, options);
  const filtered = Object.keys(filters).length > 0;
  const base = { ...tenantQuery(options), ...filters };
  const page = async (client: ApiClient, query: object): Promise<PageOf<ItemOf<K>>> => {
    const params = view.params === undefined ? {} : await view.params(client);
    // The table of filters has the fields of this very operation; the daemon checks their values.
    return client.call(id, { params, query } as unknown as ClientInput<K>);
  };
  const read = async (client: ApiClient): Promise<PageOf<ItemOf<K>>> => {
    if (paged) {
      return page(client, {
        ...base,
        ...(limit === undefined ? {} : { limit: String(limit) }),
        ...(after === undefined ? {} : { cursor: after }),
      });
    }
    const items: ItemOf<K>[] = [];
    let next: string | null = null;
    do {
      const got: PageOf<ItemOf<K>> = await page(client, {
        ...base,
        ...(next === null ? {} : { cursor: next }),
      });
      items.push(...got.items);
      next = got.next;
    } while (next !== null);
    return { items, next };
  };
  await look(options, {
    read,
    lines: ({ items, next }, width) => [
      ...(items.length === 0 ? [filtered ? 'There is none like that.' : view.none] : []),
      ...(items.length === 0 ? [] : view.lines(items, width)),
      ...(next === null ? [] : [`There are more: give --after ${next}`]),
    ],
    json: ({ items, next }) => (paged ? { items, next } : items),
  });
}
