/** Portals and ANA states through the API, above a real node: answers conform, refusals say why. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { ApiFixture, departures } from './fixture.js';

let api: ApiFixture;
let port: number;
before(async () => {
  api = await ApiFixture.open();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
  server.close();
  await once(server, 'close');
});
after(async () => {
  await api[Symbol.asyncDispose]();
});

test('api: a portal created, listed, shown, drained, resumed and deleted', async () => {
  const { client } = api;
  const created = await client.call('createPortal', { body: { address: '127.0.0.1', port } });
  assert.deepEqual(departures('createPortal', created), []);
  assert.deepEqual(created, {
    portalId: 2,
    endpoint: `127.0.0.1:${port}`,
    transport: 'tcp',
    address: '127.0.0.1',
    port,
    discoveryOnly: false,
    tls: 'none',
    origin: 'added',
    drained: false,
    problem: null,
    controllers: 0,
    ana: [],
  });
  assert.deepEqual(
    (await client.list('listPortals')).map(({ portalId }) => portalId),
    [1, 2],
  );
  const params = { portal: created.endpoint };
  assert.deepEqual(await client.call('getPortal', { params }), created);
  const drained = await client.call('drainPortal', { params });
  assert.deepEqual(departures('drainPortal', drained), []);
  assert.deepEqual(drained.ana, [{ anagrpid: 1, state: 'inaccessible' }]);
  assert.deepEqual(await client.call('resumePortal', { params: { portal: '2' } }), created);
  await client.call('deletePortal', { params });
  await assert.rejects(client.call('getPortal', { params }), { code: 'not-found' });
  await client.call('deletePortal', { params, query: { repeatable: 'true' } });
});

test('api: ANA states: set for a group, listed, and a change with its end', async () => {
  const { client } = api;
  const params = { portal: '1' };
  const body = { state: 'change', anagrpid: 5, next: 'non-optimized' } as const;
  const before = Date.now();
  const changing = await client.call('setAna', { params, body });
  assert.deepEqual(departures('setAna', changing), []);
  assert.deepEqual([changing.state, changing.lasting], ['change', 'non-optimized']);
  const endsMs = Date.parse(changing.changeEndsAt ?? '') - before;
  assert.ok(endsMs > 0 && endsMs < 10_000 + (Date.now() - before), `${endsMs} ms`);
  const lasting = await client.call('setAna', {
    params,
    body: { state: 'optimized', anagrpid: 5 },
  });
  assert.deepEqual([lasting.state, lasting.changeEndsAt], ['optimized', null]);
  const states = await client.list('listAna');
  assert.deepEqual(departures('listAna', { items: states, next: null }), []);
  assert.deepEqual(
    states.map(({ portalId, anagrpid, state }) => [portalId, anagrpid, state]),
    [[1, 1, 'optimized']],
  );
});

test('api: portals and states of the wrong form: the field and what it must be', async () => {
  const cases: [string, unknown, RegExp][] = [
    ['/v1/portals', { address: '' }, /address/],
    ['/v1/portals', { address: '127.0.0.1', port: 0 }, /port.*from 1 to 65535/],
    ['/v1/portals', { address: '127.0.0.1', prot: 4420 }, /did you mean 'port'/],
    ['/v1/portals', { address: 'localhost' }, /not an IP address/],
    ['/v1/portals/1/ana', { state: 'fast' }, /state/],
    ['/v1/portals/1/ana', { state: 'change', next: 'change' }, /next/],
    ['/v1/portals/1/ana', { state: 'optimized', anagrpid: 129 }, /from 1 to 128/],
    ['/v1/portals/1/ana', { state: 'optimized', next: 'optimized' }, /for 'change' alone/],
  ];
  for (const [url, body, message] of cases) {
    const { status, body: answer } = await api.send('POST', url, body);
    assert.equal(status, 400, `${url} ${JSON.stringify(body)}: ${answer}`);
    assert.match(String(answer), message);
  }
  assert.equal((await api.client.list('listPortals')).length, 1);
});
