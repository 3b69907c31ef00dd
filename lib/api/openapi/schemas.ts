/** The schemas of the contract as the components of an OpenAPI document. */
import type { TSchema } from 'typebox';
import { eventSchema } from '../contract/events.js';
import { createGrantSchema, grantSchema } from '../contract/grants.js';
import { groupSchema } from '../contract/groups.js';
import { hostKeySchema } from '../contract/host_keys.js';
import { controllerSchema, createHostSchema, hostSchema } from '../contract/hosts.js';
import { jobSchema } from '../contract/jobs.js';
import { reactorSchema, statusSchema } from '../contract/node.js';
import {
  addDeviceSchema,
  attachDeviceSchema,
  deviceSchema,
  poolCheckSchema,
  poolSchema,
} from '../contract/pools.js';
import { anaSchema, portalSchema } from '../contract/portals.js';
import { problemSchema } from '../contract/problems.js';
import { pskSchema } from '../contract/psks.js';
import { referralSchema } from '../contract/referrals.js';
import { reservationSchema } from '../contract/reservations.js';
import { scheduleSchema } from '../contract/schedules.js';
import { createSnapshotsSchema, snapshotSchema } from '../contract/snapshots.js';
import { importResultSchema, importSchema, rangeSchema } from '../contract/streams.js';
import {
  changeTenantSchema,
  createTenantSchema,
  quotaSchema,
  tenantSchema,
} from '../contract/tenants.js';
import {
  createTokenSchema,
  madeTokenSchema,
  rotateTokenSchema,
  selfSchema,
  signInSchema,
  timedSecretSchema,
  tokenSchema,
} from '../contract/tokens.js';
import {
  changeVolumeSchema,
  cloneVolumeSchema,
  createVolumeSchema,
  volumeSchema,
} from '../contract/volumes.js';

/** JSON Schema as plain data. */
export type JsonSchema = Record<string, unknown>;

/** Those that the document names; others stand where they are used. */
const named: Readonly<Record<string, TSchema>> = {
  Status: statusSchema,
  Reactor: reactorSchema,
  Pool: poolSchema,
  PoolCheck: poolCheckSchema,
  Device: deviceSchema,
  AddDevice: addDeviceSchema,
  AttachDevice: attachDeviceSchema,
  Tenant: tenantSchema,
  CreateTenant: createTenantSchema,
  ChangeTenant: changeTenantSchema,
  Quota: quotaSchema,
  Volume: volumeSchema,
  CreateVolume: createVolumeSchema,
  CloneVolume: cloneVolumeSchema,
  ChangeVolume: changeVolumeSchema,
  Snapshot: snapshotSchema,
  CreateSnapshots: createSnapshotsSchema,
  Group: groupSchema,
  Schedule: scheduleSchema,
  Range: rangeSchema,
  Import: importSchema,
  ImportResult: importResultSchema,
  Host: hostSchema,
  CreateHost: createHostSchema,
  HostKey: hostKeySchema,
  Psk: pskSchema,
  Grant: grantSchema,
  CreateGrant: createGrantSchema,
  Portal: portalSchema,
  Ana: anaSchema,
  Reservation: reservationSchema,
  Referral: referralSchema,
  Controller: controllerSchema,
  Event: eventSchema,
  Job: jobSchema,
  Token: tokenSchema,
  CreateToken: createTokenSchema,
  RotateToken: rotateTokenSchema,
  MadeToken: madeTokenSchema,
  Self: selfSchema,
  SignIn: signInSchema,
  TimedSecret: timedSecretSchema,
  Problem: problemSchema,
};

const names: ReadonlyMap<unknown, string> = new Map(
  Object.entries(named).map(([name, schema]) => [schema, name]),
);

/** Every named schema, by name. */
export function components(): Record<string, JsonSchema> {
  return Object.fromEntries(Object.entries(named).map(([name, schema]) => [name, ownJson(schema)]));
}

/** A schema as plain data: a reference where the document names it. */
export function jsonSchema(schema: unknown): unknown {
  const name = names.get(schema);
  return name === undefined ? ownJson(schema) : { $ref: `#/components/schemas/${name}` };
}

/** Keywords of ours, for messages alone. */
const ownKeywords: ReadonlySet<string> = new Set(['expected']);

function ownJson(value: unknown): JsonSchema;
function ownJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(jsonSchema);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !ownKeywords.has(key) && !key.startsWith('~'))
      .map(([key, part]) => [key, jsonSchema(part)]),
  );
}
