import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { ApiClient } from '../../lib/api/client.js';
import { decode, encode } from '../../lib/api/codec.js';
import { problemOf } from '../../lib/api/problem.js';
import { AshlarError, errorCodes } from '../../lib/errors.js';
import { ApiFixture, departures } from './fixture.js';

const gib = 2 ** 30;
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-000000000001';

let api: ApiFixture;
before(async () => {
  api = await ApiFixture.open();
});
after(async () => {
  await api[Symbol.asyncDispose]();
});

test('api: a volume created, listed, shown, grown, renamed and deleted', async () => {
  const { client } = api;
  const created = await client.call('createVolume', {
    body: { name: 'life', sizeBytes: gib, blockBytes: 512, hosts: ['*'] },
  });
  assert.deepEqual(departures('createVolume', created), []);
  assert.equal(created.sizeBytes, gib);
  assert.equal(created.blockBytes, 512);
  assert.deepEqual(
    created.grants.map(({ host }) => host),
    ['*'],
  );

  const listed = await client.list('listVolumes');
  assert.deepEqual(
    listed.find(({ name }) => name === 'life'),
    created,
  );
  assert.deepEqual(await client.call('getVolume', { params: { volume: created.uuid } }), created);

  const grown = await client.call('changeVolume', {
    params: { volume: 'life' },
    body: { sizeBytes: 2 * gib, name: 'life.2' },
  });
  assert.deepEqual(departures('changeVolume', grown), []);
  assert.deepEqual(
    { ...created, sizeBytes: 2 * gib, name: 'life.2', grants: [] },
    { ...grown, grants: [] },
  );

  await client.call('deleteVolume', { params: { volume: 'life.2' } });
  await assert.rejects(client.call('getVolume', { params: { volume: 'life.2' } }), {
    code: 'not-found',
  });
});

test('api: snapshots taken, paged, cloned, granted, rolled back to and deleted', async () => {
  const { client } = api;
  for (const name of ['s1', 's2']) {
    await client.call('createVolume', { body: { name, sizeBytes: gib } });
  }
  const body = { volumes: ['s1', 's2'], name: 'noon' };
  const made = await client.call('createSnapshots', { body });
  assert.deepEqual(departures('createSnapshots', made), []);
  assert.deepEqual(
    made.items.map(({ reference }) => reference),
    ['s1@noon', 's2@noon'],
  );
  assert.equal(made.items[0]?.groupUuid, made.items[1]?.groupUuid);
  await assert.rejects(client.call('createSnapshots', { body }), { code: 'already-exists' });
  const query = { repeatable: 'true' } as const;
  assert.deepEqual(await client.call('createSnapshots', { body, query }), made);

  const first = await client.call('listSnapshots', { query: { limit: '1' } });
  assert.deepEqual(departures('listSnapshots', first), []);
  assert.equal(first.items.length, 1);
  assert.deepEqual(await client.list('listSnapshots', { limit: '1' }), made.items);
  assert.equal((await client.list('listSnapshots', { volume: 's2' })).length, 1);

  const params = { snapshot: 's1@noon' };
  assert.deepEqual(await client.call('getSnapshot', { params }), made.items[0]);
  const clone = await client.call('cloneVolume', {
    body: { source: 's1@noon', name: 's3', sizeBytes: 2 * gib },
  });
  assert.deepEqual(departures('cloneVolume', clone), []);
  assert.equal(clone.sourceUuid, made.items[0]?.uuid);

  const grant = await client.call('createGrant', { body: { volume: 's1@noon', host: hostnqn } });
  assert.deepEqual(departures('createGrant', grant), []);
  assert.deepEqual([grant.volume, grant.snapshot, grant.access], ['s1', 'noon', 'read-only']);
  assert.deepEqual(await client.list('listGrants'), [grant]);
  await client.call('deleteGrant', { params: { volume: 's1@noon', host: hostnqn } });
  await client.call('deleteHost', { params: { host: hostnqn } });

  const back = await client.call('rollbackSnapshot', { params });
  assert.deepEqual(departures('rollbackSnapshot', back), []);
  assert.equal(back.snapshots, 1);
  for (const volume of ['s1', 's2', 's3'])
    await client.call('deleteVolume', { params: { volume } });
  assert.equal((await client.call('getSnapshot', { params })).volumeUuid, null);
  for (const snapshot of ['s1@noon', 's2@noon']) {
    await client.call('deleteSnapshot', { params: { snapshot }, query: { force: 'true' } });
  }
  await client.call('deleteSnapshot', { params, query });
  await assert.rejects(client.call('deleteSnapshot', { params }), { code: 'not-found' });
});

test('api: wrong snapshot calls: the field and what it must be', async () => {
  const { client } = api;
  const create = (volumes: string[], name: string) =>
    client.call('createSnapshots', { body: { volumes, name } });
  await assert.rejects(create([], 'x'), { code: 'invalid-argument', message: /'volumes'/ });
  await assert.rejects(create(['none'], 'x'), { code: 'not-found' });
  await assert.rejects(client.call('listSnapshots', { query: { cursor: '!' } }), {
    code: 'invalid-argument',
    message: /start again/,
  });
  const params = { snapshot: 'none' };
  await assert.rejects(client.call('getSnapshot', { params }), { code: 'invalid-argument' });
});

test('api: devices of a pool', async () => {
  const { client } = api;
  const [pool] = await client.list('listPools');
  assert.ok(pool !== undefined);
  const params = { pool: pool.uuid };
  const listed = await client.call('listDevices', { params });
  assert.deepEqual(departures('listDevices', listed), []);
  assert.deepEqual(listed.items, pool.devices);
  assert.deepEqual(
    listed.items.map(({ index, state, path }) => [index, state, path]),
    [[0, 'online', null]],
  );
  const relative = client.call('addDevice', { params, body: { path: 'more' } });
  await assert.rejects(relative, { code: 'invalid-argument', message: /not absolute/ });
});

test('api: grants given, listed and taken; hosts appear with the first one', async () => {
  const { client } = api;
  await client.call('createVolume', { body: { name: 'shared', sizeBytes: gib } });
  const grant = await client.call('createGrant', {
    body: { volume: 'shared', host: hostnqn, access: 'read-only' },
  });
  assert.deepEqual(departures('createGrant', grant), []);
  assert.equal(grant.access, 'read-only');
  assert.deepEqual(await client.list('listGrants'), [grant]);
  const hosts = await client.list('listHosts');
  assert.deepEqual(
    hosts.map(({ nqn, volumes }) => [nqn, volumes]),
    [[hostnqn, ['shared']]],
  );

  await client.call('deleteGrant', { params: { volume: 'shared', host: hostnqn } });
  assert.deepEqual(await client.list('listGrants'), []);
  await assert.rejects(
    client.call('deleteGrant', { params: { volume: 'shared', host: hostnqn } }),
    { code: 'not-found' },
  );
  await client.call('deleteHost', { params: { host: hostnqn } });
  assert.deepEqual(await client.list('listHosts'), []);
  await client.call('deleteVolume', { params: { volume: 'shared' } });
});

test('api: every read answers as its schema says', async () => {
  const { client } = api;
  const [pool] = await client.list('listPools');
  assert.ok(pool);
  const params = { pool: pool.uuid };
  assert.deepEqual(departures('getStatus', await client.call('getStatus', {})), []);
  assert.deepEqual(departures('listPools', await client.call('listPools', {})), []);
  assert.deepEqual(departures('getPool', await client.call('getPool', { params })), []);
  assert.deepEqual(departures('checkPool', await client.call('checkPool', { params })), []);
  assert.deepEqual(departures('listTenants', await client.call('listTenants', {})), []);
  assert.deepEqual(departures('listVolumes', await client.call('listVolumes', {})), []);
  assert.deepEqual(departures('listHosts', await client.call('listHosts', {})), []);
  assert.deepEqual(departures('listGrants', await client.call('listGrants', {})), []);
  assert.deepEqual(departures('listPortals', await client.call('listPortals', {})), []);
  assert.deepEqual(departures('listControllers', await client.call('listControllers', {})), []);
});

test('api: a pool by name, by UUID, and one that is not there', async () => {
  const { client } = api;
  const byName = await client.call('getPool', { params: { pool: 'memory' } });
  assert.equal(byName.device.path, null);
  const byUuid = await client.call('getPool', { params: { pool: byName.uuid } });
  assert.equal(byUuid.uuid, byName.uuid);
  const check = await client.call('checkPool', { params: { pool: 'memory' } });
  assert.equal(check.clean, true);
  await assert.rejects(client.call('getPool', { params: { pool: 'other' } }), {
    code: 'not-found',
  });
});

test('api: MessagePack and JSON: the same operations, the same answers', async () => {
  const binary = new ApiClient({ socket: api.socket, encoding: 'msgpack' });
  try {
    const created = await binary.call('createVolume', { body: { name: 'mp', sizeBytes: gib } });
    assert.deepEqual(created, await api.client.call('getVolume', { params: { volume: 'mp' } }));
    assert.deepEqual(await binary.list('listVolumes'), await api.client.list('listVolumes'));
    await assert.rejects(
      binary.call('createVolume', { body: { name: 'mp', sizeBytes: gib } }),
      (error: unknown) => error instanceof AshlarError && error.code === 'already-exists',
    );
    await binary.call('deleteVolume', { params: { volume: 'mp' } });
  } finally {
    await binary.close();
  }
});

test('api: a repeat marked as repeatable: the same answer; unmarked: a conflict', async () => {
  const { client } = api;
  const input = { body: { name: 'again', sizeBytes: gib } };
  const first = await client.call('createVolume', input);
  const query = { repeatable: 'true' } as const;
  const second = await client.call('createVolume', { ...input, query });
  assert.equal(second.uuid, first.uuid);
  await assert.rejects(client.call('createVolume', input), { code: 'already-exists' });
  const params = { volume: 'again' };
  await client.call('deleteVolume', { params });
  await client.call('deleteVolume', { params, query });
  await assert.rejects(client.call('deleteVolume', { params }), { code: 'not-found' });
});

test('api: a list in pages: each thing once, though others come and go between', async () => {
  const { client } = api;
  for (const name of ['p1', 'p2', 'p3', 'p4']) {
    await client.call('createVolume', { body: { name, sizeBytes: gib } });
  }
  const first = await client.call('listVolumes', { query: { limit: '2' } });
  assert.deepEqual(
    first.items.map(({ name }) => name),
    ['p1', 'p2'],
  );
  assert.ok(first.next !== null);
  await client.call('deleteVolume', { params: { volume: 'p2' } });
  const second = await client.call('listVolumes', { query: { limit: '2', cursor: first.next } });
  assert.deepEqual(
    second.items.map(({ name }) => name),
    ['p3', 'p4'],
  );
  assert.equal(second.next, null);
  for (const volume of ['p1', 'p3', 'p4'])
    await client.call('deleteVolume', { params: { volume } });
});

test('api: bad input: a problem document with the code, the field and what it must be', async () => {
  const table: [body: unknown, code: string, detail: RegExp][] = [
    [
      { name: 'a' },
      'invalid-argument',
      /^body: 'sizeBytes' is missing; give a size in whole bytes$/,
    ],
    [
      { name: 'a', sizeBytes: '1GiB' },
      'invalid-argument',
      /'sizeBytes' must be a size in whole bytes, not '1GiB'/,
    ],
    [{ name: 'a', sizeBytes: 1.5 }, 'invalid-argument', /'sizeBytes' must be/],
    [{ name: 'a', sizeBytes: 2 ** 60 }, 'invalid-argument', /'sizeBytes' must be/],
    [
      { name: 'a', sizeByte: gib },
      'invalid-argument',
      /'sizeByte' is not known; did you mean 'sizeBytes'\?; also wrong: 'sizeBytes'$/,
    ],
    [
      { name: 'a', sizeBytes: gib, color: 'red' },
      'invalid-argument',
      /'color' is not known; known here: name, sizeBytes/,
    ],
    [{ name: '', sizeBytes: gib }, 'invalid-argument', /'name' must be a name, not ''/],
    [{ name: 'a b', sizeBytes: gib }, 'invalid-argument', /a b/],
    [
      { name: 'a', sizeBytes: gib, blockBytes: 1024 },
      'invalid-argument',
      /'blockBytes' must be one of 512, 4096, not 1024/,
    ],
    [{ name: 'a', sizeBytes: 0 }, 'invalid-argument', /0 bytes/],
    [{ name: 'a', sizeBytes: 4097 }, 'invalid-argument', /4097/],
    [{ name: 'a', sizeBytes: 64 * 2 ** 40 + 4096 }, 'limit-exceeded', /64TiB/],
    [[], 'invalid-argument', /^body: /],
    ['x', 'invalid-argument', /^body: /],
  ];
  for (const encoding of ['json', 'msgpack'] as const) {
    for (const [body, code, detail] of table) {
      const answer = await api.send('POST', '/v1/volumes', body, encoding);
      const problem = problemIn(answer.body, encoding);
      assert.equal(problem.code, code, problem.detail);
      assert.equal(problem.status, answer.status);
      assert.match(problem.detail, detail);
      assert.ok(!problem.detail.includes('\n'));
    }
  }
  assert.deepEqual(await api.client.list('listVolumes'), [], 'nothing was changed');
});

interface ProblemBody {
  code: string;
  status: number;
  detail: string;
  type: string;
  title: string;
}

function problemIn(body: Buffer, encoding: 'json' | 'msgpack' = 'json'): ProblemBody {
  return decode(body, encoding) as ProblemBody;
}

test('api: malformed bodies, unknown media, unknown routes: refused as documented', async () => {
  const json = { 'content-type': 'application/json' };
  const table: [request: Parameters<ApiFixture['raw']>[0], status: number, code: string][] = [
    [
      { method: 'POST', path: '/v1/volumes', headers: json, body: '{"name":' },
      400,
      'invalid-argument',
    ],
    [
      { method: 'POST', path: '/v1/volumes', headers: json, body: '{"__proto__":{}}' },
      400,
      'invalid-argument',
    ],
    [
      {
        method: 'POST',
        path: '/v1/volumes',
        headers: { 'content-type': 'application/msgpack' },
        body: Buffer.from([0xde]),
      },
      400,
      'invalid-argument',
    ],
    [
      {
        method: 'POST',
        path: '/v1/volumes',
        headers: { 'content-type': 'application/xml' },
        body: '<a/>',
      },
      415,
      'invalid-argument',
    ],
    [{ method: 'POST', path: '/v1/volumes' }, 400, 'invalid-argument'],
    [{ method: 'GET', path: '/v1/nothing' }, 404, 'not-found'],
    [{ method: 'PUT', path: '/v1/volumes' }, 405, 'usage'],
    [{ method: 'DELETE', path: '/v1/status' }, 405, 'usage'],
    [{ method: 'GET', path: '/v1/volumes?limit=0' }, 400, 'invalid-argument'],
    [{ method: 'GET', path: '/v1/volumes?lim=1' }, 400, 'invalid-argument'],
    [{ method: 'GET', path: '/v1/volumes?cursor=%3F%3F' }, 400, 'invalid-argument'],
    [{ method: 'GET', path: '/v1/volumes/%ff' }, 400, 'invalid-argument'],
    [
      { method: 'PATCH', path: '/v1/volumes/x', headers: json, body: '{}' },
      400,
      'invalid-argument',
    ],
  ];
  for (const [request, status, code] of table) {
    const answer = await api.raw(request);
    const what = `${request.method} ${request.path} ${answer.body}`;
    assert.equal(answer.status, status, what);
    assert.equal(answer.headers['content-type'], 'application/problem+json', what);
    assert.equal(problemIn(answer.body).code, code, what);
  }
});

test('api: a body over 1 MiB: 413, and the daemon stays well', async () => {
  const body = JSON.stringify({ name: 'x'.repeat(2 << 20), sizeBytes: gib });
  const answer = await api.raw({
    method: 'POST',
    path: '/v1/volumes',
    headers: { 'content-type': 'application/json' },
    body,
  });
  assert.equal(answer.status, 413);
  assert.equal(problemIn(answer.body).code, 'limit-exceeded');
  assert.equal((await api.client.call('getStatus', {})).state, 'serving');
});

test('api: bytes that are no HTTP: a problem document, then the end', async () => {
  const socket = net.connect(api.server.socket);
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.write('\x16\x03\x01 what\r\n\r\n');
  await once(socket, 'close');
  const answer = Buffer.concat(pieces).toString();
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.match(answer, /"code":"invalid-argument"/);
});

test('api: deeply nested MessagePack: refused, and the daemon stays well', async () => {
  const deep = Buffer.alloc(1_000_000, 0x91);
  const answer = await api.raw({
    method: 'POST',
    path: '/v1/volumes',
    headers: { 'content-type': 'application/msgpack' },
    body: deep,
  });
  assert.equal(answer.status, 400);
  assert.equal((await api.client.call('getStatus', {})).state, 'serving');
});

test('api: many callers at once creating one name: one succeeds, the others conflict', async () => {
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, async () => {
      await using client = new ApiClient({ socket: api.socket });
      return await client.call('createVolume', { body: { name: 'race', sizeBytes: gib } });
    }),
  );
  const won = outcomes.filter(({ status }) => status === 'fulfilled');
  assert.equal(won.length, 1);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'already-exists');
  }
  await api.client.call('deleteVolume', { params: { volume: 'race' } });
});

test('problems: every code has a status and a title', () => {
  for (const code of errorCodes) {
    const problem = problemOf(new AshlarError(code, 'what happened'));
    assert.ok(problem.status >= 400 && problem.status < 600, code);
    assert.ok(problem.title.length > 0 && !problem.title.endsWith('.'), code);
    assert.equal(problem.code, code);
  }
});

test('codec: what was encoded: decoded to the same in both encodings', () => {
  const value = { a: 1, b: [true, null, 'ä'], c: { d: 2 ** 46 } };
  assert.deepEqual(decode(encode(value, 'json'), 'json'), value);
  assert.deepEqual(decode(encode(value, 'msgpack'), 'msgpack'), value);
});
