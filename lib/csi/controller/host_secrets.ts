/** Keys and PSKs that come as Secrets with a publication, kept at the tenant for that host. */
import type { Endpoint } from './endpoint.js';
import { codeOf } from './endpoint.js';

type Texts = Readonly<Record<string, string>>;

/** As the daemon keeps them of one host: the one in use, and the one that it goes over to. */
const maxHostKeys = 2;
const maxPsks = 4;

/** Whether there is anything to set. */
export function hasSecrets({ hostKey = '', controllerKey = '', tlsPsk = '' }: Texts): boolean {
  return `${hostKey}${controllerKey}${tlsPsk}` !== '';
}

/**
 * Sets what is given, which is kept until the host goes. Of keys that are rotated the oldest makes
 * room for the newest.
 *
 * @throws AshlarError invalid-argument for what is no key; nothing secret is in any message.
 */
export async function setSecrets(
  endpoint: Endpoint,
  tenant: string,
  host: string,
  secrets: Texts,
  signal: AbortSignal,
): Promise<void> {
  const { hostKey = '', controllerKey = '', tlsPsk = '' } = secrets;
  const set = async (role: 'host' | 'controller', secret: string): Promise<void> => {
    await endpoint.call(
      'createHostKey',
      {
        params: { host },
        body: { role, secret },
        query: { tenant, repeatable: 'true' },
      },
      { signal },
    );
  };
  if (hostKey !== '') {
    try {
      await set('host', hostKey);
    } catch (thrown) {
      if (codeOf(thrown) !== 'conflict') throw thrown;
      await dropOldestKey(endpoint, tenant, host, signal);
      await set('host', hostKey);
    }
  }
  if (controllerKey !== '') await set('controller', controllerKey);
  if (tlsPsk !== '') await setPsk(endpoint, tenant, host, tlsPsk, signal);
}

/** Whether the host has to prove who it is when it connects. */
export async function isAuthenticated(
  endpoint: Endpoint,
  tenant: string,
  host: string,
  signal: AbortSignal,
): Promise<boolean> {
  const keys = await endpoint.list('listHostKeys', { tenant, host }, signal);
  return keys.some(({ role }) => role === 'host');
}

/** Lists have the newest first. */
async function dropOldestKey(
  endpoint: Endpoint,
  tenant: string,
  host: string,
  signal: AbortSignal,
): Promise<void> {
  const keys = await endpoint.list('listHostKeys', { tenant, host }, signal);
  const own = keys.filter(({ role }) => role === 'host');
  const oldest = own.at(-1);
  if (oldest === undefined || own.length < maxHostKeys) return;
  await endpoint.call(
    'deleteHostKey',
    {
      params: { host, fingerprint: oldest.fingerprint },
      query: { tenant, repeatable: 'true' },
    },
    { signal },
  );
}

async function setPsk(
  endpoint: Endpoint,
  tenant: string,
  host: string,
  psk: string,
  signal: AbortSignal,
): Promise<void> {
  const query = { tenant, repeatable: 'true' as const };
  const set = async (): Promise<void> => {
    await endpoint.call('createPsk', { body: { host, psk }, query }, { signal });
  };
  try {
    await set();
  } catch (thrown) {
    if (codeOf(thrown) !== 'limit-exceeded') throw thrown;
    // Lists have the oldest first.
    const own = await endpoint.list('listPsks', { tenant, host }, signal);
    const [oldest] = own;
    if (oldest === undefined || own.length < maxPsks) throw thrown;
    const input = { params: { host }, query: { ...query, id: oldest.id } };
    await endpoint.call('deletePsk', input, { signal });
    await set();
  }
}
