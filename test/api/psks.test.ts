/** PSKs of hosts: what the API gives out and what it does not, and what a pool keeps of them. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import { openNode } from '../../lib/node/node.js';
import type { Node } from '../../lib/node/types.js';
import { fairly } from '../../lib/secrets/psk_share.js';
import { ApiFixture, departures, Folder, logger } from './fixture.js';

const alice = 'nqn.2026-01.test:alice';

const isCode = (code: string) => (thrown: unknown) =>
  thrown instanceof AshlarError && thrown.code === code;

test('PSKs: generated, given, listed without the key, removed', async () => {
  await using fixture = await ApiFixture.open();
  const { client, node } = fixture;
  const missing = client.call('createPsk', { body: { host: alice } });
  await assert.rejects(missing, isCode('not-found'));
  await node.hosts.add(alice);
  const made = await client.call('createPsk', { body: { host: alice, hash: 'sha384' } });
  assert.deepEqual(departures('createPsk', made), []);
  assert.match(made.psk ?? '', /^NVMeTLSkey-1:02:[A-Za-z0-9+/=]{72}:$/);
  const given = 'NVMeTLSkey-1:00:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dyVhg6h:';
  const set = () => client.call('createPsk', { body: { host: alice, psk: given } });
  assert.equal((await set()).psk, null);
  await assert.rejects(set(), isCode('already-exists'));
  const again = await client.call('createPsk', {
    query: { repeatable: 'true' },
    body: { host: alice, psk: given },
  });
  const listed = await client.list('listPsks');
  assert.deepEqual(
    listed.map(({ id, bits, transform }) => [id, bits, transform]),
    [
      [made.id, 384, 'sha384'],
      [again.id, 256, 'none'],
    ],
  );
  assert.match(made.id, /^[0-9a-f]{12}$/);
  assert(!JSON.stringify(listed).includes('NVMeTLSkey'));
  await client.call('deletePsk', { params: { host: alice }, query: { id: made.id } });
  await client.call('deletePsk', { params: { host: alice } });
  assert.deepEqual(await client.list('listPsks'), []);
  const gone = client.call('deletePsk', { params: { host: alice } });
  await assert.rejects(gone, isCode('not-found'));
});

test('a malformed PSK: refused without quoting it; a fifth of one host: the limit', async () => {
  await using fixture = await ApiFixture.open();
  const { node, client } = fixture;
  await node.hosts.add(alice);
  const psk = 'NVMeTLSkey-1:01:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dyVhg6g:';
  await assert.rejects(client.call('createPsk', { body: { host: alice, psk } }), (thrown) => {
    assert(isCode('invalid-argument')(thrown));
    assert(thrown instanceof Error && !thrown.message.includes('AwoRGB8m'), String(thrown));
    return true;
  });
  for (let count = 0; count < 4; count += 1) await node.psks.generate(alice, 'sha256');
  await assert.rejects(node.psks.generate(alice, 'sha256'), isCode('limit-exceeded'));
});

test('a host of many tenants: each has its own limit, and discovery knows the newest of each', async () => {
  await using fixture = await ApiFixture.open();
  const { node } = fixture;
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const tenant of names) {
    await node.tenants.create(tenant);
    await node.hosts.add(alice, { tenant });
    for (let count = 0; count < 4; count += 1)
      await node.psks.generate(alice, 'sha256', { tenant });
    await assert.rejects(node.psks.generate(alice, 'sha256', { tenant }), isCode('limit-exceeded'));
  }
  assert.equal(node.psks.list().length, 20);
});

test('of an identity that tenants share: the newest PSK of each before the second of any', () => {
  const of = (tenant: number, id: number) => ({
    id: BigInt(id),
    tenant: BigInt(tenant),
    host: alice,
  });
  const psk = (id: number) => [
    { identity: 'x', id },
    { identity: 'x', id },
    { identity: `own ${id}`, id },
  ];
  const records = [of(1, 1), of(1, 2), of(1, 3), of(1, 4), of(2, 5), of(2, 6), of(3, 7)];
  const chosen = fairly(records, (id) => psk(Number(id)));
  const shared = chosen.filter(({ identity }) => identity === 'x').map(({ id }) => id);
  assert.deepEqual(shared, [4, 4, 6, 6, 7, 7, 3, 3]);
  assert.equal(chosen.length, 8 + records.length, 'identities of one alone are all there');
});

test('a host or a tenant is removed: its PSKs go with it, and no others', async () => {
  await using fixture = await ApiFixture.open();
  const { node } = fixture;
  await node.tenants.create('blue');
  for (const tenant of ['default', 'blue']) {
    await node.hosts.add(alice, { tenant });
    await node.psks.generate(alice, 'sha256', { tenant });
  }
  await node.hosts.remove(alice);
  assert.deepEqual(
    node.psks.list().map(({ tenant }) => tenant),
    ['blue'],
  );
  await node.tenants.delete('blue');
  assert.deepEqual(node.psks.list(), []);
});

function openIn(folder: Folder): Promise<Node> {
  return openNode(
    {
      pool: {
        device: { kind: 'file', path: folder.file('pool') },
        create: { sizeBytes: 64n << 20n, journalBytes: null },
        writeThrough: false,
        mapCacheBytes: null,
      },
      runtime: { reactors: 1, cpus: null, bufferBytes: 8n << 20n, busyPollUs: 0 },
      portals: [{ address: '127.0.0.1', port: 0, discoveryOnly: false }],
      tls: 'allowed',
      cntlids: { first: 1, last: 100 },
      demo: null,
    },
    logger,
  );
}

test('the key file is lost: the node serves, warns, and takes new PSKs', async () => {
  using folder = new Folder();
  const first = await openIn(folder);
  await first.hosts.add(alice);
  const { id } = await first.psks.generate(alice, 'sha256');
  await first.close();
  const second = await openIn(folder);
  const locked = (node: Node) => node.events().filter(({ kind }) => kind === 'psk-locked');
  assert.deepEqual(locked(second), []);
  await second.close();
  rmSync(folder.file('pool.key'));
  const third = await openIn(folder);
  assert.match(locked(third)[0]?.message ?? '', /pool\.key/);
  assert.deepEqual(
    third.psks.list().map((psk) => psk.id),
    [id],
  );
  await third.psks.generate(alice, 'sha256');
  await third.psks.remove(alice, id);
  await third.close();
  const fourth = await openIn(folder);
  assert.deepEqual(locked(fourth), []);
  await fourth.close();
});
