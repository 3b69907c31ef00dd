/** Lists that are longer than a page: filtered by the daemon, shown page by page. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { AshlarError } from '../../errors.js';
import { count } from './format.js';
import { type Live, useLive } from './live.js';

/** As many rows as one looks through; a page of them is drawn in some milliseconds. */
export const pageRows = 100;

const none: readonly never[] = [];

interface Page<T> {
  items: T[];
  next: string | null;
}

export interface Paged<T> extends Live<Page<T>> {
  items: readonly T[];
  /** Number of the first row, from 0. */
  first: number;
  /** Whether the rows are those that are asked for now. */
  here: boolean;
  back: (() => void) | null;
  forward: (() => void) | null;
}

/** @param filter what is asked for; another one begins at the first page. */
export function usePaged<T>(
  filter: string,
  ask: (page: { limit: string; cursor?: string }, aborter: AbortSignal) => Promise<Page<T>>,
  everyMs = 5000,
): Paged<T> {
  const [turned, setTurned] = useState<{ filter: string; cursors: string[] }>({
    filter,
    cursors: [],
  });
  const cursors = turned.filter === filter ? turned.cursors : [];
  const cursor = cursors.at(-1);
  const first = cursors.length * pageRows;
  const key = `${filter} ${cursor ?? ''}`;
  const live = useLive(
    key,
    async (aborter) => {
      const page = { limit: String(pageRows), ...(cursor === undefined ? {} : { cursor }) };
      return { ...(await ask(page, aborter)), first, key };
    },
    everyMs,
  );
  // Until the answer is there, what is shown is what was asked before, and says so. Its end is the
  // end of that page, from which no other one is turned.
  const here = live.value?.key === key;
  const turn = (to: string[]) => () => {
    if (here) setTurned({ filter, cursors: to });
  };
  const next = live.value?.next ?? null;
  return {
    ...live,
    here,
    items: live.value?.items ?? none,
    first: live.value?.first ?? 0,
    back: cursors.length === 0 ? null : turn(cursors.slice(0, -1)),
    forward: next === null ? null : turn([...cursors, next]),
  };
}

/** Which rows are shown, for eyes and ears, and the way to others. */
export function Pager<T>({
  paged,
  noun,
  total,
}: {
  paged: Paged<T>;
  noun: string;
  total?: number;
}) {
  const { items, first, here, back, forward } = paged;
  const last = first + items.length;
  const all = here && total !== undefined && total >= last ? total : forward === null ? last : null;
  const range = items.length === 0 ? '0' : `${count(first + 1)}–${count(last)}`;
  const of = all === null ? '' : ` of ${count(all)}`;
  return (
    <nav class="pager" aria-label={`Pages of ${noun}`}>
      <p role="status">{`${range}${of} ${noun}`}</p>
      {(back !== null || forward !== null) && (
        <>
          <button type="button" disabled={back === null} onClick={() => back?.()}>
            Back
          </button>
          <button type="button" disabled={forward === null} onClick={() => forward?.()}>
            Next
          </button>
        </>
      )}
    </nav>
  );
}

/** What a list shows instead of rows. */
export function listState(
  { value, error, items }: { value: unknown; error: AshlarError | null; items: readonly unknown[] },
  empty: ComponentChildren,
  waiting: ComponentChildren,
): ComponentChildren | null {
  if (value === null) return waiting;
  if (error === null && items.length === 0) return empty;
  return null;
}
