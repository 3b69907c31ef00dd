/** Devices that come to a pool, are missing, and come back. */
import assert from 'node:assert/strict';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { connect, gib, hostNqn, mib, open, PoolFolder } from './bench.js';

const alice = hostNqn('alice');

describe('devices', () => {
  it('one added online: its space counts at once, and the next start finds it', async () => {
    using folder = new PoolFolder();
    const more = join(folder.folder, 'more');
    const node = await open({ pool: folder.pool });
    const before = await node.pool.status();
    const added = await node.pool.addDevice(more, gib);
    assert.equal(added.index, 1);
    assert.equal(added.state, 'online');
    const after = await node.pool.status();
    assert.ok(after.freeChunks > before.freeChunks + 15_000n);
    assert.deepEqual(
      after.devices.map(({ path, state }) => [path, state]),
      [
        [folder.path, 'online'],
        [more, 'online'],
      ],
    );
    await node.volumes.create({ name: 'v', sizeBytes: 64n * mib, hosts: [alice] });
    {
      await using host = await connect(node, 'alice');
      const namespace = await host.namespace(1);
      await namespace.write(0n, new Uint8Array(16 << 20).fill(7));
      await namespace.flush();
    }
    const used = (await node.pool.status()).devices.map((device) => device.freeChunks);
    assert.ok((used[1] ?? 0n) < added.freeChunks, 'data was spread to it');
    await node.close();

    await using again = await open({ pool: folder.pool });
    const { devices } = await again.pool.status();
    assert.deepEqual(
      devices.map(({ state }) => state),
      ['online', 'online'],
    );
    await using host = await connect(again, 'alice');
    const data = await (await host.namespace(1)).read(0n, 16 << 20);
    assert.ok(data.every((byte) => byte === 7));
    assert.deepEqual((await again.pool.check()).problems, []);
  });

  it('wrong ones: each by its code; what was there stays as it is', async () => {
    using folder = new PoolFolder();
    await using node = await open({ pool: folder.pool });
    const more = join(folder.folder, 'more');
    const foreign = join(folder.folder, 'foreign');
    writeFileSync(foreign, Buffer.alloc(32 << 20, 'mine'));
    const { pool } = node;
    const cases: [() => Promise<unknown>, string, RegExp][] = [
      [() => pool.addDevice('more', gib), 'invalid-argument', /'more' is not absolute/],
      [() => pool.addDevice(more, null), 'invalid-argument', /does not exist; .* --size/],
      [() => pool.addDevice(foreign, null), 'already-exists', /holds data that is not a pool/],
      [() => pool.addDevice(folder.path, null), 'already-exists', /is a device of the pool/],
      [() => pool.attachDevice(foreign), '', /foreign/],
    ];
    for (const [call, code, message] of cases) {
      await assert.rejects(call, code === '' ? { message } : { code, message });
    }
    assert.equal(existsSync(more), false);
    assert.equal((await pool.status()).devices.length, 1);
    await pool.addDevice(more, gib);
    await assert.rejects(pool.addDevice(more, gib), { code: 'already-exists' });
    const again = await pool.addDevice(more, gib, { repeatable: true });
    assert.equal(again.index, 1);
  });

  it('missing at a start: an event, the rest is served; attached from elsewhere: back for good', async () => {
    using folder = new PoolFolder();
    const [more, moved] = [join(folder.folder, 'more'), join(folder.folder, 'moved')];
    const first = await open({ pool: folder.pool });
    await first.pool.addDevice(more, gib);
    await first.volumes.create({ name: 'v', sizeBytes: 16n * mib, hosts: [alice] });
    await first.close();
    renameSync(more, moved);

    const second = await open({ pool: folder.pool });
    const missing = second.events().find(({ kind }) => kind === 'device-missing');
    assert.equal(missing?.severity, 'error');
    assert.ok(missing.message.includes(more));
    assert.equal((await second.pool.status()).devices[1]?.state, 'missing');
    assert.equal((await second.status()).state, 'serving');
    assert.equal((await second.pool.attachDevice(moved)).state, 'online');
    await second.close();

    await using third = await open({ pool: folder.pool });
    assert.equal((await third.pool.status()).devices[1]?.path, moved);
    assert.deepEqual(
      third.events().filter(({ kind }) => kind === 'device-missing'),
      [],
    );
  });
});
