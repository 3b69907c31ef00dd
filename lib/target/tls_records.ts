/** Who does the records of TLS once a handshake is done: the kernel, or the process. */
import type { NativeAddon, PortalTls, TlsRecords } from '../native.js';

export interface RecordsDecision {
  records: TlsRecords;
  /** Why the process does them, in one line; null: the kernel does, or there is no TLS. */
  problem: string | null;
}

/**
 * Asks the kernel only where TLS is spoken: trying may have it load its module.
 *
 * @param ktls 'off': the process does them, whatever the kernel can.
 */
export function decideRecords(
  native: Pick<NativeAddon, 'tlsKernelProblem'>,
  tls: PortalTls,
  ktls: 'auto' | 'off',
): RecordsDecision {
  if (tls === 'none') return { records: 'process', problem: null };
  const problem = ktls === 'off' ? 'target.ktls is off' : native.tlsKernelProblem();
  return { records: problem === null ? 'kernel' : 'process', problem };
}

/** For the log. */
export function recordsText({ records, problem }: RecordsDecision): string {
  return `TLS records: ${records}${problem === null ? '' : ` (${problem})`}`;
}
