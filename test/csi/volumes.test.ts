/** CreateVolume and what follows: sizes, parameters, places, growth, capacity, condition. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Status } from '../../lib/csi/errors.js';
import { volumeUuid, zoneKey } from '../../lib/csi/names.js';
import {
  ControllerFixture,
  capability,
  MiB,
  nodeA,
  refused,
  refusedWithoutTrace,
  writer,
} from './controller_fixture.js';

const gone = '99999999-9999-4999-8999-999999999999';

const request = (name: string, more: object = {}) => ({
  name,
  capacityRange: { requiredBytes: 16n * MiB },
  volumeCapabilities: [writer],
  ...more,
});

async function made(fixture: ControllerFixture, name: string, more: object = {}) {
  const { volume } = await fixture.ask('createVolume', request(name, more));
  assert.ok(volume);
  return volume;
}

const at = (...zones: string[]) => zones.map((zone) => ({ segments: { [zoneKey]: zone } }));

test('createVolume: its answer, twice the same, and the volume has a UUID that follows from it', async () => {
  await using fixture = await ControllerFixture.open();
  const volume = await made(fixture, 'pvc-1');
  assert.deepEqual(volume, {
    volumeId: volumeUuid('pvc-1'),
    capacityBytes: 16n * MiB,
    volumeContext: { tenant: 'default', endpoint: 'a' },
    contentSource: null,
    accessibleTopology: at('a'),
  });
  assert.deepEqual(await made(fixture, 'pvc-1'), volume);
  const [item] = await fixture.client.list('listVolumes');
  assert.deepEqual([item?.name, item?.uuid], ['pvc-1', volume.volumeId]);
});

test('createVolume: sizes: whole blocks, within the range, 1 GiB when nothing is said', async () => {
  await using fixture = await ControllerFixture.open();
  const size = async (name: string, capacityRange: object | null, parameters = {}) =>
    (await made(fixture, name, { capacityRange, parameters })).capacityBytes;
  assert.equal(await size('a', { requiredBytes: MiB + 1n }), MiB + 4096n);
  assert.equal(await size('b', { requiredBytes: MiB + 1n }, { blockSize: '512' }), MiB + 512n);
  assert.equal(await size('c', { limitBytes: 5_000_000n }), 4_997_120n);
  assert.equal(await size('d', { requiredBytes: 1n }), 4096n);
  const cases: [object | null, Status, string][] = [
    [{ requiredBytes: MiB + 1n, limitBytes: MiB + 2n }, 'OUT_OF_RANGE', 'whole blocks'],
    [{ requiredBytes: 2n * MiB, limitBytes: MiB }, 'OUT_OF_RANGE', 'at most 1MiB'],
    [{ requiredBytes: -1n }, 'OUT_OF_RANGE', 'negative'],
    [{ limitBytes: -1n }, 'OUT_OF_RANGE', 'negative'],
    [{ limitBytes: 4095n }, 'OUT_OF_RANGE', 'block'],
    [{ requiredBytes: (64n << 40n) + 1n }, 'OUT_OF_RANGE', '64TiB'],
    // The pool of this test has 256 MiB.
    [null, 'RESOURCE_EXHAUSTED', '1GiB'],
    [{ requiredBytes: 1n << 40n }, 'RESOURCE_EXHAUSTED', "endpoint 'a' has room for"],
  ];
  for (const [capacityRange, status, word] of cases) {
    const call = () => fixture.ask('createVolume', request('e', { capacityRange }));
    await refusedWithoutTrace(fixture, call, status, word);
  }
});

test('createVolume: a name that is taken for something else: ALREADY_EXISTS saying what differs', async () => {
  await using fixture = await ControllerFixture.open(2);
  const { client } = fixture;
  await client.call('createTenant', { body: { name: 'red' } });
  await client.call('createPolicy', { body: { name: 'gold', iops: 1000 } });
  const requisite = { accessibilityRequirements: { requisite: at('a') } };
  await made(fixture, 'x', requisite);
  const cases: [object, string][] = [
    [{ capacityRange: { requiredBytes: 17n * MiB } }, 'its size is 16MiB, not at least 17MiB'],
    [{ capacityRange: { limitBytes: 15n * MiB } }, 'not at most 15MiB'],
    [{ parameters: { tenant: 'red' } }, 'its tenant is default, not red'],
    [{ parameters: { blockSize: '512' } }, 'its block size is 4096, not 512'],
    [{ parameters: { reserve: 'true' } }, 'reserve is false, not true'],
    [{ parameters: { policy: 'gold' } }, 'its policy is none, not gold'],
    [{ volumeContentSource: { volume: { volumeId: gone } } }, `its source is none, not ${gone}`],
    [{ accessibilityRequirements: { requisite: at('b') } }, "endpoint 'a', which is not in"],
  ];
  for (const [more, word] of cases) {
    const call = () => fixture.ask('createVolume', request('x', { ...requisite, ...more }));
    await refusedWithoutTrace(fixture, call, 'ALREADY_EXISTS', word);
  }
  // What nobody asks about does not differ.
  await made(fixture, 'x', { capacityRange: { limitBytes: 16n * MiB } });
  await made(fixture, 'x', { capacityRange: null });
  // Made by hand, and in the way by its name alone.
  await client.call('createVolume', { body: { name: 'by-hand', sizeBytes: 1 << 20 } });
  const byHand = () => fixture.ask('createVolume', request('by-hand', requisite));
  await refusedWithoutTrace(fixture, byHand, 'ALREADY_EXISTS', 'by-hand');
});

test('createVolume: bad input: the code, a text that names it, and nothing left', async () => {
  await using fixture = await ControllerFixture.open();
  const cases: [object, Status, string][] = [
    [{ name: '' }, 'INVALID_ARGUMENT', 'name'],
    [{ name: 'a\u0000b' }, 'INVALID_ARGUMENT', '0000'],
    [{ name: 'é'.repeat(65) }, 'INVALID_ARGUMENT', '130 bytes'],
    [{ volumeCapabilities: [] }, 'INVALID_ARGUMENT', 'volume_capabilities'],
    [{ volumeCapabilities: [{}] }, 'INVALID_ARGUMENT', 'access_type'],
    [{ volumeCapabilities: [{ block: {} }] }, 'INVALID_ARGUMENT', 'access_mode'],
    [{ volumeCapabilities: [capability('UNKNOWN')] }, 'INVALID_ARGUMENT', 'access_mode'],
    [
      { volumeCapabilities: [capability('SINGLE_NODE_WRITER', 'vfat')] },
      'INVALID_ARGUMENT',
      'vfat',
    ],
    [
      { volumeCapabilities: [writer, capability('MULTI_NODE_SINGLE_WRITER', 'xfs')] },
      'INVALID_ARGUMENT',
      'damaged',
    ],
    [{ parameters: { polcy: 'a' } }, 'INVALID_ARGUMENT', "did you mean 'policy'"],
    [{ parameters: { fsType: 'ext4' } }, 'INVALID_ARGUMENT', 'known are'],
    [{ parameters: { blockSize: '1024' } }, 'INVALID_ARGUMENT', "'512' or '4096'"],
    [{ parameters: { reserve: 'yes' } }, 'INVALID_ARGUMENT', 'reserve'],
    [{ parameters: { replicas: '2' } }, 'INVALID_ARGUMENT', 'does not replicate'],
    [{ parameters: { tls: 'maybe' } }, 'INVALID_ARGUMENT', 'tls'],
    [{ parameters: { tenant: '' } }, 'INVALID_ARGUMENT', 'tenant'],
    [{ parameters: { tenant: 'none' } }, 'INVALID_ARGUMENT', 'ashlar tenant create none'],
    [{ parameters: { pool: 'none' } }, 'INVALID_ARGUMENT', "no pool 'none'"],
    [{ parameters: { policy: 'none' } }, 'INVALID_ARGUMENT', 'ashlar policy create none'],
    [{ parameters: { schedule: 'none' } }, 'INVALID_ARGUMENT', 'ashlar schedule create none'],
    [{ mutableParameters: { tenant: 'a' } }, 'INVALID_ARGUMENT', "'tenant'"],
    [{ parameters: { 'csi.storage.k8s.io/x': 'y'.repeat(5000) } }, 'INVALID_ARGUMENT', '4096'],
  ];
  for (const [more, status, word] of cases) {
    const call = () => fixture.ask('createVolume', { ...request('x'), ...more });
    await refusedWithoutTrace(fixture, call, status, word);
  }
  const names = { 'csi.storage.k8s.io/pvc/name': 'p'.repeat(200), replicas: '1', pool: 'memory' };
  await made(fixture, 'x', { parameters: names });
});

test('createVolume: names of 128 bytes, of unicode and of the form of a UUID are volumes each', async () => {
  await using fixture = await ControllerFixture.open();
  const names = ['x'.repeat(128), `${'x'.repeat(127)}y`, '🦀'.repeat(32), 'a b', gone, '.', '@'];
  const ids = new Set<string>();
  for (const name of names) ids.add((await made(fixture, name)).volumeId);
  assert.equal(ids.size, names.length);
  for (const name of names) assert.ok(ids.has((await made(fixture, name)).volumeId), name);
  assert.equal((await fixture.client.list('listVolumes')).length, names.length);
  for (const volumeId of ids) await fixture.ask('deleteVolume', { volumeId });
  assert.deepEqual((await fixture.contents()).volumes, []);
});

test('createVolume: places: preferred first, then where there is most room, else what is missing', async () => {
  await using fixture = await ControllerFixture.open(3);
  const create = async (name: string, requirement: object | null, more: object = {}) => {
    const accessibilityRequirements = requirement;
    const { volumeContext, accessibleTopology } = await made(fixture, name, {
      accessibilityRequirements,
      ...more,
    });
    assert.deepEqual(accessibleTopology, at(volumeContext['endpoint'] ?? ''));
    return volumeContext['endpoint'];
  };
  assert.equal(await create('v1', { requisite: at('b', 'c'), preferred: at('c', 'b') }), 'c');
  assert.equal(await create('v2', { requisite: at('b'), preferred: at('b') }), 'b');
  assert.equal(await create('v3', { preferred: at('c') }), 'c');
  // A promise of room is room that others do not have.
  const reserve = { capacityRange: { requiredBytes: 100n * MiB }, parameters: { reserve: 'true' } };
  await create('v4', { requisite: at('a') }, reserve);
  await create('v5', { requisite: at('b') }, reserve);
  assert.equal(await create('v6', null), 'c');
  // Where it is preferred there is not enough.
  const large = { capacityRange: { requiredBytes: 180n * MiB } };
  assert.equal(await create('v7', { requisite: at('a', 'c'), preferred: at('a') }, large), 'c');
  const call = (requirement: object) => () =>
    fixture.ask('createVolume', {
      ...request('v8', large),
      accessibilityRequirements: requirement,
    });
  await refusedWithoutTrace(
    fixture,
    call({ requisite: at('a', 'b') }),
    'RESOURCE_EXHAUSTED',
    /endpoint 'a' has room for .*endpoint 'b' has room for .*endpoint 'c' is at/,
  );
  await refusedWithoutTrace(
    fixture,
    call({ requisite: at('mars') }),
    'RESOURCE_EXHAUSTED',
    "endpoint 'a' is at",
  );
});

test('createVolume: what a tenant may have counts as room', async () => {
  await using fixture = await ControllerFixture.open();
  const quota = { capacityBytes: Number(20n * MiB), volumes: 2 };
  await fixture.client.call('createTenant', { body: { name: 'red', quota } });
  const parameters = { tenant: 'red' };
  await made(fixture, 'a', { parameters });
  await refusedWithoutTrace(
    fixture,
    () => fixture.ask('createVolume', request('b', { parameters })),
    'RESOURCE_EXHAUSTED',
    'room for 4 MiB',
  );
  const small = { capacityRange: { requiredBytes: MiB }, parameters };
  await made(fixture, 'b', small);
  await refusedWithoutTrace(
    fixture,
    () => fixture.ask('createVolume', request('c', small)),
    'RESOURCE_EXHAUSTED',
    '2 volumes',
  );
  const { availableCapacity } = await fixture.ask('getCapacity', { parameters });
  assert.equal(availableCapacity, 0n);
});

test('createVolume: by two controllers at once: one volume, and the same answer or ABORTED', async () => {
  await using fixture = await ControllerFixture.open(2);
  await using other = fixture.beside();
  for (let round = 0; round < 10; round += 1) {
    const name = `vol-${round}`;
    // One would have it at 'a' and the other at 'b', so that both make one now and then.
    const wanted = (each: ControllerFixture) => ({
      accessibilityRequirements: { preferred: at(each === fixture ? 'a' : 'b') },
    });
    const outcomes = await Promise.allSettled(
      [fixture, other, fixture, other].map((each) => made(each, name, wanted(each))),
    );
    const answers = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') assert.equal(outcome.reason.status, 'ABORTED');
    }
    const volume = await made(fixture, name);
    for (const answer of answers) assert.deepEqual(answer, volume);
    const { volumes } = await fixture.contents();
    assert.equal(volumes.filter((each) => each.includes(`/${name} `)).length, 1);
  }
});

test('deleteVolume: what is not there is deleted; what a node has, or had no answer about, is not', async () => {
  await using fixture = await ControllerFixture.open();
  const { volumeId } = await made(fixture, 'x');
  await refused(fixture.ask('deleteVolume', { volumeId: '' }), 'INVALID_ARGUMENT', 'volume_id');
  await fixture.ask('deleteVolume', { volumeId: 'no uuid' });
  await fixture.ask('deleteVolume', { volumeId: gone });
  const publication = { volumeId, nodeId: nodeA, volumeCapability: writer };
  await fixture.ask('controllerPublishVolume', publication);
  await refusedWithoutTrace(
    fixture,
    () => fixture.ask('deleteVolume', { volumeId }),
    'FAILED_PRECONDITION',
    nodeA,
  );
  await fixture.ask('controllerUnpublishVolume', { volumeId });
  await fixture.ask('deleteVolume', { volumeId });
  await fixture.ask('deleteVolume', { volumeId });
  assert.deepEqual((await fixture.contents()).volumes, []);
});

test('controllerExpandVolume: it grows, twice the same, never shrinks, and says who goes on', async () => {
  await using fixture = await ControllerFixture.open();
  const { volumeId } = await made(fixture, 'x');
  const expand = (capacityRange: object | null, more: object = {}) =>
    fixture.ask('controllerExpandVolume', { volumeId, capacityRange, ...more });
  const mount = { capacityBytes: 32n * MiB, nodeExpansionRequired: true };
  for (let twice = 0; twice < 2; twice += 1) {
    assert.deepEqual(await expand({ requiredBytes: 32n * MiB - 1n }), mount);
  }
  assert.deepEqual(await expand({ requiredBytes: MiB }, { volumeCapability: writer }), mount);
  const block = { volumeCapability: capability('SINGLE_NODE_WRITER') };
  assert.deepEqual(await expand({ requiredBytes: 33n * MiB, limitBytes: 34n * MiB }, block), {
    capacityBytes: 33n * MiB,
    nodeExpansionRequired: false,
  });
  const cases: [object | null, object, Status, string][] = [
    [null, {}, 'INVALID_ARGUMENT', 'capacity_range'],
    [{ limitBytes: 8n * MiB }, {}, 'OUT_OF_RANGE', 'never made smaller'],
    [{ requiredBytes: MiB, limitBytes: 8n * MiB }, {}, 'OUT_OF_RANGE', 'never made smaller'],
    [{ requiredBytes: 2n * MiB, limitBytes: MiB }, {}, 'OUT_OF_RANGE', 'at most'],
    [{ requiredBytes: -1n }, {}, 'OUT_OF_RANGE', 'negative'],
    [{ requiredBytes: 65n << 40n }, {}, 'OUT_OF_RANGE', '64TiB'],
    [{ requiredBytes: 40n << 30n }, {}, 'RESOURCE_EXHAUSTED', 'room for'],
    [{ requiredBytes: MiB }, { volumeId: '' }, 'INVALID_ARGUMENT', 'volume_id'],
    [{ requiredBytes: MiB }, { volumeId: gone }, 'NOT_FOUND', gone],
    [
      { requiredBytes: 64n * MiB },
      { volumeCapability: capability('MULTI_NODE_MULTI_WRITER', 'ext4') },
      'INVALID_ARGUMENT',
      'damaged',
    ],
  ];
  for (const [range, more, status, word] of cases) {
    await refusedWithoutTrace(fixture, () => expand(range, more), status, word);
  }
});

test('controllerModifyVolume: policy and schedule, from one to another and away; all or nothing', async () => {
  await using fixture = await ControllerFixture.open();
  const { client } = fixture;
  for (const name of ['gold', 'silver']) {
    await client.call('createPolicy', { body: { name, iops: 1000 } });
    const body = { name, cron: '@daily', keep: { last: 1 }, volumes: [] };
    await client.call('createSchedule', { body });
  }
  const { volumeId } = await made(fixture, 'x', {
    parameters: { policy: 'gold', schedule: 'gold' },
    mutableParameters: { policy: 'silver' },
  });
  const state = async () => {
    const { policy } = await client.call('getVolume', { params: { volume: volumeId } });
    const schedules = await client.list('listSchedules');
    return [
      policy,
      ...schedules.filter((each) => each.volumes.length > 0).map((each) => each.name),
    ];
  };
  assert.deepEqual(await state(), ['silver', 'gold'], 'mutable parameters are stronger');
  const modify = (mutableParameters: Record<string, string>, more: object = {}) =>
    fixture.ask('controllerModifyVolume', { volumeId, mutableParameters, ...more });
  const steps: [Record<string, string>, (string | null)[]][] = [
    [{ policy: 'gold', schedule: 'silver' }, ['gold', 'silver']],
    [{ policy: 'gold', schedule: 'silver' }, ['gold', 'silver']],
    [{ policy: 'silver' }, ['silver', 'silver']],
    [{ schedule: 'gold' }, ['silver', 'gold']],
    [{ schedule: '' }, ['silver']],
    [{ policy: '' }, [null]],
  ];
  for (const [change, wanted] of steps) {
    await modify(change);
    assert.deepEqual(await state(), wanted);
  }
  await modify({ policy: 'gold', schedule: 'gold' });
  const cases: [Record<string, string>, object, Status, string][] = [
    [{}, {}, 'INVALID_ARGUMENT', 'mutable_parameters'],
    [{ policy: 'none', schedule: 'silver' }, {}, 'INVALID_ARGUMENT', "no policy 'none'"],
    [{ policy: 'silver', schedule: 'none' }, {}, 'INVALID_ARGUMENT', "no schedule 'none'"],
    [{ policy: 'silver', tenant: 'red' }, {}, 'INVALID_ARGUMENT', "'tenant'"],
    [{ policy: 'silver' }, { volumeId: gone }, 'NOT_FOUND', gone],
    [{ policy: 'silver' }, { volumeId: '' }, 'INVALID_ARGUMENT', 'volume_id'],
  ];
  for (const [change, more, status, word] of cases) {
    await refusedWithoutTrace(fixture, () => modify(change, more), status, word);
    assert.deepEqual(await state(), ['gold', 'gold']);
  }
  await fixture.ask('deleteVolume', { volumeId });
  assert.deepEqual(await client.list('listVolumes'), []);
});

test('controllerModifyVolume: 64 volumes fill a schedule; another finds no room, and nothing changes', async () => {
  await using fixture = await ControllerFixture.open();
  const { client } = fixture;
  await client.call('createPolicy', { body: { name: 'gold', iops: 1000 } });
  const volumes = Array.from({ length: 64 }, (_, index) => `v${index}`);
  for (const name of volumes)
    await client.call('createVolume', { body: { name, sizeBytes: 4096 } });
  const body = { name: 'nightly', cron: '@daily', keep: { last: 1 }, volumes };
  await client.call('createSchedule', { body });
  const { volumeId } = await made(fixture, 'x');
  await refusedWithoutTrace(
    fixture,
    () =>
      fixture.ask('controllerModifyVolume', {
        volumeId,
        mutableParameters: { policy: 'gold', schedule: 'nightly' },
      }),
    'RESOURCE_EXHAUSTED',
    'of 64 volumes',
  );
  assert.equal((await client.call('getVolume', { params: { volume: volumeId } })).policy, null);
  await refusedWithoutTrace(
    fixture,
    () => fixture.ask('createVolume', request('y', { parameters: { schedule: 'nightly' } })),
    'RESOURCE_EXHAUSTED',
    'nightly',
  );
});

test('schedules: ten volumes join one at the same moment, by two controllers: all are in it', async () => {
  await using fixture = await ControllerFixture.open();
  await using other = fixture.beside();
  const body = { name: 'nightly', cron: '@daily', keep: { last: 1 }, volumes: [] };
  await fixture.client.call('createSchedule', { body });
  const names = Array.from({ length: 10 }, (_, index) => `v${index}`);
  const more = { parameters: { schedule: 'nightly' } };
  await Promise.all(names.map((name, index) => made(index % 2 ? fixture : other, name, more)));
  const [schedule] = await fixture.client.list('listSchedules');
  assert.deepEqual([...(schedule?.volumes ?? [])].sort(), names);
});

test('validateVolumeCapabilities: confirmed, or a text that says why not, or the code', async () => {
  await using fixture = await ControllerFixture.open();
  const { volumeId, volumeContext } = await made(fixture, 'x');
  const validate = (more: object) =>
    fixture.ask('validateVolumeCapabilities', {
      volumeId,
      volumeCapabilities: [writer],
      ...more,
    });
  const asked = { volumeContext, parameters: { blockSize: '4096', tenant: 'default' } };
  const { confirmed } = await validate(asked);
  assert.ok(confirmed);
  assert.deepEqual(confirmed.volumeContext, volumeContext);
  assert.equal(confirmed.volumeCapabilities.length, 1);
  const cases: [object, string][] = [
    [{ volumeCapabilities: [writer, capability('MULTI_NODE_MULTI_WRITER', 'xfs')] }, 'damaged'],
    [{ parameters: { blockSize: '512' } }, 'blockSize'],
    [{ parameters: { wrong: 'x' } }, "'wrong'"],
    [{ volumeContext: { tenant: 'red' } }, 'tenant'],
    [{ volumeContext: { endpoint: 'z' } }, 'endpoint'],
    [{ mutableParameters: { policy: 'gold' } }, 'policy'],
  ];
  for (const [more, word] of cases) {
    const answer = await validate(more);
    assert.equal(answer.confirmed, null);
    assert.ok(answer.message.includes(word), answer.message);
  }
  await refused(validate({ volumeId: '' }), 'INVALID_ARGUMENT', 'volume_id');
  await refused(validate({ volumeId: gone }), 'NOT_FOUND', gone);
  await refused(validate({ volumeCapabilities: [] }), 'INVALID_ARGUMENT', 'volume_capabilities');
  await refused(validate({ volumeCapabilities: [{}] }), 'INVALID_ARGUMENT', 'access_type');
});

test('getCapacity: by topology and parameters; what cannot be made has none', async () => {
  await using fixture = await ControllerFixture.open(2);
  const capacity = (more: object = {}) => fixture.ask('getCapacity', more);
  const pools = await Promise.all(fixture.clients.map((client) => client.list('listPools')));
  const free = pools.map(([pool]) => BigInt(pool?.availableBytes ?? 0));
  const [a = 0n, b = 0n] = free;
  const all = await capacity();
  assert.equal(all.availableCapacity, a + b);
  assert.equal(all.maximumVolumeSize?.value, a > b ? a : b);
  assert.equal(all.minimumVolumeSize?.value, 4096n);
  const there = { accessibleTopology: at('b')[0] };
  assert.equal((await capacity(there)).availableCapacity, b);
  assert.equal((await capacity({ accessibleTopology: at('z')[0] })).availableCapacity, 0n);
  const small = await capacity({ parameters: { blockSize: '512' } });
  assert.equal(small.minimumVolumeSize?.value, 512n);
  for (const parameters of [{ tenant: 'none' }, { pool: 'none' }, { policy: 'none' }]) {
    assert.equal((await capacity({ parameters })).availableCapacity, 0n);
  }
  const wrong = [capability('MULTI_NODE_MULTI_WRITER', 'ext4')];
  assert.equal((await capacity({ volumeCapabilities: wrong })).availableCapacity, 0n);
  await refused(capacity({ volumeCapabilities: [{}] }), 'INVALID_ARGUMENT');
  await refused(capacity({ parameters: { wrong: 'x' } }), 'INVALID_ARGUMENT', "'wrong'");
  // What it says can be made, can.
  const most = (await capacity(there)).maximumVolumeSize?.value ?? 0n;
  await made(fixture, 'most', {
    capacityRange: { requiredBytes: most },
    accessibilityRequirements: { requisite: at('b') },
  });
});

test('controllerGetVolume: who has it and how it is; a drained daemon makes it abnormal', async () => {
  await using fixture = await ControllerFixture.open();
  const { volumeId } = await made(fixture, 'x');
  const get = () => fixture.ask('controllerGetVolume', { volumeId });
  const usual = { abnormal: false, message: 'nothing is wrong' };
  assert.deepEqual((await get()).status, { publishedNodeIds: [], volumeCondition: usual });
  const publication = { volumeId, nodeId: nodeA, volumeCapability: writer };
  await fixture.ask('controllerPublishVolume', publication);
  const { volume, status } = await get();
  assert.equal(volume?.volumeId, volumeId);
  assert.deepEqual(status, { publishedNodeIds: [nodeA], volumeCondition: usual });
  const [portal] = await fixture.client.list('listPortals');
  await fixture.client.call('drainPortal', { params: { portal: portal?.endpoint ?? '' } });
  const { status: drained } = await get();
  assert.equal(drained?.volumeCondition?.abnormal, true);
  assert.match(drained?.volumeCondition?.message ?? '', /no portal/);
  await refused(fixture.ask('controllerPublishVolume', publication), 'UNAVAILABLE', 'drained');
  await refused(fixture.ask('controllerGetVolume', { volumeId: gone }), 'NOT_FOUND', gone);
  await refused(fixture.ask('controllerGetVolume', { volumeId: '' }), 'INVALID_ARGUMENT');
});

test('capabilities: all that CSI 1.12 has for a controller', async () => {
  await using fixture = await ControllerFixture.open();
  const { capabilities } = await fixture.ask('controllerGetCapabilities', {});
  assert.equal(new Set(capabilities.map(({ rpc }) => rpc?.type)).size, 15);
  const group = await fixture.askGroup('groupControllerGetCapabilities', {});
  const [only] = group.capabilities;
  assert.equal(only?.rpc?.type, 'CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT');
});
