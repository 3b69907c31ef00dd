/** The exact nvme-cli commands with which a Linux host discovers and connects. */
import { networkInterfaces } from 'node:os';

export interface ReachedPortal {
  address: string;
  port: number;
  discoveryOnly: boolean;
  drained: boolean;
  /** null: it listens. */
  problem: string | null;
}

/** Commands by what they are for; every line can be pasted into a root shell as it is. */
export interface ConnectLines {
  discover: string[];
  connect: string[];
}

/**
 * Lines for each portal that listens: every one can be discovered at; volumes are connected to
 * through those that serve them and are not drained, one line for each subsystem.
 */
export function connectLines(
  all: readonly ReachedPortal[],
  subnqns: readonly string[],
): ConnectLines {
  const portals = all.filter(({ problem }) => problem === null);
  const at = (portal: ReachedPortal): string =>
    `-t tcp -a ${reachable(portal.address)} -s ${portal.port}`;
  return {
    discover: portals.map((portal) => `nvme discover ${at(portal)}`),
    connect: portals
      .filter(({ discoveryOnly, drained }) => !discoveryOnly && !drained)
      .flatMap((portal) => subnqns.map((subnqn) => `nvme connect ${at(portal)} -n ${subnqn}`)),
  };
}

/** A wildcard is no address to connect to: the machine's first outward one stands in for it. */
export function reachable(address: string): string {
  if (address !== '0.0.0.0' && address !== '::') return address;
  const family = address === '::' ? 'IPv6' : 'IPv4';
  for (const addresses of Object.values(networkInterfaces())) {
    for (const each of addresses ?? []) {
      if (each.family === family && !each.internal && !each.address.startsWith('fe80:')) {
        return each.address;
      }
    }
  }
  return family === 'IPv6' ? '::1' : '127.0.0.1';
}
