/** What goes into and comes out of the operations on tenants; see contract.ts. */
import Type from 'typebox';
import {
  count,
  exact,
  named,
  none,
  ofTenant,
  pageOf,
  paging,
  repeat,
  text,
  time,
  uuid,
  volumeName,
} from './schemas.js';

export const tenantSchema = Type.Object(
  {
    name: text('Name of the tenant.'),
    uuid: uuid('Identity, for life.'),
    subnqn: text('NQN of its subsystem.'),
    volumes: count('How many volumes it has.'),
    snapshots: count('How many snapshots it has.'),
    hosts: count('How many hosts it has.'),
    createdAt: time('When it was created.'),
  },
  { ...exact, description: 'Who owns volumes; has one subsystem.' },
);

export const createTenantSchema = Type.Object(
  { name: volumeName },
  { ...exact, description: 'A tenant to add.' },
);

const tenantParams = Type.Object(
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
  deleteTenant: {
    summary: 'Remove a tenant that has no volumes',
    params: tenantParams,
    query: repeat,
    body: none,
    response: none,
  },
} as const;
