/** Refusals because hosts are connected. */
import { AshlarError } from '../errors.js';
import type { ConnectedHost } from './types.js';

/** Hosts told by name; of more the number is told. */
const namedHosts = 3;

/** The hosts, each once, for a message. */
export function hostsText(connected: readonly Pick<ConnectedHost, 'hostnqn'>[]): string {
  const hosts = [...new Set(connected.map(({ hostnqn }) => hostnqn))].sort();
  const named = hosts.slice(0, namedHosts).map((host) => `host ${host}`);
  const more = hosts.length - named.length;
  return more === 0 ? named.join(', ') : `${named.join(', ')} and ${more} more`;
}

/**
 * @param what e.g. "volume 'a'".
 * @param advice what to do, after "disconnect it there, ".
 * @throws AshlarError busy when hosts are connected.
 */
export function refuseConnected(
  what: string,
  connected: readonly ConnectedHost[],
  advice: string,
): void {
  if (connected.length === 0) return;
  throw new AshlarError(
    'busy',
    `${what} is connected by ${hostsText(connected)}; disconnect it there, ${advice}`,
  );
}
