/** TLS for NVMe/TCP: the kernel does it, with a key from its keyring. */
import { CsiError } from '../errors.js';
import type { PathTarget } from './fabrics.js';
import type { PathSecrets } from './types.js';

/** Options of a path for TLS; none without. */
export async function tlsOptions(
  { subnqn }: PathTarget,
  { tlsPsk }: PathSecrets,
  _timeoutMs: number,
): Promise<readonly string[]> {
  if (tlsPsk === null) return [];
  throw new CsiError('FAILED_PRECONDITION', `TLS to ${subnqn} is not there yet`);
}
