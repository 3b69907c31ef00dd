/** What to announce: from portals and this machine's addresses to services of DNS-SD. */
import { isIPv4 } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';

export interface AnnouncedPortal {
  address: string;
  port: number;
  discoveryOnly: boolean;
}

/** One service: a port of the discovery service, and where it is. */
export interface Announcement {
  port: number;
  /** In ascending order; at least one. */
  addresses: string[];
}

type Interfaces = Readonly<Record<string, NetworkInterfaceInfo[] | undefined>>;

/**
 * Portals that serve discovery alone are announced; where there are none, the others, which serve
 * it as well. Loopback is never announced, as no other machine reaches it.
 */
export function announcements(
  portals: readonly AnnouncedPortal[],
  interfaces: Interfaces,
): Announcement[] {
  const outward = outwardAddresses(interfaces);
  const reachable = portals
    .map((portal) => ({ ...portal, addresses: addressesOf(portal.address, outward) }))
    .filter(({ addresses }) => addresses.length > 0);
  const alone = reachable.filter(({ discoveryOnly }) => discoveryOnly);
  const byPort = new Map<number, Set<string>>();
  for (const { port, addresses } of alone.length > 0 ? alone : reachable) {
    const all = byPort.get(port) ?? new Set();
    for (const address of addresses) all.add(address);
    byPort.set(port, all);
  }
  return [...byPort]
    .map(([port, addresses]) => ({ port, addresses: [...addresses].sort() }))
    .sort((a, b) => a.port - b.port);
}

function addressesOf(address: string, outward: readonly string[]): string[] {
  if (address === '::') return [...outward];
  if (address === '0.0.0.0') return outward.filter(isIPv4);
  const [bare = address] = address.split('%');
  return outward.filter((each) => each === bare);
}

/**
 * The addresses that the responder can tell of: of each interface the first of IPv4, and the first
 * link-local, unique local and other one of IPv6. Further ones of an interface are not announced.
 */
function outwardAddresses(interfaces: Interfaces): string[] {
  return Object.values(interfaces).flatMap((infos = []) => {
    const first = new Map<string, string>();
    for (const { address, internal } of infos) {
      const kind = kindOf(address);
      if (!internal && !first.has(kind)) first.set(kind, address);
    }
    return [...first.values()];
  });
}

function kindOf(address: string): string {
  if (isIPv4(address)) return 'IPv4';
  if (/^fe[89ab]/.test(address)) return 'link-local';
  return /^f[cd]/.test(address) ? 'unique local' : 'global';
}
