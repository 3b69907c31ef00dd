/** Where the page is: the address bar's path and query, and links that change them. */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';

export interface Place {
  /** Parts of the path, decoded: ['volumes', 'default', 'web']. */
  parts: readonly string[];
  query: URLSearchParams;
}

export const place = signal<Place>(read());

function read(): Place {
  const parts = location.pathname.split('/').filter((part) => part !== '');
  return { parts: parts.map(decoded), query: new URLSearchParams(location.search) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param replace whether Back skips the present place. */
export function go(href: string, replace = false): void {
  if (replace) history.replaceState(null, '', href);
  else history.pushState(null, '', href);
  place.value = read();
}

addEventListener('popstate', () => {
  place.value = read();
});

/** A path of encoded parts. */
export function pathTo(...parts: readonly string[]): string {
  return `/${parts.map(encodeURIComponent).join('/')}`;
}

/** The present path with another query; empty values are left out. */
export function withQuery(values: Readonly<Record<string, string | null>>): string {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === '') query.delete(name);
    else query.set(name, value);
  }
  const search = query.toString();
  return search === '' ? location.pathname : `${location.pathname}?${search}`;
}

interface LinkProps {
  href: string;
  class?: string;
  'aria-current'?: 'page';
  children: ComponentChildren;
}

/** A link within the console; with a modifier key it is the browser's. */
export function Link({ href, children, ...rest }: LinkProps) {
  const onClick = (event: MouseEvent): void => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
      return;
    }
    event.preventDefault();
    go(href);
  };
  return (
    <a {...rest} href={href} onClick={onClick}>
      {children}
    </a>
  );
}
