/** What goes into and comes out of the operations on portals and ANA states; see contract.ts. */
import Type from 'typebox';
import { maxPort } from '../limits.js';
import {
  count,
  exact,
  force,
  none,
  orNull,
  pageOf,
  paging,
  repeat,
  repeatable,
  text,
  time,
} from './schemas.js';

const lastingStates = ['optimized', 'non-optimized', 'inaccessible', 'persistent-loss'] as const;
const states = [...lastingStates, 'change'] as const;

export const portalSchema = Type.Object(
  {
    portalId: count('Number of the portal on this node, also over restarts.'),
    endpoint: text('`address:port`, by which it is also named.'),
    transport: Type.Enum(['tcp'], { description: 'Transport of NVMe-oF.' }),
    address: text('Address it listens on.'),
    port: count('Port it listens on.'),
    discoveryOnly: Type.Boolean({ description: 'Whether it serves discovery alone.' }),
    tls: Type.Enum(['none', 'allowed', 'required'], {
      description: 'Whether hosts come over TLS: not at all, as they like, or always.',
    }),
    origin: Type.Enum(['configured', 'added'], {
      description: '"configured": only the configuration can take it away.',
    }),
    drained: Type.Boolean({
      description: 'Whether hosts are to move away: every ANA group is inaccessible.',
    }),
    problem: orNull(text('Why it does not listen; it is tried again. null: it listens.')),
    controllers: count('Controllers that hosts have through it.'),
    ana: Type.Array(
      Type.Object({ anagrpid: count('ANA group.'), state: text('Its state here.') }, exact),
      { description: 'ANA groups that are not optimized here.' },
    ),
  },
  { ...exact, description: 'An address and port on which the target listens.' },
);

export const anaSchema = Type.Object(
  {
    portalId: count('Number of the portal.'),
    endpoint: text('`address:port` of the portal.'),
    anagrpid: count('ANA group.'),
    state: Type.Enum([...states], { description: 'As hosts see it.' }),
    lasting: Type.Enum([...lastingStates], {
      description: 'When no change is under way and the portal is not drained.',
    }),
    changeEndsAt: orNull(time('When the change ends; null: none is under way.')),
  },
  { ...exact, description: 'An ANA group as hosts see it through one portal.' },
);

const createPortalSchema = Type.Object(
  {
    address: Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'IPv4 or IPv6 address of this machine; 0.0.0.0 or :: for all.',
      expected: 'an IP address',
    }),
    port: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: maxPort,
        description: 'Port to listen on.',
        expected: 'a port from 1 to 65535',
      }),
    ),
    discoveryOnly: Type.Optional(Type.Boolean({ description: 'Serve discovery alone.' })),
  },
  { ...exact, description: 'A portal to add; port 4420 (8009 for discovery) when not given.' },
);

const setAnaSchema = Type.Object(
  {
    state: Type.Enum([...states], { description: 'The new state.' }),
    anagrpid: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 128,
        description: 'ANA group; 1, the group of all volumes, when not given.',
        expected: 'an ANA group from 1 to 128',
      }),
    ),
    next: Type.Optional(
      Type.Enum([...lastingStates], {
        description: "Of 'change' alone: what follows it. The state from before when not given.",
      }),
    ),
  },
  { ...exact, description: 'A state to set. "change" ends by itself within 10 s.' },
);

const portalParams = Type.Object(
  { portal: Type.String({ minLength: 1, description: "A portal's number or `address:port`." }) },
  exact,
);
const forceable = Type.Object({ ...force }, exact);

export const portalContract = {
  listPortals: {
    summary: 'Portals, by number',
    params: none,
    query: Type.Object({ ...paging }, exact),
    body: none,
    response: pageOf(portalSchema),
  },
  createPortal: {
    summary: 'Listen on a further address or port, from now on and after every restart',
    params: none,
    query: repeat,
    body: createPortalSchema,
    response: portalSchema,
  },
  getPortal: {
    summary: 'One portal',
    params: portalParams,
    query: none,
    body: none,
    response: portalSchema,
  },
  deletePortal: {
    summary: 'Stop listening there; refused while hosts are connected and it is not drained',
    params: portalParams,
    query: Type.Object({ ...repeatable, ...force }, exact),
    body: none,
    response: none,
  },
  drainPortal: {
    summary: 'Let hosts move away to other portals; refused when a host has none',
    params: portalParams,
    query: forceable,
    body: none,
    response: portalSchema,
  },
  resumePortal: {
    summary: 'Let hosts use a drained portal again',
    params: portalParams,
    query: none,
    body: none,
    response: portalSchema,
  },
  listAna: {
    summary: 'States of the ANA groups through each portal',
    params: none,
    query: Type.Object({ ...paging }, exact),
    body: none,
    response: pageOf(anaSchema),
  },
  setAna: {
    summary: 'Set the state of an ANA group through a portal; hosts are told at once',
    params: portalParams,
    query: forceable,
    body: setAnaSchema,
    response: anaSchema,
  },
} as const;
