/**
 * Where facts come from: small files of the kernel and short programs. Nothing here writes, and
 * what cannot be read is null, not an error.
 */
import { execFile } from 'node:child_process';
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** A program that says nothing for so long is given up. */
const programTimeoutMs = 600;
/** Where a shell of root finds programs. */
const places = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export class Source {
  readonly #root: string;

  /** @param root stands before every path; tests have a tree of their own. */
  constructor(root = '') {
    this.#root = root;
  }

  /** A file's text without space around it. */
  async text(path: string): Promise<string | null> {
    try {
      return (await readFile(this.#at(path), 'utf8')).trim();
    } catch {
      return null; // Not there, or an attribute that the driver does not answer (EINVAL).
    }
  }

  /** A file that holds one whole number. */
  async number(path: string): Promise<number | null> {
    const text = await this.text(path);
    return text !== null && /^-?\d+$/.test(text) ? Number(text) : null;
  }

  /** Names in a folder, sorted; none when there is no such folder. */
  async names(folder: string): Promise<string[]> {
    try {
      return (await readdir(this.#at(folder))).sort();
    } catch {
      return [];
    }
  }

  /** Where a symbolic link leads, last part alone. */
  async linkName(path: string): Promise<string | null> {
    try {
      return basename(await readlink(this.#at(path)));
    } catch {
      return null;
    }
  }

  async exists(path: string): Promise<boolean> {
    return (await this.changedAt(path)) !== null;
  }

  /** When a file was last written, milliseconds. */
  async changedAt(path: string): Promise<number | null> {
    try {
      return (await stat(this.#at(path))).mtimeMs;
    } catch {
      return null;
    }
  }

  /** Whether a program is where a shell of root finds it. */
  async hasProgram(name: string): Promise<boolean> {
    const found = await Promise.all(places.map((place) => this.exists(join(place, name))));
    return found.includes(true);
  }

  /** What a program prints; null when it is not there, fails, or takes too long. */
  run(program: string, args: readonly string[]): Promise<string | null> {
    const env = { PATH: places.map((place) => this.#at(place)).join(':'), LC_ALL: 'C' };
    return new Promise((resolve) => {
      execFile(program, args, { env, timeout: programTimeoutMs }, (error, stdout) => {
        resolve(error === null ? stdout.trim() : null);
      });
    });
  }

  /** Not joined: `/..` behind a symbolic link is the folder above what it leads to. */
  #at(path: string): string {
    return `${this.#root}${path}`;
  }
}

/** `0-3,8`: CPU numbers as the kernel lists them. */
export function cpuNumbers(list: string | null): number[] {
  return (list ?? '').split(',').flatMap((part) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (match === null) return [];
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** `always [madvise] never`: the word in brackets. */
export function chosen(text: string | null): string | null {
  return /\[([^\]]+)\]/.exec(text ?? '')?.[1] ?? null;
}
