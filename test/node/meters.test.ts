/** What hosts do is counted by volume and tenant, and a tenant's limits hold, over a whole node. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MeterCounters } from '../../lib/native.js';
import type { Node } from '../../lib/node/types.js';
import { connect, gib, hostNqn, mib, open } from './bench.js';

async function twoVolumes(node: Node): Promise<void> {
  for (const name of ['one', 'two']) {
    await node.volumes.create({ name, sizeBytes: gib / 4n });
    await node.volumes.grant(name, hostNqn('h'));
  }
}

const counted = (node: Node, volume: string): MeterCounters => {
  const [item] = node.statistics.volume(volume).items;
  assert.ok(item !== undefined);
  return item.counters;
};

const load = { blockBytes: 4096, ioBytes: 4096, spanBytes: 16n * mib, depth: 8 };

describe('meters of a node', () => {
  it('commands and bytes are those that a host sent; a tenant has the sum of its volumes', async () => {
    await using node = await open({
      runtime: { reactors: 2, cpus: null, bufferBytes: null, busyPollUs: 0 },
    });
    await twoVolumes(node);
    await using host = await connect(node, 'h');
    const writes = { ...load, queues: 2, readPercent: 0, maxCommands: 1000n };
    await host.load({ ...writes, nsid: 1 });
    await host.load({ ...writes, nsid: 2, readPercent: 100, maxCommands: 500n });
    const [one, two] = [counted(node, 'one'), counted(node, 'two')];
    assert.equal(one.writes, 1000n);
    assert.equal(one.writtenBytes, 1000n * 4096n);
    assert.equal(one.reads, 0n);
    assert.equal(two.reads, 500n);
    assert.equal(two.readBytes, 500n * 4096n);
    for (const { errors, underWay, limitedCommands } of [one, two]) {
      assert.deepEqual([errors, underWay, limitedCommands], [0n, 0, 0n]);
    }
    const sum = (latency: BigUint64Array) => latency.reduce((total, count) => total + count, 0n);
    assert.equal(sum(one.writeLatency), 1000n);
    assert.equal(sum(two.readLatency), 500n);
    // A deleted volume's counts stay its tenant's.
    await host.close();
    await node.volumes.delete('one', { force: true });
    const [tenant] = node.statistics.tenants().items;
    assert.equal(tenant?.counters.writes, 1000n);
    assert.equal(tenant?.counters.reads, 500n);
  });

  it('counts go on over a snapshot, a rollback and a resize', async () => {
    await using node = await open();
    await twoVolumes(node);
    await using host = await connect(node, 'h');
    const write = { ...load, nsid: 1, readPercent: 0, maxCommands: 100n };
    await host.load(write);
    await node.snapshots.create('one', 's');
    await host.load(write);
    await node.volumes.resize('one', gib / 2n);
    await host.load(write);
    assert.equal(counted(node, 'one').writes, 300n);
    await node.snapshots.rollback('one@s', { force: true });
    assert.equal(counted(node, 'one').writes, 300n);
  });

  it("a tenant's quota of commands a second is kept by its volumes together", async () => {
    await using node = await open();
    await twoVolumes(node);
    await using host = await connect(node, 'h');
    const reads = { ...load, nsids: [1, 2], durationMs: 1000 };
    await node.tenants.change('default', { quota: { iops: 300 } });
    const { seconds, iops } = await timed(() => host.load(reads));
    // One at once, 10 ms of slack, and what was under way as the load ended.
    assert.ok(iops >= 250 * seconds && iops <= 300 * seconds + 4 + 16, `${iops} in ${seconds} s`);
    assert.ok(counted(node, 'one').limitedCommands > 0n);
    await node.tenants.change('default', { quota: { iops: null } });
    const free = await timed(() => host.load({ ...reads, maxCommands: 5000n, durationMs: 0 }));
    assert.equal(free.iops, 5000);
    const limited = counted(node, 'one').limitedCommands;
    await host.load({ ...reads, maxCommands: 1000n, durationMs: 0 });
    assert.equal(counted(node, 'one').limitedCommands, limited);

    /** How many commands the volumes have seen meanwhile, and how long it took. */
    async function timed(body: () => Promise<unknown>): Promise<{ seconds: number; iops: number }> {
      const read = () => node.statistics.tenants().items[0]?.counters.reads ?? 0n;
      const before = read();
      const start = performance.now();
      await body();
      const seconds = (performance.now() - start) / 1000;
      return { seconds, iops: Number(read() - before) };
    }
  });

  it('volumes are read in the order in which they were made, a page at a time', async () => {
    await using node = await open();
    for (const name of ['c', 'a', 'b']) await node.volumes.create({ name, sizeBytes: gib / 4n });
    const names: string[] = [];
    let after: bigint | null = 0n;
    while (after !== null) {
      const page = node.statistics.volumes(after, 2);
      names.push(...page.items.map(({ volume }) => volume));
      after = page.next;
    }
    assert.deepEqual(names, ['c', 'a', 'b']);
  });
});
