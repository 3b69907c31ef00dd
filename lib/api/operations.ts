/**
 * Every operation of the API: its method, its path, and the status of its success. Plain data, so
 * that the client needs no schema library at run time; what goes in and out is in contract.ts.
 *
 * Paths start with the version. Within /v1 things are only ever added.
 */

export interface Operation {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Parameters are written `:name`. */
  readonly path: string;
  /** HTTP status of a success. */
  readonly status: 200 | 201 | 204;
}

export const operations = {
  getStatus: { method: 'GET', path: '/v1/status', status: 200 },
  listPools: { method: 'GET', path: '/v1/pools', status: 200 },
  getPool: { method: 'GET', path: '/v1/pools/:pool', status: 200 },
  checkPool: { method: 'GET', path: '/v1/pools/:pool/check', status: 200 },
  listDevices: { method: 'GET', path: '/v1/pools/:pool/devices', status: 200 },
  addDevice: { method: 'POST', path: '/v1/pools/:pool/devices', status: 201 },
  attachDevice: { method: 'POST', path: '/v1/pools/:pool/devices/attach', status: 200 },
  listTenants: { method: 'GET', path: '/v1/tenants', status: 200 },
  createTenant: { method: 'POST', path: '/v1/tenants', status: 201 },
  deleteTenant: { method: 'DELETE', path: '/v1/tenants/:tenant', status: 204 },
  listVolumes: { method: 'GET', path: '/v1/volumes', status: 200 },
  createVolume: { method: 'POST', path: '/v1/volumes', status: 201 },
  getVolume: { method: 'GET', path: '/v1/volumes/:volume', status: 200 },
  changeVolume: { method: 'PATCH', path: '/v1/volumes/:volume', status: 200 },
  deleteVolume: { method: 'DELETE', path: '/v1/volumes/:volume', status: 204 },
  cloneVolume: { method: 'POST', path: '/v1/clones', status: 201 },
  listSnapshots: { method: 'GET', path: '/v1/snapshots', status: 200 },
  createSnapshots: { method: 'POST', path: '/v1/snapshots', status: 201 },
  getSnapshot: { method: 'GET', path: '/v1/snapshots/:snapshot', status: 200 },
  deleteSnapshot: { method: 'DELETE', path: '/v1/snapshots/:snapshot', status: 204 },
  rollbackSnapshot: { method: 'POST', path: '/v1/snapshots/:snapshot/rollback', status: 200 },
  listSchedules: { method: 'GET', path: '/v1/schedules', status: 200 },
  createSchedule: { method: 'POST', path: '/v1/schedules', status: 201 },
  getSchedule: { method: 'GET', path: '/v1/schedules/:schedule', status: 200 },
  changeSchedule: { method: 'PATCH', path: '/v1/schedules/:schedule', status: 200 },
  deleteSchedule: { method: 'DELETE', path: '/v1/schedules/:schedule', status: 204 },
  runSchedule: { method: 'POST', path: '/v1/schedules/:schedule/run', status: 200 },
  listRanges: { method: 'GET', path: '/v1/snapshots/:snapshot/ranges', status: 200 },
  listImports: { method: 'GET', path: '/v1/imports', status: 200 },
  abandonImport: { method: 'DELETE', path: '/v1/volumes/:volume/import', status: 204 },
  listHosts: { method: 'GET', path: '/v1/hosts', status: 200 },
  createHost: { method: 'POST', path: '/v1/hosts', status: 201 },
  deleteHost: { method: 'DELETE', path: '/v1/hosts/:host', status: 204 },
  listHostKeys: { method: 'GET', path: '/v1/host-keys', status: 200 },
  createHostKey: { method: 'POST', path: '/v1/hosts/:host/keys', status: 201 },
  deleteHostKey: { method: 'DELETE', path: '/v1/hosts/:host/keys/:fingerprint', status: 204 },
  listPsks: { method: 'GET', path: '/v1/psks', status: 200 },
  createPsk: { method: 'POST', path: '/v1/psks', status: 201 },
  deletePsk: { method: 'DELETE', path: '/v1/psks/:host', status: 204 },
  listGrants: { method: 'GET', path: '/v1/grants', status: 200 },
  createGrant: { method: 'POST', path: '/v1/grants', status: 201 },
  deleteGrant: { method: 'DELETE', path: '/v1/grants/:volume/:host', status: 204 },
  listPortals: { method: 'GET', path: '/v1/portals', status: 200 },
  listReservations: { method: 'GET', path: '/v1/reservations', status: 200 },
  clearReservations: { method: 'DELETE', path: '/v1/reservations/:volume', status: 200 },
  createPortal: { method: 'POST', path: '/v1/portals', status: 201 },
  getPortal: { method: 'GET', path: '/v1/portals/:portal', status: 200 },
  deletePortal: { method: 'DELETE', path: '/v1/portals/:portal', status: 204 },
  drainPortal: { method: 'POST', path: '/v1/portals/:portal/drain', status: 200 },
  resumePortal: { method: 'POST', path: '/v1/portals/:portal/resume', status: 200 },
  listAna: { method: 'GET', path: '/v1/ana', status: 200 },
  setAna: { method: 'POST', path: '/v1/portals/:portal/ana', status: 200 },
  listReferrals: { method: 'GET', path: '/v1/referrals', status: 200 },
  createReferral: { method: 'POST', path: '/v1/referrals', status: 201 },
  deleteReferral: { method: 'DELETE', path: '/v1/referrals/:referral', status: 204 },
  listControllers: { method: 'GET', path: '/v1/controllers', status: 200 },
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof operations;
