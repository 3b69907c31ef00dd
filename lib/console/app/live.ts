/** What is shown is asked for again and again while somebody looks at it. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { type AshlarError, toAshlarError } from '../../errors.js';
import { changes } from './api.js';

export interface Live<T> {
  /** The newest answer; null: none yet. */
  value: T | null;
  /** Why the last try failed; null: it did not. */
  error: AshlarError | null;
  /** Whether an answer to the present question is still to come. */
  waiting: boolean;
}

const defaultMs = 3000;

/**
 * Asks now, every `everyMs` while the page is visible, and after each change made here. While the
 * answer to another question is under way, the last one stays.
 *
 * @param key what is asked for; another key is another question.
 */
export function useLive<T>(
  key: string,
  ask: (aborter: AbortSignal) => Promise<T>,
  everyMs = defaultMs,
): Live<T> {
  const [live, setLive] = useState<Live<T>>({ value: null, error: null, waiting: true });
  const asking = useRef(ask);
  asking.current = ask;
  const changed = changes.value;
  // Before the next frame: another question is under way while the page is drawn for it.
  useLayoutEffect(() => {
    const aborter = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const once = async (): Promise<void> => {
      try {
        const value = await asking.current(aborter.signal);
        if (!aborter.signal.aborted) setLive({ value, error: null, waiting: false });
      } catch (thrown) {
        if (aborter.signal.aborted) return;
        const error = toAshlarError(thrown);
        setLive(({ value }) => {
          // What is not there any more is not shown any more.
          const kept = error.code === 'not-found' ? null : value;
          // That the daemon does not answer is said once, above the page.
          const told = error.code === 'connection-lost' && kept !== null;
          return { value: kept, error: told ? null : error, waiting: false };
        });
      }
      if (!aborter.signal.aborted && everyMs > 0) timer = setTimeout(next, everyMs);
    };
    const next = (): void => {
      if (document.hidden) document.addEventListener('visibilitychange', next, { once: true });
      else void once();
    };
    setLive((before) => ({ ...before, waiting: true }));
    void once();
    return () => {
      aborter.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', next);
    };
  }, [key, changed, everyMs]);
  return live;
}

/** Collects pages of a list, up to a bound. */
export async function allPages<T>(
  ask: (cursor: string | undefined) => Promise<{ items: T[]; next: string | null }>,
  most = 5000,
): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const page = await ask(cursor);
    items.push(...page.items);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined && items.length < most);
  return items;
}

/** An error as one line, with what to try next. */
export function lineOf(error: AshlarError): string {
  return error.hint === null ? error.message : `${error.message}. ${error.hint}`;
}
