/** Judges a host by what is known of it. Pure, as judge.ts. */
import {
  endpoints,
  judged,
  names,
  pathStates,
  serving,
  tellOperator,
  tlsRequired,
  usable,
} from './pieces.js';
import type { Condition, HostConditionKind, HostExplanation, HostFacts } from './types.js';

/** Losses in an hour that are no accident any more. */
const often = 3;

type HostCondition = Condition<HostConditionKind>;

export function explainHost(facts: HostFacts): HostExplanation {
  const { host } = facts;
  const conditions = [
    ...ofPool(facts),
    ...ofGrants(facts),
    ...ofPortals(facts),
    ...ofConnection(facts),
    ...ofLosses(facts),
    ...ofVolumes(facts),
  ];
  return { host: host.nqn, tenant: host.tenant, ...judged(conditions, host.tenant) };
}

function ofPool({ pool, ofNode }: HostFacts): HostCondition[] {
  if (!pool.failed) return [];
  const why = ofNode && pool.failure !== null ? `: ${pool.failure}` : '';
  return [
    {
      kind: 'pool-failed',
      severity: 'error',
      message: `the pool of its volumes acknowledges nothing any more${why}`,
      nextStep: ofNode ? '"ashlar explain pool"' : tellOperator,
    },
  ];
}

function ofGrants({ host, volumes }: HostFacts): HostCondition[] {
  if (volumes.length > 0 || host.volumes.length > 0) return [];
  return [
    {
      kind: 'nothing-granted',
      severity: 'warning',
      message: 'nothing is granted to it: it may connect, and sees no volume',
      nextStep: `"ashlar grant add VOLUME ${host.nqn}{tenant}"`,
    },
  ];
}

/** Groups of volumes (ANA) that it uses, with the names of their volumes. */
function groupsOf({ volumes }: HostFacts): Map<number, string[]> {
  const groups = new Map<number, string[]>();
  for (const { anagrpid, name } of volumes) {
    groups.set(anagrpid, [...(groups.get(anagrpid) ?? []), name]);
  }
  return groups;
}

function ofPortals(facts: HostFacts): HostCondition[] {
  const { portals, ofNode } = facts;
  const nowhere = [...groupsOf(facts)].filter(([group]) =>
    serving(portals).every((portal) => usable(portal, group) === 'unusable'),
  );
  const lost = nowhere.flatMap(([, volumes]) => volumes);
  if (lost.length === 0) return [];
  return [
    {
      kind: 'no-portal',
      severity: 'error',
      message: `no portal leads to ${names(lost)}: each is drained, inaccessible or not listening`,
      nextStep: ofNode
        ? '"ashlar portal list", then "ashlar portal resume" or "ashlar ana set"'
        : tellOperator,
    },
  ];
}

function ofConnection(facts: HostFacts): HostCondition[] {
  const { host, portals, hasKey } = facts;
  if (host.connections.some(({ kind }) => kind === 'io')) return ofPaths(facts);
  if (tlsRequired(portals) && !hasKey) {
    return [
      {
        kind: 'host-without-psk',
        severity: 'warning',
        message: 'it has no PSK, and every portal requires TLS: it cannot connect',
        nextStep: `"ashlar host psk generate ${host.nqn}{tenant}", then give it to the host`,
      },
    ];
  }
  return [
    {
      kind: 'host-not-connected',
      severity: 'info',
      message: 'it is not connected',
      nextStep:
        '"ashlar connect-info" prints what to type there; "ashlar doctor --host" looks there',
    },
  ];
}

function ofPaths(facts: HostFacts): HostCondition[] {
  const { host, portals, ofNode } = facts;
  const connections = host.connections.filter(({ kind }) => kind === 'io');
  return [...groupsOf(facts)].flatMap(([group, volumes]): HostCondition[] => {
    const { used, states, others } = pathStates(portals, connections, group);
    const elsewhere = endpoints(others);
    const connectThere = elsewhere === '' ? null : `connect it through ${elsewhere} too`;
    if (states.every((state) => state === 'unusable')) {
      const message = `it reaches ${names(volumes)} only through ${endpoints(used)}, which it must not use now`;
      const mend = ofNode ? '"ashlar portal resume", or "ashlar ana set"' : tellOperator;
      const nextStep = connectThere ?? mend;
      return [{ kind: 'host-without-usable-path', severity: 'error', message, nextStep }];
    }
    const told: HostCondition[] = [];
    if (!states.includes('optimized')) {
      told.push({
        kind: 'host-on-slower-path',
        severity: 'info',
        message: `its paths to ${names(volumes)} are all non-optimized`,
        nextStep: connectThere,
      });
    }
    const few = states.filter((state) => state !== 'unusable').length === 1;
    if (few && connectThere !== null) {
      told.push({
        kind: 'host-with-one-path',
        severity: 'info',
        message: `it has one path to ${names(volumes)}, and loses them when that fails`,
        nextStep: connectThere,
      });
    }
    return told;
  });
}

function ofLosses({ host, losses, refusals }: HostFacts): HostCondition[] {
  const told: HostCondition[] = [];
  const [lost] = losses;
  if (lost !== undefined) {
    const isBack = host.connections.some(({ kind }) => kind === 'io');
    told.push({
      kind: 'association-lost',
      severity: isBack && losses.length < often ? 'info' : 'warning',
      message: `it was lost ${losses.length} times in the last hour, the last time: ${lost}`,
      nextStep: `"dmesg" on the host, and the network between; "ashlar event list --subject ${host.nqn}"`,
    });
  }
  const [refused] = refusals;
  if (refused !== undefined) {
    told.push({
      kind: 'connect-refused',
      severity: 'warning',
      message: `${refusals.length} of its Connects were refused in the last hour: ${refused}`,
      nextStep: 'mend what the reason names; "ashlar event list --kind connect-refused"',
    });
  }
  return told;
}

function ofVolumes({ volumes, unfinishedImports, reservations, host }: HostFacts): HostCondition[] {
  const imports = unfinishedImports
    .filter(({ volumeUuid }) => volumes.some(({ uuid }) => uuid === volumeUuid))
    .map(({ volume, active }): HostCondition => {
      return {
        kind: 'volume-being-imported',
        severity: active ? 'warning' : 'error',
        message: `it does not see volume '${volume}' until its import is through`,
        nextStep: active ? 'wait until it is through' : `"ashlar explain volume ${volume}{tenant}"`,
      };
    });
  const reserved = reservations.flatMap(({ nsid, snapshot, type, registrants }) => {
    const volume = volumes.find((each) => each.nsid === nsid);
    const own = registrants.some((each) => each.holds && each.hosts.includes(host.nqn));
    return volume === undefined || snapshot !== null || type === null || own ? [] : [volume.name];
  });
  if (reserved.length === 0) return imports;
  return [
    ...imports,
    {
      kind: 'volume-reserved',
      severity: 'info',
      message: `other hosts hold reservations of ${names(reserved)}: its commands may be refused`,
      nextStep: `"ashlar reservation show ${reserved[0]}{tenant}" says who, and of what type`,
    },
  ];
}
