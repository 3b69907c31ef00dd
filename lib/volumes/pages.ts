/** Lists a page at a time. */
import { AshlarError } from '../errors.js';
import type { Page, PageOptions } from './types.js';

/** The largest page, and the usual one. */
export const maxPageItems = 1000;

/** @throws AshlarError invalid-argument. */
export function pageLimit({ limit }: PageOptions): number {
  if (limit === undefined) return maxPageItems;
  if (Number.isInteger(limit) && limit >= 1 && limit <= maxPageItems) return limit;
  throw new AshlarError(
    'invalid-argument',
    `a page of ${limit} items is outside 1 to ${maxPageItems}`,
  );
}

/** The key that a cursor stands for; null: the first page. @throws AshlarError invalid-argument. */
export function pageStart({ after }: PageOptions): string | null {
  if (after === undefined) return null;
  const key = Buffer.from(after, 'base64url').toString('utf8');
  if (key !== '' && cursorOf(key) === after) return key;
  throw new AshlarError(
    'invalid-argument',
    `'${after.slice(0, 80)}' is not where a page ended; start again without it`,
  );
}

export function cursorOf(key: string): string {
  return Buffer.from(key).toString('base64url');
}

/**
 * One page of items that come in the order of their keys. The cursor is the key of the last item
 * given, so a page starts right behind it whatever was added or removed in between.
 */
export function takePage<T>(
  ordered: Iterable<{ key: string; item: T }>,
  options: PageOptions,
): Page<T> {
  const limit = pageLimit(options);
  const start = pageStart(options);
  const items: T[] = [];
  let last: string | null = null;
  for (const { key, item } of ordered) {
    if (start !== null && key <= start) continue;
    if (items.length === limit) return { items, next: last === null ? null : cursorOf(last) };
    items.push(item);
    last = key;
  }
  return { items, next: null };
}

export function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
