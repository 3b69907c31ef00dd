/** What the operations on portals and ANA states do; see handlers.ts. */

import type { Caller } from '../../access/types.js';
import { discoveryPort, portalPort } from '../../config/config.js';
import type { Node } from '../../node/types.js';
import type { PortalInfo } from '../../portals/types.js';
import type { Portal } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, forceOptions, page } from './inputs.js';

type PortalOperation = Extract<
  keyof Handlers,
  `${string}Portal` | `${string}Portals` | `${string}Ana`
>;

/** Numbers in their order as text. */
const order = (...numbers: number[]): string =>
  numbers.map((number) => String(number).padStart(5, '0')).join('/');

export function portalOperations(node: Node): Pick<Handlers, PortalOperation> {
  const { portals } = node;
  return {
    listPortals: async ({ query }, _signal, caller) => {
      const all = await Promise.all(portals.list().map((each) => seenBy(node, caller, each)));
      return page(all, query, ({ portalId }) => order(portalId));
    },
    createPortal: async ({ body, query }, signal) => {
      const { address, discoveryOnly = false } = body;
      const { port = discoveryOnly ? discoveryPort : portalPort } = body;
      const request = { address, port, discoveryOnly };
      return portalObject(await portals.add(request, callOptions(query, signal)));
    },
    getPortal: async ({ params }, _signal, caller) =>
      seenBy(node, caller, portals.show(params.portal)),
    deletePortal: async ({ params, query }, signal) => {
      await portals.remove(params.portal, forceOptions(query, signal));
      return {};
    },
    drainPortal: async ({ params, query }, signal) =>
      portalObject(await portals.drain(params.portal, forceOptions(query, signal))),
    resumePortal: async ({ params, query }, signal) =>
      portalObject(await portals.resume(params.portal, callOptions(query, signal))),
    listAna: async ({ query }) =>
      page(portals.listAna(), query, ({ portalId, anagrpid }) => order(portalId, anagrpid)),
    setAna: async ({ params, query, body }, signal) => {
      const { state, anagrpid, next } = body;
      return portals.setAna(params.portal, state, {
        ...forceOptions(query, signal),
        anagrpid,
        next,
      });
    },
  };
}

export function portalObject(portal: PortalInfo): Portal {
  return { ...portal, transport: 'tcp' };
}

/** For a tenant's caller only its own hosts count. */
async function seenBy(node: Node, { tenant }: Caller, portal: PortalInfo): Promise<Portal> {
  if (tenant === null) return portalObject(portal);
  const { subnqn } = node.tenants.show(tenant);
  const { connections } = await node.status();
  const own = connections.filter((each) => {
    return each.subnqn === subnqn && each.portalId === portal.portalId;
  });
  return { ...portalObject(portal), controllers: own.length };
}
