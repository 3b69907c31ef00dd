/**
 * TLS for NVMe/TCP: the kernel does it, with a key from its keyring, and the handshake is tlshd's.
 *
 * nvme-cli can put a key there too, but takes it on its command line, which everybody on the node
 * can read, and before version 2.15 derives another one than the specification does.
 */
import { tlsPsks } from '../../tls/derive.js';
import { parsePsk } from '../../tls/psk.js';
import { CsiError } from '../errors.js';
import { failed, run } from './programs.js';

/** The keyring of the kernel's NVMe code. */
const keyring = '%:.nvme';

/**
 * Puts the key of this host for a subsystem into the kernel's keyring, or finds it there.
 *
 * @param psk `NVMeTLSkey-1:...`.
 * @returns options of a path.
 * @throws CsiError FAILED_PRECONDITION where it cannot be kept; AshlarError for what is no key.
 */
export async function tlsOptions(
  { hostnqn, subnqn }: { readonly hostnqn: string; readonly subnqn: string },
  psk: string,
  timeoutMs: number,
): Promise<readonly string[]> {
  const { identity, key } = tlsKey(psk, hostnqn, subnqn);
  const args = ['padd', 'psk', identity, keyring];
  const ended = await run('keyctl', args, { input: key, timeoutMs });
  const serial = ended.stdout;
  if (ended.code === 0 && /^\d+$/.test(serial)) return ['tls', `tls_key=${serial}`];
  const { message } = failed('keyctl', args, ended);
  throw new CsiError(
    'FAILED_PRECONDITION',
    `this node cannot keep the key for TLS to ${subnqn}: ${message}; TLS needs Linux 6.7 with ` +
      'nvme-tcp loaded, and tlshd running on the node',
  );
}

/** The identity with a digest (version 1), so that two keys for one subsystem are two keys. */
export function tlsKey(
  psk: string,
  hostnqn: string,
  subnqn: string,
): { identity: string; key: Uint8Array } {
  const all = tlsPsks(parsePsk(psk, "secret 'tlsPsk'"), hostnqn, subnqn);
  const found = all.find(({ identity }) => identity.startsWith('NVMe1R'));
  if (found === undefined) throw new RangeError('a PSK has no identity');
  return { identity: found.identity, key: found.psk };
}
