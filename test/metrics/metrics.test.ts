/** What a scrape of a node says is what hosts did, and no counter of it ever goes backwards. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Metrics } from '../../lib/metrics/metrics.js';
import type { Node } from '../../lib/node/types.js';
import { AssociationCounts, otherHosts } from '../../lib/target/associations.js';
import { connect, gib, hostNqn, mib, noneConnected, open } from '../node/bench.js';
import { Exposition } from './exposition.js';

async function scrape(metrics: Metrics, tenant: string | null = null): Promise<Exposition> {
  const { contentType, body } = await metrics.scrape(tenant);
  assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8');
  return new Exposition(body.toString());
}

async function volume(node: Node, name: string, tenant?: string): Promise<void> {
  const options = tenant === undefined ? {} : { tenant };
  await node.volumes.create({ name, sizeBytes: gib / 4n }, options);
  await node.volumes.grant(name, hostNqn('h'), options);
}

const load = { blockBytes: 4096, ioBytes: 4096, spanBytes: 16n * mib, depth: 8, queues: 2 };

describe('metrics of a node', () => {
  it('counts and latencies of volume and tenant are those of what a host did', async () => {
    await using node = await open();
    using metrics = new Metrics({ node, volumes: 10 });
    await volume(node, 'one');
    await using host = await connect(node, 'h');
    await host.load({ ...load, nsid: 1, readPercent: 0, maxCommands: 300n });
    await host.load({ ...load, nsid: 1, readPercent: 100, maxCommands: 200n });
    await host.namespace(1).then((namespace) => namespace.flush());
    const found = await scrape(metrics);
    const one = { tenant: 'default', volume: 'one' };
    for (const [prefix, labels] of [
      ['ashlar_volume', one],
      ['ashlar_tenant', { tenant: 'default' }],
    ] as const) {
      const value = (name: string) => found.value(`${prefix}_${name}`, labels);
      assert.equal(value('write_commands_total'), 300);
      assert.equal(value('write_bytes_total'), 300 * 4096);
      assert.equal(value('read_commands_total'), 200);
      assert.equal(value('read_bytes_total'), 200 * 4096);
      assert.equal(value('flush_commands_total'), 1);
      assert.equal(value('command_errors_total'), 0);
      assert.equal(value('commands_under_way'), 0);
      assert.equal(value('write_latency_seconds_count'), 300);
      assert.equal(value('read_latency_seconds_count'), 200);
      const sum = value('read_latency_seconds_sum');
      assert.ok(sum > 200 * 1e-6 && sum < 200, `${sum} s`);
      const buckets = found.find(`${prefix}_read_latency_seconds_bucket`, labels);
      assert.equal(buckets.length, 16);
      assert.deepEqual(buckets.at(-1)?.labels['le'], '+Inf');
      assert.equal(buckets.at(-1)?.value, 200);
      for (const [at, { value: count }] of buckets.entries()) {
        assert.ok(count >= (buckets[at - 1]?.value ?? 0), 'buckets are cumulative');
      }
    }
  });

  it('pool, journal, reactors, hosts and process are there, and plausible', async () => {
    await using node = await open();
    using metrics = new Metrics({ node, volumes: 10 });
    await volume(node, 'one');
    await using host = await connect(node, 'h');
    await host.load({ ...load, nsid: 1, readPercent: 0, maxCommands: 300n });
    await host.namespace(1).then((namespace) => namespace.flush());
    const found = await scrape(metrics);
    const { pool } = await node.status();
    assert.equal(found.value('ashlar_serving'), 1);
    assert.equal(found.value('ashlar_volumes'), 1);
    assert.equal(found.value('ashlar_pool_size_bytes'), Number(pool.sizeBytes));
    assert.equal(found.value('ashlar_pool_free_bytes'), Number(pool.freeChunks * pool.chunkBytes));
    assert.equal(found.value('ashlar_pool_provisioned_bytes'), Number(gib / 4n));
    assert.equal(found.value('ashlar_journal_size_bytes'), Number(pool.journalBytes));
    assert.ok(found.value('ashlar_pool_commits_total') > 0);
    assert.equal(found.value('ashlar_device_online', { device: '0' }), 1);
    assert.ok(found.value('ashlar_reactor_busy_seconds_total', { reactor: '0' }) > 0);
    assert.equal(found.value('ashlar_reactor_connections', { reactor: '0' }), 3);
    assert.equal(found.value('ashlar_host_connections', { host: hostNqn('h') }), 3);
    assert.ok(found.value('process_resident_memory_bytes') > Number(mib));
    assert.ok(found.value('process_start_time_seconds') <= Date.now() / 1000);
    // Measured from the first scrape on.
    assert.equal(found.find('ashlar_event_loop_lag_seconds').length, 0);
  });

  it('the lag of the event loop is told once it was measured: a blocked loop shows', async () => {
    await using node = await open();
    using metrics = new Metrics({ node, volumes: 10 });
    await scrape(metrics);
    // Two looks of the timer that measures, 20 ms apart, and between them a loop that is blocked.
    const end = performance.now() + 500;
    await new Promise((resolve) => setTimeout(resolve, 60));
    while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 60));
    const found = await scrape(metrics);
    const lag = found.value('ashlar_event_loop_lag_seconds', { statistic: 'max' });
    assert.ok(lag > 0.2 && lag < 20, `${lag} s`);
  });

  it('associations are counted by host, and by how they ended', async () => {
    await using node = await open();
    using metrics = new Metrics({ node, volumes: 10 });
    await volume(node, 'one');
    for (let time = 0; time < 3; time += 1) {
      const host = await connect(node, 'h');
      await host.close();
      await noneConnected(node);
    }
    await assert.rejects(connect(node, 'stranger'));
    await using _host = await connect(node, 'h');
    const found = await scrape(metrics);
    const host = { host: hostNqn('h') };
    assert.equal(found.value('ashlar_host_associations_total', host), 4);
    const ended = found.find('ashlar_host_associations_ended_total', host);
    assert.equal(ended.length, 5);
    assert.equal(
      ended.reduce((sum, { value }) => sum + value, 0),
      3,
    );
    assert.equal(found.value('ashlar_connects_refused_total'), 1);
    assert.equal(found.find('ashlar_host_connections').length, 1);
  });

  it('hosts beyond the limit are one, however they name themselves', () => {
    const counts = new AssociationCounts(2);
    for (const name of ['a', 'b', 'a', 'c', 'd', 'c']) counts.begin(name);
    for (const name of ['a', 'c', 'd']) counts.end(name, 'disconnected');
    const told = counts
      .entries()
      .map(([name, { begun, ended }]) => [name, begun, ended.disconnected]);
    assert.deepEqual(told, [
      ['a', 2, 1],
      ['b', 1, 0],
      [otherHosts, 3, 2],
    ]);
  });

  it('jobs are counted by state and kind', async () => {
    await using node = await open();
    using metrics = new Metrics({ node, volumes: 10 });
    const about = { title: 't', tenant: null, owner: 'o', cancellable: false };
    node.jobs.open({ kind: 'export', ...about }).succeed(null);
    node.jobs.open({ kind: 'export', ...about }).fail(new Error('e'));
    const running = node.jobs.open({ kind: 'pool-check', ...about });
    const found = await scrape(metrics);
    const states = found.find('ashlar_jobs').map(({ labels, value }) => [labels['state'], value]);
    assert.deepEqual(states, [
      ['running', 1],
      ['succeeded', 1],
      ['failed', 1],
      ['cancelled', 0],
    ]);
    const failed = { kind: 'export', state: 'failed' };
    assert.equal(found.value('ashlar_jobs_ended_total', failed), 1);
    running.succeed(null);
  });
});

describe('metrics of many volumes', () => {
  it('the oldest have series; the others are a sum that no deletion makes smaller', async () => {
    await using node = await open();
    using metrics = new Metrics({ node, volumes: 2 });
    for (const name of ['a', 'b', 'c', 'd']) await volume(node, name);
    await using host = await connect(node, 'h');
    const write = { ...load, readPercent: 0, maxCommands: 10n };
    for (const nsid of [1, 2, 3, 4]) await host.load({ ...write, nsid });
    const writes = async () => {
      const found = await scrape(metrics);
      const series = found.find('ashlar_volume_write_commands_total');
      return {
        of: Object.fromEntries(series.map(({ labels, value }) => [labels['volume'], value])),
        summed: found.value('ashlar_volumes_summed'),
      };
    };
    assert.deepEqual(await writes(), { of: { a: 10, b: 10, '(others)': 20 }, summed: 2 });
    await node.volumes.delete('d', { force: true });
    assert.deepEqual(await writes(), { of: { a: 10, b: 10, '(others)': 20 }, summed: 1 });
    await node.volumes.delete('a', { force: true });
    assert.deepEqual(await writes(), { of: { b: 10, '(others)': 20 }, summed: 1 });
    // Its place is for a new one: what is in the sum stays there.
    await volume(node, 'e');
    assert.deepEqual(await writes(), { of: { b: 10, e: 0, '(others)': 20 }, summed: 1 });
    await host.load({ ...write, nsid: 3 });
    assert.deepEqual(await writes(), { of: { b: 10, e: 0, '(others)': 30 }, summed: 1 });
    const found = await scrape(metrics);
    assert.equal(found.value('ashlar_tenant_write_commands_total'), 50);
  });

  it("a tenant's scrape has its own volumes, and nothing of the node or of others", async () => {
    await using node = await open();
    using metrics = new Metrics({ node, volumes: 10 });
    await node.tenants.create('acme');
    await volume(node, 'mine', 'acme');
    await volume(node, 'theirs');
    const found = await scrape(metrics, 'acme');
    assert.ok(found.series.length > 0);
    for (const { name, labels } of found.series) {
      assert.match(name, /^ashlar_(volume|tenant)_/);
      assert.equal(labels['tenant'], 'acme');
    }
    assert.equal(found.find('ashlar_volume_read_commands_total').length, 1);
    for (const family of found.families.keys()) assert.match(family, /^ashlar_(volume|tenant)_/);
    await assert.rejects(metrics.scrape('nobody'), { code: 'not-found' });
  });

  it('scrapes that come at once are one', async () => {
    await using node = await open();
    using metrics = new Metrics({ node, volumes: 10 });
    const [first, second] = await Promise.all([metrics.scrape(null), metrics.scrape(null)]);
    assert.equal(first, second);
  });
});
