/** ControllerPublishVolume and ControllerUnpublishVolume: who has a volume, and who cannot. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ControllerFixture,
  capability,
  MiB,
  nodeA,
  nodeB,
  refused,
  refusedWithoutTrace,
  writer,
} from './controller_fixture.js';

async function made(fixture: ControllerFixture, name = 'vol'): Promise<string> {
  const { volume } = await fixture.ask('createVolume', {
    name,
    capacityRange: { requiredBytes: 16n * MiB },
    volumeCapabilities: [writer],
  });
  assert.ok(volume);
  return volume.volumeId;
}

test('publish: the context has all that a node needs, twice the same, and unpublish takes it', async () => {
  await using fixture = await ControllerFixture.open();
  const volumeId = await made(fixture);
  const request = { volumeId, nodeId: nodeA, volumeCapability: writer };
  const first = await fixture.ask('controllerPublishVolume', request);
  const { portals = '', ...rest } = first.publishContext;
  assert.match(portals, /^127\.0\.0\.1:[0-9]+$/);
  assert.deepEqual(rest, {
    subnqn: (await fixture.daemon.client.call('getVolume', { params: { volume: volumeId } }))
      .subnqn,
    nsid: '1',
    uuid: volumeId,
    access: 'read-write',
    tls: 'none',
    authenticate: 'false',
  });
  assert.deepEqual(await fixture.ask('controllerPublishVolume', request), first);
  assert.equal((await fixture.contents()).grants.length, 1);
  for (let twice = 0; twice < 2; twice += 1) {
    await fixture.ask('controllerUnpublishVolume', { volumeId, nodeId: nodeA });
    assert.deepEqual((await fixture.contents()).grants, []);
  }
  await fixture.ask('deleteVolume', { volumeId });
  await fixture.ask('controllerUnpublishVolume', { volumeId, nodeId: nodeA });
});

test('publish: a second node of a volume for one: FAILED_PRECONDITION naming the first', async () => {
  await using fixture = await ControllerFixture.open();
  const volumeId = await made(fixture);
  for (const mode of ['SINGLE_NODE_WRITER', 'SINGLE_NODE_MULTI_WRITER'] as const) {
    const volumeCapability = capability(mode, 'xfs');
    await fixture.ask('controllerPublishVolume', { volumeId, nodeId: nodeA, volumeCapability });
    await refusedWithoutTrace(
      fixture,
      () => fixture.ask('controllerPublishVolume', { volumeId, nodeId: nodeB, volumeCapability }),
      'FAILED_PRECONDITION',
      nodeA,
      mode,
    );
    // All nodes when none is named.
    await fixture.ask('controllerUnpublishVolume', { volumeId });
    await fixture.ask('controllerPublishVolume', { volumeId, nodeId: nodeB, volumeCapability });
    await fixture.ask('controllerUnpublishVolume', { volumeId, nodeId: nodeB });
  }
});

test('publish: two nodes at the same moment by two controllers: one of them gets it', async () => {
  await using fixture = await ControllerFixture.open();
  await using other = fixture.beside();
  for (let round = 0; round < 20; round += 1) {
    const volumeId = await made(fixture, `vol-${round}`);
    const volumeCapability = writer;
    const outcomes = await Promise.allSettled([
      fixture.ask('controllerPublishVolume', { volumeId, nodeId: nodeA, volumeCapability }),
      other.ask('controllerPublishVolume', { volumeId, nodeId: nodeB, volumeCapability }),
    ]);
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const { grants } = await fixture.contents();
    assert.equal(grants.filter((grant) => grant.includes(`/vol-${round} `)).length, 1);
  }
});

test('publish: what is not there, or not the same as before: the code of the table', async () => {
  await using fixture = await ControllerFixture.open();
  const volumeId = await made(fixture);
  const request = { volumeId, nodeId: nodeA, volumeCapability: writer };
  const ask = (more: object) => () =>
    fixture.ask('controllerPublishVolume', { ...request, ...more });
  const gone = '99999999-9999-4999-8999-999999999999';
  await refusedWithoutTrace(fixture, ask({ volumeId: gone }), 'NOT_FOUND', gone);
  await refusedWithoutTrace(fixture, ask({ volumeId: 'no uuid' }), 'NOT_FOUND', 'no uuid');
  await refusedWithoutTrace(fixture, ask({ nodeId: 'worker-1' }), 'NOT_FOUND', 'worker-1');
  await refusedWithoutTrace(fixture, ask({ nodeId: '' }), 'INVALID_ARGUMENT', 'node_id');
  await refusedWithoutTrace(fixture, ask({ volumeId: '' }), 'INVALID_ARGUMENT', 'volume_id');
  await refusedWithoutTrace(fixture, ask({ volumeCapability: null }), 'INVALID_ARGUMENT');
  const both = capability('MULTI_NODE_MULTI_WRITER', 'ext4');
  await refusedWithoutTrace(
    fixture,
    ask({ volumeCapability: both }),
    'INVALID_ARGUMENT',
    'damaged',
  );
  await fixture.ask('controllerPublishVolume', request);
  await refusedWithoutTrace(
    fixture,
    ask({ readonly: true }),
    'ALREADY_EXISTS',
    'read-write already',
  );
  await refused(fixture.ask('deleteVolume', { volumeId }), 'FAILED_PRECONDITION', nodeA);
});

test('publish: block on several writing nodes, and readers beside no writer', async () => {
  await using fixture = await ControllerFixture.open();
  const volumeId = await made(fixture);
  const shared = capability('MULTI_NODE_MULTI_WRITER');
  for (const nodeId of [nodeA, nodeB]) {
    await fixture.ask('controllerPublishVolume', { volumeId, nodeId, volumeCapability: shared });
  }
  assert.equal((await fixture.contents()).grants.length, 2);
  await fixture.ask('controllerUnpublishVolume', { volumeId });
  assert.deepEqual((await fixture.contents()).grants, []);

  const oneWrites = capability('MULTI_NODE_SINGLE_WRITER');
  const publish = (nodeId: string, readonly: boolean) =>
    fixture.ask('controllerPublishVolume', {
      volumeId,
      nodeId,
      readonly,
      volumeCapability: oneWrites,
    });
  await publish(nodeA, false);
  await refusedWithoutTrace(fixture, () => publish(nodeB, false), 'FAILED_PRECONDITION', nodeA);
  assert.equal((await publish(nodeB, true)).publishContext['access'], 'read-only');

  const readers = capability('MULTI_NODE_READER_ONLY', 'ext4');
  await fixture.ask('controllerUnpublishVolume', { volumeId, nodeId: nodeB });
  await refused(
    fixture.ask('controllerPublishVolume', { volumeId, nodeId: nodeB, volumeCapability: readers }),
    'FAILED_PRECONDITION',
    nodeA,
  );
});
