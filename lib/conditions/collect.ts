/** Asks a node for all that a volume, pool, host or tenant is judged by. */
import { setTimeout as pause } from 'node:timers/promises';
import type { MeterCounters } from '../native.js';
import type { Node } from '../node/types.js';
import type { CallOptions } from '../volumes/types.js';
import type { HostFacts, PoolFacts, TenantFacts, VolumeFacts } from './types.js';

/** Between the two readings that tell whether commands wait for a limit now. */
const betweenMs = 200;
/** How far back losses of a host count. */
const lossesMs = 3_600_000;

/**
 * @param ofNode the caller runs the node, and is told of its pool and devices.
 * @throws AshlarError not-found.
 */
export async function volumeFacts(
  node: Node,
  name: string,
  ofNode: boolean,
  options: CallOptions = {},
): Promise<VolumeFacts> {
  const volume = await node.volumes.show(name, options);
  const own = { tenant: volume.tenant };
  const counts = () => node.statistics.volume(volume.uuid, own).items[0]?.counters;
  return {
    ...(await counted(counts, options)),
    volume,
    unfinishedImport:
      node.streams.imports(own).find(({ volumeUuid }) => volumeUuid === volume.uuid) ?? null,
    pool: await node.pool.status(),
    portals: node.portals.list(),
    reservation:
      node.reservations
        .list(own)
        .find((each) => each.nsid === volume.nsid && each.snapshot === null) ?? null,
    schedules: node.schedules.list(own).filter(({ volumes }) => volumes.includes(volume.name)),
    hostsWithKeys: hostsWithKeys(node, own),
    ofNode,
  };
}

/** Whether commands wait for a limit now, and how many have failed. */
async function counted(
  counts: () => MeterCounters | undefined,
  { signal }: CallOptions,
): Promise<{ limited: boolean; failedCommands: bigint }> {
  const before = counts();
  // Without a command that ever waited there is nothing to wait for here.
  if ((before?.limitedCommands ?? 0n) > 0n) await pause(betweenMs, undefined, { signal });
  const after = counts();
  const limited = (after?.limitedCommands ?? 0n) > (before?.limitedCommands ?? 0n);
  return { limited, failedCommands: after?.errors ?? 0n };
}

/** NQNs of those that have a PSK, or a key from which one is made. */
function hostsWithKeys(node: Node, own: CallOptions): ReadonlySet<string> {
  return new Set([
    ...node.psks.list(own).map(({ host }) => host),
    ...node.hostKeys.list(own).map(({ nqn }) => nqn),
  ]);
}

/** @param name the pool's, as the caller has it. */
export async function poolFacts(node: Node, name: string): Promise<PoolFacts> {
  const { pool, provisionedBytes } = await node.status();
  const [last] = node.jobs.page({ kind: 'pool-check', state: 'succeeded', limit: 1 }).items;
  const problems: unknown = Reflect.get(last?.result ?? {}, 'problems');
  const lastCheck =
    last?.endedAt == null || !Array.isArray(problems)
      ? null
      : { problems: problems.length, endedAt: last.endedAt };
  return { name, pool, provisionedBytes, lastCheck };
}

/** @throws AshlarError not-found. */
export async function hostFacts(
  node: Node,
  nqn: string,
  ofNode: boolean,
  options: CallOptions = {},
): Promise<HostFacts> {
  const host = node.hosts.show(nqn, options);
  const own = { tenant: host.tenant };
  const recent = { sinceMs: Date.now() - lossesMs, limit: 1000 };
  const lost = { kind: 'host-disconnected', severity: 'warning', subject: nqn } as const;
  const refused = { kind: 'connect-refused', ...recent } as const;
  // What was refused before it was added, or before it came in, is mended.
  const mendedAt = [host.createdAt, ...host.connections.map(({ connectedAt }) => connectedAt)]
    .sort()
    .at(-1);
  const refusals = ofNode
    ? node.eventList.page(refused).items.filter(({ time }) => time > (mendedAt ?? ''))
    : [];
  return {
    host,
    volumes: node.volumes
      .list(own)
      .filter(({ grants }) => grants.some((grant) => grant.host === nqn || grant.host === '*')),
    pool: await node.pool.status(),
    portals: node.portals.list(),
    unfinishedImports: node.streams.imports(own),
    reservations: node.reservations.list(own),
    hasKey: hostsWithKeys(node, own).has(nqn),
    losses: node.eventList
      .page({ ...own, ...lost, ...recent })
      .items.map((each) => (ofNode ? each.message : each.toTenants)),
    // Whoever was refused has no tenant yet: by its name, in what the node was told of it.
    refusals: refusals.map(({ message }) => message).filter((message) => message.includes(nqn)),
    ofNode,
  };
}

/** @throws AshlarError not-found. */
export async function tenantFacts(
  node: Node,
  name: string,
  ofNode: boolean,
  options: CallOptions = {},
): Promise<TenantFacts> {
  const tenant = node.tenants.show(name);
  const own = { tenant: tenant.name };
  return {
    tenant,
    ...(await counted(() => node.statistics.tenants(own).items[0]?.counters, options)),
    volumes: node.volumes.list(own),
    hosts: node.hosts.list(own),
    hostsWithKeys: hostsWithKeys(node, own),
    pool: await node.pool.status(),
    portals: node.portals.list(),
    unfinishedImports: node.streams.imports(own),
    schedules: node.schedules.list(own),
    tokens: node.tokens.list(own),
    nowMs: Date.now(),
    ofNode,
  };
}
