/**
 * Entity tags: `"VERSION.CONTENT"` of one object, `"CONTENT"` of a list. The content part is of the
 * bytes that are sent, so the tag is a strong one, and differs between the encodings. The version
 * part leaves out what changes by itself, such as how much is written: If-Match looks at it alone,
 * or no busy volume could ever be changed.
 */
import { createHash } from 'node:crypto';
import { AshlarError } from '../../errors.js';

/** Fields that hosts, the clock or other objects change. */
const changesByItself: ReadonlySet<string> = new Set([
  'mappedBytes',
  'allocatedBytes',
  'exclusiveBytes',
  'sharedBytes',
  'reservedBytes',
  'freesBytes',
  'freeBytes',
  'provisionedBytes',
  'connections',
  'controllers',
  'snapshots',
  'volumes',
  'tenants',
  'hosts',
  'readErrors',
  'writeErrors',
  'problem',
  'state',
  'nextRunAt',
  'lastRunAt',
  'lastFailure',
  'oldSecretUntil',
  'doneBytes',
  'totalBytes',
  'endedAt',
  'result',
  'error',
]);

/** Longer ones are refused; a client has one tag, or a few. */
const maxHeaderLength = 4096;

/** The tag of an answer. @param bytes as they are sent. */
export function etagOf(output: object, bytes: Uint8Array): string {
  const content = digest(bytes);
  return 'items' in output ? `"${content}"` : `"${versionOf(output)}.${content}"`;
}

/** Stays the same until somebody changes the object. */
export function versionOf(output: object): string {
  const kept = Object.entries(output).filter(
    // A schedule's list of volumes is its own; of other objects they are counts.
    ([name, value]) => !changesByItself.has(name) || (name === 'volumes' && Array.isArray(value)),
  );
  return digest(Buffer.from(JSON.stringify(kept)));
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64url').slice(0, 16);
}

/** Whether If-None-Match has this tag (or any): weak comparison, as RFC 9110 wants for reads. */
export function noneMatches(header: string, etag: string): boolean {
  const tags = parse('If-None-Match', header);
  return tags === '*' || tags.some((tag) => tag.replace(/^W\//, '') === etag);
}

/**
 * Refuses a change when the object is not as If-Match says it was seen.
 *
 * @param current the object now; null: it is not there.
 * @throws AshlarError precondition-failed, invalid-argument.
 */
export function assertMatch(header: string, current: object | null): void {
  const tags = parse('If-Match', header);
  if (current !== null) {
    if (tags === '*') return;
    const version = versionOf(current);
    // A weak tag never matches here.
    if (tags.some((tag) => tag.startsWith(`"${version}.`))) return;
  }
  throw new AshlarError(
    'precondition-failed',
    current === null
      ? 'If-Match: the object is not there; nothing was changed'
      : 'If-Match: the object has changed since it was read; nothing was changed. Read it again',
  );
}

function parse(name: string, header: string): '*' | string[] {
  if (header.trim() === '*') return '*';
  const form = /^\s*(?:W\/)?"[\x21\x23-\x7e]*"\s*(?:,\s*(?:W\/)?"[\x21\x23-\x7e]*"\s*)*$/;
  if (header.length > maxHeaderLength || !form.test(header)) {
    throw new AshlarError('invalid-argument', `${name}: not a list of entity tags`);
  }
  return header.split(',').map((tag) => tag.trim());
}
