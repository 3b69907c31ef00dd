/** A look at the portals' ports before anything is made. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Endpoint, formatEndpoint } from '../config/config.js';
import { AshlarError, toAshlarError } from '../errors.js';

/**
 * Refuses ports that cannot be listened on, so that a first start that fails for one leaves no pool
 * behind. The target itself listens later; this only looks.
 *
 * @throws AshlarError 'address-in-use', 'address-unavailable', 'permission-denied'.
 */
export async function checkPortals(endpoints: readonly Endpoint[]): Promise<void> {
  for (const endpoint of endpoints) {
    if (endpoint.port !== 0) await checkPortal(endpoint);
  }
}

async function checkPortal(endpoint: Endpoint): Promise<void> {
  const { address, port } = endpoint;
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen({ host: address, port, exclusive: true });
    await once(server, 'listening');
  } catch (thrown) {
    const error = toAshlarError(thrown);
    throw new AshlarError(error.code, refusal(endpoint, error), { cause: thrown });
  }
  server.close();
  await once(server, 'close');
}

function refusal(endpoint: Endpoint, error: AshlarError): string {
  const name = formatEndpoint(endpoint);
  switch (error.code) {
    case 'address-in-use':
      return (
        `port ${endpoint.port} of ${endpoint.address} is in use by another process ` +
        `(see 'ss -ltnp'); stop that, or choose another with --portal or --discovery`
      );
    case 'address-unavailable':
      return `cannot listen on ${name}: ${endpoint.address} is not an address of this machine`;
    case 'permission-denied':
      return `cannot listen on ${name}: ports below 1024 need root or CAP_NET_BIND_SERVICE`;
    default:
      return `cannot listen on ${name}: ${error.message}`;
  }
}
