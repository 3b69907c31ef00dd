/** What is there after a restart, and what a start that fails leaves behind. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { checkPool, createPool, inspectPool } from '../../lib/node/pool_file.js';
import { connect, gib, hostNqn, mib, open, PoolFolder, portOf } from './bench.js';

describe('restart', () => {
  it('volumes, grants, identities and data are as they were', async () => {
    using folder = new PoolFolder();
    const { pool } = folder;
    const demo = { volume: 'demo', sizeBytes: gib };
    const data = new Uint8Array(8192).fill(0x5a);
    const before = await open({ pool, demo });
    assert.equal((await before.status()).created, true);
    await before.tenants.create('acme');
    await before.hosts.add(hostNqn('lonely'));
    await before.volumes.create({
      name: 'small',
      sizeBytes: 512n,
      blockBytes: 512,
      hosts: [hostNqn('alice')],
    });
    {
      await using host = await connect(before, 'alice');
      const namespace = await host.namespace(1);
      await namespace.write(0n, data, { fua: true });
    }
    const was = { volumes: before.volumes.list(), tenants: before.tenants.list() };
    await before.close();

    await using after = await open({ pool, demo });
    const status = await after.status();
    assert.equal(status.created, false);
    assert.equal(status.pool.replayedRecords, 0n);
    assert.deepEqual({ volumes: after.volumes.list(), tenants: after.tenants.list() }, was);
    assert.deepEqual(after.hosts.show(hostNqn('lonely')).volumes, []);
    await using host = await connect(after, 'alice');
    assert.deepEqual(await host.activeNamespaces(), [1, 2]);
    const namespace = await host.namespace(1);
    assert.deepEqual(await namespace.read(0n, data.length), data);
    assert.deepEqual((await after.pool.check()).problems, []);
  });

  it('a demo volume that was deleted stays deleted', async () => {
    using folder = new PoolFolder();
    const demo = { volume: 'demo', sizeBytes: gib };
    const first = await open({ pool: folder.pool, demo });
    await first.volumes.delete('demo');
    await first.close();
    await using second = await open({ pool: folder.pool, demo });
    assert.deepEqual(second.volumes.list(), []);
  });

  it('a port in use: address-in-use, and the pool is free for the next start', async () => {
    using folder = new PoolFolder();
    await using other = await open();
    const port = portOf(other);
    const portals = [{ address: '127.0.0.1', port, discoveryOnly: false }];
    await assert.rejects(open({ pool: folder.pool, portals }), { code: 'address-in-use' });
    await using node = await open({ pool: folder.pool });
    assert.equal(node.volumes.list().length, 0);
  });

  it('no pool file and none to be made: not-found, and none is made', async () => {
    using folder = new PoolFolder();
    await assert.rejects(open({ pool: { ...folder.pool, create: null } }), { code: 'not-found' });
    assert.equal(existsSync(folder.path), false);
  });

  it('a file that is no pool: refused and left as it is, offline calls too', async () => {
    using folder = new PoolFolder();
    const device = { kind: 'file', path: folder.path } as const;
    const contents = Buffer.alloc(64 << 20, 'somebody else ');
    writeFileSync(folder.path, contents);
    await assert.rejects(open({ pool: folder.pool }), { code: 'pool-not-a-pool' });
    await assert.rejects(inspectPool(device), { code: 'pool-not-a-pool' });
    await assert.rejects(checkPool(device), { code: 'pool-not-a-pool' });
    assert.equal(readFileSync(folder.path).equals(contents), true);
  });

  it('a pool in use: pool-locked; nothing of it changes', async () => {
    using folder = new PoolFolder();
    await using node = await open({ pool: folder.pool });
    await assert.rejects(open({ pool: folder.pool }), { code: 'pool-locked' });
    await node.volumes.create({ name: 'v', sizeBytes: mib });
  });

  it('a pool made offline: can be looked at, checked, and served', async () => {
    using folder = new PoolFolder();
    const device = { kind: 'file', path: folder.path } as const;
    const made = await createPool(device, gib);
    assert.equal(made.sizeBytes, gib);
    assert.deepEqual((await inspectPool(device)).uuid, made.uuid);
    assert.deepEqual((await checkPool(device)).problems, []);
    await assert.rejects(createPool(device, gib), { code: 'pool-exists' });
    assert.equal(existsSync(`${folder.path}.creating`), false);
    await using node = await open({ pool: { ...folder.pool, create: null } });
    assert.deepEqual((await node.pool.status()).uuid, made.uuid);
  });

  it('a draft left by a start that was killed does not hinder the next', async () => {
    using folder = new PoolFolder();
    await createPool({ kind: 'file', path: `${folder.path}.creating` }, gib);
    await using node = await open({ pool: folder.pool });
    assert.equal((await node.status()).created, true);
    assert.equal(existsSync(`${folder.path}.creating`), false);
  });
});
