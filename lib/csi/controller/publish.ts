/** ControllerPublishVolume and ControllerUnpublishVolume: grants, which are what fences. */
import type { Grant, Volume } from '../../api/contract.js';
import { CsiError, toCsiError } from '../errors.js';
import type { OperationLocks } from '../locks.js';
import { hostNqnOf, required } from '../names.js';
import type { RequestOf } from '../wire/services.js';
import { accessOf, aloneOf, type Use, useOf } from './capabilities.js';
import { codeOf, type Endpoint, type Paths, Unreachable } from './endpoint.js';
import type { Endpoints, Found } from './endpoints.js';
import { hasSecrets, isAuthenticated, setSecrets } from './host_secrets.js';
import { contextKeys, volumeText } from './objects.js';

type Texts = Readonly<Record<string, string>>;

/** Grants to any host, which no publication gives. */
const anyHost = '*';

export interface Publication {
  volumeId: string;
  nodeId: string;
  use: Use;
  access: Use['access'];
  secrets: Texts;
  volumeContext: Texts;
}

/** @throws CsiError INVALID_ARGUMENT, NOT_FOUND of a node that cannot be. */
export function wantedPublication(
  request: RequestOf<'Controller', 'controllerPublishVolume'>,
): Publication {
  const { secrets, volumeContext } = request;
  const volumeId = required('volume_id', request.volumeId);
  const node = required('node_id', request.nodeId);
  const use = useOf(request.volumeCapability);
  const access = accessOf(use, request.readonly);
  return { volumeId, nodeId: hostNqnOf(node), use, access, secrets, volumeContext };
}

export class Publisher {
  readonly #endpoints: Endpoints;
  readonly #locks: OperationLocks;
  readonly #maxVolumes: number;

  /** @param maxVolumes of one node; 0: as many as the daemon grants. */
  constructor(endpoints: Endpoints, locks: OperationLocks, maxVolumes: number) {
    this.#endpoints = endpoints;
    this.#locks = locks;
    this.#maxVolumes = maxVolumes;
  }

  /** @returns the publish context. */
  publish(wanted: Publication, signal: AbortSignal): Promise<Record<string, string>> {
    const { volumeId } = wanted;
    return this.#locks.hold([volumeId], 'ControllerPublishVolume', async () => {
      const found = await this.#endpoints.volume(volumeId, signal);
      if (found === null) {
        throw new CsiError('NOT_FOUND', `volume '${volumeId}' does not exist`);
      }
      const before = assertFree(found, wanted);
      const needsTls = wanted.volumeContext[contextKeys.tls] === 'required';
      const withPsk = (wanted.secrets['tlsPsk'] ?? '') !== '';
      const { endpoint, item } = found;
      const paths = await endpoint.paths(needsTls ? 'required' : 'either', withPsk, signal);
      if (paths.tls === 'required' && !withPsk) await assertPsk(found, wanted.nodeId, signal);
      if (before === null) await this.#assertRoom(wanted.nodeId, signal);
      const secrets = hasSecrets(wanted.secrets);
      const input = { params: { host: wanted.nodeId }, query: { tenant: item.tenant } };
      const host = secrets ? await endpoint.lookUp('getHost', input, signal) : null;
      // First the right to it, so that of two nodes one alone goes on.
      if (before === null) await this.#grant(found, wanted, signal);
      try {
        await setSecrets(endpoint, item.tenant, wanted.nodeId, wanted.secrets, signal);
      } catch (thrown) {
        // A key that cannot be used is for the caller to mend; until then nothing has happened.
        if (before === null && toCsiError(thrown).status === 'INVALID_ARGUMENT') {
          await this.#revoke(found, wanted.nodeId, signal);
          if (host === null) await this.#forget(found, wanted.nodeId, signal);
        }
        throw thrown;
      }
      const known = await isAuthenticated(endpoint, item.tenant, wanted.nodeId, signal);
      return contextOf(item, wanted, paths, known);
    });
  }

  /** From one node, or from all when none is given; complete when it is answered. */
  unpublish(volumeId: string, nodeId: string | null, signal: AbortSignal): Promise<void> {
    return this.#locks.hold([volumeId], 'ControllerUnpublishVolume', async () => {
      const found = await this.#endpoints.volume(volumeId, signal);
      if (found === null) return;
      const hosts = nodeId === null ? found.item.grants.map(({ host }) => host) : [nodeId];
      for (const host of hosts) await this.#revoke(found, host, signal);
    });
  }

  async #grant(found: Found<Volume>, wanted: Publication, signal: AbortSignal): Promise<void> {
    const { endpoint, item } = found;
    const { nodeId, access, use } = wanted;
    const alone = aloneOf(use, access);
    try {
      await endpoint.call(
        'createGrant',
        {
          body: {
            volume: item.uuid,
            host: nodeId,
            access,
            ...(alone === null ? {} : { alone }),
          },
          query: { repeatable: 'true' },
        },
        { signal },
      );
    } catch (thrown) {
      const code = codeOf(thrown);
      if (code === 'not-found') {
        throw new CsiError('NOT_FOUND', `${volumeText(found)} has just been deleted`);
      }
      throw thrown;
    }
  }

  async #revoke({ endpoint, item }: Found<Volume>, host: string, signal: AbortSignal) {
    const input = { params: { volume: item.uuid, host }, query: { repeatable: 'true' as const } };
    try {
      await endpoint.call('deleteGrant', input, { signal });
    } catch (thrown) {
      // Without the volume there is no right to it.
      if (codeOf(thrown) !== 'not-found') throw thrown;
    }
  }

  /** A host that came with a grant which is taken back. */
  async #forget({ endpoint, item }: Found<Volume>, host: string, signal: AbortSignal) {
    const query = { tenant: item.tenant, repeatable: 'true' as const };
    const input = { params: { host }, query: { tenant: item.tenant } };
    const now = await endpoint.lookUp('getHost', input, signal);
    if (now === null || now.volumes.length > 0) return;
    await endpoint.call('deleteHost', { params: { host }, query }, { signal });
  }

  async #assertRoom(nodeId: string, signal: AbortSignal): Promise<void> {
    if (this.#maxVolumes === 0) return;
    const counts = await Promise.all(
      this.#endpoints.all.map((endpoint) => countVolumes(endpoint, nodeId, signal)),
    );
    const has = counts.reduce((sum, count) => sum + count, 0);
    if (has < this.#maxVolumes) return;
    throw new CsiError(
      'RESOURCE_EXHAUSTED',
      `node '${nodeId}' has ${has} volumes, and may have ${this.#maxVolumes}; detach one first`,
    );
  }
}

/**
 * Volumes that the node has there. None, when nobody answers: a daemon that is down must not keep
 * pods from the volumes of all others, and the scheduler counts as well.
 */
async function countVolumes(
  endpoint: Endpoint,
  nodeId: string,
  signal: AbortSignal,
): Promise<number> {
  if (!endpoint.answers) return 0;
  try {
    const hosts = await endpoint.list('listHosts', { nqn: nodeId }, signal);
    const own = hosts.filter(({ nqn }) => nqn === nodeId);
    return own.reduce((sum, { volumes }) => sum + volumes.length, 0);
  } catch (thrown) {
    if (thrown instanceof Unreachable && !signal.aborted) return 0;
    throw thrown;
  }
}

/**
 * Whether the grants that there are let this one be.
 *
 * @returns the node's own grant, of the same access; null: it has none.
 * @throws CsiError ALREADY_EXISTS, FAILED_PRECONDITION naming the node that is in the way.
 */
function assertFree(found: Found<Volume>, wanted: Publication): Grant | null {
  const { nodeId, access, use } = wanted;
  const { grants } = found.item;
  const own = grants.find(({ host }) => host === nodeId) ?? null;
  if (own !== null && own.access !== access) {
    throw new CsiError(
      'ALREADY_EXISTS',
      `${volumeText(found)} is published to node '${nodeId}' ${own.access} already; unpublish it ` +
        `there to publish it ${access}`,
    );
  }
  if (own !== null) return own;
  const alone = aloneOf(use, access);
  const other = grants.find(
    (grant) => alone === 'host' || (alone === 'writer' && grant.access === 'read-write'),
  );
  if (other === undefined) return null;
  const node = other.host === anyHost ? 'every host (granted by hand)' : `node '${other.host}'`;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `${volumeText(found)} is published to ${node} (${other.access}), and ${use.mode} does not ` +
      'let another have it; unpublish it there first',
  );
}

/** @throws CsiError INVALID_ARGUMENT when the node has no PSK, and so no way over TLS. */
async function assertPsk(
  { endpoint, item: { tenant } }: Found<Volume>,
  host: string,
  signal: AbortSignal,
): Promise<void> {
  const psks = await endpoint.list('listPsks', { tenant, host }, signal);
  if (psks.length > 0) return;
  throw new CsiError(
    'INVALID_ARGUMENT',
    `the volume is reached over TLS alone, and secrets have no 'tlsPsk' for node '${host}'; name ` +
      'a Secret with one in the StorageClass (csi.storage.k8s.io/controller-publish-secret-name)',
  );
}

function contextOf(
  volume: Volume,
  { access }: Publication,
  { portals, tls }: Paths,
  authenticate: boolean,
): Record<string, string> {
  return {
    subnqn: volume.subnqn,
    nsid: String(volume.nsid),
    uuid: volume.uuid,
    portals: portals.join(','),
    access,
    tls,
    authenticate: String(authenticate),
  };
}
