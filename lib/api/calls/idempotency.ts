/**
 * Changes that are sent again with the same key are done once: the answer of the first is given
 * again. In memory, for a day, bounded: a daemon that was restarted knows none, which is what
 * `repeatable` is for. Only successes are kept, since a refusal has changed nothing and may be
 * tried again.
 */
import { createHash } from 'node:crypto';
import { AshlarError } from '../../errors.js';

export const keptMs = 24 * 3_600_000;
/** Answers are a volume's or a few snapshots' documents: 4,096 of some KiB are some MiB. */
export const maxKeys = 4096;
const maxKeptBytes = 16 << 20;
const keyForm = /^[\x21-\x7e]{1,255}$/;

/** What a change was answered with. */
export interface KeptAnswer {
  status: number;
  output: object;
}

interface Entry {
  /** The tenant whose key it is; null: the node. */
  tenant: string | null;
  request: string;
  /** null: it is under way. */
  answer: KeptAnswer | null;
  bytes: number;
  atMs: number;
}

export class IdempotencyKeys {
  readonly #entries = new Map<string, Entry>();
  readonly #nowMs: () => number;
  #bytes = 0;

  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Does the work, or gives the answer that it had.
   *
   * @param owner whose key it is: the same key of somebody else is another one. When too many are
   * kept, it is the tenant with the most that loses its oldest.
   * @param request what is asked for, whole.
   * @throws AshlarError invalid-argument (the key), key-reused, busy (the first is under way), and
   * what the work throws.
   */
  async run(
    owner: { tenant: string | null; name: string; via: string },
    key: string,
    request: unknown,
    work: () => Promise<KeptAnswer>,
  ): Promise<{ answer: KeptAnswer; replayed: boolean }> {
    if (!keyForm.test(key)) {
      throw new AshlarError(
        'invalid-argument',
        'Idempotency-Key: give 1 to 255 visible ASCII letters, such as a UUID',
      );
    }
    this.#forgetOld();
    const { tenant } = owner;
    const name = JSON.stringify([owner.via, tenant, owner.name, key]);
    const print = createHash('sha256').update(JSON.stringify(request)).digest('base64');
    const before = this.#entries.get(name);
    if (before !== undefined) return { answer: repeated(before, print), replayed: true };
    const entry: Entry = { tenant, request: print, answer: null, bytes: 0, atMs: this.#nowMs() };
    this.#entries.set(name, entry);
    try {
      entry.answer = await work();
    } catch (thrown) {
      this.#entries.delete(name);
      throw thrown;
    }
    entry.bytes = JSON.stringify(entry.answer).length;
    this.#bytes += entry.bytes;
    this.#forgetOld();
    return { answer: entry.answer, replayed: false };
  }

  /** Those under way stay. */
  #forgetOld(): void {
    for (const [name, entry] of this.#entries) {
      if (this.#nowMs() - entry.atMs <= keptMs) break;
      if (entry.answer !== null) this.#forget(name, entry);
    }
    while (this.#entries.size > maxKeys) if (!this.#forgetOneOf('count')) return;
    while (this.#bytes > maxKeptBytes) if (!this.#forgetOneOf('bytes')) return;
  }

  #forget(name: string, { bytes }: Entry): void {
    this.#entries.delete(name);
    this.#bytes -= bytes;
  }

  /** Of the tenant that has most of what is too much: its oldest. @returns false: there is none. */
  #forgetOneOf(much: 'count' | 'bytes'): boolean {
    const kept = new Map<
      string | null,
      { name: string; oldest: Entry } & Record<typeof much, number>
    >();
    for (const [name, entry] of this.#entries) {
      if (entry.answer === null) continue;
      const own = kept.get(entry.tenant) ?? { name, oldest: entry, count: 0, bytes: 0 };
      kept.set(entry.tenant, own);
      own.count += 1;
      own.bytes += entry.bytes;
    }
    const [most] = [...kept.values()].sort((a, b) => b[much] - a[much]);
    if (most === undefined) return false;
    this.#forget(most.name, most.oldest);
    return true;
  }
}

function repeated(before: Entry, print: string): KeptAnswer {
  if (before.request !== print) {
    throw new AshlarError(
      'key-reused',
      'Idempotency-Key: this key was used for another request; choose a new one for each change',
    );
  }
  if (before.answer !== null) return before.answer;
  throw new AshlarError('busy', 'Idempotency-Key: the request of this key is under way');
}
