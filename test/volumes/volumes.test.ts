/** Calls on volumes, hosts and tenants: every refusal by its code, and repeats that are safe. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Node } from '../../lib/node/types.js';
import { gib, hostNqn, mib, open } from '../node/bench.js';

let node: Node;
before(async () => {
  node = await open();
});
after(() => node.close());

let serial = 0;
const freshName = () => `v${++serial}`;

describe('volumes', () => {
  it('create: every wrong argument by its code, and nothing is left', async () => {
    const count = node.volumes.list().length;
    const name = freshName();
    const cases: [Parameters<Node['volumes']['create']>[0], string, RegExp][] = [
      [{ name, sizeBytes: 0n }, 'invalid-argument', /cannot have 0 bytes/],
      [{ name, sizeBytes: (64n << 40n) + 4096n }, 'limit-exceeded', /limit of 64TiB/],
      [{ name, sizeBytes: 4095n }, 'invalid-argument', /next size is 4096/],
      [{ name: '', sizeBytes: mib }, 'invalid-argument', /volume name/],
      [{ name, sizeBytes: mib, uuid: 'x' }, 'invalid-argument', /'x' is not a UUID/],
      [{ name, sizeBytes: mib, hosts: ['x'] }, 'invalid-argument', /host NQN 'x'/],
    ];
    for (const [request, code, message] of cases) {
      await assert.rejects(node.volumes.create(request), { code, message });
    }
    await assert.rejects(node.volumes.create({ name, sizeBytes: mib }, { tenant: 'none' }), {
      code: 'not-found',
      message: /tenant 'none'/,
    });
    assert.equal(node.volumes.list().length, count);
  });

  it('64 TiB on a pool of 1 GiB: thin, so it is made', async () => {
    const name = freshName();
    const volume = await node.volumes.create({ name, sizeBytes: 64n << 40n });
    assert.equal(volume.sizeBytes, 64n << 40n);
    assert.equal(volume.usage.exclusiveBytes, 0n);
    await node.volumes.delete(name);
  });

  it('a duplicate name: already-exists; an equal repeat is accepted', async () => {
    const name = freshName();
    const first = await node.volumes.create({ name, sizeBytes: gib });
    await assert.rejects(node.volumes.create({ name, sizeBytes: gib }), { code: 'already-exists' });
    const again = await node.volumes.create({ name, sizeBytes: gib }, { repeatable: true });
    assert.equal(again.uuid, first.uuid);
    const different = node.volumes.create({ name, sizeBytes: mib }, { repeatable: true });
    await assert.rejects(different, { code: 'already-exists', message: /1GiB, 4096-byte blocks/ });
  });

  it('ten creates of one name at once: one is made', async () => {
    const name = freshName();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, () => node.volumes.create({ name, sizeBytes: mib })),
    );
    const made = outcomes.filter(({ status }) => status === 'fulfilled');
    assert.equal(made.length, 1);
    assert.equal(node.volumes.list().filter((volume) => volume.name === name).length, 1);
  });

  it('creates, grants and deletes at once: the pool and the catalog agree', async () => {
    const names = Array.from({ length: 20 }, freshName);
    const work = names.map(async (name, index) => {
      const created = node.volumes.create({ name, sizeBytes: mib });
      const early = node.volumes.delete(name).catch(() => undefined);
      await Promise.allSettled([created, early]);
      await node.volumes.grant(name, hostNqn(`h${index % 3}`)).catch(() => undefined);
      await node.volumes.delete(name, { repeatable: true });
    });
    await Promise.all(work);
    const left = node.volumes.list();
    assert.equal(
      left.some(({ name }) => names.includes(name)),
      false,
    );
    const { pool, volumes } = await node.status();
    assert.equal(volumes, left.length);
    assert.ok(pool.layerCount >= BigInt(left.length));
    assert.deepEqual((await node.pool.check()).problems, []);
  });

  it('resize: grows, shrinks only when asked to, and the same size is fine', async () => {
    const name = freshName();
    await node.volumes.create({ name, sizeBytes: gib });
    const grown = await node.volumes.resize(name, 2n * gib);
    assert.equal(grown.sizeBytes, 2n * gib);
    await node.volumes.resize(name, 2n * gib);
    await assert.rejects(node.volumes.resize(name, gib), {
      code: 'invalid-argument',
      message: /shrink from 2GiB to 1GiB, .*--shrink/,
    });
    await assert.rejects(node.volumes.resize(name, 65n << 40n), { code: 'limit-exceeded' });
    await assert.rejects(node.volumes.resize('none', gib), { code: 'not-found' });
    assert.equal((await node.volumes.show(name)).sizeBytes, 2n * gib);
    assert.equal((await node.volumes.resize(name, gib, { shrink: true })).sizeBytes, gib);
  });

  it('reserved: refused when the pool has not that much, and then a plain one is made', async () => {
    const name = freshName();
    const request = { name, sizeBytes: 2n * gib };
    await assert.rejects(node.volumes.create({ ...request, reserved: true }), { code: 'no-space' });
    await node.volumes.create(request);
    await assert.rejects(node.volumes.reserve(name, true), { code: 'no-space' });
    await node.volumes.resize(name, 16n * mib, { shrink: true });
    const reserved = await node.volumes.reserve(name, true);
    const { reservedBytes } = reserved.usage;
    // Room for the map of its blocks comes on top.
    assert.ok(reservedBytes >= 16n * mib && reservedBytes < 17n * mib, String(reservedBytes));
    const status = await node.pool.status();
    assert.equal(status.reservedChunks * status.chunkBytes, reservedBytes);
    await node.volumes.delete(name);
    assert.equal((await node.pool.status()).reservedChunks, 0n);
  });

  it('show: by name and by UUID; unknown ones are not-found', async () => {
    const name = freshName();
    const { uuid } = await node.volumes.create({ name, sizeBytes: mib, blockBytes: 512 });
    assert.equal((await node.volumes.show(uuid)).name, name);
    assert.equal((await node.volumes.show(uuid.toUpperCase())).blockBytes, 512);
    await assert.rejects(node.volumes.show('none'), { code: 'not-found', message: /'none'/ });
    await assert.rejects(node.volumes.show(uuid, { tenant: 'none' }), { code: 'not-found' });
  });

  it('rename: the new name finds it, the old one is free', async () => {
    const [old, name] = [freshName(), freshName()];
    const { uuid } = await node.volumes.create({ name: old, sizeBytes: mib });
    assert.equal((await node.volumes.rename(old, name)).uuid, uuid);
    await node.volumes.create({ name: old, sizeBytes: mib });
    await assert.rejects(node.volumes.rename(old, name), { code: 'already-exists' });
  });

  it('grant and revoke: duplicates and absences are told, repeats can be accepted', async () => {
    const name = freshName();
    const host = hostNqn('grantee');
    await node.volumes.create({ name, sizeBytes: mib });
    const granted = await node.volumes.grant(name, host);
    assert.deepEqual(
      granted.grants.map((grant) => [grant.host, grant.access]),
      [[host, 'read-write']],
    );
    await assert.rejects(node.volumes.grant(name, host), { code: 'already-exists' });
    await node.volumes.grant(name, host, { repeatable: true });
    await assert.rejects(
      node.volumes.grant(name, host, { repeatable: true, access: 'read-only' }),
      { code: 'already-exists' },
    );
    assert.deepEqual(node.hosts.show(host).volumes, [name]);
    await node.volumes.revoke(name, host);
    await assert.rejects(node.volumes.revoke(name, host), { code: 'not-found' });
    await node.volumes.revoke(name, host, { repeatable: true });
    await assert.rejects(node.volumes.grant(name, 'nqn.bad'), { code: 'invalid-argument' });
  });

  it('an aborted call: cancelled, and nothing has changed', async () => {
    const name = freshName();
    const signal = AbortSignal.abort();
    await assert.rejects(node.volumes.create({ name, sizeBytes: mib }, { signal }), {
      code: 'cancelled',
    });
    await assert.rejects(node.volumes.show(name), { code: 'not-found' });
    await node.volumes.create({ name, sizeBytes: mib });
    await assert.rejects(node.volumes.delete(name, { signal }), { code: 'cancelled' });
    assert.equal((await node.volumes.show(name)).name, name);
  });
});

describe('tenants and hosts', () => {
  it('tenants: duplicates, the default, and those with volumes are protected', async () => {
    await node.tenants.create('t1');
    await assert.rejects(node.tenants.create('t1'), { code: 'already-exists' });
    await assert.rejects(node.tenants.create('a b'), { code: 'invalid-argument' });
    await assert.rejects(node.tenants.delete('default'), { code: 'conflict' });
    await assert.rejects(node.tenants.delete('none'), { code: 'not-found' });
    await node.volumes.create({ name: 'in-t1', sizeBytes: mib }, { tenant: 't1' });
    await assert.rejects(node.tenants.delete('t1'), { code: 'conflict', message: /1 volumes/ });
    await node.volumes.delete('in-t1', { tenant: 't1' });
    await node.tenants.delete('t1');
    assert.throws(() => node.tenants.show('t1'), { code: 'not-found' });
  });

  it('hosts: duplicates and absences are told', async () => {
    const nqn = hostNqn('known');
    await node.hosts.add(nqn);
    await assert.rejects(node.hosts.add(nqn), { code: 'already-exists' });
    await assert.rejects(node.hosts.add('*'), { code: 'invalid-argument' });
    await node.hosts.remove(nqn);
    await assert.rejects(node.hosts.remove(nqn), { code: 'not-found' });
    await node.hosts.remove(nqn, { repeatable: true });
  });
});
