/** Judges a volume by what is known of it. Pure: the same facts give the same conditions. */
import { formatSizeShort } from '../config/units.js';
import type { ConnectedHost } from '../volumes/types.js';
import { endpoints, judged, pathStates, serving, tellOperator, usable } from './pieces.js';
import type { Condition, Explanation, VolumeFacts } from './types.js';

/** Below this share of the pool, what is left is worth a warning. */
const scarcePercent = 5n;

export function explain(facts: VolumeFacts): Explanation {
  const { volume } = facts;
  const conditions = [
    ...ofPool(facts),
    ...ofSpace(facts),
    ...ofImport(facts),
    ...ofGrants(facts),
    ...ofPortals(facts),
    ...ofHosts(facts),
    ...ofReservation(facts),
    ...ofCommands(facts),
    ...ofSchedules(facts),
  ];
  return { volume: volume.name, tenant: volume.tenant, ...judged(conditions, volume.tenant) };
}

function ofPool({ volume, pool, ofNode }: VolumeFacts): Condition[] {
  if (pool.failed) {
    const why = ofNode && pool.failure !== null ? `: ${pool.failure}` : '';
    return [
      {
        kind: 'pool-failed',
        severity: 'error',
        message: `its pool acknowledges nothing any more${why}`,
        nextStep: ofNode
          ? 'mend what is under the pool, then start the daemon again'
          : tellOperator,
      },
    ];
  }
  // A volume without data has nothing on any device.
  if (volume.usage.mappedBytes === 0n) return [];
  return pool.devices
    .filter(({ state }) => state !== 'online')
    .map(({ index, path, state }) => {
      const which = ofNode ? `device ${index}${path === null ? '' : ` (${path})`}` : 'a device';
      const attach =
        '"ashlar pool device attach PATH", with where it is now; "ashlar doctor" looks for causes';
      const replace = 'what lay on it is to be taken from a backup; "ashlar pool device list"';
      return {
        kind: state === 'missing' ? ('device-missing' as const) : ('device-failed' as const),
        severity: 'error' as const,
        message:
          state === 'missing'
            ? `${which} of its pool is missing: blocks that lie there answer with media errors`
            : `${which} of its pool has failed: blocks that lie there answer with media errors`,
        nextStep: ofNode ? (state === 'missing' ? attach : replace) : tellOperator,
      };
    });
}

/** Only what takes new space can fail for the lack of it, and a promise of room is kept. */
function ofSpace({ volume, pool, ofNode }: VolumeFacts): Condition[] {
  if (volume.reserved || pool.failed) return [];
  const { chunkBytes, totalChunks, freeChunks, reservedChunks } = pool;
  const available = freeChunks - reservedChunks;
  const missing = volume.sizeBytes - volume.usage.exclusiveBytes;
  if (missing <= 0n || available * 100n >= totalChunks * scarcePercent) return [];
  if (available * chunkBytes >= missing) return [];
  const coming =
    pool.reclaimingChunks === 0n
      ? ''
      : `; ${formatSizeShort(pool.reclaimingChunks * chunkBytes)} of deleted layers are on their ` +
        'way back';
  const nextStep = ofNode
    ? '"ashlar pool device add PATH", delete snapshots, or fstrim on hosts'
    : `delete snapshots, or fstrim on hosts; or ${tellOperator}`;
  if (available <= 0n) {
    const why = ofNode ? coming : '';
    const message = `its pool is full: writes to blocks that it does not hold yet fail${why}`;
    return [{ kind: 'pool-full', severity: 'error', message, nextStep }];
  }
  const left = ofNode
    ? `has ${formatSizeShort(available * chunkBytes)} left${coming}`
    : 'is nearly full';
  const message = `its pool ${left}; the volume could still take ${formatSizeShort(missing)}`;
  return [{ kind: 'pool-nearly-full', severity: 'warning', message, nextStep }];
}

function ofImport({ unfinishedImport, volume }: VolumeFacts): Condition[] {
  if (unfinishedImport === null) return [];
  const { appliedBytes, sizeBytes, active, source } = unfinishedImport;
  const done = `${formatSizeShort(appliedBytes)} of ${formatSizeShort(sizeBytes)}`;
  return [
    {
      kind: 'being-imported',
      severity: active ? 'warning' : 'error',
      message: active
        ? `it is being imported from '${source}' (${done}): no host sees it until that is through`
        : `an import of '${source}' into it stopped at ${done}: no host sees it`,
      nextStep: active
        ? 'wait until it is through'
        : `send the same stream again, or "ashlar volume import ${volume.name} --abandon{tenant}"`,
    },
  ];
}

function ofGrants({ volume }: VolumeFacts): Condition[] {
  if (volume.grants.length > 0) return [];
  return [
    {
      kind: 'not-granted',
      severity: 'warning',
      message: 'it is granted to no host, so none sees it',
      nextStep: `"ashlar grant add ${volume.name} HOSTNQN{tenant}"`,
    },
  ];
}

function ofPortals({ volume, portals, ofNode }: VolumeFacts): Condition[] {
  const conditions: Condition[] = serving(portals)
    .filter(({ problem }) => problem !== null)
    .map(({ endpoint, problem }) => ({
      kind: 'portal-not-listening',
      severity: 'warning',
      message: `portal ${endpoint} does not listen: ${problem}`,
      nextStep: ofNode
        ? 'it is tried again by itself; see that the address is there and the port free'
        : tellOperator,
    }));
  if (serving(portals).every((portal) => usable(portal, volume.anagrpid) === 'unusable')) {
    conditions.push({
      kind: 'no-portal',
      severity: 'error',
      message: 'hosts can use it through no portal: each is drained, inaccessible or not listening',
      nextStep: ofNode
        ? '"ashlar portal list", then "ashlar portal resume" or "ashlar ana set"'
        : tellOperator,
    });
  }
  return conditions;
}

function ofHosts(facts: VolumeFacts): Condition[] {
  const { volume, unfinishedImport } = facts;
  if (unfinishedImport !== null) return [];
  const byHost = new Map<string, ConnectedHost[]>();
  for (const each of volume.connectedHosts) {
    byHost.set(each.hostnqn, [...(byHost.get(each.hostnqn) ?? []), each]);
  }
  const granted = volume.grants.map(({ host }) => host);
  const absent = granted.filter((host) => host !== '*' && !byHost.has(host));
  const nobody = granted.includes('*') && byHost.size === 0 ? ['any host'] : [];
  return [
    ...absent.map((host) => absentHost(facts, host)),
    ...nobody.map(
      (): Condition => ({
        kind: 'host-not-connected',
        severity: 'info',
        message: 'any host may use it, and none is connected',
        nextStep: '"ashlar connect-info" prints what to type on a host',
      }),
    ),
    ...[...byHost].flatMap(([host, connections]) => connectedHost(facts, host, connections)),
  ];
}

function absentHost({ portals, hostsWithKeys }: VolumeFacts, host: string): Condition {
  const required = serving(portals).every(({ tls }) => tls === 'required');
  if (required && !hostsWithKeys.has(host)) {
    return {
      kind: 'host-without-psk',
      severity: 'warning',
      message: `host '${host}' has no PSK, and every portal requires TLS: it cannot connect`,
      nextStep: `"ashlar host psk generate ${host}{tenant}", then give it to the host`,
    };
  }
  return {
    kind: 'host-not-connected',
    severity: 'info',
    message: `host '${host}' may use it and is not connected`,
    nextStep: '"ashlar connect-info" prints what to type there; "ashlar doctor --host" looks there',
  };
}

function connectedHost(
  { volume, portals, ofNode }: VolumeFacts,
  host: string,
  connections: readonly ConnectedHost[],
): Condition[] {
  const { used, states, others } = pathStates(portals, connections, volume.anagrpid);
  const elsewhere = endpoints(others);
  if (states.every((state) => state === 'unusable')) {
    const through = endpoints(used);
    return [
      {
        kind: 'host-without-usable-path',
        severity: 'error',
        message: `host '${host}' is connected only through ${through}, which it must not use now`,
        nextStep:
          elsewhere !== ''
            ? `connect that host through ${elsewhere} too`
            : ofNode
              ? '"ashlar portal resume", or "ashlar ana set"'
              : tellOperator,
      },
    ];
  }
  const conditions: Condition[] = [];
  if (!states.includes('optimized')) {
    conditions.push({
      kind: 'host-on-slower-path',
      severity: 'info',
      message: `host '${host}' has only paths that are non-optimized`,
      nextStep: elsewhere === '' ? null : `connect that host through ${elsewhere} too`,
    });
  }
  if (states.filter((state) => state !== 'unusable').length === 1 && elsewhere !== '') {
    conditions.push({
      kind: 'host-with-one-path',
      severity: 'info',
      message: `host '${host}' has one path: it loses the volume when that fails`,
      nextStep: `connect that host through ${elsewhere} too`,
    });
  }
  return conditions;
}

function ofReservation({ volume, reservation }: VolumeFacts): Condition[] {
  if (reservation === null || reservation.type === null) return [];
  const holders = reservation.registrants.filter(({ holds }) => holds);
  const names = holders.flatMap(({ hosts, hostid }) => (hosts.length === 0 ? [hostid] : hosts));
  const absent = holders.every(({ hosts }) => hosts.length === 0);
  const what = `'${names.join("', '")}' ${names.length === 1 ? 'holds' : 'hold'} a reservation of it`;
  return [
    {
      kind: absent ? 'reserved-by-absent-host' : 'reserved',
      severity: absent ? 'warning' : 'info',
      message:
        `${what} (${reservation.type}): commands of other hosts may be refused` +
        (absent ? ', and none of them is connected' : ''),
      nextStep: absent
        ? `when the host is gone for good: "ashlar reservation clear ${volume.name}{tenant}"`
        : null,
    },
  ];
}

function ofCommands({ volume, limited, failedCommands }: VolumeFacts): Condition[] {
  const conditions: Condition[] = [];
  if (limited) {
    const by = volume.policy === null ? '' : `of policy '${volume.policy}', or `;
    conditions.push({
      kind: 'limited',
      severity: 'info',
      message: `its commands wait now for a limit ${by}of its tenant`,
      nextStep: 'where they may do more: "ashlar policy set", "ashlar volume limit"',
    });
  }
  if (failedCommands > 0n) {
    conditions.push({
      kind: 'commands-failed',
      severity: 'info',
      message: `${failedCommands} commands of hosts failed since the node started`,
      nextStep: '"nvme error-log" on the host, and "ashlar top" for whether it goes on',
    });
  }
  return conditions;
}

function ofSchedules({ schedules }: VolumeFacts): Condition[] {
  return schedules.flatMap(({ name, state, lastFailure }): Condition[] => {
    const broken = state === 'broken' ? 'its expression or time zone is not understood' : null;
    const why = broken ?? lastFailure;
    if (why === null) return [];
    return [
      {
        kind: 'schedule-failing',
        severity: 'warning',
        message: `schedule '${name}' takes no snapshots of it: ${why}`,
        nextStep: `mend that, then "ashlar schedule run ${name}{tenant}"`,
      },
    ];
  });
}
