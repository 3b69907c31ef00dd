/** Facts of network interfaces, and of the addresses that hosts are to reach. */
import { networkInterfaces } from 'node:os';
import type { Endpoint } from '../config/config.js';
import { formatEndpoint } from '../config/config.js';
import type { NetworkFacts, NicFacts, PortalFacts } from './facts.js';
import type { Source } from './source.js';

/** A portal as it is or is to be. */
export interface WantedPortal extends Endpoint {
  discoveryOnly: boolean;
}

/** Interfaces by address; replaceable, as tests have other ones. */
export type Addresses = ReadonlyMap<string, { name: string; internal: boolean }>;

export function machineAddresses(): Addresses {
  return new Map(
    Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
      (addresses ?? []).map(({ address, internal }) => [address, { name, internal }] as const),
    ),
  );
}

/** @param portals of a target; null: a host, which may use every interface that is up. */
export async function networkFacts(
  source: Source,
  portals: readonly WantedPortal[] | null,
  addresses: Addresses = machineAddresses(),
): Promise<NetworkFacts> {
  const found = await portalFacts(source, portals ?? [], addresses);
  const any = portals === null || found.some(({ carrier }) => carrier === 'any');
  const carriers = any
    ? [...addresses.values()].filter(({ internal }) => !internal).map(({ name }) => name)
    : found.flatMap(({ carrier, loopback }) => (carrier === null || loopback ? [] : [carrier]));
  const hardware = await Promise.all([...new Set(carriers)].map((name) => below(source, name)));
  const names = [...new Set(hardware.flat())].sort();
  const sysctl = (name: string): Promise<number | null> => source.number(`/proc/sys/net/${name}`);
  return {
    nics: await Promise.all(names.map((name) => nicFacts(source, name))),
    portals: found,
    tcpReceiveBytes: largest(await source.text('/proc/sys/net/ipv4/tcp_rmem')),
    tcpSendBytes: largest(await source.text('/proc/sys/net/ipv4/tcp_wmem')),
    congestionControl: await source.text('/proc/sys/net/ipv4/tcp_congestion_control'),
    backlog: await sysctl('core/somaxconn'),
    busyReadUs: await sysctl('core/busy_read'),
    busyPollUs: await sysctl('core/busy_poll'),
  };
}

/** `4096 131072 6291456`: least, default and most. */
function largest(text: string | null): number | null {
  const last = text?.split(/\s+/).at(2);
  return last === undefined ? null : Number(last);
}

const wildcards = ['0.0.0.0', '::'];

async function portalFacts(
  source: Source,
  portals: readonly WantedPortal[],
  addresses: Addresses,
): Promise<PortalFacts[]> {
  const listening = await listeningPorts(source);
  return portals.map((portal) => {
    const { address, port, discoveryOnly } = portal;
    const wildcard = wildcards.includes(address);
    const carrier = addresses.get(address);
    return {
      endpoint: formatEndpoint(portal),
      address,
      port,
      discoveryOnly,
      carrier: wildcard ? 'any' : (carrier?.name ?? null),
      loopback: !wildcard && (carrier?.internal ?? /^127\.|^::1$/.test(address)),
      taken: port !== 0 && listening.has(port),
    };
  });
}

/** State 0A of /proc/net/tcp is LISTEN. */
async function listeningPorts(source: Source): Promise<Set<number>> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => source.text(path)),
  );
  const rows = tables.flatMap((table) => [
    ...(table ?? '').matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A /gm),
  ]);
  return new Set(rows.map((row) => Number.parseInt(row[1] ?? '', 16)));
}

/** The interfaces with a device below a bond, bridge or VLAN; itself, if it has one. */
async function below(source: Source, name: string): Promise<string[]> {
  const folder = `/sys/class/net/${name}`;
  if (await source.exists(`${folder}/device`)) return [name];
  const lower = (await source.names(folder))
    .filter((entry) => entry.startsWith('lower_'))
    .map((entry) => entry.slice('lower_'.length));
  return (await Promise.all(lower.map((each) => below(source, each)))).flat();
}

async function nicFacts(source: Source, name: string): Promise<NicFacts> {
  const folder = `/sys/class/net/${name}`;
  const queues = await source.names(`${folder}/queues`);
  const rx = queues.filter((queue) => queue.startsWith('rx-'));
  const [masks, channels, features, speed] = await Promise.all([
    Promise.all(rx.map((queue) => source.text(`${folder}/queues/${queue}/rps_cpus`))),
    source.run('ethtool', ['-l', name]),
    source.run('ethtool', ['-k', name]),
    source.number(`${folder}/speed`),
  ]);
  const node = await source.number(`${folder}/device/numa_node`);
  return {
    name,
    driver: await source.linkName(`${folder}/device/driver`),
    mtu: await source.number(`${folder}/mtu`),
    // Interfaces that do not know say -1, or 2^32 - 1.
    speedMbps: speed !== null && speed > 0 && speed < 10_000_000 ? speed : null,
    duplex: await source.text(`${folder}/duplex`),
    state: (await source.text(`${folder}/operstate`)) ?? 'unknown',
    numaNode: node !== null && node >= 0 ? node : null,
    rxQueues: rx.length,
    maxQueues: mostQueues(channels),
    steering: masks.some((mask) => /[1-9a-f]/.test(mask ?? '')),
    offloads: offloadsOf(features),
  };
}

/** `ethtool -l`: the first table has the limits. */
function mostQueues(text: string | null): number | null {
  const [limits = ''] = (text ?? '').split('Current hardware settings');
  const found = /^Combined:\s+(\d+)$/m.exec(limits)?.[1];
  return found === undefined ? null : Number(found);
}

/** `ethtool -k`: `tcp-segmentation-offload: on`, `… off [fixed]`. */
function offloadsOf(text: string | null): NicFacts['offloads'] {
  if (text === null) return null;
  const rows = text.matchAll(/^([a-z0-9-]+): (on|off)( \[fixed\])?/gm);
  return Object.fromEntries(
    [...rows].map(([, name = '', value, fixed]) => [
      name,
      { on: value === 'on', fixed: fixed !== undefined },
    ]),
  );
}
