/** What the operations on the node as a whole do; see handlers.ts. */
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { reactorObject } from './objects.js';
import { poolObject } from './pool_objects.js';
import { portalObject } from './portals.js';

export function nodeOperations(node: Node): Pick<Handlers, 'getStatus'> {
  return {
    getStatus: async () => {
      const status = await node.status();
      return {
        state: status.state,
        problem: status.problem,
        version: status.version,
        pid: process.pid,
        startedAt: status.startedAt,
        pools: [poolObject(status.pool, status.device, status.provisionedBytes)],
        portals: status.portals.map(portalObject),
        reactors: status.reactors.map(reactorObject),
        tls: status.tls,
        tenants: status.tenants,
        volumes: status.volumes,
        snapshots: status.snapshots,
        controllers: status.connections.length,
      };
    },
  };
}
