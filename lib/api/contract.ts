/**
 * What goes into and comes out of every operation: one TypeBox schema per object, from which come
 * the check of requests, the TypeScript types of server and client, and the OpenAPI document. Each
 * object has a file of its own in contract/.
 *
 * Conventions: names in camelCase; sizes are whole bytes, times ISO 8601 in UTC; nothing is left
 * out of an answer (`null` stands for "none"); lists come as `{ items, next }`, where `next` is
 * given back as `cursor` for the next page.
 */
import type { Static, TSchema } from 'typebox';
import { conditionContract, type explanationSchema } from './contract/conditions.js';
import { eventContract, type eventSchema } from './contract/events.js';
import { grantContract, type grantSchema } from './contract/grants.js';
import { groupContract, type groupSchema } from './contract/groups.js';
import { hostKeyContract, type hostKeySchema } from './contract/host_keys.js';
import { type controllerSchema, hostContract, type hostSchema } from './contract/hosts.js';
import { jobContract, type jobSchema } from './contract/jobs.js';
import { nodeContract, type reactorSchema, type statusSchema } from './contract/node.js';
import { policyContract, type policySchema } from './contract/policies.js';
import {
  type deviceSchema,
  type poolCheckSchema,
  poolContract,
  type poolSchema,
} from './contract/pools.js';
import { type anaSchema, portalContract, type portalSchema } from './contract/portals.js';
import { pskContract, type pskSchema } from './contract/psks.js';
import { referralContract, type referralSchema } from './contract/referrals.js';
import { reservationContract, type reservationSchema } from './contract/reservations.js';
import { scheduleContract, type scheduleSchema } from './contract/schedules.js';
import { snapshotContract, type snapshotSchema } from './contract/snapshots.js';
import {
  statisticsContract,
  type tenantStatisticsSchema,
  type volumeStatisticsSchema,
} from './contract/statistics.js';
import { streamContract } from './contract/streams.js';
import { tenantContract, type tenantSchema } from './contract/tenants.js';
import { tokenContract, type tokenSchema } from './contract/tokens.js';
import { volumeContract, type volumeSchema } from './contract/volumes.js';
import type { OperationId } from './operations.js';

export interface OperationContract {
  readonly summary: string;
  readonly params: TSchema;
  readonly query: TSchema;
  readonly body: TSchema;
  readonly response: TSchema;
}

export const contract = {
  ...nodeContract,
  ...poolContract,
  ...tenantContract,
  ...volumeContract,
  ...snapshotContract,
  ...groupContract,
  ...scheduleContract,
  ...streamContract,
  ...hostContract,
  ...hostKeyContract,
  ...pskContract,
  ...grantContract,
  ...referralContract,
  ...reservationContract,
  ...portalContract,
  ...eventContract,
  ...jobContract,
  ...tokenContract,
  ...policyContract,
  ...statisticsContract,
  ...conditionContract,
} as const satisfies Record<OperationId, OperationContract>;

type Contract = typeof contract;

/** What an operation takes, checked. */
export interface Input<K extends OperationId> {
  params: Static<Contract[K]['params']>;
  query: Static<Contract[K]['query']>;
  body: Static<Contract[K]['body']>;
}

/** What an operation answers. */
export type Output<K extends OperationId> = Static<Contract[K]['response']>;

export type Status = Static<typeof statusSchema>;
export type Pool = Static<typeof poolSchema>;
export type PoolCheck = Static<typeof poolCheckSchema>;
export type Tenant = Static<typeof tenantSchema>;
export type Device = Static<typeof deviceSchema>;
export type Volume = Static<typeof volumeSchema>;
export type Snapshot = Static<typeof snapshotSchema>;
export type Group = Static<typeof groupSchema>;
export type Schedule = Static<typeof scheduleSchema>;
export type Host = Static<typeof hostSchema>;
export type Grant = Static<typeof grantSchema>;
export type Portal = Static<typeof portalSchema>;
export type Ana = Static<typeof anaSchema>;
export type HostKey = Static<typeof hostKeySchema>;
export type Referral = Static<typeof referralSchema>;
export type Psk = Static<typeof pskSchema>;
export type Reservation = Static<typeof reservationSchema>;
export type Controller = Static<typeof controllerSchema>;
export type Reactor = Static<typeof reactorSchema>;
export type Job = Static<typeof jobSchema>;
export type VolumeStatistics = Static<typeof volumeStatisticsSchema>;
export type TenantStatistics = Static<typeof tenantStatisticsSchema>;
export type Explanation = Static<typeof explanationSchema>;
export type Policy = Static<typeof policySchema>;
export type Token = Static<typeof tokenSchema>;
export type NodeEvent = Static<typeof eventSchema>;
