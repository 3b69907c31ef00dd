/** Events by the API, over kills and restarts of a daemon. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { ApiClient } from '../../lib/api/client.js';
import type { NodeEvent } from '../../lib/api/contract.js';
import { Daemon } from '../rig/daemon.js';
import { ApiFixture } from './fixture.js';

const mib = 2 ** 20;

test('events: what was there before a kill is there after it, for whom it was, page by page', async () => {
  await using daemon = await Daemon.start({ poolFile: 'pool', demoSize: null });
  const tokens: Record<string, string> = {};
  for (const name of ['red', 'blue']) {
    await daemon.call('POST', '/v1/tenants', { name });
    const body = { name, role: 'viewer' };
    const made = await daemon.call<{ secret: string }>('POST', `/v1/tokens?tenant=${name}`, body);
    tokens[name] = made.secret;
    for (let count = 0; count < 4; count += 1) {
      const volume = { name: `${name}-${count}`, sizeBytes: mib };
      await daemon.call('POST', `/v1/volumes?tenant=${name}`, volume);
    }
  }
  const clients = ['red', 'blue'].map(
    (name) => new ApiClient({ socket: daemon.socket, token: tokens[name] }),
  );
  const [red, blue] = clients;
  assert.ok(red !== undefined && blue !== undefined);
  const before = await red.list('listEvents');
  const { items, next } = await red.call('listEvents', { query: { limit: '2' } });
  await daemon.kill();
  // Its last line may have been cut off; here it is, by hand.
  fs.appendFileSync(daemon.workspace.file('pool.events.log'), '{"sequence":9');
  await daemon.start();
  const rest = await red.call('listEvents', { query: { cursor: next ?? '' } });
  assert.deepEqual([...items, ...rest.items], before, 'a page goes on where it ended');
  assert.deepEqual(await red.list('listEvents'), before);
  const [newest] = before;
  const params = { event: newest?.id ?? '' };
  assert.deepEqual(await red.call('getEvent', { params }), newest);
  await assert.rejects(blue.call('getEvent', { params }), { code: 'not-found' });
  await assert.rejects(blue.call('listEvents', { query: { cursor: next ?? '' } }), {
    code: 'invalid-argument',
  });
  const started = await daemon.call<{ items: NodeEvent[] }>(
    'GET',
    '/v1/events?kind=node-started&severity=warning',
  );
  assert.match(started.items[0]?.message ?? '', /did not end in order/);
  await Promise.all(clients.map((client) => client.close()));
});

test('events: of a time by instants with their zone; words, other forms and kinds are refused', async () => {
  await using api = await ApiFixture.open();
  const { client } = api;
  const list = async (query: object) => (await client.call('listEvents', { query })).items.length;
  const all = await list({});
  assert.ok(all > 0);
  assert.equal(await list({ since: '2020-01-01T00:00:00Z' }), all);
  assert.equal(await list({ until: '2020-01-01T00:00:00+02:00' }), 0);
  assert.equal(await list({ since: new Date(Date.now() + 60_000).toISOString() }), 0);
  for (const since of ['2h', '2020-01-01', '2020-01-01T00:00:00', '2020-02-31T00:00:00Z', '']) {
    const url = `/v1/events?since=${encodeURIComponent(since)}`;
    const { status, body } = await api.raw({ method: 'GET', path: url });
    assert.equal(status, 400, since);
    assert.match(body.toString(), /an instant with its zone/);
  }
  const { status, body } = await api.raw({ method: 'GET', path: '/v1/events?kind=nonsense' });
  assert.equal(status, 400);
  assert.match(body.toString(), /a kind of event such as/);
});
