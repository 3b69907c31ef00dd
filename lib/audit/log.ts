/**
 * The audit log: one JSON object a line, appended before the change is answered, so that it is
 * there when the process dies; a power loss may take the last lines. When the file is full it
 * becomes `FILE.1`, the one before `FILE.2`, and so on.
 */
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { toAshlarError } from '../errors.js';

export interface AuditOptions {
  /** Absolute. */
  path: string;
  /** A file is followed by the next when it has this many bytes. */
  maxBytes: number;
  /** Files kept beside the current one. */
  keep: number;
}

export class AuditLog implements AsyncDisposable {
  readonly #options: AuditOptions;
  readonly #logger: Logger;
  #file: FileHandle;
  #bytes: number;
  /** Ends when every line so far is written. */
  #tail: Promise<void> = Promise.resolve();
  #failing = false;

  private constructor(options: AuditOptions, logger: Logger, file: FileHandle, bytes: number) {
    this.#options = options;
    this.#logger = logger;
    this.#file = file;
    this.#bytes = bytes;
  }

  /** @throws AshlarError permission-denied, not-found, io-error. */
  static async open(options: AuditOptions, logger: Logger): Promise<AuditLog> {
    try {
      await mkdir(dirname(options.path), { recursive: true, mode: 0o700 });
      const file = await openFile(options.path);
      return new AuditLog(options, logger, file, (await file.stat()).size);
    } catch (thrown) {
      throw toAshlarError(thrown);
    }
  }

  /**
   * Resolves when the line is in the file. A disk that takes no lines stops no changes: it is told
   * once, by an error in the log of the daemon, until it takes them again.
   */
  write(entry: object): Promise<void> {
    const line = `${JSON.stringify(entry)}\n`;
    this.#tail = this.#tail.then(() => this.#append(line));
    return this.#tail;
  }

  async #append(line: string): Promise<void> {
    try {
      const bytes = Buffer.byteLength(line);
      if (this.#bytes > 0 && this.#bytes + bytes > this.#options.maxBytes) await this.#rotate();
      await this.#file.appendFile(line);
      this.#bytes += bytes;
      this.#failing = false;
    } catch (err) {
      if (!this.#failing) {
        this.#logger.error({ err }, `the audit log '${this.#options.path}' cannot be written`);
      }
      this.#failing = true;
    }
  }

  async #rotate(): Promise<void> {
    const { path, keep } = this.#options;
    await rm(`${path}.${keep}`, { force: true });
    for (let number = keep - 1; number >= 1; number -= 1) {
      await rename(`${path}.${number}`, `${path}.${number + 1}`).catch(() => undefined);
    }
    await rename(path, `${path}.1`);
    const next = await openFile(path);
    await this.#file.close();
    this.#file = next;
    this.#bytes = 0;
  }

  async close(): Promise<void> {
    await this.#tail;
    await this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The owner's alone: what was changed says much of what there is. */
function openFile(path: string): Promise<FileHandle> {
  return open(path, 'a', 0o600);
}
