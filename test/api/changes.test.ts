/** Entity tags, idempotency keys, tokens, quotas, and what is written down of changes. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { IdempotencyKeys, keptMs, maxKeys } from '../../lib/api/calls/idempotency.js';
import { ApiFixture, type RawAnswer } from './fixture.js';

const mib = 2 ** 20;
let api: ApiFixture;
before(async () => {
  api = await ApiFixture.open();
});
after(async () => {
  await api[Symbol.asyncDispose]();
});

function send(
  method: string,
  path: string,
  body: object | null,
  headers: Record<string, string> = {},
): Promise<RawAnswer> {
  const json = body === null ? {} : { 'content-type': 'application/json' };
  return api.raw({
    method,
    path,
    headers: { ...json, ...headers },
    ...(body === null ? {} : { body: JSON.stringify(body) }),
  });
}

const json = ({ body }: RawAnswer) => JSON.parse(body.toString());
const etag = ({ headers }: RawAnswer) => String(headers.etag);

test('ETag: a read with If-None-Match: 304 until the answer differs, in each encoding', async () => {
  await send('POST', '/v1/volumes', { name: 'tagged', sizeBytes: mib });
  const first = await send('GET', '/v1/volumes/tagged', null);
  const again = await send('GET', '/v1/volumes/tagged', null, { 'if-none-match': etag(first) });
  assert.equal(again.status, 304);
  assert.equal(again.body.length, 0);
  const msgpack = { accept: 'application/msgpack' };
  const other = await send('GET', '/v1/volumes/tagged', null, msgpack);
  assert.notEqual(etag(other), etag(first), 'other bytes, another strong tag');
  const list = await send('GET', '/v1/volumes', null);
  await send('PATCH', '/v1/volumes/tagged', { sizeBytes: 2 * mib });
  const changed = await send('GET', '/v1/volumes/tagged', null, { 'if-none-match': etag(first) });
  assert.equal(changed.status, 200);
  const listed = await send('GET', '/v1/volumes', null, { 'if-none-match': etag(list) });
  assert.equal(listed.status, 200);
});

test('If-Match: of many that change one object at once, one does; the others get 412', async () => {
  await send('POST', '/v1/volumes', { name: 'raced', sizeBytes: mib });
  const seen = await send('GET', '/v1/volumes/raced', null);
  const { uuid } = json(seen);
  const answers = await Promise.all(
    [2, 3, 4, 5, 6].map((size, index) =>
      // By name or by UUID, it is the same volume.
      send(
        'PATCH',
        `/v1/volumes/${index % 2 === 0 ? 'raced' : uuid}`,
        { sizeBytes: size * mib },
        {
          'if-match': etag(seen),
        },
      ),
    ),
  );
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [200, 412, 412, 412, 412]);
  const won = answers.find(({ status }) => status === 200);
  const now = await send('GET', '/v1/volumes/raced', null);
  assert.equal(json(now).sizeBytes, won === undefined ? 0 : json(won).sizeBytes);
  const lost = answers.find(({ status }) => status === 412);
  assert.equal(lost === undefined ? '' : json(lost).code, 'precondition-failed');
});

test('If-Match: deletes, weak tags, any, nonsense, and what is not there', async () => {
  await send('POST', '/v1/volumes', { name: 'matched', sizeBytes: mib });
  const seen = etag(await send('GET', '/v1/volumes/matched', null));
  const remove = (match: string, name = 'matched') =>
    send('DELETE', `/v1/volumes/${name}`, null, { 'if-match': match });
  assert.equal((await remove(`W/${seen}`)).status, 412);
  assert.equal((await remove('"other"')).status, 412);
  assert.equal((await remove('matched')).status, 400);
  assert.equal((await remove('*', 'missing')).status, 412);
  assert.equal((await remove(`"x", ${seen}`)).status, 204);
});

test('If-Match: what hosts write changes the tag, and not what If-Match looks at', async () => {
  await send('POST', '/v1/volumes', { name: 'busy', sizeBytes: mib });
  const seen = await send('GET', '/v1/volumes/busy', null);
  // The number of snapshots stands for everything that changes by itself.
  await send('POST', '/v1/snapshots', { volumes: ['busy'], name: 'one' });
  assert.notEqual(etag(await send('GET', '/v1/volumes/busy', null)), etag(seen));
  const body = { sizeBytes: 2 * mib };
  const changed = await send('PATCH', '/v1/volumes/busy', body, { 'if-match': etag(seen) });
  assert.equal(changed.status, 200);
});

test('Idempotency-Key: sent twice: done once, answered twice; another body: 422', async () => {
  const key = { 'idempotency-key': 'k-1' };
  const body = { name: 'once', sizeBytes: mib };
  const first = await send('POST', '/v1/volumes', body, key);
  const second = await send('POST', '/v1/volumes', body, key);
  assert.deepEqual([first.status, second.status], [201, 201]);
  assert.deepEqual(json(second), json(first));
  assert.equal(first.headers['idempotency-replayed'], undefined);
  assert.equal(second.headers['idempotency-replayed'], 'true');
  const other = await send('POST', '/v1/volumes', { ...body, sizeBytes: 2 * mib }, key);
  assert.equal(other.status, 422);
  assert.equal(json(other).code, 'key-reused');
  assert.equal((await send('DELETE', '/v1/volumes/once', null, key)).status, 422);
  assert.equal((await send('POST', '/v1/volumes', body, { 'idempotency-key': 'ö' })).status, 400);
});

test('Idempotency-Key: a refusal is not kept: the same key may try again', async () => {
  const key = { 'idempotency-key': 'k-2' };
  const body = { volumes: ['later'], name: 'one' };
  assert.equal((await send('POST', '/v1/snapshots', body, key)).status, 404);
  await send('POST', '/v1/volumes', { name: 'later', sizeBytes: mib });
  assert.equal((await send('POST', '/v1/snapshots', body, key)).status, 201);
});

test('Idempotency-Key: a secret is given once, and not again by its key', async () => {
  const key = { 'idempotency-key': 'k-3' };
  const body = { name: 'secretive', role: 'viewer' };
  const first = json(await send('POST', '/v1/tokens', body, key));
  const second = json(await send('POST', '/v1/tokens', body, key));
  assert.match(first.secret, /^ashlar_[\w-]{43}$/);
  assert.deepEqual(second, { ...first, secret: null });
});

test('idempotency keys: kept a day, at most so many, those of others are others', async () => {
  const a = { tenant: null, name: 'a', via: 'token' };
  const b = { tenant: 'blue', name: 'b', via: 'token' };
  let nowMs = 0;
  let done = 0;
  const keys = new IdempotencyKeys(() => nowMs);
  const work = async () => {
    done += 1;
    return { status: 200, output: { done } };
  };
  await keys.run(a, 'k', 1, work);
  await keys.run(b, 'k', 2, work);
  await keys.run(a, 'k', 1, work);
  assert.equal(done, 2);
  nowMs = keptMs + 1;
  await keys.run(a, 'k', 1, work);
  assert.equal(done, 3);
  for (let index = 0; index < maxKeys + 10; index += 1) await keys.run(a, `k${index}`, 1, work);
  assert.ok(keys.size <= maxKeys, `${keys.size}`);
  let finish: () => void = () => undefined;
  const slow = keys.run(a, 'slow', 1, async () => {
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return { status: 200, output: {} };
  });
  await assert.rejects(keys.run(a, 'slow', 1, work), { code: 'busy' });
  finish();
  await slow;
});

test('idempotency keys: a tenant that floods them forgets its own, and no other does', async () => {
  const keys = new IdempotencyKeys();
  const work = async () => ({ status: 200, output: {} });
  const owner = (tenant: string) => ({ tenant, name: 'ops', via: 'token' });
  await keys.run(owner('blue'), 'k', 1, work);
  await keys.run(owner('red'), 'k', 1, work);
  for (let at = 0; at < maxKeys; at += 1) await keys.run(owner('red'), `k${at}`, 1, work);
  assert.equal((await keys.run(owner('blue'), 'k', 1, work)).replayed, true);
  assert.equal((await keys.run(owner('red'), 'k', 1, work)).replayed, false);
});

test('tokens: wrong, expired, rotated and deleted ones: 401, and why', async () => {
  const { client } = api;
  const self = (secret: string) =>
    send('GET', '/v1/self', null, { authorization: `Bearer ${secret}` });
  const { secret } = await client.call('createToken', { body: { name: 'ops', role: 'viewer' } });
  const first = secret ?? '';
  const me = { name: 'ops', role: 'viewer', tenant: null, via: 'token' };
  assert.deepEqual(json(await self(first)), me);
  const wrong = await self(`${first}x`);
  assert.equal(wrong.status, 401);
  assert.equal(json(wrong).code, 'unauthenticated');
  assert.match(String(wrong.headers['www-authenticate']), /^Bearer/);
  assert.equal((await send('GET', '/v1/self', null, { authorization: 'Basic x' })).status, 401);

  const params = { token: 'ops' };
  const second = await client.call('rotateToken', { params, body: { graceSeconds: 60 } });
  assert.equal((await self(first)).status, 200, 'within the grace');
  assert.equal((await self(second.secret ?? '')).status, 200);
  await client.call('rotateToken', { params, body: {} });
  assert.equal((await self(first)).status, 401);
  assert.equal((await self(second.secret ?? '')).status, 401, 'no grace');

  const expiresAt = new Date(Date.now() + 300).toISOString();
  const short = await client.call('createToken', {
    body: { name: 'short', role: 'viewer', expiresAt },
  });
  while (Date.now() <= Date.parse(expiresAt)) await new Promise((done) => setTimeout(done, 20));
  const expired = await self(short.secret ?? '');
  assert.equal(expired.status, 401);
  assert.match(json(expired).detail, /token 'short' has expired at/);
  const past = { name: 'past', role: 'viewer', expiresAt: '2020-01-01T00:00:00Z' } as const;
  await assert.rejects(client.call('createToken', { body: past }), { code: 'invalid-argument' });
});

test('tokens: of a tenant: gone with it', async () => {
  const { client } = api;
  const query = { tenant: 'brief' };
  await client.call('createTenant', { body: { name: 'brief' } });
  const body = { name: 'own', role: 'tenant-admin' } as const;
  const { secret } = await client.call('createToken', { query, body });
  await client.call('deleteTenant', { params: { tenant: 'brief' } });
  const headers = { authorization: `Bearer ${secret}` };
  assert.equal((await send('GET', '/v1/self', null, headers)).status, 401);
  await client.call('createTenant', { body: { name: 'brief' } });
  assert.equal((await client.call('listTokens', { query })).items.length, 0);
});

test('quotas: capacity, volumes and snapshots: refused at the first that is over, groups whole', async () => {
  const { client } = api;
  const query = { tenant: 'tight' };
  const quota = { capacityBytes: 4 * mib, volumes: 3, snapshots: 3 };
  await client.call('createTenant', { body: { name: 'tight', quota } });
  const create = (name: string, sizeBytes: number) =>
    client.call('createVolume', { query, body: { name, sizeBytes } });
  await create('a', mib);
  await create('b', mib);
  const over = { code: 'limit-exceeded' };
  await assert.rejects(create('c', 3 * mib), { ...over, message: /2MiB is left/ });
  await create('c', mib);
  await assert.rejects(create('d', mib), { ...over, message: /may have 3 volumes/ });
  const grow = (sizeBytes: number) =>
    client.call('changeVolume', { params: { volume: 'a' }, query, body: { sizeBytes } });
  await assert.rejects(grow(3 * mib), over);
  await grow(2 * mib);
  const snap = (volumes: string[], name: string) =>
    client.call('createSnapshots', { query, body: { volumes, name } });
  await snap(['a', 'b'], 'one');
  await assert.rejects(snap(['a', 'b'], 'two'), over);
  await snap(['a'], 'two');
  const tenant = await client.call('changeTenant', {
    params: { tenant: 'tight' },
    body: { quota: { capacityBytes: null, volumes: 1, iops: 1000 } },
  });
  assert.equal(tenant.provisionedBytes, 4 * mib);
  assert.deepEqual(tenant.quota, {
    capacityBytes: null,
    volumes: 1,
    snapshots: 3,
    iops: 1000,
    bytesPerSecond: null,
  });
  await grow(100 * mib);
});

test('audit: every change with who, what, before and after; no secrets', async () => {
  await send('POST', '/v1/volumes', { name: 'audited', sizeBytes: mib });
  await send('PATCH', '/v1/volumes/audited', { sizeBytes: 2 * mib });
  await send('DELETE', '/v1/volumes/none', null);
  await send('DELETE', '/v1/volumes/audited', null);
  const host = 'nqn.2026-01.test:audited';
  await send('POST', '/v1/hosts', { nqn: host });
  const key = json(await send('POST', `/v1/hosts/${host}/keys`, {}));
  const psk = 'NVMeTLSkey-1:00:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dyVhg6h:';
  await send('POST', '/v1/psks', { host, psk });
  const text = fs.readFileSync(api.folder.file('audit.log'), 'utf8');
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const of = (what: string) => lines.filter((line) => line.what === what).at(-1);
  const grown = of('changeVolume');
  assert.deepEqual(grown.who, {
    name: 'local',
    role: 'admin',
    tenant: null,
    via: 'socket',
    peer: null,
  });
  assert.deepEqual([grown.before.sizeBytes, grown.after.sizeBytes], [mib, 2 * mib]);
  assert.deepEqual(grown.request, { sizeBytes: 2 * mib });
  const [refused, deleted] = lines.filter((line) => line.what === 'deleteVolume').slice(-2);
  assert.equal(refused.outcome, 'not-found');
  assert.deepEqual([deleted.before.name, deleted.after], ['audited', null]);
  assert.ok(key.secret.length > 20);
  assert.ok(!text.includes(key.secret) && !text.includes(psk) && !text.includes('ashlar_'));
  assert.equal(fs.statSync(api.folder.file('audit.log')).mode & 0o777, 0o600);
});

test('grants: one that wants the volume alone: of two at once one gets it, the other is told who', async () => {
  await using api = await ApiFixture.open();
  const { client } = api;
  await client.call('createVolume', { body: { name: 'web', sizeBytes: 1 << 20 } });
  const [first, second] = ['nqn.2014-08.org.example:one', 'nqn.2014-08.org.example:two'];
  const grant = (host: string, alone?: 'host' | 'writer', access?: 'read-only') =>
    client.call('createGrant', {
      body: { volume: 'web', host, ...(alone && { alone }), ...(access && { access }) },
    });
  const outcomes = await Promise.allSettled([grant(first, 'host'), grant(second, 'host')]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  await assert.rejects(grant(second, 'writer'), { code: 'busy', message: new RegExp(first) });
  assert.equal((await grant(second, undefined, 'read-only')).access, 'read-only');
  await client.call('deleteGrant', { params: { volume: 'web', host: first } });
  assert.equal((await grant(first, 'writer')).access, 'read-write');
});

test('snapshots: identities as given, a group of one, and whose they are after its deletion', async () => {
  await using api = await ApiFixture.open();
  const { client } = api;
  const { uuid: sourceUuid } = await client.call('createVolume', {
    body: { name: 'web', sizeBytes: 1 << 20 },
  });
  const uuids = ['7d1f1c3e-58f5-4f43-9f6f-0a4b8f0f2b11'];
  const groupUuid = 'bb1f1c3e-58f5-4f43-9f6f-0a4b8f0f2b13';
  const body = { volumes: ['web'], name: 'noon', uuids, groupUuid };
  const take = (more: object = {}) =>
    client.call('createSnapshots', { query: { repeatable: 'true' }, body: { ...body, ...more } });
  const made = await take();
  assert.deepEqual(
    made.items.map((each) => [each.uuid, each.groupUuid, each.sourceUuid]),
    [[uuids[0], groupUuid, sourceUuid]],
  );
  assert.deepEqual(await take(), made);
  const other = 'cc1f1c3e-58f5-4f43-9f6f-0a4b8f0f2b14';
  await assert.rejects(take({ uuids: [other] }), { code: 'already-exists' });
  await assert.rejects(take({ groupUuid: other }), { code: 'already-exists' });
  await assert.rejects(take({ name: 'dusk' }), { code: 'already-exists' });
  await assert.rejects(take({ uuids: [...uuids, other] }), { code: 'invalid-argument' });
  const group = await client.call('getGroup', { params: { group: groupUuid } });
  assert.deepEqual([group.snapshots, group.snapshotUuids], [['web@noon'], uuids]);
  await client.call('deleteVolume', { params: { volume: 'web' } });
  const left = await client.list('listSnapshots', { volume: sourceUuid });
  assert.deepEqual(
    left.map((each) => [each.uuid, each.volumeUuid, each.sourceUuid]),
    [[uuids[0], null, sourceUuid]],
  );
});
