/**
 * `--watch`: a reading every so often, drawn on a terminal, printed to a pipe. Only what differs
 * from the reading before is shown. A daemon that is away is waited for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AshlarError, type ErrorCode, toAshlarError } from '../errors.js';
import { type DaemonOptions, withDaemon } from './daemon.js';
import type { View } from './look.js';
import { cut, type Drawing, frameText, onScreen, type Terminal } from './screen.js';
import { localTime, reportError } from './terminal.js';

/** What a daemon that is restarted looks like from here. */
const passing: ReadonlySet<ErrorCode> = new Set([
  'daemon-not-running',
  'connection-lost',
  'connection-refused',
  'timed-out',
  'closed',
]);

/** Longer and the watcher shows what was long ago as if it were now. */
const patienceMs = 10_000;

/** Ends, without an error, with Ctrl-C, q, SIGTERM, or when the reader of a pipe is gone. */
export async function watch<T>(
  options: DaemonOptions,
  intervalMs: number,
  view: View<T>,
): Promise<void> {
  const follow = (shown: Shown<T>, signal: AbortSignal): Promise<void> =>
    withDaemon(
      options,
      (client) => followReadings(() => view.read(client), shown, intervalMs, signal),
      { signal, timeoutMs: patienceMs },
    );
  if (options.json !== true && process.stdout.isTTY) {
    const screen = new WatchScreen(process.stdout, view.lines, intervalMs);
    await onScreen(screen, (signal) => follow(screen, signal));
    return;
  }
  const ended = new AbortController();
  const onSignal = (): void => ended.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    await follow(new WatchPipe(view, options.json === true, intervalMs), ended.signal);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** Where readings go. */
export interface Shown<T> {
  reading(found: T): void;
  /** The daemon does not answer. */
  lost(error: AshlarError): void;
}

/**
 * Reads until the signal. What is wrong from the start ends it, since a daemon that never was is
 * rather a mistake of the command line; later only what no restart explains.
 */
export async function followReadings<T>(
  read: () => Promise<T>,
  shown: Shown<T>,
  intervalMs: number,
  signal: AbortSignal,
): Promise<void> {
  let before = false;
  while (!signal.aborted) {
    try {
      shown.reading(await read());
      before = true;
    } catch (thrown) {
      const error = toAshlarError(thrown);
      if (signal.aborted) return;
      if (!before || !passing.has(error.code)) throw thrown;
      shown.lost(error);
    }
    // Rejects when it is to end, which the loop then sees.
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

/** On a terminal: as much as it has room for, and a last line that says how things stand. */
export class WatchScreen<T> implements Drawing, Shown<T> {
  readonly #terminal: Terminal;
  readonly #lines: View<T>['lines'];
  readonly #everyText: string;
  #last: { found: T } | null = null;
  #changed = '';
  #lost: AshlarError | null = null;
  #drawn = '';

  constructor(terminal: Terminal, lines: View<T>['lines'], intervalMs: number) {
    this.#terminal = terminal;
    this.#lines = lines;
    this.#everyText = `every ${intervalMs / 1000} s`;
  }

  reading(found: T): void {
    const { columns } = this.#terminal;
    const before = this.#last === null ? null : this.#lines(this.#last.found, columns).join('\n');
    if (before !== this.#lines(found, columns).join('\n')) this.#changed = now();
    this.#last = { found };
    this.#lost = null;
    this.draw();
  }

  lost(error: AshlarError): void {
    this.#lost = error;
    this.draw();
  }

  draw(): void {
    const { columns, rows } = this.#terminal;
    const room = Math.max(1, rows - 1);
    const all = this.#last === null ? ['Reading…'] : this.#lines(this.#last.found, columns);
    const fits = all.length <= room;
    const shown = fits ? all : all.slice(0, room - 1);
    if (!fits) shown.push(`… and ${all.length - room + 1} lines more`);
    while (shown.length < room) shown.push('');
    const frame = frameText([...shown, this.#foot()].map((line) => cut(line, columns)));
    if (frame === this.#drawn) return;
    this.#drawn = frame;
    this.#terminal.write(frame);
  }

  #foot(): string {
    if (this.#lost !== null) {
      return `No answer (${this.#lost.code}), trying again; above is what was last read   q quit`;
    }
    const changed = this.#changed === '' ? '' : `, changed ${this.#changed}`;
    return `${this.#everyText}${changed}   q quit`;
  }

  key(key: string): boolean {
    return key === 'q' || key === '\x03';
  }
}

/** To a pipe or file: with --json a line for each reading, else the lines with the time above. */
class WatchPipe<T> implements Shown<T> {
  readonly #view: View<T>;
  readonly #json: boolean;
  readonly #everyText: string;
  #printed = '';
  #away = false;

  constructor(view: View<T>, json: boolean, intervalMs: number) {
    this.#view = view;
    this.#json = json;
    this.#everyText = `${intervalMs / 1000} s`;
  }

  reading(found: T): void {
    if (this.#away) process.stderr.write('ashlar: the daemon answers again\n');
    this.#away = false;
    const { json, lines } = this.#view;
    const text = this.#json
      ? JSON.stringify(json === undefined ? found : json(found))
      : lines(found, null).join('\n');
    if (text === this.#printed) return;
    this.#printed = text;
    process.stdout.write(this.#json ? `${text}\n` : `--- ${now()}\n${text}\n`);
  }

  lost(error: AshlarError): void {
    if (this.#away) return;
    this.#away = true;
    reportError(error, this.#json);
    process.stderr.write(`ashlar: trying again every ${this.#everyText}\n`);
  }
}

const now = (): string => localTime(new Date().toISOString());
