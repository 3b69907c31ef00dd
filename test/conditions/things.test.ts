/** Each condition of a pool, a host and a tenant from facts that have it, and of a whole node. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TokenInfo } from '../../lib/access/types.js';
import { explanationLines } from '../../lib/cli/explain.js';
import { hostFacts, poolFacts, tenantFacts } from '../../lib/conditions/collect.js';
import { explainHost } from '../../lib/conditions/judge_host.js';
import { explainPool } from '../../lib/conditions/judge_pool.js';
import { explainTenant } from '../../lib/conditions/judge_tenant.js';
import {
  type HostFacts,
  hostConditionKinds,
  type Judged,
  type PoolFacts,
  poolConditionKinds,
  type TenantFacts,
  tenantConditionKinds,
} from '../../lib/conditions/types.js';
import type { PoolStatus } from '../../lib/native.js';
import type { Node } from '../../lib/node/types.js';
import type { PortalInfo } from '../../lib/portals/types.js';
import type { ScheduleInfo } from '../../lib/schedules/types.js';
import type { ImportInfo } from '../../lib/stream/types.js';
import { connect, gib, hostNqn, mib, open } from '../node/bench.js';
import { assertJudged } from './judged.js';

const nqn = hostNqn('h');
let node: Node;
let pool: PoolFacts;
let host: HostFacts;
let tenant: TenantFacts;
before(async () => {
  node = await open();
  const quota = { volumes: 10, capacityBytes: gib };
  await node.tenants.change('default', { quota });
  await node.volumes.create({ name: 'web', sizeBytes: gib / 4n, hosts: [nqn] });
  await using _ = await connect(node, 'h');
  pool = await poolFacts(node, 'memory');
  host = await hostFacts(node, nqn, true);
  tenant = await tenantFacts(node, 'default', true);
});
after(async () => {
  await node.close();
});

const status = (over: Partial<PoolStatus>) => ({ pool: { ...pool.pool, ...over } });
const device = (over: Partial<PoolStatus['devices'][number]>) =>
  status({ devices: pool.pool.devices.map((each) => ({ ...each, path: '/dev/x', ...over })) });
function portals(...over: Partial<PortalInfo>[]): { portals: PortalInfo[] } {
  const [first] = host.portals;
  assert.ok(first !== undefined);
  return { portals: over.map((each, at) => ({ ...first, portalId: at + 1, ...each })) };
}
const imported = (active: boolean): { unfinishedImports: ImportInfo[] } => ({
  unfinishedImports: [
    {
      ...{ volume: 'web', tenant: 'default', kind: 'full', streamUuid: '', baseUuid: null },
      ...{ source: 'far@sun', snapshotUuid: '', appliedBytes: mib, active, sizeBytes: gib },
      volumeUuid: host.volumes[0]?.uuid ?? '',
      startedAt: '',
    },
  ],
});
const failing: ScheduleInfo = {
  ...{ name: 'nightly', tenant: 'default', uuid: '', cron: '', timezone: '', prefix: '' },
  ...{ volumes: ['web'], enabled: true, state: 'waiting', snapshots: 0, nextRunAt: null },
  ...{ lastRunAt: null, lastFailure: 'no space', createdAt: '' },
  keep: { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 },
};
const token = (leftMs: number): TokenInfo => ({
  ...{ name: 'csi', kind: 'bearer', role: 'viewer', tenant: 'default', subject: null },
  ...{ createdAt: '', oldSecretUntil: null },
  expiresAt: new Date(tenant.nowMs + leftMs).toISOString(),
});
const quota = (over: Partial<TenantFacts['tenant']['quota']>) => ({
  tenant: { ...tenant.tenant, quota: { ...tenant.tenant.quota, ...over } },
});
const reservation = (hosts: string[]): Partial<HostFacts> => ({
  reservations: [
    {
      ...{ tenant: 'default', volume: 'web', snapshot: null, nsid: 1, persistent: false },
      ...{ type: 'write-exclusive', generation: 1 },
      registrants: [{ hostid: 'id', hosts, key: '01', holds: true }],
    },
  ],
});
const gone = () => ({ host: { ...host.host, connections: [] } });
const hosts = (over: Partial<HostFacts['host']>) => ({
  hosts: tenant.hosts.map((each) => ({ ...each, ...over })),
});
const dead = { drained: true } as const;

type Expected = [kind: string, severity: 'info' | 'warning' | 'error'];
type Case<F> = [name: string, over: () => Partial<F>, expected: Expected[]];

const ofPool: Case<PoolFacts>[] = [
  ['a failed one', () => status({ failed: true, failure: 'EIO' }), [['pool-failed', 'error']]],
  ['a missing device', () => device({ state: 'missing' }), [['device-missing', 'error']]],
  ['a failed device', () => device({ state: 'failed' }), [['device-failed', 'error']]],
  ['a device with errors', () => device({ readErrors: 2n }), [['device-errors', 'warning']]],
  [
    'a check that found something',
    () => ({ lastCheck: { problems: 3, endedAt: '2026-11-29' } }),
    [['check-found-problems', 'error']],
  ],
  ['a check that found nothing', () => ({ lastCheck: { problems: 0, endedAt: '' } }), []],
  ['a full one', () => status({ freeChunks: 5n, reservedChunks: 5n }), [['pool-full', 'error']]],
  ['little left', () => status({ freeChunks: 5n }), [['pool-nearly-full', 'warning']]],
  [
    'more promised than there is',
    () => ({ provisionedBytes: 9n * gib }),
    [['overcommitted', 'info']],
  ],
  ['deleted layers', () => status({ reclaimingChunks: 5n }), [['reclaiming', 'info']]],
];

const ofHost: Case<HostFacts>[] = [
  ['a failed pool', () => status({ failed: true, failure: 'EIO' }), [['pool-failed', 'error']]],
  [
    'no grant',
    () => ({ volumes: [], host: { ...host.host, volumes: [] } }),
    [['nothing-granted', 'warning']],
  ],
  [
    'the only portal drained',
    () => portals(dead),
    [
      ['no-portal', 'error'],
      ['host-without-usable-path', 'error'],
    ],
  ],
  [
    'the used portal drained, another one not',
    () => portals(dead, {}),
    [['host-without-usable-path', 'error']],
  ],
  ['a second portal unused', () => portals({}, {}), [['host-with-one-path', 'info']]],
  [
    'a path that is non-optimized',
    () => portals({ ana: [{ anagrpid: 1, state: 'non-optimized' }] }),
    [['host-on-slower-path', 'info']],
  ],
  ['absent', gone, [['host-not-connected', 'info']]],
  [
    'absent, without a PSK, and TLS required',
    () => ({ ...gone(), ...portals({ tls: 'required' }) }),
    [['host-without-psk', 'warning']],
  ],
  [
    'absent, with a key, and TLS required',
    () => ({ ...gone(), ...portals({ tls: 'required' }), hasKey: true }),
    [['host-not-connected', 'info']],
  ],
  ['lost once, and back', () => ({ losses: ['silent'] }), [['association-lost', 'info']]],
  [
    'lost, and not back',
    () => ({ ...gone(), losses: ['silent'] }),
    [
      ['association-lost', 'warning'],
      ['host-not-connected', 'info'],
    ],
  ],
  [
    'lost again and again',
    () => ({ losses: ['silent', 'silent', 'silent'] }),
    [['association-lost', 'warning']],
  ],
  ['refused lately', () => ({ refusals: ['not granted'] }), [['connect-refused', 'warning']]],
  ['a volume that is being imported', () => imported(true), [['volume-being-imported', 'warning']]],
  ['an import that stopped', () => imported(false), [['volume-being-imported', 'error']]],
  ['a reservation of another', () => reservation([]), [['volume-reserved', 'info']]],
  ['a reservation of its own', () => reservation([nqn]), []],
];

const ofTenant: Case<TenantFacts>[] = [
  ['a failed pool', () => status({ failed: true, failure: 'EIO' }), [['pool-failed', 'error']]],
  ['a full pool', () => status({ freeChunks: 5n, reservedChunks: 5n }), [['pool-full', 'error']]],
  ['little left', () => status({ freeChunks: 5n }), [['pool-nearly-full', 'warning']]],
  [
    'the only portal drained',
    () => portals(dead),
    [
      ['no-portal', 'error'],
      ['host-without-usable-path', 'error'],
    ],
  ],
  ['a quota that is used up', () => quota({ volumes: 1 }), [['quota-reached', 'warning']]],
  [
    'a quota that nearly is',
    () => quota({ capacityBytes: gib / 4n + gib / 40n }),
    [['quota-nearly-reached', 'info']],
  ],
  ['a limit', () => ({ limited: true }), [['limited', 'info']]],
  ['commands that failed', () => ({ failedCommands: 3n }), [['commands-failed', 'info']]],
  ['an import', () => imported(true), [['being-imported', 'info']]],
  ['an import that stopped', () => imported(false), [['being-imported', 'error']]],
  [
    'a volume without a grant',
    () => ({ volumes: tenant.volumes.map((each) => ({ ...each, grants: [] })) }),
    [['not-granted', 'warning']],
  ],
  ['an absent host', () => hosts({ connections: [] }), [['host-not-connected', 'info']]],
  [
    'an absent host without a PSK, and TLS required',
    () => ({ ...hosts({ connections: [] }), ...portals({ tls: 'required' }) }),
    [['host-without-psk', 'warning']],
  ],
  ['a schedule that fails', () => ({ schedules: [failing] }), [['schedule-failing', 'warning']]],
  ['a token good no more', () => ({ tokens: [token(-1)] }), [['token-expired', 'info']]],
  ['a token about to end', () => ({ tokens: [token(3_600_000)] }), [['token-expires', 'warning']]],
  ['a token with weeks left', () => ({ tokens: [token(30 * 86_400_000)] }), []],
];

/** Each case, and that every kind has one. */
function suite<F>(
  what: string,
  kinds: readonly string[],
  cases: Case<F>[],
  judge: (over: Partial<F>) => Judged<string>,
  /** The same of a tenant 'blue'. */
  elsewhere: (over: Partial<F>) => Partial<F> = (over) => over,
): void {
  describe(`explain ${what}`, () => {
    test('a fine one has no condition, and says so in one line', () => {
      const explanation = judge({});
      assert.deepEqual(explanation.conditions, []);
      assert.deepEqual(explanationLines('It', 'x', explanation), ["It 'x' is healthy."]);
    });
    for (const [name, over, expected] of cases) {
      test(`${name}: ${expected.map(([kind]) => kind).join(', ') || 'nothing'}`, () => {
        assertJudged(judge(over()), expected);
      });
    }
    if (what !== 'pool') {
      test('of another tenant: commands that name its things name it too', () => {
        const steps = cases.flatMap(([, over]) =>
          judge(elsewhere(over())).conditions.map(({ nextStep }) => nextStep ?? ''),
        );
        const commands = steps.flatMap((step) => step.match(/"ashlar [^"]*"/g) ?? []);
        const named = commands.filter((each) =>
          /ashlar (grant|host|reservation|schedule|explain (volume|host))/.test(each),
        );
        assert.ok(named.length >= 3);
        for (const command of named) assert.match(command, / --tenant blue"$/);
        assert.doesNotMatch(commands.join(), /[{}]/);
      });
    }
    test('every kind has a case here', () => {
      const seen = new Set(cases.flatMap(([, , expected]) => expected.map(([kind]) => kind)));
      assert.deepEqual([...seen].sort(), [...kinds].sort());
    });
  });
}

suite('pool', poolConditionKinds, ofPool, (over) => explainPool({ ...pool, ...over }));
suite(
  'host',
  hostConditionKinds,
  ofHost,
  (over) => explainHost({ ...host, ...over }),
  (over) => ({ ...over, host: { ...host.host, ...over.host, tenant: 'blue' } }),
);
suite(
  'tenant',
  tenantConditionKinds,
  ofTenant,
  (over) => explainTenant({ ...tenant, ...over }),
  (over) => ({ ...over, tenant: { ...tenant.tenant, ...over.tenant, name: 'blue' } }),
);

test('explain: a tenant is told nothing of devices, sizes and reasons of the pool', () => {
  for (const over of [
    status({ failed: true, failure: 'EIO of /dev/x' }),
    status({ freeChunks: 5n, reclaimingChunks: 9n }),
    status({ freeChunks: 0n, reclaimingChunks: 9n }),
  ]) {
    const asTenant = { ...over, ofNode: false };
    const told = [
      ...explainHost({ ...host, ...asTenant }).conditions,
      ...explainTenant({ ...tenant, ...asTenant }).conditions,
    ];
    assert.ok(told.length > 0);
    assert.doesNotMatch(JSON.stringify(told), /\/dev\/x|EIO|320KiB|576KiB|explain pool/);
  }
});

test('explain: of a whole node: a host that was lost, one that is refused, a checked pool', async () => {
  await using busy = await open();
  await busy.tenants.create('red');
  await busy.volumes.create({ name: 'db', sizeBytes: gib / 4n, hosts: [nqn] });
  const kinds = async (name: string, ofNode = true) =>
    explainHost(await hostFacts(busy, name, ofNode)).conditions.map(({ kind }) => kind);
  {
    await using _ = await connect(busy, 'h');
    assert.deepEqual(await kinds(nqn), []);
  }
  const other = hostNqn('other');
  await busy.hosts.add(other);
  const { subnqn } = busy.tenants.show('red');
  await assert.rejects(connect(busy, 'other', { subnqn }));
  while (!(await kinds(other)).includes('connect-refused')) await new Promise(setImmediate);
  assert.deepEqual(await kinds(other), [
    'nothing-granted',
    'connect-refused',
    'host-not-connected',
  ]);
  assert.ok(!(await kinds(other, false)).includes('connect-refused'), 'that is the node’s to know');
  await assert.rejects(kinds(hostNqn('nobody')), { code: 'not-found' });
  await assert.rejects(tenantFacts(busy, 'nobody', true), { code: 'not-found' });
  const report = await busy.pool.check();
  const about = { kind: 'pool-check', title: 'check', tenant: null, owner: 'test' } as const;
  const done = { ...report, problems: [{ where: 'layer', what: 'bad' }] };
  busy.jobs.open({ ...about, cancellable: false }).succeed(done);
  const found = explainPool(await poolFacts(busy, 'memory')).conditions;
  assert.deepEqual(
    found.map(({ kind }) => kind),
    ['check-found-problems'],
  );
  assert.deepEqual(explainTenant(await tenantFacts(busy, 'red', false)).conditions, []);
});
