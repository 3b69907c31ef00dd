/** What the commands share: printing, asking, and the end of the process. */
import { createInterface } from 'node:readline';
import { AshlarError, toAshlarError } from '../errors.js';

/** Columns of the terminal; null when stdout is no terminal. */
export function terminalWidth(): number | null {
  return process.stdout.isTTY && process.stdout.columns > 0 ? process.stdout.columns : null;
}

export function printLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Time as people read it: `2026-11-23 10:42:13` in the local zone. */
export function localTime(iso: string): string {
  const time = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** `1 volume`, `2 volumes`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/**
 * Asks on the terminal before something that cannot be undone.
 *
 * @throws AshlarError 'usage' when there is no terminal to ask on, 'cancelled' on any answer but
 * yes.
 */
export async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new AshlarError(
      'usage',
      `${question} There is no terminal to ask on; say --yes if you mean it`,
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await new Promise<string>((resolve) => {
    // Ctrl-C and Ctrl-D close it, and are no yes.
    const onClose = (): void => {
      process.stderr.write('\n');
      resolve('');
    };
    terminal.once('close', onClose);
    terminal.question(`${question} [y/N] `, (typed) => {
      terminal.off('close', onClose);
      resolve(typed);
    });
  });
  terminal.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new AshlarError('cancelled', 'nothing was changed');
}

/**
 * Says what went wrong, on one line of stderr: text for people, one JSON object for programs. A
 * stack is shown only for our own mistakes, to be reported.
 */
export function reportError(thrown: unknown, json: boolean): AshlarError {
  const error = toAshlarError(thrown);
  const { code, message, hint, exitCode } = error;
  if (json) {
    process.stderr.write(`${JSON.stringify({ code, message, hint, exitCode })}\n`);
    return error;
  }
  const line = hint === null ? message : `${message.replace(/[.;]$/, '')}; ${hint}`;
  process.stderr.write(`ashlar: ${line.replaceAll(/\p{Cc}+/gu, ' ')}\n`);
  if (code === 'internal') {
    const cause = error.cause instanceof Error ? error.cause : error;
    process.stderr.write(`This is a mistake of Ashlar; please report it with:\n${cause.stack}\n`);
  }
  return error;
}
