/** Each condition of a volume from facts that have it, and from a whole node. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { explanationLines } from '../../lib/cli/explain.js';
import { volumeFacts } from '../../lib/conditions/collect.js';
import { explain } from '../../lib/conditions/judge.js';
import {
  type ConditionKind,
  conditionKinds,
  type VolumeFacts,
} from '../../lib/conditions/types.js';
import type { Node } from '../../lib/node/types.js';
import type { PortalInfo } from '../../lib/portals/types.js';
import type { ScheduleInfo } from '../../lib/schedules/types.js';
import type { RegistrantInfo } from '../../lib/volumes/reservation_types.js';
import { connect, gib, hostNqn, mib, open } from '../node/bench.js';
import { assertJudged } from './judged.js';

const nqn = hostNqn('h');
let node: Node;
/** Of a volume with data that a host has connected, on a fine node. */
let fine: VolumeFacts;
before(async () => {
  node = await open();
  await node.volumes.create({ name: 'web', sizeBytes: gib / 4n, hosts: [nqn] });
  await using host = await connect(node, 'h');
  const load = { blockBytes: 4096, ioBytes: 4096, spanBytes: 16n * mib, depth: 8 };
  await host.load({ ...load, nsid: 1, readPercent: 0, maxCommands: 100n });
  fine = await volumeFacts(node, 'web', true);
});
after(async () => {
  await node.close();
});

const volume = (over: Partial<VolumeFacts['volume']>) => ({ volume: { ...fine.volume, ...over } });
const pool = (over: Partial<VolumeFacts['pool']>) => ({ pool: { ...fine.pool, ...over } });
function device(state: 'missing' | 'failed'): Partial<VolumeFacts> {
  return pool({ devices: fine.pool.devices.map((each) => ({ ...each, state, path: '/dev/x' })) });
}
function portals(...over: Partial<PortalInfo>[]): Partial<VolumeFacts> {
  const [first] = fine.portals;
  assert.ok(first !== undefined);
  return {
    portals: over.map((each, index) => ({ ...first, portalId: index + 1, ...each })),
  };
}
const reserved = (hosts: string[]): Partial<VolumeFacts> => {
  const registrant: RegistrantInfo = { hostid: 'id', hosts, key: '01', holds: true };
  return {
    reservation: {
      ...{ tenant: 'default', volume: 'web', snapshot: null, nsid: 1, persistent: false },
      ...{ type: 'write-exclusive', generation: 1, registrants: [registrant] },
    },
  };
};
const schedule = (over: Partial<ScheduleInfo>): Partial<VolumeFacts> => ({
  schedules: [
    {
      ...{ name: 'nightly', tenant: 'default', uuid: '', cron: '', timezone: '', prefix: '' },
      ...{ volumes: ['web'], enabled: true, state: 'waiting', snapshots: 0, nextRunAt: null },
      ...{ lastRunAt: null, lastFailure: null, createdAt: '' },
      keep: { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 },
      ...over,
    },
  ],
});
const unfinished = (active: boolean): Partial<VolumeFacts> => ({
  unfinishedImport: {
    ...{ volume: 'web', tenant: 'default', volumeUuid: '', kind: 'full', streamUuid: '' },
    ...{ source: 'far@sun', snapshotUuid: '', baseUuid: null, appliedBytes: mib, active },
    ...{ sizeBytes: gib, startedAt: '' },
  },
});

type Expected = [ConditionKind, 'info' | 'warning' | 'error'];
const cases: [name: string, over: () => Partial<VolumeFacts>, expected: Expected[]][] = [
  ['a pool that failed', () => pool({ failed: true, failure: 'EIO' }), [['pool-failed', 'error']]],
  ['a missing device', () => device('missing'), [['device-missing', 'error']]],
  ['a failed device', () => device('failed'), [['device-failed', 'error']]],
  [
    'a missing device under a volume without data',
    () => ({
      ...device('missing'),
      ...volume({ usage: { ...fine.volume.usage, mappedBytes: 0n } }),
    }),
    [],
  ],
  ['a full pool', () => pool({ freeChunks: 5n, reservedChunks: 5n }), [['pool-full', 'error']]],
  ['a pool with little left', () => pool({ freeChunks: 5n }), [['pool-nearly-full', 'warning']]],
  [
    'a full pool under a reserved volume',
    () => ({ ...pool({ freeChunks: 0n }), ...volume({ reserved: true }) }),
    [],
  ],
  ['an import that goes on', () => unfinished(true), [['being-imported', 'warning']]],
  ['an import that stopped', () => unfinished(false), [['being-imported', 'error']]],
  ['no grant', () => volume({ grants: [], connectedHosts: [] }), [['not-granted', 'warning']]],
  ['an absent host', () => volume({ connectedHosts: [] }), [['host-not-connected', 'info']]],
  [
    'any host, and none there',
    () =>
      volume({
        connectedHosts: [],
        grants: fine.volume.grants.map((grant) => ({ ...grant, host: '*' })),
      }),
    [['host-not-connected', 'info']],
  ],
  [
    'TLS required of a host without a PSK',
    () => ({ ...portals({ tls: 'required' }), ...volume({ connectedHosts: [] }) }),
    [['host-without-psk', 'warning']],
  ],
  [
    'TLS required of a host with one',
    () => ({
      ...{ ...portals({ tls: 'required' }), ...volume({ connectedHosts: [] }) },
      hostsWithKeys: new Set([nqn]),
    }),
    [['host-not-connected', 'info']],
  ],
  ['a second portal unused', () => portals({}, {}), [['host-with-one-path', 'info']]],
  ['a second portal that serves discovery alone', () => portals({}, { discoveryOnly: true }), []],
  [
    'the only portal drained',
    () => portals({ drained: true }),
    [
      ['no-portal', 'error'],
      ['host-without-usable-path', 'error'],
    ],
  ],
  [
    'the used portal inaccessible, another one not',
    () => portals({ ana: [{ anagrpid: 1, state: 'inaccessible' }] }, {}),
    [['host-without-usable-path', 'error']],
  ],
  [
    'the state of another group',
    () => portals({ ana: [{ anagrpid: 2, state: 'inaccessible' }] }),
    [],
  ],
  [
    'the used portal non-optimized',
    () => portals({ ana: [{ anagrpid: 1, state: 'non-optimized' }] }),
    [['host-on-slower-path', 'info']],
  ],
  [
    'a portal that does not listen',
    () => portals({}, { problem: 'the address is not there' }),
    [['portal-not-listening', 'warning']],
  ],
  ['a reservation', () => reserved([nqn]), [['reserved', 'info']]],
  [
    'a reservation of a host that is gone',
    () => reserved([]),
    [['reserved-by-absent-host', 'warning']],
  ],
  ['a limit', () => ({ limited: true }), [['limited', 'info']]],
  ['commands that failed', () => ({ failedCommands: 3n }), [['commands-failed', 'info']]],
  [
    'a schedule that fails',
    () => schedule({ lastFailure: 'no space' }),
    [['schedule-failing', 'warning']],
  ],
  ['a schedule that is fine', () => schedule({}), []],
  ['a broken schedule', () => schedule({ state: 'broken' }), [['schedule-failing', 'warning']]],
];

describe('explain', () => {
  test('a fine volume of a real node has no condition, and says so in one line', () => {
    const explanation = explain(fine);
    assert.deepEqual(explanation.conditions, []);
    assert.deepEqual(explanationLines('Volume', 'web', explanation), ["Volume 'web' is healthy."]);
  });

  for (const [name, over, expected] of cases) {
    test(`${name}: ${expected.map(([kind]) => kind).join(', ') || 'nothing'}`, () => {
      assertJudged(explain({ ...fine, ...over() }), expected);
    });
  }

  test('every kind has a case here', () => {
    const seen = new Set(cases.flatMap(([, , expected]) => expected.map(([kind]) => kind)));
    assert.deepEqual([...seen].sort(), [...conditionKinds].sort());
  });

  test('of another tenant: commands that name its things name it too', () => {
    const commands = cases.flatMap(([, over]) => {
      const facts = { ...fine, ...over() };
      const { conditions } = explain({ ...facts, volume: { ...facts.volume, tenant: 'blue' } });
      return conditions.flatMap(({ nextStep }) => nextStep?.match(/"ashlar [^"]*"/g) ?? []);
    });
    const named = commands.filter((each) =>
      /ashlar (grant|volume \w+ web|host|reservation|schedule)/.test(each),
    );
    assert.ok(named.length >= 5);
    for (const command of named) assert.match(command, / --tenant blue"$/);
    assert.doesNotMatch(commands.join(), /[{}]/);
  });

  test('the worst comes first', () => {
    const over = { ...reserved([nqn]), ...pool({ freeChunks: 5n }), ...unfinished(false) };
    const { conditions } = explain({ ...fine, ...over });
    const order = conditions.map(({ severity }) => severity);
    assert.deepEqual(order, ['error', 'warning', 'info']);
  });

  test('a tenant is told nothing of devices, paths and sizes of the pool', () => {
    for (const over of [
      device('missing'),
      device('failed'),
      pool({ failed: true, failure: 'EIO of /dev/x' }),
      pool({ freeChunks: 5n, reclaimingChunks: 9n }),
      pool({ freeChunks: 0n, reclaimingChunks: 9n }),
    ]) {
      const { conditions } = explain({ ...fine, ...over, ofNode: false });
      assert.equal(conditions.length, 1);
      assert.doesNotMatch(JSON.stringify(conditions), /\/dev\/x|device 0|EIO|320KiB|576KiB/);
    }
  });

  test('of a whole node: a drained portal, an absent host, a limit that is being hit', async () => {
    await using busy = await open();
    await busy.policies.create('slow', { iops: 50n });
    const request = { name: 'db', sizeBytes: gib / 4n, hosts: [nqn, hostNqn('other')] };
    await busy.volumes.create({ ...request, policy: 'slow' });
    await using host = await connect(busy, 'h');
    const load = { blockBytes: 4096, ioBytes: 4096, spanBytes: mib, depth: 32, nsid: 1 };
    const running = host.load({ ...load, readPercent: 100, maxCommands: 90n });
    const kinds = async () =>
      explain(await volumeFacts(busy, 'db', true)).conditions.map(({ kind }) => kind);
    while (!(await kinds()).includes('limited')) await new Promise(setImmediate);
    await running;
    await busy.portals.drain('1', { force: true });
    assert.deepEqual(await kinds(), [
      'no-portal',
      'host-without-usable-path',
      'host-not-connected',
    ]);
    await assert.rejects(volumeFacts(busy, 'none', true), { code: 'not-found' });
  });
});
