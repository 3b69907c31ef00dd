/** What goes into and comes out of the operations on keys of hosts; see contract.ts. */
import Type from 'typebox';
import {
  change,
  count,
  exact,
  hostNqn,
  none,
  ofHost,
  ofTenant,
  orNull,
  pageOf,
  paging,
  target,
  text,
  time,
} from './schemas.js';

const role = Type.Enum(['host', 'controller'], {
  description: 'Who proves itself with it: the host, or the controller to the host.',
});
const hash = Type.Enum(['sha256', 'sha384', 'sha512'], {
  description: 'Hash that transforms the key.',
});

export const hostKeySchema = Type.Object(
  {
    host: text('NQN of the host.'),
    tenant: text('Its tenant.'),
    role,
    hash: orNull(hash),
    lengthBytes: count('Length of the key.'),
    fingerprint: text("First 12 hexadecimal digits of the SHA-256 of the secret's text."),
    createdAt: time('When it was set.'),
  },
  {
    ...exact,
    description: 'A key by which a host and this node know each other. Never the key itself.',
  },
);

const setHostKeySchema = Type.Object(
  {
    role: Type.Optional(role),
    secret: Type.Optional(
      // Its length is judged by the parser of keys, which says more of it.
      Type.String({
        writeOnly: true,
        description: 'The key as `DHHC-1:…`; a new one is made when not given.',
        expected: "a key of the form 'DHHC-1:hh:base64:'",
      }),
    ),
    hash: Type.Optional(hash),
    replace: Type.Optional(
      Type.Boolean({
        description: 'No key before it stays good. Of the controller none ever does.',
      }),
    ),
  },
  { ...exact, description: 'A key to set.' },
);

const params = Type.Object({ host: hostNqn }, exact);

const keyParams = Type.Object(
  {
    host: hostNqn,
    fingerprint: Type.String({ minLength: 1, maxLength: 64, description: 'As in the list.' }),
  },
  exact,
);

export const hostKeyContract = {
  listHostKeys: {
    summary: 'Keys of hosts, by host and role, the newest first; nothing secret of them',
    params: none,
    query: Type.Object({ ...ofTenant, ...ofHost, ...paging }, exact),
    body: none,
    response: pageOf(hostKeySchema),
  },
  createHostKey: {
    summary: 'Set a key of a host, which must authenticate from its first one on',
    params,
    query: change,
    body: setHostKeySchema,
    response: Type.Object(
      {
        key: hostKeySchema,
        secret: orNull(text('The key that was made; it cannot be had again.')),
      },
      exact,
    ),
  },
  getHostKey: {
    summary: 'One key; nothing secret of it',
    params: keyParams,
    query: target,
    body: none,
    response: hostKeySchema,
  },
  deleteHostKey: {
    summary: 'Take a key away; without the last one the host need not authenticate',
    params: keyParams,
    query: change,
    body: none,
    response: none,
  },
} as const;
