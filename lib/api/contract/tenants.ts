/** What goes into and comes out of the operations on tenants; see contract.ts. */
import Type from 'typebox';
import {
  bytes,
  count,
  exact,
  named,
  none,
  ofTenant,
  orNull,
  pageOf,
  paging,
  policyName,
  repeat,
  text,
  time,
  uuid,
  volumeName,
} from './schemas.js';

const most = (description: string) =>
  Type.Union([Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }), Type.Null()], {
    description: `${description} null: as much as the node can.`,
    expected: 'a whole number of at least 1, or null',
  });
const quota = {
  capacityBytes: most('Sum of the sizes of its volumes.'),
  volumes: most('Volumes.'),
  snapshots: most('Snapshots.'),
  iops: most('Reads and writes a second, of all its volumes together.'),
  bytesPerSecond: most('Bytes read and written a second, of all its volumes together.'),
};

export const quotaSchema = Type.Object(quota, {
  ...exact,
  description: 'What a tenant may have at most.',
});

const setQuotaSchema = Type.Object(
  {
    capacityBytes: Type.Optional(quota.capacityBytes),
    volumes: Type.Optional(quota.volumes),
    snapshots: Type.Optional(quota.snapshots),
    iops: Type.Optional(quota.iops),
    bytesPerSecond: Type.Optional(quota.bytesPerSecond),
  },
  { ...exact, description: 'What it may have at most; the rest stays, or is not limited.' },
);

export const tenantSchema = Type.Object(
  {
    name: text('Name of the tenant.'),
    uuid: uuid('Identity, for life.'),
    subnqn: text('NQN of its subsystem.'),
    volumes: count('How many volumes it has.'),
    snapshots: count('How many snapshots it has.'),
    hosts: count('How many hosts it has.'),
    createdAt: time('When it was created.'),
    provisionedBytes: bytes('Sum of the sizes of its volumes.'),
    quota: quotaSchema,
    policy: orNull(text('What limits its hosts all together, beside the quota; null: nothing.')),
  },
  { ...exact, description: 'Who owns volumes; has one subsystem.' },
);

export const createTenantSchema = Type.Object(
  { name: volumeName, quota: Type.Optional(setQuotaSchema), policy: Type.Optional(policyName) },
  { ...exact, description: 'A tenant to add.' },
);

export const changeTenantSchema = Type.Object(
  {
    name: Type.Optional(volumeName),
    quota: Type.Optional(setQuotaSchema),
    policy: Type.Optional(policyName),
  },
  { ...exact, minProperties: 1, description: 'What to change; the rest stays.' },
);

export const tenantParams = Type.Object(
  { tenant: Type.String({ minLength: 1, description: 'Name.' }) },
  exact,
);

export const tenantContract = {
  listTenants: {
    summary: 'Tenants',
    params: none,
    query: Type.Object({ ...ofTenant, ...named, ...paging }, exact),
    body: none,
    response: pageOf(tenantSchema),
  },
  createTenant: {
    summary: 'Add a tenant, with a subsystem of its own',
    params: none,
    query: repeat,
    body: createTenantSchema,
    response: tenantSchema,
  },
  getTenant: {
    summary: 'One tenant',
    params: tenantParams,
    query: none,
    body: none,
    response: tenantSchema,
  },
  changeTenant: {
    summary: 'Rename a tenant, or set its quota; what it has is never taken',
    params: tenantParams,
    query: none,
    body: changeTenantSchema,
    response: tenantSchema,
  },
  deleteTenant: {
    summary: 'Remove a tenant that has no volumes',
    params: tenantParams,
    query: repeat,
    body: none,
    response: none,
  },
} as const;
