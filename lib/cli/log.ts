/** The daemon's log: JSON lines on stderr for programs, short lines for a person who watches. */
import { Writable } from 'node:stream';
import { type Logger, pino } from 'pino';
import type { LogLevel } from '../config/config.js';

/** A logger to stderr. A terminal gets short lines, everything else JSON. */
export function openLog(level: LogLevel): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (process.stderr.isTTY) return pino(options, shortLines());
  // Synchronous: the last line before a crash is the one that matters.
  return pino(options, pino.destination({ dest: 2, sync: true }));
}

/** `10:57:14 info  host connected  peer=127.0.0.1:5000` */
function shortLines(): Writable {
  return new Writable({
    decodeStrings: false,
    write(chunk: unknown, _encoding, done) {
      for (const line of String(chunk).split('\n')) {
        if (line !== '') process.stderr.write(`${shortLine(line)}\n`);
      }
      done();
    },
  });
}

function shortLine(line: string): string {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return line;
  }
  if (typeof entry !== 'object' || entry === null) return line;
  const { time, level, msg, ...rest } = { time: '', level: 30, msg: '', ...entry };
  const clock = new Date(time).toTimeString().slice(0, 8);
  const name = pino.levels.labels[level] ?? String(level);
  const fields = Object.entries<unknown>(rest).map(([key, value]) => `${key}=${shown(value)}`);
  return [`${clock} ${name.padEnd(5)} ${msg}`, ...fields].join('  ').replaceAll(/\p{Cc}/gu, ' ');
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
}
