/** NVMe Qualified Names (Base 4.5). */
import { maxNqnBytes } from './limits.js';

/** The well-known NQN by which every discovery subsystem can be reached (Base 4.5). */
export const discoveryNqn = 'nqn.2014-08.org.nvmexpress.discovery';

/** The prefix of NQNs that a UUID makes unique. */
export const uuidNqnPrefix = 'nqn.2014-08.org.nvmexpress:uuid:';

const domainForm = /^nqn\.\d{4}-(0[1-9]|1[0-2])\.[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[^\s\p{Cc}]+)?$/u;
const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * What is wrong with an NQN, as the end of a sentence; null when it follows the rules: at most 223
 * bytes of UTF-8, `nqn.yyyy-mm.reverse.domain[:name]`, and a UUID where the UUID prefix is used.
 */
export function nqnProblem(nqn: string): string | null {
  const length = new TextEncoder().encode(nqn).length;
  if (length === 0) return 'is empty';
  if (length > maxNqnBytes) return `is ${length} bytes long; an NQN has at most ${maxNqnBytes}`;
  if (nqn.startsWith(uuidNqnPrefix)) {
    if (uuidForm.test(nqn.slice(uuidNqnPrefix.length))) return null;
    return `does not have a UUID after '${uuidNqnPrefix}'`;
  }
  if (domainForm.test(nqn)) return null;
  return "is not of the form 'nqn.yyyy-mm.reverse.domain:name'";
}

/**
 * The NQN in a fixed field of Connect data: null-terminated within its 256 bytes, nothing longer
 * than 223 bytes, valid UTF-8; null when it breaks these rules.
 */
export function decodeNqnField(field: Uint8Array): string | null {
  const end = field.indexOf(0);
  if (end <= 0 || end > maxNqnBytes) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(field.subarray(0, end));
  } catch {
    return null;
  }
}
