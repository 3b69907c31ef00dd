/**
 * What each role may, and that a tenant's token neither sees nor counts what is another's: every
 * operation of the table in operations.ts is called with every kind of token.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Operation, operationIds, operations } from '../../lib/api/operations.js';
import { transfers } from '../../lib/api/transfer_names.js';
import { ApiFixture } from './fixture.js';

const mib = 2 ** 20;
const host = 'nqn.2026-01.test:blue';
const all: Readonly<Record<string, Operation>> = { ...operations, ...transfers };

/** Words that only objects of tenant blue have in their names. */
const blueWords = /blue|cobalt/;

/** Path parameters that name objects of tenant blue; filled in by its making. */
const blue: Record<string, string> = {
  tenant: 'blue',
  volume: 'cobalt',
  snapshot: 'cobalt@noon',
  schedule: 'cobalt-nightly',
  host,
  referral: '192.0.2.7',
  portal: '1',
  pool: 'memory',
  device: '0',
  token: 'cobalt-viewer',
  policy: 'bronze',
};

/** Bodies that would succeed for one who may. */
const bodies: Readonly<Record<string, object>> = {
  createTenant: { name: 'green' },
  createPolicy: { name: 'copper' },
  changePolicy: { weight: 200 },
  changeTenant: { quota: { volumes: 9 } },
  createVolume: { name: 'ruby', sizeBytes: mib },
  changeVolume: { sizeBytes: 2 * mib },
  cloneVolume: { source: 'cobalt', name: 'ruby2' },
  createSnapshots: { volumes: ['cobalt'], name: 'dusk' },
  createSchedule: { name: 'n2', cron: '0 3 29 2 *', volumes: ['cobalt'], keep: { last: 1 } },
  changeSchedule: { enabled: false },
  createHost: { nqn: 'nqn.2026-01.test:other' },
  createGrant: { volume: 'cobalt', host },
  createHostKey: {},
  createPsk: { host },
  createPortal: { address: '127.0.0.1', port: 1 },
  setAna: { state: 'optimized' },
  addDevice: { path: '/nowhere' },
  attachDevice: { path: '/nowhere' },
  createReferral: { address: '192.0.2.8' },
  createToken: { name: 't2', role: 'viewer' },
  rotateToken: {},
};

const secrets: Record<string, string> = {};
let api: ApiFixture;

before(async () => {
  api = await ApiFixture.open();
  const { client } = api;
  for (const name of ['blue', 'red']) await client.call('createTenant', { body: { name } });
  await client.call('createPolicy', { body: { name: 'bronze', offered: true } });
  const query = { tenant: 'blue' };
  for (const name of ['cobalt', 'cobalt-b']) {
    await client.call('createVolume', { query, body: { name, sizeBytes: mib } });
  }
  const taken = await client.call('createSnapshots', {
    query,
    body: { volumes: ['cobalt', 'cobalt-b'], name: 'noon' },
  });
  blue.group = taken.items[0]?.groupUuid ?? '';
  const schedule = { name: 'cobalt-nightly', cron: '0 3 29 2 *', volumes: ['cobalt'] };
  await client.call('createSchedule', { query, body: { ...schedule, keep: { last: 1 } } });
  await client.call('createGrant', { query, body: { volume: 'cobalt', host } });
  const { key } = await client.call('createHostKey', { params: { host }, query, body: {} });
  blue.fingerprint = key.fingerprint;
  await client.call('createPsk', { query, body: { host } });
  const events = await client.call('listEvents', { query });
  blue.event = events.items[0]?.id ?? '';
  const job = {
    kind: 'export',
    title: 'export cobalt@noon',
    owner: 'x',
    cancellable: false,
  } as const;
  const open = api.node.jobs.open({ ...job, tenant: 'blue' });
  blue.job = open.id;
  open.succeed(null);
  const make = async (name: string, role: 'admin' | 'tenant-admin' | 'viewer', tenant?: string) => {
    const of = tenant === undefined ? {} : { query: { tenant } };
    const made = await client.call('createToken', { ...of, body: { name, role } });
    secrets[name] = made.secret ?? '';
  };
  await make('admin', 'admin');
  await make('viewer', 'viewer');
  await make('cobalt-admin', 'tenant-admin', 'blue');
  await make('cobalt-viewer', 'viewer', 'blue');
  await make('red-admin', 'tenant-admin', 'red');
  await make('red-viewer', 'viewer', 'red');
});
after(async () => {
  await api[Symbol.asyncDispose]();
});

/** Calls an operation on the objects of tenant blue. */
async function call(id: string, token: string, query = '') {
  const { method, path } = all[id] ?? assert.fail(id);
  const url = path.replaceAll(/:([a-z]+)/gi, (_, name: string) =>
    encodeURIComponent(blue[name] ?? assert.fail(`${id}: ${name}`)),
  );
  const body = bodies[id];
  const json = body === undefined ? {} : { 'content-type': 'application/json' };
  const answer = await api.raw({
    method,
    path: `${url}${query}`,
    headers: { authorization: `Bearer ${secrets[token]}`, ...json },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: answer.body.toString() };
}

const ids = [...operationIds, ...Object.keys(transfers)];
const reads = ids.filter((id) => all[id]?.method === 'GET' && all[id]?.data !== true);
const changes = ids.filter((id) => !reads.includes(id));

describe("another tenant's token", () => {
  for (const id of ids.filter((each) => all[each]?.scope === 'tenant')) {
    test(`${id}: nothing of blue is seen, counted or changed`, async () => {
      for (const token of ['red-admin', 'red-viewer']) {
        for (const query of ['', '?tenant=blue', '?tenant=red', '?tenant=default']) {
          const { status, body } = await call(id, token, query);
          const what = `${token} ${id}${query}: ${status} ${body}`;
          // A path of one's own asking is repeated to the asker; what is found there is not.
          const { detail: _, ...rest } = JSON.parse(body || '{}');
          const said = status >= 400 ? JSON.stringify(rest) : body;
          assert.doesNotMatch(said, blueWords, what);
          if (status >= 400) assert.notEqual(JSON.parse(body).code, 'internal', what);
          if (query === '?tenant=blue' && !body.includes('is not known')) {
            assert.ok([403, 404].includes(status), what);
          }
        }
      }
      const missing = await call(id, 'red-admin');
      const path = all[id]?.path ?? '';
      // Whatever has a parameter of blue's in its path is not there.
      // (An import of no stream is refused before it is looked for.)
      if (path.includes(':') && id !== 'importVolume')
        assert.equal(missing.status, 404, `${id}: ${missing.body}`);
    });
  }

  test('lists: the same as an admin sees of red alone, and all of it is red’s', async () => {
    for (const id of ids.filter((each) => /^list/.test(each) && all[each]?.scope === 'tenant')) {
      if (id === 'listRanges') continue;
      const own = await call(id, 'red-admin');
      const seen = await call(id, 'admin', '?tenant=red');
      assert.equal(own.status, 200, `${id}: ${own.body}`);
      const timeless = (body: string) => body.replaceAll(/"atMs":[\d.]+/g, '"atMs":0');
      assert.equal(timeless(own.body), timeless(seen.body));
      for (const item of JSON.parse(own.body).items) {
        if ('tenant' in item) assert.equal(item.tenant, 'red');
      }
    }
  });

  test('a UUID of blue is as unknown as one that nobody has', async () => {
    const { client } = api;
    const volume = await client.call('getVolume', {
      params: { volume: 'cobalt' },
      query: { tenant: 'blue' },
    });
    const get = (uuid: string) =>
      api.raw({
        method: 'GET',
        path: `/v1/volumes/${uuid}`,
        headers: { authorization: `Bearer ${secrets['red-admin']}` },
      });
    const [theirs, nobodys] = [
      await get(volume.uuid),
      await get('00000000-0000-4000-8000-00000000abcd'),
    ];
    const same = (body: Buffer) => body.toString().replaceAll(/[0-9a-f-]{36}/g, 'UUID');
    assert.equal(theirs.status, 404);
    assert.equal(same(theirs.body), same(nobodys.body));
  });
});

test('what is the node’s: no token of a tenant may, and no viewer may change it', async () => {
  for (const id of ids.filter((each) => all[each]?.scope === 'node')) {
    for (const token of ['cobalt-admin', 'cobalt-viewer', 'red-admin']) {
      const { status, body } = await call(id, token);
      assert.equal(status, 403, `${token} ${id}: ${body}`);
      assert.equal(JSON.parse(body).code, 'permission-denied');
    }
    const { status, body } = await call(id, 'viewer');
    if (changes.includes(id)) assert.equal(status, 403, `viewer ${id}: ${body}`);
    else assert.notEqual(status, 403, `viewer ${id}: ${body}`);
  }
});

test('what is shared: every token reads it, only an admin of the node changes it', async () => {
  for (const id of ids.filter((each) => all[each]?.scope === 'shared')) {
    for (const token of ['cobalt-admin', 'cobalt-viewer', 'viewer']) {
      const { status, body } = await call(id, token);
      assert.equal(status, reads.includes(id) ? 200 : 403, `${token} ${id}: ${body}`);
    }
  }
});

test('viewers: no operation that changes something, or reads what is in volumes', async () => {
  // What is of whoever calls is for everyone.
  for (const id of changes.filter((each) => all[each]?.scope !== 'self')) {
    for (const token of ['viewer', 'cobalt-viewer', 'red-viewer']) {
      const { status, body } = await call(id, token);
      assert.equal(status, 403, `${token} ${id}: ${body}`);
    }
  }
});

test('viewers read what is theirs to see', async () => {
  for (const id of reads.filter((each) => all[each]?.scope === 'tenant')) {
    // No reservation, no unfinished import.
    if (id === 'getReservation' || id === 'getImport') continue;
    const { status, body } = await call(id, 'cobalt-viewer');
    assert.equal(status, 200, `${id}: ${body}`);
  }
});

test('a tenant admin: makes, changes and deletes in its tenant without naming it', async () => {
  for (const id of [
    'createVolume',
    'changeVolume',
    'cloneVolume',
    'createSnapshots',
    'createToken',
  ]) {
    const { status, body } = await call(id, 'cobalt-admin');
    assert.ok(status < 300, `${id}: ${body}`);
    const made = JSON.parse(body);
    const { tenant } = made.token ?? made.items?.[0] ?? made;
    assert.equal(tenant, 'blue', id);
  }
});

test('a tenant admin makes no admin, and no token of another tenant', async () => {
  const send = (query: string, role: string) =>
    api.raw({
      method: 'POST',
      path: `/v1/tokens${query}`,
      headers: {
        authorization: `Bearer ${secrets['cobalt-admin']}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ name: 'more', role }),
    });
  assert.equal((await send('', 'admin')).status, 400);
  assert.equal((await send('?tenant=red', 'viewer')).status, 404);
  assert.equal(
    (await api.client.list('listTokens')).some(({ name }) => name === 'more'),
    false,
  );
});

test('every operation on a tenant’s objects can be kept to the tenant', async () => {
  const { contract } = await import('../../lib/api/contract.js');
  const { transferContract } = await import('../../lib/api/contract/streams.js');
  const parts: Record<string, { params: object; query: object }> = {
    ...contract,
    ...transferContract,
  };
  for (const id of ids.filter((each) => all[each]?.scope === 'tenant')) {
    const { params, query } = parts[id] ?? assert.fail(id);
    const names = [params, query].flatMap((schema) =>
      Object.keys('properties' in schema && schema.properties ? schema.properties : {}),
    );
    assert.ok(names.includes('tenant'), id);
  }
});
