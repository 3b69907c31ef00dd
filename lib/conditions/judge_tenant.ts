/** Judges a tenant by what is known of it: all its things in one look. Pure, as judge.ts. */
import { formatSizeShort } from '../config/units.js';
import { judged, names, pathStates, serving, tellOperator, tlsRequired, usable } from './pieces.js';
import type { Condition, TenantConditionKind, TenantExplanation, TenantFacts } from './types.js';

type TenantCondition = Condition<TenantConditionKind>;

/** Below this share of the pool, what is left is worth a warning; of a quota, above this. */
const scarcePercent = 5n;
const nearlyPercent = 90n;
const soonMs = 7 * 24 * 3_600_000;

export function explainTenant(facts: TenantFacts): TenantExplanation {
  const conditions = [
    ...ofPool(facts),
    ...ofPortals(facts),
    ...ofQuota(facts),
    ...ofCommands(facts),
    ...ofImports(facts),
    ...ofGrants(facts),
    ...ofHosts(facts),
    ...ofSchedules(facts),
    ...ofTokens(facts),
  ];
  return { tenant: facts.tenant.name, ...judged(conditions, facts.tenant.name) };
}

/** Whoever is a tenant's is told that the pool is at fault, and no number of it. */
function ofPool({ pool, ofNode, volumes }: TenantFacts): TenantCondition[] {
  const nextStep = ofNode ? '"ashlar explain pool"' : tellOperator;
  if (pool.failed) {
    const message = 'the pool of its volumes acknowledges nothing any more';
    return [{ kind: 'pool-failed', severity: 'error', message, nextStep }];
  }
  const thin = volumes.filter(({ reserved }) => !reserved);
  if (thin.length === 0) return [];
  const available = pool.freeChunks - pool.reservedChunks;
  if (available <= 0n) {
    const message = `the pool is full: writes to ${names(nameOf(thin))} that need new space fail`;
    return [{ kind: 'pool-full', severity: 'error', message, nextStep }];
  }
  if (available * 100n >= pool.totalChunks * scarcePercent) return [];
  const message = `the pool is nearly full, and ${names(nameOf(thin))} have no space reserved`;
  return [{ kind: 'pool-nearly-full', severity: 'warning', message, nextStep }];
}

const nameOf = (all: readonly { name: string }[]): string[] => all.map(({ name }) => name);

function ofPortals({ portals, volumes, ofNode }: TenantFacts): TenantCondition[] {
  const lost = volumes.filter(({ anagrpid }) =>
    serving(portals).every((portal) => usable(portal, anagrpid) === 'unusable'),
  );
  if (lost.length === 0) return [];
  return [
    {
      kind: 'no-portal',
      severity: 'error',
      message: `no portal leads to ${names(nameOf(lost))}: each is drained, inaccessible or not listening`,
      nextStep: ofNode
        ? '"ashlar portal list", then "ashlar portal resume" or "ashlar ana set"'
        : tellOperator,
    },
  ];
}

function ofQuota({ tenant, ofNode }: TenantFacts): TenantCondition[] {
  const { quota, provisionedBytes, volumes, snapshots, name } = tenant;
  const counted: [what: string, has: bigint, may: bigint | null, text: (n: bigint) => string][] = [
    ['capacity', provisionedBytes, quota.capacityBytes, formatSizeShort],
    ['volumes', BigInt(volumes), big(quota.volumes), String],
    ['snapshots', BigInt(snapshots), big(quota.snapshots), String],
  ];
  return counted.flatMap(([what, has, may, text]): TenantCondition[] => {
    if (may === null || has * 100n < may * nearlyPercent) return [];
    const full = has >= may;
    const more = ofNode ? `"ashlar tenant set ${name} --${what} …"` : tellOperator;
    return [
      {
        kind: full ? 'quota-reached' : 'quota-nearly-reached',
        severity: full ? 'warning' : 'info',
        message:
          `it has ${text(has)} of the ${text(may)} that it may have (${what})` +
          (full ? ': what would take more is refused' : ''),
        nextStep: `delete what is not needed, or ${more}`,
      },
    ];
  });
}

const big = (count: number | null): bigint | null => (count === null ? null : BigInt(count));

function ofCommands({ limited, failedCommands, ofNode, tenant }: TenantFacts): TenantCondition[] {
  const told: TenantCondition[] = [];
  if (limited) {
    told.push({
      kind: 'limited',
      severity: 'info',
      message: 'commands of its hosts wait now for a limit, of a volume or of the tenant',
      nextStep: ofNode
        ? `where they may do more: "ashlar policy set", "ashlar tenant set ${tenant.name}"`
        : '"ashlar top" says which volumes; where they may do more: "ashlar volume limit"',
    });
  }
  if (failedCommands > 0n) {
    told.push({
      kind: 'commands-failed',
      severity: 'info',
      message: `${failedCommands} commands of its hosts failed since the node started`,
      nextStep:
        '"ashlar volume statistics{tenant}" says of which volumes; "nvme error-log" on hosts why',
    });
  }
  return told;
}

function ofImports({ unfinishedImports }: TenantFacts): TenantCondition[] {
  return unfinishedImports.map(({ volume, active }) => ({
    kind: 'being-imported',
    severity: active ? 'info' : 'error',
    message: active
      ? `volume '${volume}' is being imported: no host sees it until that is through`
      : `an import into '${volume}' stopped: no host sees it`,
    nextStep: active ? null : `"ashlar explain volume ${volume}{tenant}"`,
  }));
}

function ofGrants({ volumes }: TenantFacts): TenantCondition[] {
  const hidden = nameOf(volumes.filter(({ grants }) => grants.length === 0));
  if (hidden.length === 0) return [];
  return [
    {
      kind: 'not-granted',
      severity: 'warning',
      message: `${names(hidden)}: granted to no host, so none sees ${hidden.length === 1 ? 'it' : 'them'}`,
      nextStep: `"ashlar grant add ${hidden[0]} HOSTNQN{tenant}"`,
    },
  ];
}

function ofHosts({ hosts, hostsWithKeys, portals, volumes }: TenantFacts): TenantCondition[] {
  const told: TenantCondition[] = [];
  const io = hosts.map(({ nqn, connections }) => {
    return { nqn, connections: connections.filter(({ kind }) => kind === 'io') };
  });
  const groups = new Set(volumes.map(({ anagrpid }) => anagrpid));
  const cut = io.filter(({ connections }) =>
    [...groups].some((group) => {
      const { states } = pathStates(portals, connections, group);
      return states.length > 0 && states.every((state) => state === 'unusable');
    }),
  );
  if (cut.length > 0) {
    told.push({
      kind: 'host-without-usable-path',
      severity: 'error',
      message: `connected hosts have no path that they may use now: ${names(cut.map(({ nqn }) => nqn))}`,
      nextStep: `"ashlar explain host ${cut[0]?.nqn}{tenant}"`,
    });
  }
  const absent = io.filter(({ connections }) => connections.length === 0).map(({ nqn }) => nqn);
  const locked = tlsRequired(portals) ? absent.filter((nqn) => !hostsWithKeys.has(nqn)) : [];
  if (locked.length > 0) {
    told.push({
      kind: 'host-without-psk',
      severity: 'warning',
      message: `every portal requires TLS, and these hosts have no PSK: ${names(locked)}`,
      nextStep: `"ashlar host psk generate ${locked[0]}{tenant}", then give it to the host`,
    });
  }
  const others = absent.filter((nqn) => !locked.includes(nqn));
  if (others.length > 0) {
    told.push({
      kind: 'host-not-connected',
      severity: 'info',
      message: `hosts that are not connected: ${names(others)}`,
      nextStep: `"ashlar explain host ${others[0]}{tenant}"`,
    });
  }
  return told;
}

function ofSchedules({ schedules }: TenantFacts): TenantCondition[] {
  return schedules.flatMap(({ name, state, lastFailure }): TenantCondition[] => {
    const broken = state === 'broken' ? 'its expression or time zone is not understood' : null;
    const why = broken ?? lastFailure;
    if (why === null) return [];
    const message = `schedule '${name}' takes no snapshots: ${why}`;
    const nextStep = `mend that, then "ashlar schedule run ${name}{tenant}"`;
    return [{ kind: 'schedule-failing', severity: 'warning', message, nextStep }];
  });
}

function ofTokens({ tokens, tenant, nowMs }: TenantFacts): TenantCondition[] {
  return tokens.flatMap(({ name, expiresAt }): TenantCondition[] => {
    if (expiresAt === null) return [];
    const leftMs = Date.parse(expiresAt) - nowMs;
    if (leftMs > soonMs) return [];
    const over = leftMs <= 0;
    return [
      {
        kind: over ? 'token-expired' : 'token-expires',
        severity: over ? 'info' : 'warning',
        message: over
          ? `token '${name}' is good no more, since ${expiresAt}`
          : `token '${name}' is good until ${expiresAt}: who calls with it is refused then`,
        nextStep: over
          ? `"ashlar token delete ${name} --tenant ${tenant.name}", or rotate it`
          : `"ashlar token rotate ${name} --tenant ${tenant.name} --expires 720h", and pass on its secret`,
      },
    ];
  });
}
