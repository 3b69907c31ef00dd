/**
 * The key that wraps secrets, in a file of its own: who has the pool without it has no secrets.
 * One line, `ashlar-wrapping-key-1:` and 32 bytes in base64.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { AshlarError, toAshlarError } from '../errors.js';
import { keysUnreadable } from './wrapping.js';

const form = /^ashlar-wrapping-key-1:([A-Za-z0-9+/]{43}=)\n?$/;
const keyBytes = 32;

export class KeyFile {
  readonly #path: string | 'in-memory' | 'unnamed';
  #key: Uint8Array | null = null;

  /**
   * @param path absolute; 'in-memory': the key lives as long as this object, like a pool in memory;
   * 'unnamed': nobody said where, so there are no secrets.
   */
  constructor(path: string | 'in-memory' | 'unnamed') {
    this.#path = path;
  }

  /**
   * Reads it if it is there.
   * @throws AshlarError permission-denied when others may read it, config-invalid when it is none.
   */
  check(): void {
    if (this.#key === null && this.#isFile) this.#key = read(this.#path);
  }

  /** @throws AshlarError not-found when it is missing, or as {@link check}. */
  key(): Uint8Array {
    this.check();
    if (this.#key !== null) return this.#key;
    throw new AshlarError(
      'not-found',
      `the key file (${this.#path}) is missing, and kept secrets cannot be read ` +
        'without it; put it back, or remove the keys of hosts and set them anew',
      keysUnreadable,
    );
  }

  /** Likewise, but makes the file when it is missing; durable when it returns. */
  keyOrNew(): Uint8Array {
    this.check();
    if (this.#path === 'unnamed') {
      throw new AshlarError(
        'config-invalid',
        'secrets cannot be kept: say with pool.keyFile where the key is that wraps them',
      );
    }
    this.#key ??= this.#isFile ? make(this.#path) : Uint8Array.from(randomBytes(keyBytes));
    return this.#key;
  }

  get #isFile(): boolean {
    return this.#path !== 'in-memory' && this.#path !== 'unnamed';
  }
}

function read(file: string): Uint8Array | null {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, 'r');
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return null;
    throw toAshlarError(thrown);
  }
  try {
    const { mode, uid } = fs.fstatSync(descriptor);
    if ((mode & 0o077) !== 0) {
      throw new AshlarError(
        'permission-denied',
        `others may read the key file ${file} (mode ${(mode & 0o777).toString(8)}); run ` +
          `"chmod 600 ${file}", and set the keys of hosts anew if someone has`,
        keysUnreadable,
      );
    }
    const own = process.geteuid?.() ?? uid;
    if (uid !== own && uid !== 0) {
      throw new AshlarError(
        'permission-denied',
        `the key file ${file} belongs to user ${uid}, who may change it, and not to user ${own}`,
        keysUnreadable,
      );
    }
    const [, base64] = form.exec(fs.readFileSync(descriptor, 'latin1')) ?? [];
    if (base64 !== undefined) return Uint8Array.from(Buffer.from(base64, 'base64'));
    throw new AshlarError('config-invalid', `${file} is no key file of Ashlar, or is damaged`);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Whole or not at all, and never over another one. */
function make(file: string): Uint8Array {
  const key = randomBytes(keyBytes);
  const draft = `${file}.${process.pid}.creating`;
  try {
    const descriptor = fs.openSync(draft, 'wx', 0o600);
    try {
      fs.writeFileSync(descriptor, `ashlar-wrapping-key-1:${key.toString('base64')}\n`);
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    fs.linkSync(draft, file);
    const folder = fs.openSync(path.dirname(file), 'r');
    try {
      fs.fsyncSync(folder);
    } finally {
      fs.closeSync(folder);
    }
  } catch (cause) {
    throw new AshlarError(
      'io-error',
      `the key file ${file} cannot be made (${cause instanceof Error ? cause.message : cause}); ` +
        'name another place with pool.keyFile',
      { cause },
    );
  } finally {
    fs.rmSync(draft, { force: true });
  }
  return Uint8Array.from(key);
}
