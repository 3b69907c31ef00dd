/** What tenants are told of errors that are about the node, and what is kept of each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxTokens } from '../../lib/access/tokens.js';
import { AshlarError, asTenantsSee, toAshlarError } from '../../lib/errors.js';
import { OwnedLog } from '../../lib/volumes/owned_log.js';
import { ApiFixture } from './fixture.js';

const native = (code: string, message: string): AshlarError =>
  toAshlarError(Object.assign(new Error(message), { code }));

test('errors to tenants: nothing of the node is in them; what is theirs stays as it is', () => {
  for (const error of [
    native('no-space', 'the pool has 17 chunks free'),
    native('limit-exceeded', 'there are 17 layers'),
    native('io-error', 'cannot read /srv/17'),
    native('EACCES', 'cannot open /srv/17'),
    native('pool-failed', 'device 17'),
    new RangeError('tenant record 17 is not there'),
    new AshlarError('limit-exceeded', 'the node has 17', { toTenants: 'no more' }),
  ].map(toAshlarError)) {
    const seen = asTenantsSee(error);
    assert.equal(seen.code, error.code);
    assert.doesNotMatch(`${seen.message} ${seen.hint}`, /17|srv/);
    assert.equal(seen.cause, undefined);
  }
  for (const error of [
    native('busy', 'volume x holds data beyond 17 bytes'),
    new AshlarError('limit-exceeded', 'tenant x may have 17 volumes'),
    new AshlarError('permission-denied', 'x is a viewer'),
  ]) {
    assert.equal(asTenantsSee(error).message, error.message);
  }
});

test('a full node: its admin is told how full, a tenant only that it is', async () => {
  await using api = await ApiFixture.open();
  const { node } = api;
  await node.tenants.create('red');
  const made = await node.tokens.create({ name: 'ra', role: 'tenant-admin' }, { tenant: 'red' });
  for (let count = 1; count < maxTokens; count += 1) {
    await node.tokens.create({ name: `t${count}`, role: 'viewer' });
  }
  const create = async (headers: Record<string, string>) => {
    const type = { 'content-type': 'application/json' };
    const body = JSON.stringify({ name: 'more', role: 'viewer' });
    const path = '/v1/tokens';
    const answer = await api.raw({ method: 'POST', path, headers: { ...headers, ...type }, body });
    return JSON.parse(answer.body.toString());
  };
  const toAdmin = await create({});
  assert.deepEqual([toAdmin.status, toAdmin.code], [422, 'limit-exceeded']);
  assert.match(toAdmin.detail, /4096 tokens/);
  const toTenant = await create({ authorization: `Bearer ${made.secret}` });
  assert.deepEqual([toTenant.status, toTenant.code], [422, 'limit-exceeded']);
  assert.equal(
    toTenant.detail,
    'the node takes no more tokens; delete some of yours, or ask its admin',
  );
});

test('a failed import: its tenant reads that there is no room, the admin how much is missing', async () => {
  await using api = await ApiFixture.open();
  const { node, client } = api;
  await node.tenants.create('red');
  const made = await node.tokens.create({ name: 'ra', role: 'viewer' }, { tenant: 'red' });
  const kind = { kind: 'import', title: 'x', owner: 'ra', cancellable: false } as const;
  const job = node.jobs.open({ ...kind, tenant: 'red' });
  job.fail(native('no-space', 'the pool has 17 chunks free'));
  const { error } = await client.call('getJob', { params: { job: job.id } });
  assert.equal(error?.message, 'the pool has 17 chunks free');
  const headers = { authorization: `Bearer ${made.secret}` };
  for (const path of [`/v1/jobs/${job.id}`, '/v1/jobs']) {
    const answer = await api.raw({ method: 'GET', path, headers });
    assert.match(answer.body.toString(), /no-space.*no room left/);
    assert.doesNotMatch(answer.body.toString(), /17 chunks/);
  }
});

test('what is kept of a tenant: its newest, whatever others do; of one that is gone, the node’s', () => {
  const log = new OwnedLog<{ id: string; running?: boolean }>({
    ofNode: 4,
    ofTenant: 3,
    mayGo: ({ running }) => running !== true,
  });
  const ids = (tenant?: bigint, cursor?: string) =>
    [...log.newestFirst(tenant, cursor)].map(({ item }) => item.id);
  log.add({ id: 'long', running: true }, 1n);
  for (let count = 0; count < 100; count += 1) {
    log.add({ id: `a${count}` }, 1n);
    if (count % 10 === 0) log.add({ id: `b${count}` }, 2n);
  }
  assert.deepEqual(ids(1n), ['a99', 'a98', 'a97', 'long']);
  assert.deepEqual(ids(2n), ['b90', 'b80', 'b70']);
  assert.deepEqual(ids(), ['a99', 'a98', 'a97', 'b90', 'b80', 'b70', 'long']);
  const [, second] = [...log.newestFirst()];
  log.remove('a98');
  assert.deepEqual(ids(undefined, second?.key), ['a97', 'b90', 'b80', 'b70', 'long']);
  log.add({ id: 'n0' }, null);
  log.disown(2n);
  assert.deepEqual(ids(2n), []);
  assert.deepEqual(ids(), ['n0', 'a99', 'a97', 'b90', 'b80', 'b70', 'long']);
  assert.equal(log.find('b70')?.tenant, null);
  log.add({ id: 'n1' }, null);
  assert.deepEqual(ids(), ['n1', 'n0', 'a99', 'a97', 'b90', 'b80', 'long']);
  assert.throws(() => ids(1n, 'x'), { code: 'invalid-argument' });
  assert.equal(log.size, 7);
});
