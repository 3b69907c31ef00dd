/** Judges network cards, the settings of TCP, and where hosts are to connect. */
import type { NetworkFacts, NicFacts, PortalFacts, TargetFacts } from './facts.js';
import { Check, type Finding, listed, sysctlFix } from './findings.js';
import { reactorCount } from './judge_system.js';

export function judgeTargetNetwork(facts: TargetFacts): Finding[] {
  const { network, daemon } = facts;
  const local = network.portals.every(({ loopback }) => loopback);
  return [
    ...(daemon.status === null ? network.portals.flatMap(judgeFreePortal) : []),
    judgeReach(network.portals),
    ...network.nics.flatMap((nic) => judgeNic(nic, reactorCount(facts))),
    ...judgeTcp(network, local),
  ];
}

export function judgeHostNetwork(network: NetworkFacts): Finding[] {
  return [
    ...network.nics.flatMap((nic) => judgeNic(nic, 1)),
    ...judgeTcp(network, network.nics.length === 0),
  ];
}

/** Whether a daemon that starts now gets the address and the port. */
function judgeFreePortal({ endpoint, address, port, carrier, taken, discoveryOnly }: PortalFacts) {
  const check = new Check('portal', `portal ${endpoint}`);
  if (carrier === null) {
    return [
      check.fail(
        `no interface has ${address}`,
        'The daemon cannot listen there, and does not start.',
        ['ip -brief address  # then set [target] portals to one of these'],
      ),
    ];
  }
  if (!taken) return [check.ok('free')];
  const why = discoveryOnly
    ? 'Hosts do not find this target by the registered port of discovery.'
    : "The daemon does not start. If it is the kernel's own target: rmmod nvmet-tcp.";
  const fix = [`ss -ltnp 'sport = :${port}'  # who has it`];
  const found = `something else listens on port ${port}`;
  return [discoveryOnly ? check.warn(found, why, fix) : check.fail(found, why, fix)];
}

function judgeReach(portals: readonly PortalFacts[]): Finding {
  const check = new Check('reach', 'who can connect');
  const open = portals.filter(({ loopback, discoveryOnly }) => !loopback && !discoveryOnly);
  if (open.length > 0) return check.ok(`whoever reaches ${listed(open.map((p) => p.endpoint))}`);
  return check.warn('this machine alone: all portals are on loopback', 'No other host gets in.', [
    '[target] portals = ["ADDRESS:4420"]  # or, while it runs: ashlar portal add ADDRESS',
  ]);
}

function judgeNic(nic: NicFacts, reactors: number): Finding[] {
  return [judgeLink(nic), judgeMtu(nic), judgeQueues(nic, reactors), judgeOffloads(nic)];
}

function judgeLink({ name, state, speedMbps, duplex, driver }: NicFacts): Finding {
  const check = new Check('link', `${name} link`);
  const by = driver === null ? '' : ` (${driver})`;
  if (state === 'down' || state === 'lowerlayerdown') {
    return check.fail(`down${by}`, 'Nobody is reached through it.', [`ip link set ${name} up`]);
  }
  if (speedMbps === null) return check.ok(`up${by}, which does not tell its speed`);
  const speed = speedMbps < 1000 ? `${speedMbps} Mbit/s` : `${speedMbps / 1000} Gbit/s`;
  if (duplex === 'half') {
    return check.warn(`${speed}, half duplex${by}`, 'Cable, port or autonegotiation is broken.', [
      `ethtool -s ${name} autoneg on`,
    ]);
  }
  if (speedMbps >= 10_000) return check.ok(`${speed}${by}`);
  const most = Math.round(speedMbps / 8);
  return check.warn(`${speed}${by}`, `All volumes together move at most ${most} MB/s.`, [
    `ethtool ${name}  # what card and partner could do`,
  ]);
}

function judgeMtu({ name, mtu, speedMbps }: NicFacts): Finding {
  const check = new Check('mtu', `${name} MTU`);
  if (mtu === null) return check.unknown('not told');
  if (mtu < 1500) {
    return check.warn(`${mtu}`, 'Below what Ethernet has: a tunnel, or a mistake.', [
      `ip link set ${name} mtu 1500`,
    ]);
  }
  // Slower wires are full before packets are what costs.
  if (mtu >= 8000 || speedMbps === null || speedMbps < 10_000) return check.ok(`${mtu}`);
  return check.warn(
    `${mtu}`,
    'Six times as many packets for large I/O. Only if every switch and host on the way has it too.',
    [`ip link set ${name} mtu 9000`],
  );
}

function judgeQueues({ name, rxQueues, maxQueues, steering }: NicFacts, reactors: number): Finding {
  const check = new Check('nic-queues', `${name} queues`);
  const found = `${rxQueues} for receiving`;
  if (rxQueues >= Math.min(reactors, 8)) return check.ok(found);
  if (steering) return check.ok(`${found}, spread by software (RPS)`);
  const can = maxQueues !== null && maxQueues > rxQueues;
  return check.warn(
    `${found}, for ${reactors} reactors`,
    'One processor takes in all packets and is full before the reactors are.',
    can
      ? [`ethtool -L ${name} combined ${Math.min(maxQueues, reactors)}`]
      : [`echo ffffffff > /sys/class/net/${name}/queues/rx-0/rps_cpus`],
  );
}

/** ethtool's long names and the short ones by which they are set. */
const offloadNames: ReadonlyMap<string, string> = new Map([
  ['rx-checksumming', 'rx'],
  ['tx-checksumming', 'tx'],
  ['scatter-gather', 'sg'],
  ['tcp-segmentation-offload', 'tso'],
  ['generic-segmentation-offload', 'gso'],
  ['generic-receive-offload', 'gro'],
]);

function judgeOffloads({ name, offloads }: NicFacts): Finding {
  const check = new Check('offloads', `${name} offloads`);
  if (offloads === null) return check.unknown('ethtool is not installed');
  const off = [...offloadNames].filter(([long]) => {
    const offload = offloads[long];
    return offload !== undefined && !offload.on && !offload.fixed;
  });
  if (off.length === 0) return check.ok('on');
  return check.warn(
    `off: ${listed(off.map(([long]) => long))}`,
    'The processor does packet by packet what the card could do.',
    [`ethtool -K ${name} ${off.map(([, short]) => `${short} on`).join(' ')}`],
  );
}

/** 10 Gbit/s over 3 ms, or 25 over 1.2. */
const leastBuffer = 4 << 20;
const leastBacklog = 1024;

function judgeTcp(network: NetworkFacts, local: boolean): Finding[] {
  return [
    judgeBuffer('tcp_rmem', network.tcpReceiveBytes, '4096 131072'),
    judgeBuffer('tcp_wmem', network.tcpSendBytes, '4096 65536'),
    judgeCongestion(network.congestionControl, local),
    judgeBacklog(network.backlog),
    judgeBusyPolling(network),
  ];
}

function judgeBuffer(name: string, most: number | null, rest: string): Finding {
  const check = new Check(name.replace('_', '-'), name);
  if (most === null) return check.unknown('not told');
  if (most >= leastBuffer) return check.ok(`up to ${Math.floor(most / (1 << 20))} MiB`);
  return check.warn(
    `up to ${Math.floor(most / 1024)} KiB`,
    'One connection cannot keep a fast wire full once the round trip takes a while.',
    [sysctlFix(`net.ipv4.${name}`, `${rest} ${leastBuffer * 2}`)],
  );
}

function judgeCongestion(name: string | null, local: boolean): Finding {
  const check = new Check('congestion-control', 'congestion control');
  if (name === null) return check.unknown('not told');
  if (local || name !== 'bbr') return check.ok(local ? `${name}; on loopback Ashlar's own` : name);
  return check.warn(
    name,
    'It paces: inside a data centre cubic or dctcp, on both ends, is faster.',
    [sysctlFix('net.ipv4.tcp_congestion_control', 'cubic')],
  );
}

function judgeBacklog(backlog: number | null): Finding {
  const check = new Check('backlog', 'listen backlog');
  if (backlog === null) return check.unknown('not told');
  if (backlog >= leastBacklog) return check.ok(`${backlog}`);
  return check.warn(
    `${backlog}`,
    'After a restart hosts come back at once, each with up to 129 connections; some would wait.',
    [sysctlFix('net.core.somaxconn', '4096')],
  );
}

function judgeBusyPolling({ busyReadUs, busyPollUs }: NetworkFacts): Finding {
  const check = new Check('busy-poll', 'busy polling');
  if (busyReadUs === null || busyPollUs === null) return check.ok('the kernel has none');
  if (busyReadUs === 0 && busyPollUs === 0) return check.ok('off for the machine');
  return check.warn(
    `net.core.busy_read is ${busyReadUs} µs, busy_poll ${busyPollUs} µs`,
    'Every program that waits for the network polls. [runtime] busyPollUs is for reactors alone.',
    [sysctlFix('net.core.busy_read', '0'), sysctlFix('net.core.busy_poll', '0')],
  );
}
