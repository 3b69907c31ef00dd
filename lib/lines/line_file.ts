/** Files of lines that programs read: only ever added to, their owner's alone, whole after a crash. */
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { toAshlarError } from '../errors.js';

/** What they say of a node is not for everybody. */
const mode = 0o600;
/** How much of a replacement is put together at once. */
const sliceBytes = 256 << 10;

export class LineFile {
  readonly path: string;
  #file: FileHandle;
  #bytes: number;
  /** The last line has no end: the process or the disk stopped in the midst of it. */
  #torn: boolean;

  private constructor(path: string, file: FileHandle, bytes: number, torn: boolean) {
    this.path = path;
    this.#file = file;
    this.#bytes = bytes;
    this.#torn = torn;
  }

  /** Opens the file, or makes it with its folder. Rejects with what the system says. */
  static async open(path: string): Promise<LineFile> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(path, 'a', mode);
    try {
      const { size } = await file.stat();
      return new LineFile(path, file, size, await isTorn(path, size));
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
  }

  /** Of the file, as far as is known. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param text whole lines. They are with the system when it resolves, not on the disk. */
  async append(text: string): Promise<void> {
    // A line that was cut off stays alone: nothing is written behind it on the same line.
    const whole = this.#torn ? `\n${text}` : text;
    this.#torn = true;
    await this.#file.appendFile(whole);
    this.#torn = false;
    this.#bytes += Buffer.byteLength(whole);
  }

  /** The file gets another name, and an empty one begins under its own. */
  async moveTo(older: string): Promise<void> {
    await rename(this.path, older).catch((thrown: unknown) => {
      // Somebody took it away; what comes next is not lost with it.
      if (toAshlarError(thrown).code !== 'not-found') throw thrown;
    });
    await this.#goOnWith(await open(this.path, 'a', mode), 0);
  }

  /** Puts other lines into the place of all that there are, in one step: all of them, or none. */
  async replace(lines: Iterable<string>): Promise<void> {
    const beside = `${this.path}.new`;
    const file = await open(beside, 'w', mode);
    let bytes = 0;
    try {
      for (const slice of slices(lines)) {
        await file.appendFile(slice);
        bytes += Buffer.byteLength(slice);
      }
      // Or a power loss could leave the new name with nothing in it.
      await file.sync();
      await rename(beside, this.path);
    } catch (thrown) {
      await rm(beside, { force: true }).catch(() => undefined);
      throw thrown;
    } finally {
      await file.close();
    }
    await this.#goOnWith(await open(this.path, 'a', mode), bytes);
  }

  async #goOnWith(next: FileHandle, bytes: number): Promise<void> {
    const before = this.#file;
    this.#file = next;
    this.#bytes = bytes;
    this.#torn = false;
    await before.close();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Of a file that may be written and not read, nobody knows. */
async function isTorn(path: string, size: number): Promise<boolean> {
  if (size === 0) return false;
  const file = await open(path, 'r').catch(() => null);
  try {
    const last = await file?.read(Buffer.alloc(1), 0, 1, size - 1);
    return last !== undefined && last.bytesRead === 1 && last.buffer[0] !== 0x0a;
  } catch {
    return false;
  } finally {
    await file?.close();
  }
}

function* slices(lines: Iterable<string>): Iterable<string> {
  let slice = '';
  for (const line of lines) {
    slice += line;
    if (slice.length < sliceBytes) continue;
    yield slice;
    slice = '';
  }
  yield slice;
}

/** Work on a file, one piece after the other. What fails is told once, until something succeeds. */
export class InTurn {
  readonly #tell: (thrown: unknown) => void;
  #tail: Promise<void> = Promise.resolve();
  #failing = false;

  constructor(tell: (thrown: unknown) => void) {
    this.#tell = tell;
  }

  /** Resolves when this piece is done, or has failed. @param piece resolves to 'idle': no work. */
  run(piece: () => Promise<'done' | 'idle'>): Promise<void> {
    this.#tail = this.#tail.then(() => this.#try(piece));
    return this.#tail;
  }

  async #try(piece: () => Promise<'done' | 'idle'>): Promise<void> {
    try {
      if ((await piece()) === 'done') this.#failing = false;
    } catch (thrown) {
      if (!this.#failing) this.#tell(thrown);
      this.#failing = true;
    }
  }

  /** Resolves when everything so far is done. */
  settled(): Promise<void> {
    return this.#tail;
  }
}
