/** A pool without room: what is refused, what still works, and that nothing is left of refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CsiError } from '../../lib/csi/errors.js';
import {
  ControllerFixture,
  capability,
  MiB,
  nodeA,
  refusedWithoutTrace,
  writer,
} from './controller_fixture.js';
import { published } from './node_io.js';

const create = (fixture: ControllerFixture, name: string, size: bigint, more: object = {}) =>
  fixture.ask('createVolume', {
    name,
    capacityRange: { requiredBytes: size },
    volumeCapabilities: [capability('SINGLE_NODE_WRITER')],
    ...more,
  });

test('a full pool: nothing new is made, what is there can be deleted, and then there is room', async () => {
  await using fixture = await ControllerFixture.open();
  const { availableCapacity } = await fixture.ask('getCapacity', {});
  const { volume } = await create(fixture, 'large', availableCapacity - (availableCapacity % MiB));
  const volumeId = volume?.volumeId ?? '';
  // Pools are thin: both fit when they are made, and not when both are filled.
  const { volume: other } = await create(fixture, 'other', 16n * MiB);
  const piece = Buffer.alloc(Number(MiB), 7);
  const fill = (id: string) =>
    published(fixture, id, nodeA, async (namespace) => {
      for (let at = 0n; at < namespace.sizeBytes; at += MiB) await namespace.write(at, piece);
    });
  await fill(other?.volumeId ?? '');
  await assert.rejects(fill(volumeId));
  const left = (await fixture.ask('getCapacity', {})).availableCapacity;
  assert.ok(left < 4n * MiB, `${left} bytes`);
  const source = { volumeContentSource: { volume: { volumeId } } };
  const reserve = { parameters: { reserve: 'true' } };
  const full = [
    () => create(fixture, 'new', 8n * MiB),
    () => create(fixture, 'new', 8n * MiB, reserve),
    () => create(fixture, 'new', 0n, { ...source, ...reserve, capacityRange: null }),
    () =>
      fixture.ask('controllerExpandVolume', {
        volumeId,
        capacityRange: { requiredBytes: 512n * MiB },
      }),
  ];
  for (const call of full) await refusedWithoutTrace(fixture, call, 'RESOURCE_EXHAUSTED');
  const { status } = await fixture.ask('controllerGetVolume', { volumeId });
  assert.match(status?.volumeCondition?.message ?? '', /full|left/);
  // A snapshot takes next to nothing: it is made, or there is no trace of it.
  const before = await fixture.contents();
  try {
    const { snapshot } = await fixture.ask('createSnapshot', {
      name: 's',
      sourceVolumeId: volumeId,
    });
    await fixture.ask('deleteSnapshot', { snapshotId: snapshot?.snapshotId ?? '' });
  } catch (thrown) {
    assert.ok(thrown instanceof CsiError && thrown.status === 'RESOURCE_EXHAUSTED', `${thrown}`);
  }
  assert.deepEqual(await fixture.contents(), before);
  await fixture.ask('deleteVolume', { volumeId });
  // Its space comes back in the background.
  const deadline = Date.now() + 30_000;
  while ((await fixture.ask('getCapacity', {})).availableCapacity < 128n * MiB) {
    assert.ok(Date.now() < deadline, 'the space of a deleted volume has not come back');
  }
  await create(fixture, 'new', 8n * MiB);
});

test('a promise of room: what is promised to one volume is nobody else’s, from the first byte', async () => {
  await using fixture = await ControllerFixture.open();
  const { availableCapacity } = await fixture.ask('getCapacity', {});
  const most = availableCapacity - 32n * MiB;
  const size = most - (most % MiB);
  const parameters = { reserve: 'true' };
  const { volume } = await create(fixture, 'promised', size, { parameters });
  assert.equal(volume?.capacityBytes, size);
  await refusedWithoutTrace(
    fixture,
    () => create(fixture, 'other', 64n * MiB, { volumeCapabilities: [writer] }),
    'RESOURCE_EXHAUSTED',
    /endpoint 'a' has room for [0-9.]+ MiB/,
  );
  await refusedWithoutTrace(
    fixture,
    () =>
      fixture.ask('controllerExpandVolume', {
        volumeId: volume?.volumeId ?? '',
        capacityRange: { requiredBytes: size + 64n * MiB },
      }),
    'RESOURCE_EXHAUSTED',
    'would grow by 64MiB',
  );
});
