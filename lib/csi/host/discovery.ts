/** What a discovery service tells this host (nvme-cli), as portals of one subsystem. */
import { CsiError } from '../errors.js';
import { succeed } from './programs.js';
import type { NvmePath } from './types.js';

const timeoutMs = 10_000;

/** @throws CsiError UNAVAILABLE when nothing can be heard. */
export async function askDiscovery(
  { subnqn, address, port }: NvmePath,
  { hostnqn, hostid }: { readonly hostnqn: string; readonly hostid: string },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const where = ['--transport=tcp', `--traddr=${address}`, `--trsvcid=${port}`];
  const who = [`--hostnqn=${hostnqn}`, `--hostid=${hostid}`];
  const args = ['discover', ...where, ...who, '--output-format=json'];
  try {
    return portalsIn(await succeed('nvme', args, { timeoutMs, signal }), subnqn);
  } catch (thrown) {
    const { message } = thrown as Error;
    throw new CsiError('UNAVAILABLE', `${address}:${port} tells no portals: ${message}`, {
      cause: thrown,
    });
  }
}

/**
 * The portals over TCP of a subsystem in nvme-cli's JSON; sorted, each once.
 *
 * @throws SyntaxError, TypeError for what is none.
 */
export function portalsIn(json: string, subnqn: string): readonly string[] {
  const { records } = JSON.parse(json) as { records: Readonly<Record<string, unknown>>[] };
  const found = records.flatMap((record) => {
    const text = (name: string) => String(record[name] ?? '').trim();
    if (text('trtype') !== 'tcp' || text('subnqn') !== subnqn) return [];
    const [address, port] = [text('traddr'), text('trsvcid')];
    return [address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`];
  });
  return [...new Set(found)].sort();
}
