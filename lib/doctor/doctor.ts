/**
 * `ashlar doctor`: looks at a machine and says what keeps Ashlar from running, or from running
 * well, and which command changes it. Looking ({@link examineTarget}, {@link examineHost}) changes
 * nothing; judging ({@link judgeTarget}, {@link judgeHost}) is a pure function of what was seen.
 */
import type { Config } from '../config/config.js';
import { daemonFacts } from './daemon.js';
import type { DaemonFacts, HostFacts, TargetFacts } from './facts.js';
import type { Finding, Level } from './findings.js';
import { hostFacts } from './host.js';
import { judgeConfig, judgeDaemon } from './judge_daemon.js';
import { judgeTargetNetwork } from './judge_network.js';
import { judgePool } from './judge_pool.js';
import { judgeSystem } from './judge_system.js';
import { networkFacts, type WantedPortal } from './network.js';
import { poolFacts } from './pool.js';
import { Source } from './source.js';
import { processFacts, systemFacts } from './system.js';

export type { ConfigFacts, HostFacts, TargetFacts } from './facts.js';
export type { Finding, Level } from './findings.js';
export { judgeHost } from './judge_host.js';

export interface Examined {
  /** Path of the control socket. */
  socket: string;
  config: TargetFacts['config'];
}

/** Looks at the side that serves: what runs, if something runs, and what would run otherwise. */
export async function examineTarget({ socket, config }: Examined): Promise<TargetFacts> {
  const source = new Source();
  const daemon = await daemonFacts(socket);
  const [process, system, network, pool] = await Promise.all([
    processFacts(source, daemon.status?.pid ?? null),
    systemFacts(source),
    networkFacts(source, portalsOf(daemon, config.config)),
    poolFacts(source, poolOf(daemon, config.config)),
  ]);
  return { config, process, system, network, pool, daemon };
}

/** Looks at the side that uses volumes. */
export function examineHost(): Promise<HostFacts> {
  return hostFacts(new Source());
}

/** A daemon that answers knows better than a configuration file. */
function portalsOf({ status }: DaemonFacts, { target }: Config): WantedPortal[] {
  if (status !== null) return status.portals;
  return [
    ...target.portals.map((portal) => ({ ...portal, discoveryOnly: false })),
    ...target.discovery.map((portal) => ({ ...portal, discoveryOnly: true })),
  ];
}

function poolOf(
  { status }: DaemonFacts,
  { pool }: Config,
): Pick<Config['pool'], 'device' | 'sizeBytes'> {
  const [served] = status?.pools ?? [];
  if (served === undefined) return pool;
  const sizeBytes = BigInt(served.sizeBytes);
  const { path } = served.device;
  return {
    device: path === null ? { kind: 'memory', sizeBytes } : { kind: 'file', path },
    sizeBytes,
  };
}

export function judgeTarget(facts: TargetFacts): Finding[] {
  return [
    judgeConfig(facts.config),
    ...judgeDaemon(facts.daemon, facts.system.service),
    ...judgeSystem(facts),
    ...judgeTargetNetwork(facts),
    ...judgePool(facts.pool, facts.daemon.state !== 'none'),
  ];
}

/** How many findings there are of each level. */
export function countLevels(findings: readonly Finding[]): Record<Level, number> {
  const counts: Record<Level, number> = { ok: 0, warn: 0, fail: 0, unknown: 0 };
  for (const { level } of findings) counts[level] += 1;
  return counts;
}
