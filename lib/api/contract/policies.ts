/** What goes into and comes out of the operations on policies; see contract.ts. */
import Type from 'typebox';
import { burstPercentRange, burstSecondsRange, maxRate, weightRange } from '../limits.js';
import { count, exact, named, none, pageOf, paging, repeat, time, volumeName } from './schemas.js';

const rate = (description: string) =>
  Type.Union([Type.Integer({ minimum: 1, maximum: maxRate }), Type.Null()], {
    description: `${description} null: no limit.`,
    expected: 'a whole number from 1 to 1099511627776 (2^40), or null',
  });
const settings = {
  readIops: rate('Reads a second.'),
  writeIops: rate('Writes a second; Write Zeroes, Dataset Management and Copy are writes.'),
  iops: rate('Reads and writes a second.'),
  readBytesPerSecond: rate('Bytes read a second.'),
  writeBytesPerSecond: rate('Bytes written a second.'),
  bytesPerSecond: rate('Bytes read and written a second.'),
  burstPercent: Type.Integer({
    minimum: burstPercentRange[0],
    maximum: burstPercentRange[1],
    description: 'How fast while credits last, in percent of each rate; 100: no bursts.',
    expected: 'a whole number from 100 to 10000',
  }),
  burstSeconds: Type.Integer({
    minimum: burstSecondsRange[0],
    maximum: burstSecondsRange[1],
    description: 'How long a burst from full credits lasts; 0: no bursts.',
    expected: 'a whole number from 0 to 3600',
  }),
  weight: Type.Integer({
    minimum: weightRange[0],
    maximum: weightRange[1],
    description: 'Its share where several want more than there is; 100 without a policy.',
    expected: 'a whole number from 1 to 10000',
  }),
  offered: Type.Boolean({
    description: 'Whether the admins of tenants may give it to their volumes.',
  }),
};
const optional = {
  readIops: Type.Optional(settings.readIops),
  writeIops: Type.Optional(settings.writeIops),
  iops: Type.Optional(settings.iops),
  readBytesPerSecond: Type.Optional(settings.readBytesPerSecond),
  writeBytesPerSecond: Type.Optional(settings.writeBytesPerSecond),
  bytesPerSecond: Type.Optional(settings.bytesPerSecond),
  burstPercent: Type.Optional(settings.burstPercent),
  burstSeconds: Type.Optional(settings.burstSeconds),
  weight: Type.Optional(settings.weight),
  offered: Type.Optional(settings.offered),
};

export const policySchema = Type.Object(
  {
    name: Type.String({ description: 'Name, unique on the node.' }),
    ...settings,
    volumes: count('How many volumes have it.'),
    tenants: count('How many tenants have it, for all their volumes together.'),
    createdAt: time('When it was created.'),
  },
  { ...exact, description: 'How much hosts may do a second, under a name.' },
);

export const createPolicySchema = Type.Object(
  { name: volumeName, ...optional },
  { ...exact, description: 'A policy to add; what is not given is not limited.' },
);

export const changePolicySchema = Type.Object(
  { name: Type.Optional(volumeName), ...optional },
  { ...exact, minProperties: 1, description: 'What to change; the rest stays.' },
);

const policyParams = Type.Object(
  { policy: Type.String({ minLength: 1, description: 'Name.' }) },
  exact,
);

export const policyContract = {
  listPolicies: {
    summary: 'Policies; a tenant sees those that are offered, or that it has',
    params: none,
    query: Type.Object({ ...named, ...paging }, exact),
    body: none,
    response: pageOf(policySchema),
  },
  createPolicy: {
    summary: 'Add a policy',
    params: none,
    query: repeat,
    body: createPolicySchema,
    response: policySchema,
  },
  getPolicy: {
    summary: 'One policy',
    params: policyParams,
    query: none,
    body: none,
    response: policySchema,
  },
  changePolicy: {
    summary: 'Change a policy, at once for all that have it and for what is under way',
    params: policyParams,
    query: none,
    body: changePolicySchema,
    response: policySchema,
  },
  deletePolicy: {
    summary: 'Remove a policy that no volume and no tenant has',
    params: policyParams,
    query: repeat,
    body: none,
    response: none,
  },
} as const;
