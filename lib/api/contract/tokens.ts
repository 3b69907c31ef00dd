/** What goes into and comes out of the operations on tokens; see contract.ts. */
import Type from 'typebox';
import {
  exact,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  repeatable,
  text,
  time,
  volumeName,
} from './schemas.js';

const role = Type.Enum(['admin', 'tenant-admin', 'viewer'], {
  description:
    '"admin": everything. "tenant-admin": everything of one tenant. "viewer": reads, of the node ' +
    'or of one tenant, and never what is in volumes.',
});
const expiresAt = Type.Union([time('When it is good no more.'), Type.Null()], {
  description: 'When it is good no more; null: it does not expire.',
  expected: "a time such as '2027-01-31T00:00:00Z', or null",
});

export const tokenSchema = Type.Object(
  {
    name: text('Name, unique in its tenant, or among those of the node.'),
    kind: Type.Enum(['bearer', 'certificate'], {
      description: '"bearer": a secret. "certificate": a client certificate with this subject.',
    }),
    role,
    tenant: orNull(text('The tenant that it is kept to; null: the node.')),
    subject: orNull(text('Subject of the certificate; null: a secret stands for it.')),
    createdAt: time('When it was created.'),
    expiresAt,
    oldSecretUntil: orNull(
      time('Until when the secret before the last rotation is good; null: it is not.'),
    ),
  },
  { ...exact, description: 'Who may call the API, and what that one may. Never the secret.' },
);

export const createTokenSchema = Type.Object(
  {
    name: volumeName,
    role,
    expiresAt: Type.Optional(expiresAt),
    subject: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1024,
        description: "Of a client certificate instead of a secret, such as 'O=Acme,CN=ops'.",
      }),
    ),
  },
  { ...exact, description: 'A token to create; of a tenant when the query names one.' },
);

export const rotateTokenSchema = Type.Object(
  {
    graceSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 604_800,
        description: 'How long the old secret stays good; 0 when not given.',
        expected: 'a whole number of seconds, at most 604800',
      }),
    ),
    expiresAt: Type.Optional(expiresAt),
  },
  { ...exact, description: 'How to rotate.' },
);

export const madeTokenSchema = Type.Object(
  {
    token: tokenSchema,
    secret: orNull(
      text('The secret, which nothing gives out again; null: a certificate has none.'),
    ),
  },
  { ...exact, description: 'A token with its secret.' },
);

export const selfSchema = Type.Object(
  {
    name: text("Name of the token; 'local' at the control socket."),
    role,
    tenant: orNull(text('The tenant that it is kept to; null: the node.')),
    via: Type.Enum(['socket', 'token', 'certificate', 'session'], {
      description: 'How it is known.',
    }),
  },
  { ...exact, description: 'Who calls.' },
);

export const timedSecretSchema = Type.Object(
  {
    secret: text('The secret.'),
    expiresAt: time('When it is good no more.'),
  },
  { ...exact, description: 'A secret for a while.' },
);

export const signInSchema = Type.Object(
  {
    secret: text('Goes behind `/#sign-in=` of a console.'),
    expiresAt: time('When it is good no more.'),
    consoles: Type.Array(Type.String(), { description: 'URLs of the console; may be none.' }),
  },
  { ...exact, description: 'What signs a browser in, once.' },
);

/** Unlike elsewhere, no tenant means the node, not 'default'. */
const ofTenantOrNode = {
  tenant: Type.Optional(
    Type.String({ minLength: 1, description: 'Tenant; the node when not given.' }),
  ),
};
const target = Type.Object({ ...ofTenantOrNode }, exact);
const params = Type.Object(
  { token: Type.String({ minLength: 1, description: 'Name of the token.' }) },
  exact,
);

export const tokenContract = {
  getSelf: {
    summary: 'Who calls, and what that one may',
    params: none,
    query: none,
    body: none,
    response: selfSchema,
  },
  createSignIn: {
    summary:
      'A secret that signs a browser in at the console, once and within 5 minutes, as whoever ' +
      "calls; 'ashlar console' makes a link of it",
    params: none,
    query: none,
    body: none,
    response: signInSchema,
  },
  createSession: {
    summary: 'Change the secret of a sign-in for the token of a session; needs no other token',
    params: none,
    query: none,
    body: Type.Object(
      { secret: Type.String({ minLength: 1, maxLength: 512, description: 'Of the sign-in.' }) },
      exact,
    ),
    response: timedSecretSchema,
  },
  deleteSession: {
    summary: 'End the session that calls; tokens and certificates have none to end, and stay',
    params: none,
    query: none,
    body: none,
    response: none,
  },
  listTokens: {
    summary: 'Tokens of the node and of tenants, without secrets',
    params: none,
    query: Type.Object({ ...ofTenant, ...paging }, exact),
    body: none,
    response: pageOf(tokenSchema),
  },
  createToken: {
    summary: 'Create a token; its secret is in this answer alone',
    params: none,
    query: target,
    body: createTokenSchema,
    response: madeTokenSchema,
  },
  getToken: {
    summary: 'One token, without its secret',
    params,
    query: target,
    body: none,
    response: tokenSchema,
  },
  rotateToken: {
    summary: 'Give a token a new secret',
    params,
    query: target,
    body: rotateTokenSchema,
    response: madeTokenSchema,
  },
  deleteToken: {
    summary: 'Delete a token; it is good no more when answered',
    params,
    query: Type.Object({ ...ofTenantOrNode, ...repeatable }, exact),
    body: none,
    response: none,
  },
} as const;
