/** What goes into and comes out of the operations on referrals; see contract.ts. */
import Type from 'typebox';
import { count, exact, none, orNull, pageOf, paging, repeat, text, time } from './schemas.js';

const port = Type.Integer({
  minimum: 1,
  maximum: 65_535,
  description: 'Port of its discovery service.',
  expected: 'a port from 1 to 65535',
});
const portalId = Type.Integer({
  minimum: 0,
  maximum: 65_535,
  description: 'Number of that portal there; 0: not known.',
  expected: 'a whole number from 0 to 65535',
});

export const referralSchema = Type.Object(
  {
    endpoint: text('`address:port`, by which it is also named.'),
    address: text('IP address of the other node.'),
    port,
    portalId: count('Number of that portal there; 0: not known.'),
    configured: Type.Boolean({ description: 'Whether the configuration file names it.' }),
    createdAt: orNull(time('Since when; null: of the configuration.')),
  },
  { ...exact, description: "Another node's discovery service, of which hosts are told." },
);

const addReferralSchema = Type.Object(
  {
    address: Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'IPv4 or IPv6 address of the other node.',
      expected: 'an IP address',
    }),
    port: Type.Optional(port),
    portalId: Type.Optional(portalId),
  },
  { ...exact, description: 'A referral to add; port 8009 when not given.' },
);

const referralParams = Type.Object(
  { referral: Type.String({ minLength: 1, description: '`address:port`.' }) },
  exact,
);

export const referralContract = {
  listReferrals: {
    summary: 'Other nodes that hosts are told of',
    params: none,
    query: Type.Object({ ...paging }, exact),
    body: none,
    response: pageOf(referralSchema),
  },
  createReferral: {
    summary: "Tell hosts of another node's discovery service",
    params: none,
    query: repeat,
    body: addReferralSchema,
    response: referralSchema,
  },
  getReferral: {
    summary: 'One referral',
    params: referralParams,
    query: none,
    body: none,
    response: referralSchema,
  },
  deleteReferral: {
    summary: 'Tell hosts of it no more',
    params: referralParams,
    query: repeat,
    body: none,
    response: none,
  },
} as const;
