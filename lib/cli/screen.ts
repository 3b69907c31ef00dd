/** The whole terminal for a while: what is drawn there, keys, and giving it back as it was. */

/** Where it is drawn: the terminal, and in tests anything. */
export interface Terminal {
  columns: number;
  rows: number;
  write(text: string): unknown;
}

/** What is shown. */
export interface Drawing {
  draw(): void;
  /** True: it is to end. */
  key(key: string): boolean;
}

const enter = '\x1b[?1049h\x1b[?25l';
const leave = '\x1b[?25h\x1b[?1049l';

/** One frame. Each line is drawn to its end: nothing of the one before stays, nothing flickers. */
export function frameText(lines: readonly string[]): string {
  return `\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}`;
}

/** Cuts what is wider than the terminal. */
export function cut(line: string, columns: number): string {
  const letters = [...line];
  return letters.length <= columns ? line : `${letters.slice(0, columns - 1).join('')}…`;
}

/**
 * Takes the terminal, and gives it back as it was whatever happens. The signal aborts when a key or
 * a signal ends it.
 */
export async function onScreen(
  drawing: Drawing,
  body: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { stdin, stdout } = process;
  const ended = new AbortController();
  const onKey = (chunk: Buffer): void => {
    if (drawing.key(chunk.toString('utf8'))) ended.abort();
  };
  const onResize = (): void => drawing.draw();
  const onSignal = (): void => ended.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  stdout.write(enter);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on('data', onKey);
  stdout.on('resize', onResize);
  for (const signal of signals) process.once(signal, onSignal);
  try {
    drawing.draw();
    await body(ended.signal);
  } finally {
    stdin.off('data', onKey);
    stdout.off('resize', onResize);
    for (const signal of signals) process.off(signal, onSignal);
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    stdout.write(leave);
  }
}
