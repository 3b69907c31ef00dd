/** Pieces that all pages are made of. */
import { type ComponentChildren, Fragment } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { AshlarError } from '../../errors.js';
import { ago, percent, size, time } from './format.js';
import { lineOf } from './live.js';

/** The head of a page: its title, which gets the focus, and what can be done. */
export function Head({
  title,
  above,
  children,
}: {
  title: string;
  above?: ComponentChildren;
  children?: ComponentChildren;
}) {
  useEffect(() => {
    document.title = `${title} · Ashlar`;
  }, [title]);
  return (
    <header class="head">
      <div>
        {above !== undefined && <p class="above">{above}</p>}
        <h1 tabIndex={-1}>{title}</h1>
      </div>
      <div class="actions">{children}</div>
    </header>
  );
}

export function Card({
  title,
  children,
  actions,
  wide = false,
}: {
  title: string;
  children: ComponentChildren;
  actions?: ComponentChildren;
  wide?: boolean;
}) {
  return (
    <section class={wide ? 'card wide' : 'card'} aria-label={title}>
      <header>
        <h2>{title}</h2>
        {actions}
      </header>
      {children}
    </section>
  );
}

export interface Column<T> {
  title: string;
  value: (row: T) => ComponentChildren;
  /** Numbers, on the right. */
  number?: boolean;
  /** Hidden on narrow screens. */
  minor?: boolean;
  /** Long text, which breaks wherever it must. */
  wrap?: boolean;
  /** The title is for screen readers alone. */
  quiet?: boolean;
}

/** A table; the first column names the row. */
export function Table<T>({
  caption,
  columns,
  rows,
  rowKey,
  busy = false,
}: {
  caption: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  busy?: boolean;
}) {
  const kind = ({ number, minor, wrap }: Column<T>): string =>
    [number && 'number', minor && 'minor', wrap && 'wrap'].filter(Boolean).join(' ');
  // A key in the filter draws the page for its question, and once more for the answer: rows that
  // are the same need not be looked at for either.
  const body = useMemo(
    () => (
      <tbody>
        {rows.map((row) => (
          <tr key={rowKey(row)}>
            {columns.map((column, index) =>
              index === 0 ? (
                <th key={column.title} scope="row" class={kind(column)}>
                  {column.value(row)}
                </th>
              ) : (
                <td
                  key={column.title}
                  class={kind(column)}
                  {...(column.quiet === true ? {} : { 'data-title': column.title })}
                >
                  {column.value(row)}
                </td>
              ),
            )}
          </tr>
        ))}
      </tbody>
    ),
    [rows, columns],
  );
  return (
    // A region that scrolls can be scrolled by keyboard.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above.
    <section class="scroll" tabIndex={0} aria-label={`${caption}, table`}>
      <table class="rows" aria-busy={busy}>
        <caption class="quiet">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.title} scope="col" class={kind(column)}>
                {column.quiet === true ? <span class="quiet">{column.title}</span> : column.title}
              </th>
            ))}
          </tr>
        </thead>
        {body}
      </table>
    </section>
  );
}

export type Tone = 'good' | 'warn' | 'bad' | 'info' | 'calm';

/** A state in a word; the mark before it does not rely on colour alone. */
export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  const marks = { good: '●', warn: '▲', bad: '■', info: '◆', calm: '○' };
  return (
    <span class={`badge ${tone}`}>
      <span aria-hidden="true">{marks[tone]}</span> {children}
    </span>
  );
}

export interface Part {
  name: string;
  bytes: number;
  kind: string;
}

/** Parts of a whole as one bar with its legend. */
export function Stack({ parts, total, label }: { parts: Part[]; total: number; label: string }) {
  const shown = parts.filter(({ bytes }) => bytes > 0);
  const said = parts.map(({ name, bytes }) => `${name} ${size(bytes)}`).join(', ');
  return (
    <div class="stack">
      <div class="bar" role="img" aria-label={`${label}: ${said} of ${size(total)}`}>
        {shown.map(({ name, bytes, kind }) => (
          <span key={name} class={`part ${kind}`} style={{ flexGrow: bytes / total }} />
        ))}
      </div>
      <dl class="legend">
        {parts.map(({ name, bytes, kind }) => (
          <div key={name}>
            <dt>
              <span class={`dot ${kind}`} aria-hidden="true" />
              {name}
            </dt>
            <dd>{size(bytes)}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

/** How full something is; the number stands beside it. */
export function Meter({ value, of, label }: { value: number; of: number; label: string }) {
  const share = of === 0 ? 0 : value / of;
  const kind = share > 0.9 ? 'full' : share > 0.75 ? 'high' : '';
  return (
    <span class="meter" title={`${label}: ${size(value)} of ${size(of)}`}>
      <span class="track" aria-hidden="true">
        <span class={`fill ${kind}`} style={{ width: `${Math.min(100, share * 100)}%` }} />
      </span>
      <span>{percent(value, of)}</span>
    </span>
  );
}

/** What is used of what may be; without a limit the bare value. */
export function UseOf({
  value,
  most,
  show,
  label,
}: {
  value: number;
  most: number | null;
  show: (value: number) => string;
  label: string;
}) {
  if (most === null) {
    return (
      <span>
        {show(value)} <span class="soft">of any</span>
      </span>
    );
  }
  const share = Math.min(1, value / most);
  const kind = share >= 1 ? 'full' : share > 0.75 ? 'high' : '';
  return (
    <span class="meter" title={`${label}: ${percent(value, most)}`}>
      <span class="track" aria-hidden="true">
        <span class={`fill ${kind}`} style={{ width: `${share * 100}%` }} />
      </span>
      <span>{`${show(value)} of ${show(most)}`}</span>
    </span>
  );
}

/** Names and values. */
export function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** An instant, as its distance from now. */
export function When({ at }: { at: string | null }) {
  if (at === null) return <>–</>;
  return (
    <time dateTime={at} title={time(at)}>
      {ago(at)}
    </time>
  );
}

/** A long identifier that can be copied. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
  };
  return (
    <button type="button" class="copy" aria-label={`Copy ${what}`} onClick={() => void copy()}>
      {copied ? 'Copied' : 'Copy'}
    </button>
  );
}

/** The same with the command line. */
export function Cli({ line }: { line: string }) {
  return (
    <div class="cli">
      <code>
        {line.split(' ').map((part, index) => (
          // A line breaks between words, and not within an option.
          <Fragment key={index}>
            {index > 0 && ' '}
            <span class="word">{part}</span>
          </Fragment>
        ))}
      </code>
      <Copy text={line} what="the command" />
    </div>
  );
}

/** Nothing is there: what it would be, and how to get the first. */
export function Empty({
  title,
  children,
  line,
}: {
  title: string;
  children?: ComponentChildren;
  line?: string;
}) {
  return (
    <div class="empty">
      <p class="strong">{title}</p>
      {children}
      {line !== undefined && <Cli line={line} />}
    </div>
  );
}

/** What went wrong, and what to do. */
export function Problem({ error }: { error: AshlarError | null }) {
  if (error === null) return null;
  return (
    <p class="problem" role="alert">
      <strong>{error.code}</strong> {lineOf(error)}
    </p>
  );
}

/** Until the first answer. */
export function Waiting({ error }: { error: AshlarError | null }) {
  if (error !== null) return <Problem error={error} />;
  return (
    <p class="waiting" aria-busy="true">
      Asking the daemon…
    </p>
  );
}

/** The row of filters over a list. */
export function FilterBar({ children }: { children: ComponentChildren }) {
  return <search class="filters">{children}</search>;
}

/** A text filter that is asked for at each key. `/` leads to it. */
export function TextFilter({
  label,
  value,
  onValue,
}: {
  label: string;
  value: string;
  onValue: (value: string) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const typing =
        event.target instanceof Element && event.target.closest('input,textarea,select');
      if (event.key !== '/' || typing || document.querySelector('dialog[open]') !== null) return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <input
      ref={input}
      type="search"
      aria-label={label}
      aria-keyshortcuts="/"
      placeholder={`${label}  ( / )`}
      value={value}
      onInput={(event) => onValue(event.currentTarget.value)}
    />
  );
}

export function Choice({
  label,
  value,
  options,
  onValue,
}: {
  label: string;
  value: string;
  options: readonly (readonly [value: string, name: string])[];
  onValue: (value: string) => void;
}) {
  return (
    <label class="choice">
      <span>{label}</span>
      <select value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        {options.map(([each, name]) => (
          <option key={each} value={each}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Which tenant a list is of; nothing where there is no choice. */
export function TenantChoice({
  tenants,
  value,
  onValue,
}: {
  tenants: readonly string[];
  value: string;
  onValue: (value: string) => void;
}) {
  if (tenants.length <= 1) return null;
  const options = [['', 'All'], ...tenants.map((each) => [each, each] as const)] as const;
  return <Choice label="Tenant" value={value} options={options} onValue={onValue} />;
}
