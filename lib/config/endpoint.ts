/** Addresses to listen on, as people write them. */
import { isIP } from 'node:net';
import { AshlarError } from '../errors.js';
import type { Endpoint } from './config.js';

/**
 * `127.0.0.1:4420`, `[::1]:4420`, or an address alone, which gets `defaultPort`. Names are refused:
 * a portal goes into discovery log pages, where hosts expect an address.
 *
 * @throws AshlarError 'invalid-argument'
 */
export function parseEndpoint(text: string, defaultPort: number, what = 'address'): Endpoint {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text.trim());
  const bare = isIP(text.trim()) === 6 ? text.trim() : null;
  const address = bare ?? match?.[1] ?? match?.[2] ?? '';
  const port = bare === null && match?.[3] !== undefined ? Number(match[3]) : defaultPort;
  if (isIP(address) === 0) {
    throw new AshlarError(
      'invalid-argument',
      `${what} '${text}' is not an IP address and port; write for example ` +
        `'127.0.0.1:${defaultPort}', '0.0.0.0:${defaultPort}' (every interface) or '[::1]:${defaultPort}'`,
    );
  }
  if (port > 65535) {
    throw new AshlarError('invalid-argument', `${what} '${text}' has a port above 65535`);
  }
  return { address, port };
}
