/** Snapshots, groups of them, volumes made from them, and what they hold. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Contents } from './controller_fixture.js';
import {
  ControllerFixture,
  MiB,
  nodeA,
  refused,
  refusedWithoutTrace,
  writer,
} from './controller_fixture.js';

const gone = '99999999-9999-4999-8999-999999999999';

export async function volumeOf(
  fixture: ControllerFixture,
  name: string,
  more: object = {},
): Promise<string> {
  const { volume } = await fixture.ask('createVolume', {
    name,
    capacityRange: { requiredBytes: 16n * MiB },
    volumeCapabilities: [writer],
    ...more,
  });
  assert.ok(volume);
  return volume.volumeId;
}

async function snapshotOf(fixture: ControllerFixture, sourceVolumeId: string, name: string) {
  const { snapshot } = await fixture.ask('createSnapshot', { sourceVolumeId, name });
  assert.ok(snapshot);
  return snapshot;
}

const counts = ({ volumes, snapshots }: Contents) => [volumes.length, snapshots.length];

test('createSnapshot: the same name twice is one; of another volume: ALREADY_EXISTS', async () => {
  await using fixture = await ControllerFixture.open();
  const [one, two] = [await volumeOf(fixture, 'one'), await volumeOf(fixture, 'two')];
  const before = Date.now();
  const snapshot = await snapshotOf(fixture, one, 'monday');
  assert.equal(snapshot.sourceVolumeId, one);
  assert.equal(snapshot.sizeBytes, 16n * MiB);
  assert.equal(snapshot.readyToUse, true);
  assert.equal(snapshot.groupSnapshotId, '');
  const { seconds = 0n, nanos = 0 } = snapshot.creationTime ?? {};
  const ms = Number(seconds) * 1000 + nanos / 1e6;
  assert.ok(ms >= before && ms <= Date.now(), `${ms}`);
  assert.deepEqual(await snapshotOf(fixture, one, 'monday'), snapshot);
  await refusedWithoutTrace(
    fixture,
    () => snapshotOf(fixture, two, 'monday'),
    'ALREADY_EXISTS',
    one,
    two,
  );
  const { snapshotId } = snapshot;
  assert.deepEqual((await fixture.ask('getSnapshot', { snapshotId })).snapshot, snapshot);
  await refused(fixture.ask('getSnapshot', { snapshotId: gone }), 'NOT_FOUND', gone);
  await refused(fixture.ask('getSnapshot', { snapshotId: '' }), 'INVALID_ARGUMENT');
});

test('createSnapshot: what is wrong: the code of the table, and nothing is left', async () => {
  await using fixture = await ControllerFixture.open();
  const sourceVolumeId = await volumeOf(fixture, 'one');
  const cases: [object, Parameters<typeof refusedWithoutTrace>[2], string][] = [
    [{ name: '' }, 'INVALID_ARGUMENT', 'name'],
    [{ name: 'a\u0007' }, 'INVALID_ARGUMENT', '0007'],
    [{ name: 'x'.repeat(129) }, 'INVALID_ARGUMENT', '128'],
    [{ sourceVolumeId: '' }, 'INVALID_ARGUMENT', 'source_volume_id'],
    [{ sourceVolumeId: gone }, 'NOT_FOUND', gone],
    [{ sourceVolumeId: 'no uuid' }, 'NOT_FOUND', 'no uuid'],
    [{ parameters: { keep: '3' } }, 'INVALID_ARGUMENT', "'keep'"],
  ];
  for (const [more, status, word] of cases) {
    const request = { name: 'x', sourceVolumeId, ...more };
    await refusedWithoutTrace(fixture, () => fixture.ask('createSnapshot', request), status, word);
  }
});

test('snapshots: names of 128 bytes and unicode are kept apart', async () => {
  await using fixture = await ControllerFixture.open();
  const volume = await volumeOf(fixture, 'ä'.repeat(64));
  const names = ['é'.repeat(64), `${'é'.repeat(63)}ê`, 'x'.repeat(128), ' a b ', '7'];
  const ids = new Set<string>();
  for (const name of names) ids.add((await snapshotOf(fixture, volume, name)).snapshotId);
  assert.equal(ids.size, names.length);
  for (const name of names)
    assert.ok(ids.has((await snapshotOf(fixture, volume, name)).snapshotId));
});

test('a deleted volume: its snapshots are listed as before, and volumes are made from them', async () => {
  await using fixture = await ControllerFixture.open();
  const volumeId = await volumeOf(fixture, 'pvc-1');
  const snapshot = await snapshotOf(fixture, volumeId, 'monday');
  await fixture.ask('deleteVolume', { volumeId });
  await fixture.ask('deleteVolume', { volumeId });
  const { entries } = await fixture.ask('listSnapshots', { sourceVolumeId: volumeId });
  assert.deepEqual(entries, [{ snapshot }]);
  assert.deepEqual(await snapshotOf(fixture, volumeId, 'monday'), snapshot);
  const volumeContentSource = { snapshot: { snapshotId: snapshot.snapshotId } };
  const restored = await fixture.ask('createVolume', {
    name: 'pvc-2',
    capacityRange: { requiredBytes: 32n * MiB },
    volumeCapabilities: [writer],
    volumeContentSource,
  });
  assert.equal(restored.volume?.capacityBytes, 32n * MiB);
  assert.deepEqual(restored.volume?.contentSource, { ...volumeContentSource, volume: null });
  // The source may go: the volume is its own, and a repeated call has the same answer.
  await fixture.ask('deleteSnapshot', { snapshotId: snapshot.snapshotId });
  await fixture.ask('deleteSnapshot', { snapshotId: snapshot.snapshotId });
  const again = await fixture.ask('createVolume', {
    name: 'pvc-2',
    capacityRange: { requiredBytes: 32n * MiB },
    volumeCapabilities: [writer],
    volumeContentSource,
  });
  assert.deepEqual(again, restored);
});

test('a volume from a volume: of its size, block size and tenant; smaller: OUT_OF_RANGE', async () => {
  await using fixture = await ControllerFixture.open();
  const source = await volumeOf(fixture, 'one', { parameters: { blockSize: '512' } });
  const volumeContentSource = { volume: { volumeId: source } };
  const clone = (name: string, more: object = {}) => {
    return fixture.ask('createVolume', {
      name,
      volumeCapabilities: [writer],
      volumeContentSource,
      ...more,
    });
  };
  assert.equal((await clone('same')).volume?.capacityBytes, 16n * MiB);
  const attempts: [object, Parameters<typeof refusedWithoutTrace>[2], string][] = [
    [{ capacityRange: { requiredBytes: 8n * MiB } }, 'OUT_OF_RANGE', '16MiB'],
    [{ capacityRange: { limitBytes: 8n * MiB } }, 'OUT_OF_RANGE', '8MiB'],
    [{ parameters: { blockSize: '4096' } }, 'INVALID_ARGUMENT', 'blockSize'],
    [{ parameters: { tenant: 'other' } }, 'INVALID_ARGUMENT', 'tenant'],
    [{ parameters: { pool: 'other' } }, 'INVALID_ARGUMENT', "pool 'other'"],
    [{ volumeContentSource: { volume: { volumeId: gone } } }, 'NOT_FOUND', gone],
    [{ volumeContentSource: { snapshot: { snapshotId: source } } }, 'NOT_FOUND', source],
    [{ volumeContentSource: { volume: { volumeId: '' } } }, 'INVALID_ARGUMENT', 'volume_id'],
    [{ volumeContentSource: {} }, 'INVALID_ARGUMENT', 'volume_content_source'],
  ];
  for (const [more, status, word] of attempts) {
    await refusedWithoutTrace(fixture, () => clone('other', more), status, word);
  }
  await refusedWithoutTrace(
    fixture,
    () => volumeOf(fixture, 'same', { capacityRange: null }),
    'ALREADY_EXISTS',
    'source',
  );
});

test('groups: all at one instant, idempotent, deleted together; one volume is a group too', async () => {
  await using fixture = await ControllerFixture.open();
  const volumes = [await volumeOf(fixture, 'one'), await volumeOf(fixture, 'two')];
  for (const sourceVolumeIds of [volumes, volumes.slice(0, 1)]) {
    const name = `group of ${sourceVolumeIds.length}`;
    const create = () => fixture.askGroup('createVolumeGroupSnapshot', { name, sourceVolumeIds });
    const { groupSnapshot: group } = await create();
    assert.ok(group);
    assert.equal(group.readyToUse, true);
    assert.deepEqual(
      group.snapshots.map(({ sourceVolumeId }) => sourceVolumeId).sort(),
      [...sourceVolumeIds].sort(),
    );
    for (const { groupSnapshotId, creationTime } of group.snapshots) {
      assert.equal(groupSnapshotId, group.groupSnapshotId);
      assert.deepEqual(creationTime, group.creationTime);
    }
    const again = await create();
    assert.equal(again.groupSnapshot?.snapshots.length, sourceVolumeIds.length);
    const snapshotIds = group.snapshots.map(({ snapshotId }) => snapshotId);
    const request = { groupSnapshotId: group.groupSnapshotId, snapshotIds };
    const got = await fixture.askGroup('getVolumeGroupSnapshot', request);
    assert.deepEqual(
      got.groupSnapshot?.snapshots.map(({ snapshotId }) => snapshotId).sort(),
      [...snapshotIds].sort(),
    );
    const [snapshotId = ''] = snapshotIds;
    await refused(fixture.ask('deleteSnapshot', { snapshotId }), 'INVALID_ARGUMENT', 'group');
    for (const rpc of ['deleteVolumeGroupSnapshot', 'getVolumeGroupSnapshot'] as const) {
      const other = (await snapshotOf(fixture, volumes[0] ?? '', `alone ${name}`)).snapshotId;
      const wrong = { ...request, snapshotIds: [...snapshotIds, other] };
      await refusedWithoutTrace(fixture, () => fixture.askGroup(rpc, wrong), 'INVALID_ARGUMENT');
    }
    await refusedWithoutTrace(
      fixture,
      () => fixture.askGroup('deleteVolumeGroupSnapshot', { ...request, snapshotIds: [] }),
      'INVALID_ARGUMENT',
    );
    await fixture.askGroup('deleteVolumeGroupSnapshot', request);
    await fixture.askGroup('deleteVolumeGroupSnapshot', request);
    await refused(fixture.askGroup('getVolumeGroupSnapshot', request), 'NOT_FOUND');
  }
  assert.deepEqual(counts(await fixture.contents()), [2, 2]);
});

test('groups: what is wrong: the code of the table, and nothing is left', async () => {
  await using fixture = await ControllerFixture.open(2);
  await fixture.client.call('createTenant', { body: { name: 'red' } });
  const zone = (name: string) => ({
    accessibilityRequirements: {
      requisite: [{ segments: { 'topology.csi.ashlar.dev/zone': name } }],
    },
  });
  const one = await volumeOf(fixture, 'one', zone('a'));
  const two = await volumeOf(fixture, 'two', zone('b'));
  const red = await volumeOf(fixture, 'red', { ...zone('a'), parameters: { tenant: 'red' } });
  const create = (name: string, sourceVolumeIds: string[], parameters = {}) =>
    fixture.askGroup('createVolumeGroupSnapshot', { name, sourceVolumeIds, parameters });
  const many = Array.from({ length: 65 }, (_, index) => `${index}`);
  const attempts: [() => Promise<unknown>, Parameters<typeof refused>[1], string][] = [
    [() => create('', [one]), 'INVALID_ARGUMENT', 'name'],
    [() => create('g', []), 'INVALID_ARGUMENT', 'source_volume_ids'],
    [() => create('g', [one, one]), 'INVALID_ARGUMENT', 'twice'],
    [() => create('g', many), 'INVALID_ARGUMENT', '64'],
    [() => create('g', [one, gone]), 'NOT_FOUND', gone],
    [() => create('g', [one, two]), 'FAILED_PRECONDITION', "endpoint 'b'"],
    [() => create('g', [one, red]), 'FAILED_PRECONDITION', "tenant 'red'"],
    [() => create('g', [one], { a: 'b' }), 'INVALID_ARGUMENT', "'a'"],
  ];
  for (const [call, status, word] of attempts) {
    await refusedWithoutTrace(fixture, call, status, word);
  }
  await create('g', [one]);
  await refusedWithoutTrace(fixture, () => create('g', [two]), 'ALREADY_EXISTS', one);
  for (const rpc of ['deleteVolumeGroupSnapshot', 'getVolumeGroupSnapshot'] as const) {
    await refused(fixture.askGroup(rpc, { groupSnapshotId: '' }), 'INVALID_ARGUMENT');
  }
  await fixture.askGroup('deleteVolumeGroupSnapshot', { groupSnapshotId: 'none at all' });
});

test('lists: a page at a time over two daemons, all once, and a token that is none: ABORTED', async () => {
  await using fixture = await ControllerFixture.open(2);
  const volumes: string[] = [];
  const snapshots: string[] = [];
  for (const [index, zone] of ['a', 'b', 'a', 'b', 'b'].entries()) {
    const requisite = [{ segments: { 'topology.csi.ashlar.dev/zone': zone } }];
    const more = { accessibilityRequirements: { requisite } };
    const volumeId = await volumeOf(fixture, `vol-${index}`, more);
    volumes.push(volumeId);
    snapshots.push((await snapshotOf(fixture, volumeId, `snap-${index}`)).snapshotId);
  }
  for (const maxEntries of [0, 1, 2, 3, 5, 100]) {
    for (const rpc of ['listVolumes', 'listSnapshots'] as const) {
      const seen: string[] = [];
      let startingToken = '';
      do {
        const page = await fixture.ask(rpc, { maxEntries, startingToken });
        assert.ok(maxEntries === 0 || page.entries.length <= maxEntries);
        assert.ok(Buffer.byteLength(page.nextToken) <= 128);
        for (const entry of page.entries) {
          if ('volume' in entry) seen.push(entry.volume?.volumeId ?? '');
          else seen.push(entry.snapshot?.snapshotId ?? '');
        }
        startingToken = page.nextToken;
      } while (startingToken !== '');
      const wanted = rpc === 'listVolumes' ? volumes : snapshots;
      assert.deepEqual(seen.sort(), [...wanted].sort(), `${rpc} by ${maxEntries}`);
    }
  }
  const { nextToken } = await fixture.ask('listVolumes', { maxEntries: 1 });
  for (const rpc of ['listVolumes', 'listSnapshots'] as const) {
    await refused(fixture.ask(rpc, { startingToken: 'x' }), 'ABORTED', 'begin without');
    await refused(fixture.ask(rpc, { maxEntries: -1 }), 'INVALID_ARGUMENT', '-1');
  }
  await refused(fixture.ask('listSnapshots', { startingToken: nextToken }), 'ABORTED');
  const [volumeId = ''] = volumes;
  await fixture.ask('controllerPublishVolume', {
    volumeId,
    nodeId: nodeA,
    volumeCapability: writer,
  });
  const { entries } = await fixture.ask('listVolumes', {});
  for (const { volume, status } of entries) {
    assert.deepEqual(status?.publishedNodeIds, volume?.volumeId === volumeId ? [nodeA] : []);
    assert.deepEqual(status?.volumeCondition, { abnormal: false, message: 'nothing is wrong' });
  }
});

test('listSnapshots: by snapshot, by volume, by both, and by what is not there', async () => {
  await using fixture = await ControllerFixture.open();
  const [one, two] = [await volumeOf(fixture, 'one'), await volumeOf(fixture, 'two')];
  const first = await snapshotOf(fixture, one, 'a');
  const second = await snapshotOf(fixture, two, 'b');
  const list = async (request: { snapshotId?: string; sourceVolumeId?: string }) =>
    (await fixture.ask('listSnapshots', request)).entries.map(({ snapshot }) => snapshot);
  assert.deepEqual(await list({ snapshotId: first.snapshotId }), [first]);
  assert.deepEqual(await list({ sourceVolumeId: two }), [second]);
  assert.deepEqual(await list({ sourceVolumeId: two, snapshotId: first.snapshotId }), []);
  assert.deepEqual(await list({ sourceVolumeId: gone }), []);
  assert.deepEqual(await list({ sourceVolumeId: 'none' }), []);
  assert.deepEqual(await list({ snapshotId: gone }), []);
});
