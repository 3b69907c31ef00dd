/**
 * The events of a node in a file, so that what happened before a restart can be looked up after it.
 * JSON, one event a line behind a first line about the file. Events are added as they happen; when
 * the file is twice as long as what is kept, it is written anew with just that. So it is bounded by
 * what is kept of each tenant, and no tenant's events go because another has many.
 *
 * Nobody waits for the file. A disk that takes nothing is told of once, in the log; what it missed
 * is written when it takes something again.
 */
import { randomBytes } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import type { Logger } from 'pino';
import { AshlarError, toAshlarError } from '../errors.js';
import { type EventKind, eventKinds, eventSeverities } from '../events/kinds.js';
import { InTurn, LineFile } from '../lines/line_file.js';
import type { NodeEvent } from './types.js';

/** An event, and whose it is: a tenant's UUID, which is never given again; null: the node's. */
export interface KeptEvent {
  event: NodeEvent;
  owner: string | null;
}

/** Written by this version, and read. */
const format = 1;
/** A file may be this much longer than what is kept, however little that is. */
const slackBytes = 1 << 20;
/** Lines that wait for a disk; with more, the file is written anew from memory once it answers. */
const maxWaitingBytes = 4 << 20;
/** A disk that takes nothing is asked again at most this often. */
const retryMs = 10_000;
/** What is longer was written by something else. */
const maxReadBytes = 512 << 20;
const cursorKeyBytes = 32;

export class EventFile {
  readonly path: string;
  /** Seals cursors of the list of events, so that they are good for as long as this file is. */
  readonly cursorKey: Buffer;
  readonly #logger: Logger;
  readonly #turns: InTurn;
  #file: LineFile | null = null;
  #kept: () => readonly KeptEvent[] = () => [];
  #waiting: string[] = [];
  #waitingBytes = 0;
  /** Something is missing in the file, or in it and not kept any more. */
  #stale: boolean;
  /** Bytes of the file when it held what is kept, and nothing else. */
  #leanBytes = 0;
  readonly #found: Found;
  #retryAtMs = 0;
  #started = false;
  #closed = false;

  private constructor(path: string, logger: Logger, found: Found) {
    this.path = path;
    this.cursorKey = found.cursorKey;
    this.#logger = logger;
    this.#stale = found.stale;
    this.#found = found;
    this.#turns = new InTurn((err) => {
      const message = `the events cannot be written to '${path}': they are kept in memory only until they can`;
      logger.error({ err }, message);
    });
  }

  /**
   * Reads what there is. Never fails: a file that cannot be read is put aside, with a warning.
   */
  static async read(
    path: string,
    logger: Logger,
  ): Promise<{ file: EventFile; events: KeptEvent[] }> {
    const { events, ...found } = await find(path, logger);
    const file = new EventFile(path, logger, { ...found, events: events.length });
    return { file, events };
  }

  /**
   * Nothing is written before: of a start that fails, {@link appendAlone} alone is left.
   *
   * @param count how many are kept now.
   * @param kept asked for all that is kept when the file is written anew.
   */
  start(count: number, kept: () => readonly KeptEvent[]): void {
    this.#started = true;
    this.#kept = kept;
    const { events, bytes } = this.#found;
    // Earlier runs may have left more in it than is kept by now.
    this.#leanBytes = events === 0 ? 0 : Math.min(bytes, (bytes * count) / events);
    this.#write();
  }

  /** Adds one event to what is there, without a start. */
  async appendAlone(event: KeptEvent): Promise<void> {
    await this.#turns.run(async () => {
      const file = await LineFile.open(this.path);
      try {
        await file.append(file.bytes === 0 ? `${this.#firstLine}${lineOf(event)}` : lineOf(event));
        return 'done';
      } finally {
        await file.close();
      }
    });
  }

  /** To be called when the event is among the kept ones. Returns at once. */
  add(event: KeptEvent): void {
    if (this.#closed) return;
    const line = lineOf(event);
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    if (this.#waitingBytes > maxWaitingBytes) {
      this.#forgetWaiting();
      this.#stale = true;
    }
    // One that is being written takes what has come meanwhile with it, in the next turn.
    if (this.#started && this.#waiting.length <= 1) this.#write();
  }

  /** Resolves when everything is in the file, or cannot be. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#retryAtMs = 0;
    if (this.#started) this.#write();
    await this.#turns.settled();
    await this.#file?.close().catch((err: unknown) => {
      this.#logger.error({ err }, `the file of events '${this.path}' cannot be closed`);
    });
  }

  #write(): void {
    void this.#turns.run(async () => {
      if (performance.now() < this.#retryAtMs) {
        this.#forgetWaiting();
        return 'idle';
      }
      if (!this.#stale && this.#waiting.length === 0) return 'idle';
      try {
        this.#file ??= await LineFile.open(this.path);
        await this.#writeTo(this.#file);
        return 'done';
      } catch (thrown) {
        this.#stale = true;
        this.#retryAtMs = performance.now() + retryMs;
        throw thrown;
      }
    });
  }

  async #writeTo(file: LineFile): Promise<void> {
    const text = this.#waiting.join('');
    const limit = this.#leanBytes + Math.max(slackBytes, this.#leanBytes);
    this.#forgetWaiting();
    if (!this.#stale && file.bytes > 0 && file.bytes + text.length <= limit) {
      await file.append(text);
      return;
    }
    // What waited is among it. What comes from here on waits for the next turn.
    this.#stale = false;
    const kept = this.#kept();
    await file.replace(this.#lines(kept));
    this.#leanBytes = file.bytes;
  }

  *#lines(kept: readonly KeptEvent[]): Iterable<string> {
    yield this.#firstLine;
    for (const event of kept) yield lineOf(event);
  }

  get #firstLine(): string {
    const cursorKey = this.cursorKey.toString('base64');
    return `${JSON.stringify({ ashlar: 'events', format, cursorKey })}\n`;
  }

  #forgetWaiting(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}

/** What was in the file. */
interface Found {
  /** How many. */
  events: number;
  cursorKey: Buffer;
  bytes: number;
  stale: boolean;
}

type Contents = Omit<Found, 'events'> & { events: KeptEvent[] };

async function find(path: string, logger: Logger): Promise<Contents> {
  const nothing = { events: [], cursorKey: randomBytes(cursorKeyBytes), bytes: 0, stale: true };
  try {
    const text = await readFile(path, { encoding: 'utf8', signal: AbortSignal.timeout(10_000) });
    return text === '' ? nothing : parse(text, logger, path);
  } catch (thrown) {
    const { code, message } = toAshlarError(thrown);
    if (code === 'not-found') return nothing;
    const aside = `${path}.unreadable`;
    const moved = await rename(path, aside).then(
      () => `it is '${aside}' now`,
      () => 'it cannot be put aside either',
    );
    logger.warn(`events of earlier runs cannot be read from '${path}' (${message}); ${moved}`);
    return nothing;
  }
}

/** @throws AshlarError io-error: it is no file of events that this version knows. */
function parse(text: string, logger: Logger, path: string): Contents {
  if (text.length > maxReadBytes) {
    throw new AshlarError('io-error', `it has ${text.length} bytes, which no file of events has`);
  }
  const lines = text.split('\n');
  // Behind the last end of a line is nothing, or what a crash left of a line.
  const torn = lines.pop() !== '';
  const cursorKey = keyIn(lines.shift() ?? '');
  const events: KeptEvent[] = [];
  let last = 0;
  let bad = 0;
  for (const line of lines) {
    if (line === '') continue;
    const event = eventIn(line);
    if (event === null) bad += 1;
    else if (event.event.sequence > last) {
      last = event.event.sequence;
      events.push(event);
    }
  }
  if (bad > 0) logger.warn(`${bad} lines of '${path}' are no events of this version: left out`);
  return { events, cursorKey, bytes: Buffer.byteLength(text), stale: torn || bad > 0 };
}

/** @throws AshlarError io-error. */
function keyIn(line: string): Buffer {
  const first = objectIn(line);
  if (first?.ashlar !== 'events') {
    throw new AshlarError('io-error', 'it does not begin as a file of events');
  }
  if (first.format !== format) {
    throw new AshlarError('io-error', `its format ${String(first.format)} is not known here`);
  }
  const key = Buffer.from(typeof first.cursorKey === 'string' ? first.cursorKey : '', 'base64');
  return key.length === cursorKeyBytes ? key : randomBytes(cursorKeyBytes);
}

function lineOf({ event, owner }: KeptEvent): string {
  const { toTenants, ...rest } = event;
  const told = toTenants === event.message ? {} : { toTenants };
  return `${JSON.stringify({ ...rest, ...told, owner })}\n`;
}

const kinds: ReadonlySet<unknown> = new Set(eventKinds);
const isKind = (value: unknown): value is EventKind => kinds.has(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value);

/** null: it is none that this version knows. */
function eventIn(line: string): KeptEvent | null {
  const found = objectIn(line);
  if (found === null) return null;
  const { sequence, id, time, kind, message, subject, tenant, owner } = found;
  const { toTenants = message } = found;
  const severity = eventSeverities.find((each) => each === found.severity);
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 1) return null;
  if (!isText(id) || !isText(time) || Number.isNaN(Date.parse(time))) return null;
  if (severity === undefined || !isKind(kind) || !isText(message) || !isText(toTenants))
    return null;
  if (!isTextOrNull(subject) || !isTextOrNull(tenant) || !isTextOrNull(owner)) return null;
  const event = { sequence, id, time, severity, kind, message, toTenants, subject, tenant };
  return { event, owner };
}

function objectIn(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}
