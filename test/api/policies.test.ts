/** Policies: limits under a name, changed live, given by those who may. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ApiClient } from '../../lib/api/client.js';
import { connectHost } from '../../lib/host/index.js';
import { ApiFixture } from './fixture.js';

const mib = 2 ** 20;
const hostnqn = 'nqn.2026-01.test:limited';
let api: ApiFixture;

before(async () => {
  api = await ApiFixture.open();
});
after(() => api[Symbol.asyncDispose]());

/** Commands that the host got through in a second or so, and how long that was. */
async function readsOf(volume: string): Promise<{ reads: number; seconds: number }> {
  const { node, client } = api;
  const { nsid, subnqn, blockBytes } = await client.call('getVolume', { params: { volume } });
  await using host = await connectHost({
    address: '127.0.0.1',
    port: node.portals.list()[0]?.port ?? 0,
    subnqn,
    hostnqn,
    hostid: new Uint8Array(16).fill(1),
    ioQueues: 1,
  });
  const counted = () => node.statistics.volume(volume).items[0]?.counters.reads ?? 0n;
  const [reads, start] = [counted(), performance.now()];
  const load = { nsid, blockBytes, ioBytes: 4096, spanBytes: BigInt(mib), depth: 16 };
  await host.load({ ...load, durationMs: 1000 });
  return { reads: Number(counted() - reads), seconds: (performance.now() - start) / 1000 };
}

test('a policy limits the volumes that have it, and a change of it counts at once', async () => {
  const { client } = api;
  await client.call('createPolicy', { body: { name: 'silver', iops: 400 } });
  const body = { name: 'limited', sizeBytes: mib, hosts: [hostnqn], policy: 'silver' };
  assert.equal((await client.call('createVolume', { body })).policy, 'silver');
  const slow = await readsOf('limited');
  // 10 ms of slack, one at once, and what was under way at the end.
  const most = (rate: number, seconds: number) => rate * (seconds + 0.01) + 1 + 16;
  assert.ok(slow.reads <= most(400, slow.seconds), JSON.stringify(slow));
  assert.ok(slow.reads >= 300, JSON.stringify(slow));
  const params = { policy: 'silver' };
  await client.call('changePolicy', { params, body: { iops: 1200, name: 'sterling' } });
  const faster = await readsOf('limited');
  assert.ok(faster.reads > slow.reads, JSON.stringify(faster));
  assert.ok(faster.reads <= most(1200, faster.seconds), JSON.stringify(faster));
  assert.equal(
    (await client.call('getVolume', { params: { volume: 'limited' } })).policy,
    'sterling',
  );
  const none = { params: { volume: 'limited' }, body: { policy: null } };
  assert.equal((await client.call('changeVolume', none)).policy, null);
  const free = await readsOf('limited');
  assert.ok(free.reads > most(1200, free.seconds), JSON.stringify(free));
});

test('a policy that somebody has cannot be deleted, and the refusal says who', async () => {
  const { client } = api;
  await client.call('createPolicy', { body: { name: 'used', weight: 300 } });
  for (let i = 0; i < 7; i += 1) {
    await client.call('createVolume', { body: { name: `u${i}`, sizeBytes: mib, policy: 'used' } });
  }
  await client.call('createTenant', { body: { name: 'crowd', policy: 'used' } });
  const { volumes, tenants } = await client.call('getPolicy', { params: { policy: 'used' } });
  assert.deepEqual([volumes, tenants], [7, 1]);
  await assert.rejects(client.call('deletePolicy', { params: { policy: 'used' } }), {
    code: 'busy',
    message: /policy 'used' is that of tenant 'crowd', volume 'u0'.* and 3 more; give them/,
  });
  const clone = await client.call('cloneVolume', { body: { source: 'u0', name: 'u-clone' } });
  assert.equal(clone.policy, 'used', 'a clone has the policy of what it is made from');
});

test('tenants: they see what is offered or theirs, and choose among what is offered', async () => {
  const { client } = api;
  for (const [name, offered] of [
    ['open', true],
    ['secret', false],
    ['given', false],
  ] as const) {
    await client.call('createPolicy', { body: { name, iops: 100, offered } });
  }
  await client.call('createTenant', { body: { name: 'blue' } });
  const query = { tenant: 'blue' };
  for (const [name, policy] of [
    ['mine', 'given'],
    ['free', null],
  ] as const) {
    await client.call('createVolume', { query, body: { name, sizeBytes: mib, policy } });
  }
  await client.call('createVolume', { body: { name: 'other', sizeBytes: mib, policy: 'given' } });
  const made = await client.call('createToken', {
    query,
    body: { name: 'boss', role: 'tenant-admin' },
  });
  await using boss = new ApiClient({ socket: api.socket, token: made.secret ?? '' });
  const seen = (await boss.list('listPolicies')).map(({ name, volumes }) => [name, volumes]);
  assert.deepEqual(seen, [
    ['given', 1],
    ['open', 0],
  ]);
  const limit = (volume: string, policy: string | null) =>
    boss.call('changeVolume', { params: { volume }, body: { policy } });
  assert.equal((await limit('free', 'open')).policy, 'open');
  assert.equal((await limit('free', null)).policy, null);
  await assert.rejects(limit('free', 'secret'), { code: 'not-found' });
  await assert.rejects(limit('free', 'given'), { code: 'permission-denied' });
  await assert.rejects(limit('mine', null), { code: 'permission-denied' });
  await assert.rejects(limit('mine', 'open'), { code: 'permission-denied' });
  const secret = { name: 'x', sizeBytes: mib, policy: 'secret' };
  await assert.rejects(boss.call('createVolume', { body: secret }), { code: 'not-found' });
});

test('bad input: rates, bursts and weights out of range, unknown fields, taken names', async () => {
  const { client } = api;
  const create = (body: object) =>
    api.send('POST', '/v1/policies', { name: 'bad', ...body }).then(({ status }) => status);
  for (const body of [
    { iops: 0 },
    { iops: -1 },
    { iops: 1.5 },
    { iops: 2 ** 40 + 1 },
    { bytesPerSecond: '100MiB' },
    { burstPercent: 99 },
    { burstSeconds: 3601 },
    { weight: 0 },
    { weight: 10_001 },
    { colour: 'gold' },
  ]) {
    assert.equal(await create(body), 400, JSON.stringify(body));
  }
  await client.call('createPolicy', { body: { name: 'once', iops: 5 } });
  const again = (iops: number) =>
    client.call('createPolicy', { query: { repeatable: 'true' }, body: { name: 'once', iops } });
  assert.equal((await again(5)).iops, 5);
  await assert.rejects(again(6), { code: 'already-exists' });
  await assert.rejects(
    client.call('createVolume', { body: { name: 'v', sizeBytes: mib, policy: 'nowhere' } }),
    { code: 'not-found', message: /policy 'nowhere' does not exist/ },
  );
});
