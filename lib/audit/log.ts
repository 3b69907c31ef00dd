/**
 * The audit log: one JSON object a line, appended before the change is answered, so that it is
 * there when the process dies; a power loss may take the last lines. When the file is full it
 * becomes `FILE.1`, the one before `FILE.2`, and so on.
 */
import { rename, rm } from 'node:fs/promises';
import type { Logger } from 'pino';
import { toAshlarError } from '../errors.js';
import { InTurn, LineFile } from '../lines/line_file.js';

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
  readonly #file: LineFile;
  readonly #turns: InTurn;

  private constructor(options: AuditOptions, logger: Logger, file: LineFile) {
    this.#options = options;
    this.#file = file;
    this.#turns = new InTurn((err) =>
      logger.error({ err }, `the audit log '${options.path}' cannot be written`),
    );
  }

  /** @throws AshlarError permission-denied, not-found, io-error. */
  static async open(options: AuditOptions, logger: Logger): Promise<AuditLog> {
    try {
      return new AuditLog(options, logger, await LineFile.open(options.path));
    } catch (thrown) {
      throw toAshlarError(thrown);
    }
  }

  /**
   * Resolves when the line is in the file. A disk that takes no lines stops no changes: it is told
   * once, by an error in the log of the daemon, until it takes them again.
   */
  async write(entry: object): Promise<void> {
    const line = `${JSON.stringify(entry)}\n`;
    await this.#turns.run(async () => {
      const { bytes } = this.#file;
      if (bytes > 0 && bytes + Buffer.byteLength(line) > this.#options.maxBytes) {
        await this.#rotate();
      }
      await this.#file.append(line);
      return 'done';
    });
  }

  async #rotate(): Promise<void> {
    const { path, keep } = this.#options;
    await rm(`${path}.${keep}`, { force: true });
    for (let number = keep - 1; number >= 1; number -= 1) {
      await rename(`${path}.${number}`, `${path}.${number + 1}`).catch(() => undefined);
    }
    await this.#file.moveTo(`${path}.1`);
  }

  async close(): Promise<void> {
    await this.#turns.settled();
    await this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
