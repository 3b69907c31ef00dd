/** ControllerPublishVolume and ControllerUnpublishVolume: who has a volume, and who cannot. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { formatSecret, generateSecret } from '../../lib/auth/secret.js';
import { formatPsk, generatePsk } from '../../lib/tls/psk.js';
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
import { connectNode } from './node_io.js';

async function made(fixture: ControllerFixture, name = 'vol'): Promise<string> {
  const { volume } = await fixture.ask('createVolume', {
    name,
    capacityRange: { requiredBytes: 16n * MiB },
    volumeCapabilities: [writer],
  });
  assert.ok(volume);
  return volume.volumeId;
}

/** One that nobody listens on at this moment. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0));
    });
  });
}

test('publish: the context has all that a node needs, twice the same, and unpublish takes it', async () => {
  await using fixture = await ControllerFixture.open();
  const volumeId = await made(fixture);
  const request = { volumeId, nodeId: nodeA, volumeCapability: writer };
  const first = await fixture.ask('controllerPublishVolume', request);
  const { portals = '', ...rest } = first.publishContext;
  assert.match(portals, /^127\.0\.0\.1:[0-9]+$/);
  assert.deepEqual(rest, {
    subnqn: (await fixture.client.call('getVolume', { params: { volume: volumeId } })).subnqn,
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

test('publish: a node that lost the volume cannot write it when another has it', async () => {
  await using fixture = await ControllerFixture.open();
  const volumeId = await made(fixture);
  const publish = async (nodeId: string) => {
    const request = { volumeId, nodeId, volumeCapability: writer };
    return (await fixture.ask('controllerPublishVolume', request)).publishContext;
  };
  await using first = await connectNode(await publish(nodeA), nodeA);
  // Writes go on without a pause while the volume is taken away.
  let acknowledged = 0;
  let ended = false;
  const writing = (async () => {
    for (let count = 1; ; count += 1) {
      await first.namespace.write(0n, Buffer.alloc(4096, count % 251));
      acknowledged = count;
    }
  })().catch(() => {
    ended = true;
  });
  while (acknowledged < 10) await new Promise((resolve) => setImmediate(resolve));
  await fixture.ask('controllerUnpublishVolume', { volumeId, nodeId: nodeA });
  await using second = await connectNode(await publish(nodeB), nodeB);
  const read = () => second.namespace.read(0n, 4096);
  const before = await read();
  await writing;
  assert.ok(ended);
  assert.equal(before[0], acknowledged % 251, 'the last acknowledged write, and none after it');
  await assert.rejects(first.namespace.write(0n, Buffer.alloc(4096, 255)));
  assert.deepEqual(await read(), before);
});

test('publish: keys and PSK from secrets are set once, and rotated; a bad one leaves nothing', async () => {
  await using fixture = await ControllerFixture.open();
  const { client } = fixture;
  const volumeId = await made(fixture);
  const publish = (secrets: Record<string, string>) =>
    fixture.ask('controllerPublishVolume', {
      volumeId,
      nodeId: nodeA,
      volumeCapability: writer,
      secrets,
    });
  const before = await fixture.contents();
  const bad = ['hostKey', 'controllerKey', 'tlsPsk'];
  for (const name of bad) {
    const text = 'DHHC-1:this is no key';
    const error = await refused(publish({ [name]: text }), 'INVALID_ARGUMENT');
    assert.ok(!error.message.includes('this is no key'), error.message);
    assert.deepEqual(await fixture.contents(), before);
  }
  const hostKey = () => formatSecret(generateSecret('sha256'));
  const first = hostKey();
  const controllerKey = hostKey();
  for (let twice = 0; twice < 2; twice += 1) {
    const { publishContext } = await publish({ hostKey: first, controllerKey });
    assert.equal(publishContext['authenticate'], 'true');
  }
  assert.equal((await client.list('listHostKeys')).length, 2);
  // The third one takes the place of the oldest, so that a rotation never ends.
  for (const key of [hostKey(), hostKey(), hostKey()]) await publish({ hostKey: key });
  const roles = (await client.list('listHostKeys')).map(({ role }) => role).sort();
  assert.deepEqual(roles, ['controller', 'host', 'host']);
  const psks = Array.from({ length: 6 }, () => formatPsk(generatePsk('sha256')));
  for (const tlsPsk of psks) await publish({ tlsPsk });
  await publish({ tlsPsk: psks.at(-1) ?? '' });
  assert.equal((await client.list('listPsks')).length, 4);
});

test('publish: more volumes than a node may have: RESOURCE_EXHAUSTED', async () => {
  await using fixture = await ControllerFixture.open(1, { maxVolumesPerNode: 2 });
  const ids: string[] = [];
  for (const name of ['a', 'b', 'c']) ids.push(await made(fixture, name));
  const publish = (volumeId = '') =>
    fixture.ask('controllerPublishVolume', { volumeId, nodeId: nodeA, volumeCapability: writer });
  await publish(ids[0]);
  await publish(ids[1]);
  await publish(ids[1]);
  await refusedWithoutTrace(fixture, () => publish(ids[2]), 'RESOURCE_EXHAUSTED', '2 volumes');
  await fixture.ask('controllerUnpublishVolume', { volumeId: ids[0] ?? '', nodeId: nodeA });
  await publish(ids[2]);
});

test('publish: portals: configured ones as they are; drained ones and wildcards are not given out', async () => {
  await using fixture = await ControllerFixture.open();
  const { client } = fixture;
  const volumeId = await made(fixture);
  const request = { volumeId, nodeId: nodeA, volumeCapability: writer };
  const [settings] = fixture.settings;
  assert.ok(settings);
  const portals = ['10.0.0.5:4420', '[fd00::1]:4420'];
  await using configured = fixture.beside({ endpoints: [{ ...settings, portals }] });
  const { publishContext } = await configured.ask('controllerPublishVolume', request);
  assert.equal(publishContext['portals'], portals.join(','));
  await client.call('createPortal', { body: { address: '127.0.0.2', port: await freePort() } });
  await client.call('createPortal', {
    body: { address: '127.0.0.3', port: await freePort(), discoveryOnly: true },
  });
  const portalsNow = async () =>
    (await fixture.ask('controllerPublishVolume', request)).publishContext['portals'] ?? '';
  assert.match(await portalsNow(), /^127\.0\.0\.1:[0-9]+,127\.0\.0\.2:[0-9]+$/);
  const [first, second] = await client.list('listPortals');
  assert.ok(first !== undefined && second !== undefined);
  const params = { portal: first.endpoint };
  await client.call('drainPortal', { params });
  assert.equal(await portalsNow(), second.endpoint);
  const all = { address: '0.0.0.0', port: await freePort() };
  await client.call('createPortal', { body: all });
  await refused(
    fixture.ask('controllerPublishVolume', request),
    'FAILED_PRECONDITION',
    "'portals'",
  );
});

test('publish: TLS: required by the class, by the portals, or taken where there is a PSK', async () => {
  let tls: 'none' | 'allowed' | 'required' = 'none';
  await using fixture = await ControllerFixture.open(1, {
    wrap: (caller) => ({
      reachedBy: null,
      request: async (id, input, options) => {
        const answer = await caller.request(id, input, options);
        if (id !== 'listPortals') return answer;
        const { items } = answer.output as { items: object[] };
        const output = { items: items.map((item) => ({ ...item, tls })), next: null };
        return { ...answer, output: output as unknown as typeof answer.output };
      },
      close: () => caller.close(),
    }),
  });
  const create = (name: string, parameters: Record<string, string>) =>
    fixture.ask('createVolume', {
      name,
      capacityRange: { requiredBytes: MiB },
      volumeCapabilities: [writer],
      parameters,
    });
  const secure = { tls: 'required' };
  const noTls = () => create('x', secure);
  await refusedWithoutTrace(fixture, noTls, 'INVALID_ARGUMENT', 'no portal that takes TLS');
  tls = 'allowed';
  const { volume } = await create('x', secure);
  assert.equal(volume?.volumeContext['tls'], 'required');
  const plain = await made(fixture, 'plain');
  const publish = async (volumeId: string, volumeContext: object, tlsPsk = '') => {
    const { publishContext } = await fixture.ask('controllerPublishVolume', {
      volumeId,
      nodeId: nodeA,
      volumeCapability: writer,
      volumeContext: { ...volumeContext },
      secrets: { tlsPsk },
    });
    await fixture.ask('controllerUnpublishVolume', { volumeId });
    return publishContext['tls'];
  };
  assert.equal(await publish(plain, {}), 'none');
  const { volumeId, volumeContext } = volume;
  const missing = () => publish(volumeId, volumeContext);
  await refusedWithoutTrace(fixture, missing, 'INVALID_ARGUMENT', "'tlsPsk'");
  const psk = formatPsk(generatePsk('sha256'));
  assert.equal(await publish(volumeId, volumeContext, psk), 'required');
  // It is kept for the host, so the Secret is not needed again.
  assert.equal(await publish(volumeId, volumeContext), 'required');
  assert.equal(await publish(plain, {}, psk), 'required');
  tls = 'required';
  assert.equal(await publish(plain, {}), 'required');
  tls = 'none';
  await refused(publish(volumeId, volumeContext, psk), 'FAILED_PRECONDITION', 'TLS');
});
