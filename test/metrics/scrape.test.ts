/** Who gets what of `GET /metrics`: at the API by its token, at the plain address by its reach. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { request } from 'undici';
import { nodeHandlers } from '../../lib/api/handlers.js';
import { serveMetrics } from '../../lib/api/metrics.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import { Metrics } from '../../lib/metrics/metrics.js';
import type { Node } from '../../lib/node/types.js';
import { Folder, logger, rawRequest } from '../api/fixture.js';
import { open } from '../node/bench.js';
import { Exposition } from './exposition.js';

const folder = new Folder();
let node: Node;
let metrics: Metrics;
let server: ApiServer;

before(async () => {
  node = await open();
  metrics = new Metrics({ node, volumes: 10 });
  await node.tenants.create('acme');
  for (const tenant of ['acme', 'default']) {
    await node.volumes.create({ name: 'v', sizeBytes: 1n << 20n }, { tenant });
  }
  const socket = folder.file('api.sock');
  server = await serveApi({
    handlers: nodeHandlers(node),
    tokens: node.tokens,
    metrics,
    logger,
    socket,
    found: await claimSocket(socket),
  });
});
after(async () => {
  await server.close();
  metrics[Symbol.dispose]();
  await node.close();
  folder[Symbol.dispose]();
});

async function get(secret: string | null): Promise<{ status: number; found: Exposition }> {
  const headers = secret === null ? {} : { authorization: `Bearer ${secret}` };
  const {
    status,
    headers: answered,
    body,
  } = await rawRequest(server.socket, {
    method: 'GET',
    path: '/metrics',
    headers: { ...headers, accept: 'application/openmetrics-text;q=0.5,*/*;q=0.1' },
  });
  if (status === 200) {
    assert.equal(answered['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  }
  return { status, found: new Exposition(status === 200 ? body.toString() : '') };
}

test('metrics: at the control socket and for a viewer of the node: everything', async () => {
  const { secret } = await node.tokens.create({ name: 'prometheus', role: 'viewer' });
  for (const token of [null, secret]) {
    const { status, found } = await get(token);
    assert.equal(status, 200);
    assert.equal(found.find('ashlar_volume_read_commands_total').length, 2);
    assert.equal(found.find('ashlar_build_info').length, 1);
  }
});

test('metrics: for a token of a tenant: that tenant alone; for a stranger: 401', async () => {
  const made = await node.tokens.create({ name: 'acme', role: 'viewer' }, { tenant: 'acme' });
  const { status, found } = await get(made.secret);
  assert.equal(status, 200);
  const volumes = found.find('ashlar_volume_read_commands_total');
  assert.deepEqual(
    volumes.map(({ labels }) => labels),
    [{ tenant: 'acme', volume: 'v' }],
  );
  assert.equal(found.find('ashlar_pool_size_bytes').length, 0);
  assert.equal((await get('nobody')).status, 401);
});

test('metrics: at the plain address: GET /metrics and nothing else', async () => {
  await using plain = await serveMetrics(metrics, { address: '127.0.0.1', port: 0 }, logger);
  const url = `http://127.0.0.1:${plain.port}`;
  const { statusCode, body } = await request(`${url}/metrics`);
  assert.equal(statusCode, 200);
  assert.equal(new Exposition(await body.text()).value('ashlar_volumes'), 2);
  const status = async (path: string, method: 'GET' | 'POST') => {
    const answer = await request(`${url}${path}`, { method });
    await answer.body.dump();
    return answer.statusCode;
  };
  assert.equal(await status('/v1/status', 'GET'), 404);
  assert.equal(await status('/metrics', 'POST'), 405);
});
