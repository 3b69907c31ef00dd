/** What the kernel has said, for errors of which it returns only a number. */
import { closeSync, constants, openSync, readSync } from 'node:fs';

/** Each read of /dev/kmsg gives one record, at most this long. */
const recordBytes = 8 << 10;

/**
 * Lines of the kernel's log since a moment, in microseconds of the monotonic clock. Without the
 * right to read it: none.
 */
export async function kernelLines(file: string, about: RegExp, sinceUs: number): Promise<string[]> {
  const lines: string[] = [];
  let descriptor: number | null = null;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const record = Buffer.alloc(recordBytes);
    // Ends with EAGAIN behind the newest; a ring of a million records is none.
    for (let count = 0; count < 1_000_000; count += 1) {
      const text = record.toString('utf8', 0, readSync(descriptor, record));
      // `6,339,5140900,-;message`, with lines of facts behind it.
      const [, us, line] = /^\d+,\d+,(\d+),[^;]*;(.*)/.exec(text) ?? [];
      if (line === undefined || Number(us) < sinceUs || !about.test(line)) continue;
      lines.push(line);
    }
  } catch {
    // The end, or not for us to read.
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
  return lines;
}
