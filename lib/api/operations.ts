/**
 * Every operation of the API: its method, its path, the status of its success, and who may. Plain
 * data, so that the client needs no schema library at run time; what goes in and out is in
 * contract.ts.
 *
 * Paths start with the version. Within /v1 things are only ever added.
 */

export interface Operation {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Parameters are written `:name`. */
  readonly path: string;
  /** HTTP status of a success. */
  readonly status: 200 | 201 | 202 | 204;
  /**
   * Whose objects it is about. 'tenant': one tenant's, which a tenant's token is kept to. 'node':
   * everyone's, so that no tenant's token may. 'shared': everyone's, of which a tenant's token sees
   * what concerns it. 'self': of whoever calls.
   */
  readonly scope: 'tenant' | 'node' | 'shared' | 'self';
  /** Of a change: the operation that reads the object it is of, by the same path parameters. */
  readonly of?: string;
  /** Field of the body and of the answer that is a secret: shown once, and never written down. */
  readonly secret?: string;
  /** Whether a stranger may call it, who proves himself by what the body holds. */
  readonly open?: boolean;
  /** Whether it reads what hosts wrote: a viewer sees what there is, and not what is in it. */
  readonly data?: boolean;
}

export const operations = {
  getStatus: { method: 'GET', path: '/v1/status', status: 200, scope: 'node' },
  listPools: { method: 'GET', path: '/v1/pools', status: 200, scope: 'node' },
  getPool: { method: 'GET', path: '/v1/pools/:pool', status: 200, scope: 'node' },
  checkPool: { method: 'GET', path: '/v1/pools/:pool/check', status: 200, scope: 'node' },
  startPoolCheck: { method: 'POST', path: '/v1/pools/:pool/check', status: 202, scope: 'node' },
  explainPool: {
    method: 'GET',
    path: '/v1/pools/:pool/conditions',
    status: 200,
    scope: 'node',
  },
  listDevices: { method: 'GET', path: '/v1/pools/:pool/devices', status: 200, scope: 'node' },
  getDevice: { method: 'GET', path: '/v1/pools/:pool/devices/:device', status: 200, scope: 'node' },
  addDevice: { method: 'POST', path: '/v1/pools/:pool/devices', status: 201, scope: 'node' },
  attachDevice: {
    method: 'POST',
    path: '/v1/pools/:pool/devices/attach',
    status: 200,
    scope: 'node',
  },
  listTenants: { method: 'GET', path: '/v1/tenants', status: 200, scope: 'tenant' },
  createTenant: { method: 'POST', path: '/v1/tenants', status: 201, scope: 'node' },
  getTenant: { method: 'GET', path: '/v1/tenants/:tenant', status: 200, scope: 'tenant' },
  explainTenant: {
    method: 'GET',
    path: '/v1/tenants/:tenant/conditions',
    status: 200,
    scope: 'tenant',
  },
  changeTenant: {
    method: 'PATCH',
    path: '/v1/tenants/:tenant',
    status: 200,
    scope: 'node',
    of: 'getTenant',
  },
  deleteTenant: {
    method: 'DELETE',
    path: '/v1/tenants/:tenant',
    status: 204,
    scope: 'node',
    of: 'getTenant',
  },
  listVolumeStatistics: {
    method: 'GET',
    path: '/v1/statistics/volumes',
    status: 200,
    scope: 'tenant',
  },
  getVolumeStatistics: {
    method: 'GET',
    path: '/v1/statistics/volumes/:volume',
    status: 200,
    scope: 'tenant',
  },
  listTenantStatistics: {
    method: 'GET',
    path: '/v1/statistics/tenants',
    status: 200,
    scope: 'tenant',
  },
  listPolicies: { method: 'GET', path: '/v1/policies', status: 200, scope: 'shared' },
  createPolicy: { method: 'POST', path: '/v1/policies', status: 201, scope: 'shared' },
  getPolicy: { method: 'GET', path: '/v1/policies/:policy', status: 200, scope: 'shared' },
  changePolicy: {
    method: 'PATCH',
    path: '/v1/policies/:policy',
    status: 200,
    scope: 'shared',
    of: 'getPolicy',
  },
  deletePolicy: {
    method: 'DELETE',
    path: '/v1/policies/:policy',
    status: 204,
    scope: 'shared',
    of: 'getPolicy',
  },
  listVolumes: { method: 'GET', path: '/v1/volumes', status: 200, scope: 'tenant' },
  createVolume: { method: 'POST', path: '/v1/volumes', status: 201, scope: 'tenant' },
  getVolume: { method: 'GET', path: '/v1/volumes/:volume', status: 200, scope: 'tenant' },
  changeVolume: {
    method: 'PATCH',
    path: '/v1/volumes/:volume',
    status: 200,
    scope: 'tenant',
    of: 'getVolume',
  },
  explainVolume: {
    method: 'GET',
    path: '/v1/volumes/:volume/conditions',
    status: 200,
    scope: 'tenant',
  },
  deleteVolume: {
    method: 'DELETE',
    path: '/v1/volumes/:volume',
    status: 204,
    scope: 'tenant',
    of: 'getVolume',
  },
  cloneVolume: { method: 'POST', path: '/v1/clones', status: 201, scope: 'tenant' },
  listSnapshots: { method: 'GET', path: '/v1/snapshots', status: 200, scope: 'tenant' },
  createSnapshots: { method: 'POST', path: '/v1/snapshots', status: 201, scope: 'tenant' },
  getSnapshot: { method: 'GET', path: '/v1/snapshots/:snapshot', status: 200, scope: 'tenant' },
  deleteSnapshot: {
    method: 'DELETE',
    path: '/v1/snapshots/:snapshot',
    status: 204,
    scope: 'tenant',
    of: 'getSnapshot',
  },
  rollbackSnapshot: {
    method: 'POST',
    path: '/v1/snapshots/:snapshot/rollback',
    status: 200,
    scope: 'tenant',
    of: 'getSnapshot',
  },
  listGroups: { method: 'GET', path: '/v1/groups', status: 200, scope: 'tenant' },
  getGroup: { method: 'GET', path: '/v1/groups/:group', status: 200, scope: 'tenant' },
  deleteGroup: {
    method: 'DELETE',
    path: '/v1/groups/:group',
    status: 204,
    scope: 'tenant',
    of: 'getGroup',
  },
  listSchedules: { method: 'GET', path: '/v1/schedules', status: 200, scope: 'tenant' },
  createSchedule: { method: 'POST', path: '/v1/schedules', status: 201, scope: 'tenant' },
  getSchedule: { method: 'GET', path: '/v1/schedules/:schedule', status: 200, scope: 'tenant' },
  changeSchedule: {
    method: 'PATCH',
    path: '/v1/schedules/:schedule',
    status: 200,
    scope: 'tenant',
    of: 'getSchedule',
  },
  deleteSchedule: {
    method: 'DELETE',
    path: '/v1/schedules/:schedule',
    status: 204,
    scope: 'tenant',
    of: 'getSchedule',
  },
  runSchedule: {
    method: 'POST',
    path: '/v1/schedules/:schedule/run',
    status: 200,
    scope: 'tenant',
    of: 'getSchedule',
  },
  listRanges: {
    method: 'GET',
    path: '/v1/snapshots/:snapshot/ranges',
    status: 200,
    scope: 'tenant',
  },
  listImports: { method: 'GET', path: '/v1/imports', status: 200, scope: 'tenant' },
  getImport: { method: 'GET', path: '/v1/volumes/:volume/import', status: 200, scope: 'tenant' },
  abandonImport: {
    method: 'DELETE',
    path: '/v1/volumes/:volume/import',
    status: 204,
    scope: 'tenant',
    of: 'getImport',
  },
  listHosts: { method: 'GET', path: '/v1/hosts', status: 200, scope: 'tenant' },
  createHost: { method: 'POST', path: '/v1/hosts', status: 201, scope: 'tenant' },
  getHost: { method: 'GET', path: '/v1/hosts/:host', status: 200, scope: 'tenant' },
  explainHost: {
    method: 'GET',
    path: '/v1/hosts/:host/conditions',
    status: 200,
    scope: 'tenant',
  },
  deleteHost: {
    method: 'DELETE',
    path: '/v1/hosts/:host',
    status: 204,
    scope: 'tenant',
    of: 'getHost',
  },
  listHostKeys: { method: 'GET', path: '/v1/host-keys', status: 200, scope: 'tenant' },
  createHostKey: {
    method: 'POST',
    path: '/v1/hosts/:host/keys',
    status: 201,
    scope: 'tenant',
    secret: 'secret',
  },
  getHostKey: {
    method: 'GET',
    path: '/v1/hosts/:host/keys/:fingerprint',
    status: 200,
    scope: 'tenant',
  },
  deleteHostKey: {
    method: 'DELETE',
    path: '/v1/hosts/:host/keys/:fingerprint',
    status: 204,
    scope: 'tenant',
    of: 'getHostKey',
  },
  listPsks: { method: 'GET', path: '/v1/psks', status: 200, scope: 'tenant' },
  createPsk: { method: 'POST', path: '/v1/psks', status: 201, scope: 'tenant', secret: 'psk' },
  getPsk: { method: 'GET', path: '/v1/psks/:host', status: 200, scope: 'tenant' },
  deletePsk: {
    method: 'DELETE',
    path: '/v1/psks/:host',
    status: 204,
    scope: 'tenant',
    of: 'getPsk',
  },
  listGrants: { method: 'GET', path: '/v1/grants', status: 200, scope: 'tenant' },
  createGrant: { method: 'POST', path: '/v1/grants', status: 201, scope: 'tenant' },
  getGrant: { method: 'GET', path: '/v1/grants/:volume/:host', status: 200, scope: 'tenant' },
  deleteGrant: {
    method: 'DELETE',
    path: '/v1/grants/:volume/:host',
    status: 204,
    scope: 'tenant',
    of: 'getGrant',
  },
  listPortals: { method: 'GET', path: '/v1/portals', status: 200, scope: 'shared' },
  listReservations: { method: 'GET', path: '/v1/reservations', status: 200, scope: 'tenant' },
  getReservation: { method: 'GET', path: '/v1/reservations/:volume', status: 200, scope: 'tenant' },
  clearReservations: {
    method: 'DELETE',
    path: '/v1/reservations/:volume',
    status: 200,
    scope: 'tenant',
    of: 'getReservation',
  },
  createPortal: { method: 'POST', path: '/v1/portals', status: 201, scope: 'shared' },
  getPortal: { method: 'GET', path: '/v1/portals/:portal', status: 200, scope: 'shared' },
  deletePortal: {
    method: 'DELETE',
    path: '/v1/portals/:portal',
    status: 204,
    scope: 'shared',
    of: 'getPortal',
  },
  drainPortal: {
    method: 'POST',
    path: '/v1/portals/:portal/drain',
    status: 200,
    scope: 'shared',
    of: 'getPortal',
  },
  resumePortal: {
    method: 'POST',
    path: '/v1/portals/:portal/resume',
    status: 200,
    scope: 'shared',
    of: 'getPortal',
  },
  listAna: { method: 'GET', path: '/v1/ana', status: 200, scope: 'node' },
  setAna: {
    method: 'POST',
    path: '/v1/portals/:portal/ana',
    status: 200,
    scope: 'shared',
    of: 'getPortal',
  },
  listReferrals: { method: 'GET', path: '/v1/referrals', status: 200, scope: 'node' },
  createReferral: { method: 'POST', path: '/v1/referrals', status: 201, scope: 'node' },
  getReferral: { method: 'GET', path: '/v1/referrals/:referral', status: 200, scope: 'node' },
  deleteReferral: {
    method: 'DELETE',
    path: '/v1/referrals/:referral',
    status: 204,
    scope: 'node',
    of: 'getReferral',
  },
  listControllers: { method: 'GET', path: '/v1/controllers', status: 200, scope: 'tenant' },
  listEvents: { method: 'GET', path: '/v1/events', status: 200, scope: 'tenant' },
  getEvent: { method: 'GET', path: '/v1/events/:event', status: 200, scope: 'tenant' },
  listJobs: { method: 'GET', path: '/v1/jobs', status: 200, scope: 'tenant' },
  getJob: { method: 'GET', path: '/v1/jobs/:job', status: 200, scope: 'tenant' },
  cancelJob: {
    method: 'POST',
    path: '/v1/jobs/:job/cancel',
    status: 200,
    scope: 'tenant',
    of: 'getJob',
  },
  deleteJob: {
    method: 'DELETE',
    path: '/v1/jobs/:job',
    status: 204,
    scope: 'tenant',
    of: 'getJob',
  },
  getSelf: { method: 'GET', path: '/v1/self', status: 200, scope: 'self' },
  createSignIn: {
    method: 'POST',
    path: '/v1/sign-ins',
    status: 201,
    scope: 'node',
    secret: 'secret',
  },
  createSession: {
    method: 'POST',
    path: '/v1/sessions',
    status: 201,
    scope: 'self',
    secret: 'secret',
    open: true,
  },
  deleteSession: { method: 'DELETE', path: '/v1/sessions/own', status: 204, scope: 'self' },
  listTokens: { method: 'GET', path: '/v1/tokens', status: 200, scope: 'tenant' },
  createToken: {
    method: 'POST',
    path: '/v1/tokens',
    status: 201,
    scope: 'tenant',
    secret: 'secret',
  },
  getToken: { method: 'GET', path: '/v1/tokens/:token', status: 200, scope: 'tenant' },
  rotateToken: {
    method: 'POST',
    path: '/v1/tokens/:token/rotate',
    status: 200,
    scope: 'tenant',
    of: 'getToken',
    secret: 'secret',
  },
  deleteToken: {
    method: 'DELETE',
    path: '/v1/tokens/:token',
    status: 204,
    scope: 'tenant',
    of: 'getToken',
  },
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof operations;

/** Every operation, in the order in which documents list them. */
export const operationIds: readonly OperationId[] = Object.keys(operations).filter(
  (id): id is OperationId => Object.hasOwn(operations, id),
);
