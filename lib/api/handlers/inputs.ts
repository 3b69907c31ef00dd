/** Queries as the control plane takes them, and lists as pages. */
import { compare, takePage } from '../../volumes/pages.js';
import type { CallOptions, ForceOptions, PageOptions } from '../../volumes/types.js';

export function callOptions(
  query: { tenant?: string; repeatable?: 'true' | 'false' },
  signal: AbortSignal,
): CallOptions {
  return { signal, tenant: query.tenant, repeatable: query.repeatable === 'true' };
}

export function forceOptions(
  query: { tenant?: string; repeatable?: 'true' | 'false'; force?: 'true' | 'false' },
  signal: AbortSignal,
): ForceOptions {
  return { ...callOptions(query, signal), force: query.force === 'true' };
}

export function pageOptions(
  query: { tenant?: string; limit?: string; cursor?: string },
  signal: AbortSignal,
): PageOptions {
  const limit = query.limit === undefined ? undefined : Number(query.limit);
  return { ...callOptions(query, signal), limit, after: query.cursor };
}

/** One page of a list that is short enough to be made whole and sorted for each page. */
export function page<T>(
  all: readonly T[],
  query: { limit?: string; cursor?: string },
  keyOf: (item: T) => string,
): { items: T[]; next: string | null } {
  const sorted = all
    .map((item) => ({ key: keyOf(item), item }))
    .sort((left, right) => compare(left.key, right.key));
  const limit = query.limit === undefined ? undefined : Number(query.limit);
  return takePage(sorted, { limit, after: query.cursor });
}
