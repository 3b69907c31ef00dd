/** What goes into and comes out of the operations on hosts and controllers; see contract.ts. */
import Type from 'typebox';
import {
  change,
  count,
  exact,
  hostRef,
  none,
  ofHost,
  ofTenant,
  pageOf,
  paging,
  target,
  text,
  time,
} from './schemas.js';

export const hostSchema = Type.Object(
  {
    nqn: text('Host NQN.'),
    tenant: text('Tenant it belongs to.'),
    createdAt: time('When it was added.'),
    volumes: Type.Array(Type.String(), { description: 'Volumes granted to it by name.' }),
    connections: count('Controllers it has now.'),
  },
  { ...exact, description: 'An NVMe host that may use volumes.' },
);

export const createHostSchema = Type.Object(
  { nqn: hostRef },
  { ...exact, description: 'A host to add.' },
);

export const controllerSchema = Type.Object(
  {
    cntlid: count('Controller ID, unique in its subsystem.'),
    kind: Type.Enum(['io', 'discovery'], { description: 'For volumes, or for discovery.' }),
    subnqn: text('Subsystem NQN.'),
    hostnqn: text('Host NQN.'),
    hostid: text('Host identifier.'),
    peer: text('Address and port it came from.'),
    portalId: count('The portal it came through.'),
    ioQueues: count('I/O queues connected.'),
    keepAliveMs: count('Keep Alive timeout, milliseconds; 0: none.'),
    connectedAt: time('Since when.'),
  },
  { ...exact, description: 'One association of a host with a subsystem.' },
);

export const hostParams = Type.Object({ host: hostRef }, exact);
const ofHostName = {
  nqn: Type.Optional(text('Only those whose NQN has this in it, whatever the case.')),
};

export const hostContract = {
  listHosts: {
    summary: 'Hosts',
    params: none,
    query: Type.Object({ ...ofTenant, ...ofHostName, ...paging }, exact),
    body: none,
    response: pageOf(hostSchema),
  },
  createHost: {
    summary: 'Let a host connect before it has volumes',
    params: none,
    query: change,
    body: createHostSchema,
    response: hostSchema,
  },
  getHost: {
    summary: 'One host',
    params: hostParams,
    query: target,
    body: none,
    response: hostSchema,
  },
  deleteHost: {
    summary: 'Remove a host and its grants',
    params: hostParams,
    query: change,
    body: none,
    response: none,
  },
  listControllers: {
    summary: 'Controllers that hosts have now',
    params: none,
    query: Type.Object({ ...ofTenant, ...ofHost, ...paging }, exact),
    body: none,
    response: pageOf(controllerSchema),
  },
} as const;
