/** What goes into and comes out of the operations on PSKs; see contract.ts. */
import Type from 'typebox';
import {
  change,
  count,
  exact,
  hostNqn,
  inTenant,
  none,
  ofHost,
  ofTenant,
  orNull,
  pageOf,
  paging,
  repeatable,
  text,
  time,
} from './schemas.js';

export const pskSchema = Type.Object(
  {
    id: text('Tells the PSKs of a host apart; 12 hexadecimal digits.'),
    host: text('NQN of the host.'),
    tenant: text('Tenant whose subsystem it connects to.'),
    transform: Type.Enum(['none', 'sha256', 'sha384'], {
      description: 'With which hash the retained PSK is made of it.',
    }),
    bits: count('Length of the key.'),
    createdAt: time('Since when.'),
  },
  { ...exact, description: 'A PSK with which a host may connect over TLS; never the key.' },
);

const createdPskSchema = Type.Object(
  {
    ...pskSchema.properties,
    psk: orNull(text('The generated PSK, which nothing gives out again; null: it was given.')),
  },
  exact,
);

const createPskSchema = Type.Object(
  {
    host: hostNqn,
    psk: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 256,
        writeOnly: true,
        description: 'One that was made elsewhere.',
        expected: "a PSK of the form 'NVMeTLSkey-1:hh:base64:'",
      }),
    ),
    hash: Type.Optional(
      Type.Enum(['sha256', 'sha384'], { description: 'Of one to generate; sha256 by default.' }),
    ),
  },
  { ...exact, description: 'A PSK to add: the given one, or else a new one.' },
);

const pskParams = Type.Object({ host: hostNqn }, exact);
const onlyThis = { id: Type.Optional(text('Only this one.')) };

export const pskContract = {
  listPsks: {
    summary: 'PSKs of hosts, without the keys',
    params: none,
    query: Type.Object({ ...ofTenant, ...ofHost, ...paging }, exact),
    body: none,
    response: pageOf(pskSchema),
  },
  createPsk: {
    summary: 'Let a host connect over TLS with a PSK',
    params: none,
    query: change,
    body: createPskSchema,
    response: createdPskSchema,
  },
  getPsk: {
    summary: 'The PSK of a host, without the key; by its id when the host has several',
    params: pskParams,
    query: Type.Object({ ...inTenant, ...onlyThis }, exact),
    body: none,
    response: pskSchema,
  },
  deletePsk: {
    summary: 'Take a PSK from a host, or all of them; its connections stay',
    params: pskParams,
    query: Type.Object({ ...inTenant, ...repeatable, ...onlyThis }, exact),
    body: none,
    response: none,
  },
} as const;
