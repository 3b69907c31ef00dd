/** Several daemons, of which some do not answer, and the ways to each. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import fs from 'node:fs';
import { test } from 'node:test';
import { Connections } from '../../lib/csi/controller/connections.js';
import { controllerServices, ephemeralVolumes } from '../../lib/csi/controller/services.js';
import { nodeIdOf, volumeUuid } from '../../lib/csi/names.js';
import { AshlarError } from '../../lib/errors.js';
import { Folder, logger } from '../api/fixture.js';
import {
  ControllerFixture,
  endpointSettings,
  MiB,
  nodeA,
  nodeB,
  refused,
  refusedWithoutTrace,
  writer,
} from './controller_fixture.js';

const never = new AbortController().signal;

/** A fixture of two daemons, of which one can be made silent, or take requests and never answer. */
async function withSilence() {
  const silent = new Set<string>();
  const hanging = new Map<string, ((late: Error) => void)[]>();
  const fixture = await ControllerFixture.open(2);
  const services = fixture.beside({
    maxVolumesPerNode: 500,
    connect: (settings) => {
      const caller = new Connections(settings);
      return {
        reachedBy: null,
        request: (id, input, options) => {
          const hung = hanging.get(settings.name);
          if (hung !== undefined) return new Promise((_resolve, reject) => hung.push(reject));
          if (!silent.has(settings.name)) return caller.request(id, input, options);
          return Promise.reject(new AshlarError('connection-refused', 'nobody listens'));
        },
        close: () => caller.close(),
      };
    },
  });
  return { fixture, services, silent, hanging };
}

test('endpoints: one that takes requests and never answers holds up one call, and no other', async () => {
  const { fixture, services, hanging } = await withSilence();
  await using _daemons = fixture;
  await using asked = services;
  const name = 'held';
  const create = () =>
    asked.ask('createVolume', {
      name,
      capacityRange: { requiredBytes: MiB },
      volumeCapabilities: [writer],
      accessibilityRequirements: {
        requisite: [{ segments: { ...fixture.settings[0]?.topology } }],
      },
    });
  const late: ((late: Error) => void)[] = [];
  hanging.set('b', late);
  const first = create();
  while (late.length === 0) await new Promise((resolve) => setImmediate(resolve));
  late.shift()?.(new AshlarError('timed-out', 'no answer in time'));
  const volumeId = (await first).volume?.volumeId ?? '';
  // From now on nobody waits for it: none of these requests is ever answered.
  await create();
  await asked.ask('controllerPublishVolume', {
    volumeId,
    nodeId: nodeA,
    volumeCapability: writer,
  });
  await asked.ask('createSnapshot', { name: 'held', sourceVolumeId: volumeId });
  await refused(
    asked.ask('controllerGetVolume', { volumeId: volumeUuid('elsewhere') }),
    'UNAVAILABLE',
    "endpoint 'b' does not answer, nor did it before",
  );
});

test('endpoints: one that does not answer: what the others have is there, the rest UNAVAILABLE', async () => {
  const { fixture, services, silent } = await withSilence();
  await using _daemons = fixture;
  await using asked = services;
  const create = (name: string, places = [0]) =>
    asked.ask('createVolume', {
      name,
      capacityRange: { requiredBytes: MiB },
      volumeCapabilities: [writer],
      accessibilityRequirements: {
        requisite: places.map((place) => ({
          segments: { ...fixture.settings[place]?.topology },
        })),
      },
    });
  const volumeId = (await create('x')).volume?.volumeId ?? '';
  const { snapshot } = await asked.ask('createSnapshot', { name: 's', sourceVolumeId: volumeId });
  silent.add('b');
  assert.ok((await asked.ask('controllerGetVolume', { volumeId })).volume);
  const publication = { volumeId, nodeId: nodeA, volumeCapability: writer };
  await asked.ask('controllerPublishVolume', publication);
  await asked.ask('controllerUnpublishVolume', { volumeId, nodeId: nodeA });
  assert.ok((await asked.ask('getSnapshot', { snapshotId: snapshot?.snapshotId ?? '' })).snapshot);
  // What is made where all that can have it answer is made, twice asked for as well.
  for (let call = 0; call < 2; call += 1) {
    await create('beside');
    await asked.ask('createSnapshot', { name: 't', sourceVolumeId: volumeId });
    const group = { name: 'g', sourceVolumeIds: [volumeId] };
    await asked.askGroup('createVolumeGroupSnapshot', group);
  }
  // It might have them, so nobody can say that they are not there.
  const gone = volumeUuid('gone');
  const calls = [
    () => asked.ask('controllerGetVolume', { volumeId: gone }),
    () => asked.ask('deleteVolume', { volumeId: gone }),
    () => asked.ask('controllerPublishVolume', { ...publication, volumeId: gone }),
    () => asked.ask('controllerUnpublishVolume', { volumeId: gone }),
    () => asked.ask('getSnapshot', { snapshotId: gone }),
    () => asked.ask('deleteSnapshot', { snapshotId: gone }),
    () => asked.ask('createSnapshot', { name: 'u', sourceVolumeId: gone }),
    () => create('y', [0, 1]),
    () => asked.ask('listVolumes', {}),
    () => asked.ask('listSnapshots', {}),
    () => asked.askGroup('deleteVolumeGroupSnapshot', { groupSnapshotId: gone }),
  ];
  for (const call of calls) {
    await refusedWithoutTrace(fixture, call, 'UNAVAILABLE', "endpoint 'b' does not answer");
  }
  // Capacity is of those who answer.
  const some = (await asked.ask('getCapacity', {})).availableCapacity;
  const there = { accessibleTopology: { segments: { ...fixture.settings[1]?.topology } } };
  await refused(asked.ask('getCapacity', there), 'UNAVAILABLE', "endpoint 'b'");
  silent.delete('b');
  assert.ok((await asked.ask('getCapacity', {})).availableCapacity > some);
  await refused(asked.ask('controllerGetVolume', { volumeId: gone }), 'NOT_FOUND');
  // A place that is remembered is a hint only.
  silent.add('a');
  await refused(asked.ask('controllerGetVolume', { volumeId }), 'UNAVAILABLE', "endpoint 'a'");
});

test('endpoints: a volume that is at two of them is used at none, and both are named', async () => {
  await using fixture = await ControllerFixture.open(2);
  const uuid = volumeUuid('twice');
  for (const client of fixture.clients) {
    await client.call('createVolume', { body: { name: 'twice', sizeBytes: 4096, uuid } });
  }
  await refusedWithoutTrace(
    fixture,
    () => fixture.ask('deleteVolume', { volumeId: uuid }),
    'FAILED_PRECONDITION',
    "'a' and at 'b'",
  );
});

test('endpoints: a daemon that is started again is asked over a new connection', async () => {
  await using fixture = await ControllerFixture.open();
  using folder = new Folder();
  const [daemon] = fixture.daemons;
  const link = folder.file('link.sock');
  fs.symlinkSync(daemon?.server.socket ?? '', link);
  await using services = controllerServices({ endpoints: [endpointSettings('a', link)], logger });
  const call = { signal: never, log: logger };
  const list = () =>
    services.Controller.listVolumes({ maxEntries: 0, startingToken: '' }, call).then(
      () => null,
      (thrown: { message: string }) => thrown.message,
    );
  assert.equal(await list(), null);
  fs.rmSync(link);
  fs.symlinkSync(folder.file('nobody.sock'), link);
  // What is connected already stays so; a new connection finds nobody.
  await using fresh = controllerServices({ endpoints: [endpointSettings('a', link)], logger });
  await assert.rejects(
    fresh.Controller.listVolumes({ maxEntries: 0, startingToken: '' }, call),
    /endpoint 'a' does not answer.*nobody\.sock|link\.sock/,
  );
  fs.rmSync(link);
  fs.symlinkSync(daemon?.server.socket ?? '', link);
  await fresh.Controller.listVolumes({ maxEntries: 0, startingToken: '' }, call);
});

test('endpoints: the token is read again when it changes; a file that is not there says so', async () => {
  await using fixture = await ControllerFixture.open();
  using folder = new Folder();
  const tokenFile = folder.file('token');
  const [settings] = fixture.settings;
  assert.ok(settings);
  await using asked = fixture.beside({ endpoints: [{ ...settings, tokenFile }] });
  await refused(asked.ask('listVolumes', {}), 'UNAVAILABLE', tokenFile);
  const token = async (name: string) =>
    (await fixture.client.call('createToken', { body: { name, role: 'admin' } })).secret ?? '';
  const first = await token('first');
  fs.writeFileSync(tokenFile, `${first}\n`);
  await asked.ask('listVolumes', {});
  await fixture.client.call('deleteToken', { params: { token: 'first' } });
  await refused(asked.ask('listVolumes', {}), 'UNAUTHENTICATED');
  fs.writeFileSync(tokenFile, await token('second'));
  await asked.ask('listVolumes', {});
});

test('endpoints: a token that may not see pools: volumes are made all the same', async () => {
  await using fixture = await ControllerFixture.open();
  using folder = new Folder();
  const tokenFile = folder.file('token');
  const { secret } = await fixture.client.call('createToken', {
    query: { tenant: 'default' },
    body: { name: 'own', role: 'tenant-admin' },
  });
  fs.writeFileSync(tokenFile, secret ?? '');
  const [settings] = fixture.settings;
  assert.ok(settings);
  await using asked = fixture.beside({ endpoints: [{ ...settings, tokenFile }] });
  const { volume } = await asked.ask('createVolume', {
    name: 'x',
    capacityRange: { requiredBytes: MiB },
    volumeCapabilities: [writer],
  });
  const volumeId = volume?.volumeId ?? '';
  const publication = { volumeId, nodeId: nodeA, volumeCapability: writer };
  await asked.ask('controllerPublishVolume', publication);
  await asked.ask('controllerUnpublishVolume', { volumeId });
  await asked.ask('controllerExpandVolume', {
    volumeId,
    capacityRange: { requiredBytes: 2n * MiB },
  });
  await refused(asked.ask('getCapacity', {}), 'PERMISSION_DENIED', "'admin'");
});

test('inline volumes: made and given to the node once, gone with their pod, whatever they are called', async () => {
  await using fixture = await ControllerFixture.open(2);
  const { settings: endpoints } = fixture;
  const topology = endpoints[1]?.topology ?? null;
  await using volumes = ephemeralVolumes({ endpoints, logger }, topology);
  const names = [`csi-${'0123456789abcdef'.repeat(4)}`, 'é'.repeat(64)];
  for (const name of names) {
    const context = { size: '4Mi', 'csi.storage.k8s.io/ephemeral': 'true', blockSize: '512' };
    const made = await volumes.create(name, context, nodeA, never);
    assert.equal(made['uuid'], volumeUuid(name));
    assert.deepEqual(await volumes.create(name, context, nodeA, never), made);
    await refused(volumes.create(name, context, nodeB, never), 'FAILED_PRECONDITION', nodeA);
  }
  const { volumes: there, grants } = await fixture.contents();
  assert.equal(there.length, 2);
  assert.equal(grants.length, 2);
  assert.ok(there.every((each) => each.startsWith('b: ') && each.endsWith(String(4n * MiB))));
  const bad: [Record<string, string>, string][] = [
    [{ size: 'large' }, "'large'"],
    [{ size: '4M' }, "'4M'"],
    [{ sizes: '4Mi' }, "'sizes'"],
    [{ schedule: 'none', size: '4Mi' }, "schedule 'none'"],
  ];
  for (const [context, word] of bad) {
    const call = () => volumes.create('csi-x', context, nodeA, never);
    await refusedWithoutTrace(fixture, call, 'INVALID_ARGUMENT', word);
  }
  const node = nodeIdOf('33333333-3333-4333-8333-333333333333');
  for (const name of names) {
    await refused(volumes.remove(name, node, never), 'FAILED_PRECONDITION', nodeA);
    for (let twice = 0; twice < 2; twice += 1) await volumes.remove(name, nodeA, never);
  }
  const left = await fixture.contents();
  assert.deepEqual([left.volumes, left.grants], [[], []]);
});

test('endpoints: a call with many requests at once leaves no warning of Node’s and no listener', async () => {
  await using fixture = await ControllerFixture.open();
  const warnings: Error[] = [];
  const listen = (warning: Error): void => {
    warnings.push(warning);
  };
  process.on('warning', listen);
  try {
    const sourceVolumeIds: string[] = [];
    for (let index = 0; index < 40; index += 1) {
      const uuid = volumeUuid(`v${index}`);
      const body = { name: `v${index}`, sizeBytes: 4096, uuid };
      await fixture.client.call('createVolume', { body });
      sourceVolumeIds.push(uuid);
    }
    const { signal } = new AbortController();
    await fixture.ask('listVolumes', {}, signal);
    await fixture.askGroup('createVolumeGroupSnapshot', { name: 'g', sourceVolumeIds }, signal);
    // Warnings are told in a later turn.
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(warnings, []);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  } finally {
    process.off('warning', listen);
  }
});
