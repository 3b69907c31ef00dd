/** Which daemon a new volume goes to. */
import type { Pool, Tenant } from '../../api/contract.js';
import { formatSize, formatSizeShort } from '../../config/units.js';
import type { Segments } from '../config.js';
import { CsiError } from '../errors.js';
import type { Decoded } from '../wire/fields.js';
import type { TopologyRequirement } from '../wire/messages.js';
import { codeOf, type Endpoint } from './endpoint.js';
import type { Endpoints } from './endpoints.js';
import { defaultTenant, type MutableParameters, type Parameters } from './parameters.js';

export type Requirement = Decoded<typeof TopologyRequirement> | null;

/** What an endpoint has for volumes of some parameters. */
export interface Room {
  endpoint: Endpoint;
  /** As much as a new volume may have; null: it is not known, the token may not see it. */
  bytes: bigint | null;
  /** Why no such volume can be there at all; null: it can. */
  lack: Lack | null;
}

/** Something that is named, or needed, and is not there. */
export interface Lack {
  /** What the endpoint has not, behind its name. */
  text: string;
  /** INVALID_ARGUMENT: another request is needed; else it may be there later. */
  status: 'INVALID_ARGUMENT' | 'RESOURCE_EXHAUSTED';
}

/** Volumes that a schedule takes: its snapshots are of one instant. */
const maxScheduleVolumes = 64;

/** Whether a node at `place` reaches the endpoint: it has all segments that the endpoint has. */
export function isAt(endpoint: Endpoint, place: Segments): boolean {
  return Object.entries(endpoint.topology).every(([key, value]) => place[key] === value);
}

/** Endpoints that fit, those preferred first; equals are in one list. */
export function ranked(all: readonly Endpoint[], requirement: Requirement): Endpoint[][] {
  const { requisite, preferred } = requirement ?? { requisite: [], preferred: [] };
  const allowed =
    requisite.length === 0
      ? all
      : all.filter((endpoint) => requisite.some(({ segments }) => isAt(endpoint, segments)));
  const ranks: Endpoint[][] = [];
  const left = new Set(allowed);
  for (const { segments } of preferred) {
    const rank = [...left].filter((endpoint) => isAt(endpoint, segments));
    for (const endpoint of rank) left.delete(endpoint);
    if (rank.length > 0) ranks.push(rank);
  }
  if (left.size > 0) ranks.push([...left]);
  return ranks;
}

/**
 * Where a volume of that size can be made, the best first.
 *
 * @throws CsiError INVALID_ARGUMENT when nothing that is named exists; RESOURCE_EXHAUSTED saying of
 * each endpoint what it lacks.
 */
export async function place(
  { all }: Endpoints,
  requirement: Requirement,
  parameters: Parameters,
  sizeBytes: bigint,
  signal: AbortSignal,
): Promise<Endpoint[]> {
  const ranks = ranked(all, requirement);
  const rooms = await Promise.all(
    ranks.map((rank) => Promise.all(rank.map((each) => roomOf(each, parameters, signal)))),
  );
  const fitting = rooms.flatMap((rank) =>
    rank.filter((room) => shortOf(room, sizeBytes) === null).sort(byRoom),
  );
  if (fitting.length > 0) return fitting.map(({ endpoint }) => endpoint);
  const looked = rooms.flat();
  const elsewhere = all
    .filter((endpoint) => !looked.some((room) => room.endpoint === endpoint))
    .map((endpoint) => `endpoint '${endpoint.name}' is at ${placeText(endpoint.topology)}`);
  const reasons = looked.map((room) => {
    return `endpoint '${room.endpoint.name}' ${shortOf(room, sizeBytes) ?? 'has room'}`;
  });
  const wrong =
    looked.length > 0 && looked.every(({ lack }) => lack?.status === 'INVALID_ARGUMENT');
  throw new CsiError(
    wrong ? 'INVALID_ARGUMENT' : 'RESOURCE_EXHAUSTED',
    `no place for a volume of ${formatSize(sizeBytes)}: ${[...reasons, ...elsewhere].join('; ')}`,
  );
}

/** What is there for volumes with these parameters. */
export async function roomOf(
  endpoint: Endpoint,
  parameters: Parameters,
  signal: AbortSignal,
): Promise<Room> {
  const { tenant: asked, pool: poolName } = parameters;
  const name = asked ?? defaultTenant;
  const [tenant, pools, missing] = await Promise.all([
    endpoint.lookUp('getTenant', { params: { tenant: name } }, signal),
    poolsOf(endpoint, signal),
    lackOf(endpoint, name, parameters, signal),
  ]);
  const room: Room = { endpoint, bytes: null, lack: null };
  if (tenant === null) {
    const make = `make it there with "ashlar tenant create ${name}"`;
    return { ...room, lack: unnamed(`has no tenant '${name}'; ${make}`) };
  }
  const pool = pools?.find((each) => poolName === null || each.name === poolName);
  if (pools !== null && pool === undefined) {
    const names = pools.map((each) => `'${each.name}'`).join(', ');
    return { ...room, lack: unnamed(`has no pool '${poolName}', but ${names}`) };
  }
  if (missing !== null) return { ...room, lack: missing };
  if (pool?.state === 'failed') {
    return { ...room, lack: full(`has a failed pool: ${pool.problem ?? pool.name}`) };
  }
  const { quota, volumes } = tenant;
  if (quota.volumes !== null && volumes >= quota.volumes) {
    const has = `lets tenant '${name}' have ${quota.volumes} volumes, and it has ${volumes}`;
    return { ...room, bytes: 0n, lack: full(has) };
  }
  return { ...room, bytes: least(pool, tenant) };
}

/** Null: the driver's token may not see pools, so the daemon alone decides. */
async function poolsOf(endpoint: Endpoint, signal: AbortSignal): Promise<Pool[] | null> {
  try {
    return await endpoint.list('listPools', {}, signal);
  } catch (thrown) {
    if (codeOf(thrown) === 'permission-denied') return null;
    throw thrown;
  }
}

/** A thin volume needs nothing at first; but one that could never be filled is not made. */
function least(pool: Pool | undefined, { quota, provisionedBytes }: Tenant): bigint | null {
  const limits: bigint[] = [];
  if (pool !== undefined) limits.push(BigInt(pool.availableBytes));
  if (quota.capacityBytes !== null) limits.push(BigInt(quota.capacityBytes - provisionedBytes));
  if (limits.length === 0) return null;
  const room = limits.reduce((a, b) => (a < b ? a : b));
  return room < 0n ? 0n : room;
}

/**
 * A policy or schedule that is named and is not there, or takes no more, or TLS; null: nothing.
 *
 * @param volume name of one that may be in the schedule already.
 */
export async function lackOf(
  endpoint: Endpoint,
  tenant: string,
  { policy, schedule, tls = 'none' }: MutableParameters & Partial<Pick<Parameters, 'tls'>>,
  signal: AbortSignal,
  volume: string | null = null,
): Promise<Lack | null> {
  if (tls === 'required' && !(await endpoint.takesTls(signal))) {
    return unnamed("has no portal that takes TLS; set 'tls' in [target] of its configuration");
  }
  if (policy !== null && policy !== '') {
    const found = await endpoint.lookUp('getPolicy', { params: { policy } }, signal);
    if (found === null) {
      const make = `make it there with "ashlar policy create ${policy}"`;
      return unnamed(`has no policy '${policy}'; ${make}`);
    }
  }
  if (schedule !== null && schedule !== '') {
    const input = { params: { schedule }, query: { tenant } };
    const found = await endpoint.lookUp('getSchedule', input, signal);
    if (found === null) {
      const make = `make it there with "ashlar schedule create ${schedule} --tenant ${tenant}"`;
      return unnamed(`has no schedule '${schedule}' of tenant '${tenant}'; ${make}`);
    }
    const { volumes } = found;
    if (volumes.length >= maxScheduleVolumes && (volume === null || !volumes.includes(volume))) {
      return full(`has a schedule '${schedule}' of ${volumes.length} volumes, which is its limit`);
    }
  }
  return null;
}

function unnamed(text: string): Lack {
  return { text, status: 'INVALID_ARGUMENT' };
}

function full(text: string): Lack {
  return { text, status: 'RESOURCE_EXHAUSTED' };
}

function shortOf({ bytes, lack }: Room, sizeBytes: bigint): string | null {
  if (lack !== null) return lack.text;
  return bytes === null || bytes >= sizeBytes ? null : `has room for ${formatSizeShort(bytes)}`;
}

function byRoom(a: Room, b: Room): number {
  const [left, right] = [a.bytes ?? 0n, b.bytes ?? 0n];
  return left === right ? 0 : left > right ? -1 : 1;
}

function placeText(topology: Segments): string {
  return Object.entries(topology)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}
