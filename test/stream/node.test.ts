/** Exports and imports between two nodes with real pools: what hosts then read is equal. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { HostNamespace } from '../../lib/host/index.js';
import type { LayerRange } from '../../lib/native.js';
import type { Node } from '../../lib/node/types.js';
import type { DifferenceOptions } from '../../lib/stream/types.js';
import { connect, hostNqn, mib, open, PoolFolder } from '../node/bench.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import { pieces } from './records.js';

const block = 4096;
const size = 32n * mib;
const blocks = Number(size) / block;
const seed = seedOfRun();

let source: Node;
let target: Node;
before(async () => {
  [source, target] = await Promise.all([open(), open()]);
});
after(async () => {
  await Promise.all([source.close(), target.close()]);
});

/** Lets a host have the volume for `work`, then takes it away. */
async function asHost<R>(
  node: Node,
  volume: string,
  work: (namespace: HostNamespace) => Promise<R>,
): Promise<R> {
  const { nsid } = await node.volumes.grant(volume, hostNqn('x'));
  const host = await connect(node, 'x');
  try {
    return await work(await host.namespace(nsid));
  } finally {
    await host.close();
    await node.volumes.revoke(volume, hostNqn('x'));
  }
}

/** Everything that a host reads. */
function contents(node: Node, volume: string): Promise<Buffer> {
  return asHost(node, volume, async (namespace) =>
    Buffer.from(await namespace.read(0n, Number(namespace.sizeBytes))),
  );
}

async function exported(
  node: Node,
  snapshot: string,
  options: DifferenceOptions = {},
): Promise<Buffer> {
  const { body } = await node.streams.export(snapshot, options);
  const out: Uint8Array[] = [];
  for await (const bytes of body) out.push(bytes);
  return Buffer.concat(out);
}

const imported = (node: Node, volume: string, bytes: Buffer) =>
  node.streams.import(volume, pieces(bytes, 60_000));

/** Writes, zeroes and deallocates here and there, and a long run. */
async function scatter(namespace: HostNamespace, random: SeededRandom): Promise<void> {
  for (let count = 0; count < 60; count += 1) {
    const length = 1 + random.below(12);
    const at = BigInt(random.below(blocks - length) * block);
    const bytes = Buffer.alloc(length * block);
    for (let index = 0; index < length; index += 1) {
      bytes.fill(random.below(256), index * block, (index + 1) * block);
    }
    const kind = random.below(4);
    if (kind === 0) await namespace.deallocate([{ offset: at, length: BigInt(length * block) }]);
    else if (kind === 1) await namespace.writeZeroes(at, BigInt(length * block));
    else await namespace.write(at, bytes);
  }
  const run = Buffer.alloc(3 << 20);
  for (let at = 0; at < run.length; at += 8) run.writeDoubleLE(random.next(), at);
  await namespace.write(BigInt(random.below(blocks - 800) * block), run);
}

describe(`streams between two pools, seed ${seed}`, () => {
  it('full and by difference of three snapshots: equal block by block for a host', async () => {
    const random = new SeededRandom(seed);
    await source.volumes.create({ name: 'a', sizeBytes: size });
    let since: string | undefined;
    for (const name of ['sun', 'mon', 'tue']) {
      await asHost(source, 'a', (namespace) => scatter(namespace, random));
      await source.snapshots.create('a', name);
      const wanted = await contents(source, 'a');
      const bytes = await exported(source, `a@${name}`, { since });
      const { snapshot, kind } = await imported(target, 'b', bytes);
      assert.equal(kind, since === undefined ? 'full' : 'difference');
      assert.equal(snapshot.reference, `b@${name}`);
      assert.ok((await contents(target, 'b')).equals(wanted), `b@${name} differs`);
      since = `a@${name}`;
    }
    // What is in the pool now must also be what the differences say one by one.
    const full = await exported(source, 'a@tue');
    await imported(target, 'whole', full);
    assert.ok((await contents(target, 'whole')).equals(await contents(target, 'b')));
    for (const node of [source, target]) {
      assert.deepEqual((await node.pool.check()).problems, []);
    }
  });

  it('ranges: what an export carries, and every block that differs is in them', async () => {
    const ranges: LayerRange[] = [];
    for await (const range of source.streams.ranges('a@tue', { since: 'a@mon' }))
      ranges.push(range);
    const { body, dataBytes } = await source.streams.export('a@tue', { since: 'a@mon' });
    await body.return();
    const bytes = (kind: string) =>
      ranges
        .filter((range) => range.kind === kind)
        .reduce((sum, { lengthBytes }) => sum + lengthBytes, 0n);
    assert.equal(dataBytes, bytes('data'));
    assert.ok(bytes('data') >= 3n * mib && bytes('data') < size, `${bytes('data')}`);
    const paged: LayerRange[] = [];
    for (let from: bigint | null = 0n; from !== null; ) {
      const page = await source.streams.rangePage('a@tue', 7, { since: 'a@mon', fromOffset: from });
      paged.push(...page.ranges);
      from = page.nextOffsetBytes;
    }
    const total = (list: LayerRange[]) =>
      list.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0n);
    assert.equal(total(paged), total(ranges));
    await source.volumes.clone('a@mon', { name: 'older' });
    const [before, now] = [await contents(source, 'older'), await contents(source, 'a')];
    const covered = new Set<number>();
    for (const { offsetBytes, lengthBytes } of ranges) {
      for (let at = 0n; at < lengthBytes; at += 4096n)
        covered.add(Number(offsetBytes + at) / block);
    }
    for (let index = 0; index < blocks; index += 1) {
      const [was, is] = [before, now].map((all) =>
        all.subarray(index * block, (index + 1) * block),
      );
      if (was !== undefined && is !== undefined && !was.equals(is))
        assert.ok(covered.has(index), `${index}`);
    }
  });

  it('a snapshot that a host reads at the same time: both read it', async () => {
    const { nsid } = await source.snapshots.grant('a@mon', hostNqn('x'));
    const host = await connect(source, 'x');
    try {
      const namespace = await host.namespace(nsid ?? assert.fail('no NSID'));
      const { body } = await source.streams.export('a@mon');
      let read = 0;
      for await (const bytes of body) {
        read += bytes.length;
        await namespace.read(0n, block);
      }
      assert.ok(read > 0);
      await namespace.read(0n, block);
    } finally {
      await host.close();
      await source.snapshots.revoke('a@mon', hostNqn('x'));
    }
  });

  it('a volume of 512-byte blocks that grew, with an odd end: equal', async () => {
    const odd = mib + 512n;
    await source.volumes.create({ name: 'odd', sizeBytes: odd, blockBytes: 512 });
    await asHost(source, 'odd', (namespace) => namespace.write(mib - 512n, Buffer.alloc(1024, 7)));
    await source.snapshots.create('odd', 'one');
    await imported(target, 'odd', await exported(source, 'odd@one'));
    await source.volumes.resize('odd', 2n * odd);
    await asHost(source, 'odd', (namespace) =>
      namespace.write(2n * odd - 512n, Buffer.alloc(512, 9)),
    );
    await source.snapshots.create('odd', 'two');
    await imported(target, 'odd', await exported(source, 'odd@two', { since: 'odd@one' }));
    const [is, was] = [await contents(target, 'odd'), await contents(source, 'odd')];
    assert.ok(is.equals(was));
    assert.equal(is.length, Number(2n * odd));
  });

  it('written to on the target: refused, and fits again after a rollback', async () => {
    await asHost(source, 'a', (namespace) => namespace.write(0n, Buffer.alloc(block, 1)));
    await source.snapshots.create('a', 'wed');
    const bytes = await exported(source, 'a@wed', { since: 'a@tue' });
    await asHost(target, 'b', (namespace) => namespace.write(8192n, Buffer.alloc(block, 2)));
    await assert.rejects(imported(target, 'b', bytes), {
      code: 'conflict',
      message: /offset 8192/,
    });
    await target.snapshots.rollback('b@tue');
    await imported(target, 'b', bytes);
    assert.ok((await contents(target, 'b')).equals(await contents(source, 'a')));
  });

  it('cut off on a pool file, opened again: goes on where it was durable', async () => {
    using folder = new PoolFolder();
    const bytes = await exported(source, 'a@tue');
    let node = await open({ pool: folder.pool });
    await assert.rejects(imported(node, 'c', bytes.subarray(0, bytes.length / 2)), {
      code: 'stream-corrupt',
    });
    await node.close();
    node = await open({ pool: folder.pool });
    try {
      const [unfinished] = node.streams.imports();
      const from = unfinished?.appliedBytes ?? 0n;
      assert.ok(from > 0n);
      const rest = await exported(source, 'a@tue', { fromOffset: from });
      assert.ok(rest.length < bytes.length);
      const { resumedBytes } = await imported(node, 'c', rest);
      assert.equal(resumedBytes, from);
      assert.ok((await contents(node, 'c')).equals(await contents(target, 'whole')));
      assert.deepEqual((await node.pool.check()).problems, []);
    } finally {
      await node.close();
    }
  });
});
