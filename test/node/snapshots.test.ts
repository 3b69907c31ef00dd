/** Snapshots, clones and rollback of volumes with data on a real pool, served to our own hosts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Host, HostNamespace } from '../../lib/host/index.js';
import type { Node } from '../../lib/node/types.js';
import { connect, hostNqn, mib, noneConnected, open, PoolFolder } from './bench.js';

const size = 16n * mib;
const alice = hostNqn('alice');

const filled = (value: number, length = 65_536) => new Uint8Array(length).fill(value);

/** The first byte of some blocks of 64 KiB. */
async function bytesAt(namespace: HostNamespace, ...indexes: bigint[]): Promise<number[]> {
  const blocks = await Promise.all(indexes.map((index) => namespace.read(index * 65_536n, 65_536)));
  return blocks.map((block) => {
    const [first] = block;
    assert.ok(block.every((byte) => byte === first));
    return first ?? -1;
  });
}

async function namespaceOf(node: Node, host: Host, reference: string): Promise<HostNamespace> {
  const { nsid } = reference.includes('@')
    ? await node.snapshots.show(reference)
    : await node.volumes.show(reference);
  assert.ok(nsid !== null);
  return host.namespace(nsid);
}

async function assertClean(node: Node): Promise<void> {
  assert.deepEqual((await node.pool.check()).problems, []);
}

describe('snapshots of a served volume', () => {
  it('old data in the snapshot and its clone, new data in the volume, then rolled back', async () => {
    await using node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: size, hosts: [alice] });
    await using host = await connect(node, 'alice');
    const volume = await namespaceOf(node, host, 'v');
    await volume.write(0n, filled(1, 131_072));
    await node.snapshots.create('v', 'one');
    await volume.write(65_536n, filled(2));
    await volume.write(131_072n, filled(3));

    await node.snapshots.grant('v@one', alice);
    const snapshot = await namespaceOf(node, host, 'v@one');
    assert.deepEqual(await bytesAt(snapshot, 0n, 1n, 2n), [1, 1, 0]);
    assert.deepEqual(await bytesAt(volume, 0n, 1n, 2n), [1, 2, 3]);
    await assert.rejects(snapshot.write(0n, filled(9)), 'read-only');

    await node.volumes.clone('v@one', { name: 'c', sizeBytes: 2n * size, hosts: [alice] });
    const clone = await namespaceOf(node, host, 'c');
    assert.equal(clone.sizeBytes, 2n * size);
    await clone.write(0n, filled(4));
    await clone.write(2n * size - 65_536n, filled(5));
    assert.deepEqual(await bytesAt(clone, 0n, 1n, 2n, 511n), [4, 1, 0, 5]);
    assert.deepEqual(await bytesAt(snapshot, 0n, 1n, 2n), [1, 1, 0]);

    await node.volumes.clone('v', { name: 'w', hosts: [alice] });
    await volume.write(0n, filled(6));
    const second = await namespaceOf(node, host, 'w');
    assert.deepEqual(await bytesAt(second, 0n, 1n, 2n), [1, 2, 3]);

    await assert.rejects(node.snapshots.rollback('v@one'), { code: 'busy', message: /alice/ });
    await node.snapshots.rollback('v@one', { force: true });
    assert.deepEqual(await bytesAt(volume, 0n, 1n, 2n), [1, 1, 0]);
    await volume.write(0n, filled(7));
    assert.deepEqual(await bytesAt(volume, 0n, 1n), [7, 1]);
    assert.deepEqual(await bytesAt(snapshot, 0n, 1n), [1, 1]);
    assert.deepEqual(await bytesAt(second, 0n, 1n, 2n), [1, 2, 3]);
    await assertClean(node);
  });

  it('deleted in any order while others stand on them: all that is left reads right', async () => {
    await using node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: size, hosts: [alice] });
    await using host = await connect(node, 'alice');
    const volume = await namespaceOf(node, host, 'v');
    for (const value of [1, 2, 3, 4]) {
      await volume.write(BigInt(value) * 65_536n, filled(value));
      await node.snapshots.create('v', `s${value}`);
    }
    await node.volumes.clone('v@s3', { name: 'c', hosts: [alice] });
    await node.snapshots.delete('v@s2');
    await node.snapshots.delete('v@s3');
    await node.volumes.delete('v', { force: true });
    const clone = await namespaceOf(node, host, 'c');
    assert.deepEqual(await bytesAt(clone, 0n, 1n, 2n, 3n, 4n), [0, 1, 2, 3, 0]);
    await node.snapshots.grant('v@s4', alice);
    const newest = await namespaceOf(node, host, 'v@s4');
    assert.deepEqual(await bytesAt(newest, 1n, 2n, 3n, 4n), [1, 2, 3, 4]);
    await assertClean(node);

    await node.snapshots.delete('v@s1');
    await node.snapshots.delete('v@s4', { force: true });
    await node.volumes.delete('c', { force: true });
    await untilReclaimed(node);
    assert.equal((await node.pool.status()).dataChunks, 0n);
    await assertClean(node);
  });

  it('a group while two volumes are written alternately: never the later without the earlier', async () => {
    await using node = await open();
    for (const name of ['a', 'b']) {
      await node.volumes.create({ name, sizeBytes: size, hosts: [alice] });
    }
    await using host = await connect(node, 'alice');
    const [a, b] = [await namespaceOf(node, host, 'a'), await namespaceOf(node, host, 'b')];
    let running = true;
    // Each write is acknowledged before the next is sent: a, then b, with the same number.
    const writer = (async () => {
      for (let value = 1; running && value < 255; value += 1) {
        await a.write(0n, filled(value, 4096));
        await b.write(0n, filled(value, 4096));
      }
    })();
    for (let index = 0; index < 8; index += 1) {
      await node.snapshots.createGroup(['a', 'b'], `g${index}`);
    }
    running = false;
    await writer;
    for (let index = 0; index < 8; index += 1) {
      const values: number[] = [];
      for (const name of ['a', 'b']) {
        await node.snapshots.grant(`${name}@g${index}`, alice);
        const snapshot = await namespaceOf(node, host, `${name}@g${index}`);
        values.push((await snapshot.read(0n, 4096))[0] ?? -1);
      }
      const [first = -1, second = -1] = values;
      assert.ok(first === second || first === second + 1, `${first} in a, ${second} in b`);
    }
    await assertClean(node);
  });

  it('usage: what is shared, what is its own, what deleting frees; all of it without a scan', async () => {
    await using node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: size, hosts: [alice] });
    await using host = await connect(node, 'alice');
    const volume = await namespaceOf(node, host, 'v');
    await volume.write(0n, filled(1, 262_144));
    const before = await node.snapshots.create('v', 'one');
    assert.deepEqual(before.usage, {
      mappedBytes: 262_144n,
      exclusiveBytes: 262_144n,
      sharedBytes: 0n,
      freesBytes: 0n,
    });
    await volume.write(0n, filled(2, 65_536));
    assert.deepEqual((await node.volumes.show('v')).usage, {
      mappedBytes: 262_144n,
      exclusiveBytes: 65_536n,
      sharedBytes: 196_608n,
      reservedBytes: 0n,
    });
    const { usage } = await node.snapshots.show('v@one');
    assert.equal(usage.freesBytes, 65_536n, 'the chunk that the volume has replaced');
    const { dataChunks, chunkBytes } = await node.pool.status();
    assert.equal(dataChunks * chunkBytes, 65_536n + usage.exclusiveBytes);
    await node.snapshots.delete('v@one');
    await untilReclaimed(node);
    const after = await node.pool.status();
    assert.equal(after.dataChunks * after.chunkBytes, 262_144n);
    await assertClean(node);
  });

  it('shrink: refused while something is mapped beyond; then it reads to its new end', async () => {
    await using node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: size, hosts: [alice] });
    {
      await using host = await connect(node, 'alice');
      const volume = await namespaceOf(node, host, 'v');
      await volume.write(0n, filled(1));
      await volume.write(size - 65_536n, filled(2));
    }
    await noneConnected(node);
    const shrink = () => node.volumes.resize('v', 8n * mib, { shrink: true });
    await assert.rejects(shrink, { code: 'busy' });
    {
      await using host = await connect(node, 'alice');
      const volume = await namespaceOf(node, host, 'v');
      assert.deepEqual(await bytesAt(volume, 0n, 255n), [1, 2]);
      await volume.deallocate([{ offset: size - 65_536n, length: 65_536n }]);
    }
    await noneConnected(node);
    assert.equal((await shrink()).sizeBytes, 8n * mib);
    await using host = await connect(node, 'alice');
    const volume = await namespaceOf(node, host, 'v');
    assert.equal(volume.sizeBytes, 8n * mib);
    assert.deepEqual(await bytesAt(volume, 0n, 127n), [1, 0]);
    await assertClean(node);
  });

  it('a restart: snapshots, clones and grants are as they were, with their data', async () => {
    using folder = new PoolFolder();
    const before = await open({ pool: folder.pool });
    await before.volumes.create({ name: 'v', sizeBytes: size, hosts: [alice] });
    {
      await using host = await connect(before, 'alice');
      const volume = await namespaceOf(before, host, 'v');
      await volume.write(0n, filled(1));
      await before.snapshots.create('v', 'one');
      await volume.write(0n, filled(2));
      await volume.flush();
    }
    await before.volumes.clone('v@one', { name: 'c', hosts: [alice] });
    await before.snapshots.grant('v@one', alice);
    await before.volumes.rename('v', 'w');
    const was = { volumes: before.volumes.list(), snapshots: await before.snapshots.page() };
    await before.close();

    await using after = await open({ pool: folder.pool });
    assert.deepEqual(
      { volumes: after.volumes.list(), snapshots: await after.snapshots.page() },
      was,
    );
    await using host = await connect(after, 'alice');
    assert.deepEqual(await bytesAt(await namespaceOf(after, host, 'w'), 0n), [2]);
    assert.deepEqual(await bytesAt(await namespaceOf(after, host, 'w@one'), 0n), [1]);
    assert.deepEqual(await bytesAt(await namespaceOf(after, host, 'c'), 0n), [1]);
    await assertClean(after);
  });
});

/** Until deleted layers are gone; fails with the test's own time limit. */
async function untilReclaimed(node: Node): Promise<void> {
  for (;;) {
    const { reclaimingChunks, reclaimingLayers } = await node.pool.status();
    if (reclaimingChunks === 0n && reclaimingLayers === 0n) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
