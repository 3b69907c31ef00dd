/** I/O as a node would do it: by nothing but what a publish context says. */
import assert from 'node:assert/strict';
import { connectHost, type Host } from '../../lib/host/host.js';
import type { HostNamespace } from '../../lib/host/namespace.js';
import { type ControllerFixture, capability } from './controller_fixture.js';

type Context = Readonly<Record<string, string>>;

export interface NodeIo extends AsyncDisposable {
  namespace: HostNamespace;
  host: Host;
}

export async function connectNode(context: Context, nodeId: string): Promise<NodeIo> {
  const [portal = ''] = (context['portals'] ?? '').split(',');
  const at = portal.lastIndexOf(':');
  const host = await connectHost({
    address: portal.slice(0, at).replaceAll(/[[\]]/g, ''),
    port: Number(portal.slice(at + 1)),
    subnqn: context['subnqn'] ?? '',
    hostnqn: nodeId,
  });
  const namespace = await host.namespace(Number(context['nsid']));
  return { host, namespace, [Symbol.asyncDispose]: () => host.close() };
}

/** Publishes to the node, does the work, unpublishes. */
export async function published<T>(
  fixture: ControllerFixture,
  volumeId: string,
  nodeId: string,
  work: (namespace: HostNamespace) => Promise<T>,
): Promise<T> {
  const volumeCapability = capability('SINGLE_NODE_WRITER');
  const request = { volumeId, nodeId, volumeCapability };
  const { publishContext } = await fixture.ask('controllerPublishVolume', request);
  assert.equal(publishContext['uuid'], volumeId);
  try {
    await using node = await connectNode(publishContext, nodeId);
    return await work(node.namespace);
  } finally {
    await fixture.ask('controllerUnpublishVolume', { volumeId, nodeId });
  }
}
