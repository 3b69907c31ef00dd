/**
 * Cursors as callers have them: sealed. What a list itself gives as the place where a page ended
 * can hold record ids, which count over all tenants, so nobody is to read it; and whoever gives one
 * back gets on with the very list that it is of. The key is the process's own, so that a cursor from
 * before a restart is refused like any other that is not good here; but of a list whose places are
 * the same after a restart the key may be given.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import type { Caller } from '../../access/types.js';
import { AshlarError } from '../../errors.js';
import type { OperationId } from '../operations.js';

const nonceBytes = 12;
const tagBytes = 16;
/** What is sealed is filled up to a multiple of this, so that a length says little. */
const padding = 32;
const algorithm = 'aes-256-gcm';

/** A list that is asked for: whose, which, and by which filters. */
export interface ListRequest {
  id: OperationId;
  caller: Caller;
  input: { params: object; query: object };
}

interface Keys {
  key: Buffer;
  nonceKey: Buffer;
}

export class SealedCursors {
  readonly #own = keysFrom(randomBytes(32));
  readonly #lasting: ReadonlyMap<string, Keys>;

  /** @param lasting secrets that outlive the process, by list; null: none. */
  constructor(lasting: Partial<Record<OperationId, Uint8Array | null>> = {}) {
    const given = Object.entries(lasting).flatMap(([id, secret]): [string, Keys][] =>
      secret === null ? [] : [[id, keysFrom(secret)]],
    );
    this.#lasting = new Map(given);
  }

  /** The input of a list with its cursor opened. @throws AshlarError invalid-argument. */
  opened<I extends { params: object; query: object }>(request: ListRequest, input: I): I {
    const cursor: unknown = Reflect.get(input.query, 'cursor');
    if (typeof cursor !== 'string') return input;
    return { ...input, query: { ...input.query, cursor: this.#open(cursor, request) } };
  }

  /** An answer with its cursor sealed, if it is a list that goes on. */
  sealed(request: ListRequest, output: object): object {
    const next: unknown = Reflect.get(output, 'next');
    if (typeof next !== 'string' || !('items' in output)) return output;
    return { ...output, next: this.#seal(next, request) };
  }

  /**
   * The nonce follows from what is sealed: one page has one cursor, and so one entity tag, and no
   * nonce is ever used for two plaintexts.
   */
  #seal(next: string, request: ListRequest): string {
    const { key, nonceKey } = this.#keysOf(request);
    const context = contextOf(request);
    const length = Buffer.byteLength(next);
    const plain = Buffer.alloc(Math.ceil(length / padding) * padding);
    plain.write(next);
    const sum = createHmac('sha256', nonceKey).update(context).update(plain).digest();
    const nonce = sum.subarray(0, nonceBytes);
    const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
    cipher.setAAD(context);
    const body = Buffer.concat([cipher.update(plain), cipher.final()]);
    return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url');
  }

  #open(cursor: string, request: ListRequest): string {
    const { key } = this.#keysOf(request);
    const bytes = Buffer.from(cursor, 'base64url');
    const end = bytes.length - tagBytes;
    try {
      if (end < nonceBytes || bytes.toString('base64url') !== cursor) throw new RangeError('form');
      const nonce = bytes.subarray(0, nonceBytes);
      const opener = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
      opener.setAAD(contextOf(request));
      opener.setAuthTag(bytes.subarray(end));
      const plain = Buffer.concat([opener.update(bytes.subarray(nonceBytes, end)), opener.final()]);
      const filler = plain.indexOf(0);
      return plain.toString('utf8', 0, filler < 0 ? plain.length : filler);
    } catch {
      const shown = cursor.slice(0, 80);
      throw new AshlarError(
        'invalid-argument',
        `cursor '${shown}' is not where a page of this list ended, or the daemon was restarted ` +
          'since; start again without it, with the same filters for every page',
      );
    }
  }

  #keysOf({ id }: ListRequest): Keys {
    return this.#lasting.get(id) ?? this.#own;
  }
}

function keysFrom(secret: Uint8Array): Keys {
  const derived = (of: string) => createHmac('sha256', secret).update(of).digest();
  return { key: derived('cursors: key'), nonceKey: derived('cursors: nonce') };
}

/** The list that a cursor is of; how long its pages are may change on the way. */
function contextOf({ id, caller, input }: ListRequest): Buffer {
  const { limit: _, cursor: __, ...filters } = { ...input.query } as Record<string, unknown>;
  const entries = (of: object) => Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1));
  // A length before the text, so that it cannot run over into what follows it.
  const text = JSON.stringify([id, caller.tenant, entries(input.params), entries(filters)]);
  return Buffer.from(`${text.length}:${text}`);
}
