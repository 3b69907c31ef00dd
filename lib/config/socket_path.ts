/** The limit on the path of a unix socket. */
import { AshlarError } from '../errors.js';

/** Bytes of sun_path less its final zero. */
const maxSocketPathBytes = 107;

/**
 * Refuses a path that does not fit into a socket address.
 *
 * @throws AshlarError 'invalid-argument'
 */
export function checkSocketPath(path: string, what: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > maxSocketPathBytes) {
    throw new AshlarError(
      'invalid-argument',
      `${what}: the socket path '${path}' is ${bytes} bytes long, above the system's limit of ` +
        `${maxSocketPathBytes}; choose a shorter one, for example under /run`,
    );
  }
}
