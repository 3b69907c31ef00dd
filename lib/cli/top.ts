/** `ashlar top`: what the hosts of each volume do now, drawn anew every second or so. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../api/client.js';
import { parseDurationMs } from '../config/units.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import { type Drawing, frameText, onScreen, type Terminal } from './screen.js';
import { printLines, terminalWidth } from './terminal.js';
import { allRates, type SortKey, type TopReading, type TopView, topFrame } from './top_frame.js';

export interface TopOptions extends TenantOptions {
  interval?: string;
  sort?: SortKey;
  filter?: string;
  once?: boolean;
}

const minIntervalMs = 200;
const maxIntervalMs = 60_000;

const keysHelp = 'i iops  b bytes  l latency  d depth  n name   / filter   p pause   q quit';
const byKey: Readonly<Record<string, SortKey>> = {
  i: 'iops',
  b: 'bytes',
  l: 'latency',
  d: 'depth',
  n: 'name',
};

async function read(client: ApiClient, options: TenantOptions): Promise<TopReading> {
  const volumes = await client.list('listVolumeStatistics', tenantQuery(options));
  try {
    const status = await client.call('getStatus', {});
    return { volumes, status, statusAtMs: performance.now() };
  } catch (thrown) {
    // A tenant's token sees its volumes, and not the node.
    if (toAshlarError(thrown).code !== 'permission-denied') throw thrown;
    return { volumes, status: null, statusAtMs: performance.now() };
  }
}

export function intervalOf(text: string | undefined): number {
  const ms = text === undefined ? 1000 : parseDurationMs(text, '--interval');
  if (ms >= minIntervalMs && ms <= maxIntervalMs) return ms;
  throw new AshlarError('usage', `--interval '${text}' is outside 200ms to 1m`);
}

export async function top(options: TopOptions): Promise<void> {
  const intervalMs = intervalOf(options.interval);
  const view: TopView = {
    sort: options.sort ?? 'iops',
    filter: options.filter ?? '',
    typing: false,
    paused: false,
  };
  await withDaemon(options, async (client) => {
    if (options.json === true || options.once === true || !process.stdout.isTTY) {
      const before = await read(client, options);
      await sleep(intervalMs);
      const after = await read(client, options);
      if (options.json === true) {
        printLines(allRates(before, after).map((rates) => JSON.stringify(rates)));
      } else {
        printLines(topFrame(before, after, view, terminalWidth(), null));
      }
      return;
    }
    const screen = new TopScreen(process.stdout, view);
    await onScreen(screen, (signal) =>
      follow(() => read(client, options), view, screen, intervalMs, signal),
    );
  });
}

/** Draws until the signal; what is drawn first is a second after the start. */
export async function follow(
  readNow: () => Promise<TopReading>,
  view: TopView,
  screen: TopScreen,
  intervalMs: number,
  signal: AbortSignal,
): Promise<void> {
  let before = await readNow();
  while (!signal.aborted) {
    // Rejects when it is to end, which the loop then sees.
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) break;
    if (view.paused) continue;
    const after = await readNow();
    screen.show(before, after);
    before = after;
  }
}

/** The last frame, so that a key or another size of the window shows at once. */
export class TopScreen implements Drawing {
  readonly #terminal: Terminal;
  readonly #view: TopView;
  #last: readonly [TopReading, TopReading] | null = null;

  constructor(terminal: Terminal, view: TopView) {
    this.#terminal = terminal;
    this.#view = view;
  }

  show(before: TopReading, after: TopReading): void {
    this.#last = [before, after];
    this.draw();
  }

  draw(): void {
    const { columns, rows } = this.#terminal;
    const lines =
      this.#last === null
        ? ['Reading…']
        : topFrame(...this.#last, this.#view, columns, Math.max(1, rows - 1));
    const shown = lines.slice(0, Math.max(1, rows - 1));
    while (shown.length < rows - 1) shown.push('');
    shown.push([...keysHelp].slice(0, columns).join(''));
    this.#terminal.write(frameText(shown));
  }

  /** True: it is to end. */
  key(key: string): boolean {
    const view = this.#view;
    if (key === '\x03') return true;
    if (view.typing) {
      if (key === '\r' || key === '\n') view.typing = false;
      else if (key === '\x1b') Object.assign(view, { typing: false, filter: '' });
      else if (key === '\x7f' || key === '\b') view.filter = view.filter.slice(0, -1);
      else if (/^[\x20-\x7e]+$/.test(key)) view.filter += key;
    } else if (key === 'q') {
      return true;
    } else if (key === '/') {
      view.typing = true;
    } else if (key === 'p') {
      view.paused = !view.paused;
    } else {
      view.sort = byKey[key] ?? view.sort;
    }
    this.draw();
    return false;
  }
}
