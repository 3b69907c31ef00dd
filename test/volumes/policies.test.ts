/** Policies of volumes and tenants: what reaches the meters, and what is refused. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MeterTerms } from '../../lib/qos/meters.js';
import { mib, open, PoolFolder } from '../node/bench.js';
import { ControlBench } from './control_bench.js';

const host = 'nqn.2026-01.test:h';
const gold = { iops: 9000n, weight: 400 };
const free = { limits: null, weight: 100 };
const short = ({ limits, weight }: MeterTerms) => ({ iops: limits?.iops ?? null, weight });

/** Volumes `a` (namespace 1) and `b` (namespace 2), for one host. */
async function twoVolumes(): Promise<ControlBench> {
  const bench = await ControlBench.open();
  for (const name of ['a', 'b']) {
    await bench.volumes.create({ name, sizeBytes: mib, hosts: [host] });
  }
  await bench.policies.create('gold', gold);
  return bench;
}

describe('policies', () => {
  it('a change holds at once for every volume that has it, and for no other', async () => {
    const bench = await twoVolumes();
    const controller = await bench.connect(host);
    assert.deepEqual(bench.termsOf(controller, 1), free);
    await bench.volumes.setPolicy('a', 'gold');
    assert.deepEqual(short(bench.termsOf(controller, 1)), gold);
    await bench.policies.change('gold', { iops: null, readIops: 7n, weight: 1 });
    assert.equal(bench.termsOf(controller, 1).limits?.readIops, 7n);
    assert.deepEqual(short(bench.termsOf(controller, 1)), { iops: null, weight: 1 });
    assert.deepEqual(bench.termsOf(controller, 2), free);
    await bench.volumes.setPolicy('a', null);
    assert.deepEqual(bench.termsOf(controller, 1), free);
  });

  it('limits are there again after a restart', async () => {
    const bench = await twoVolumes();
    await bench.volumes.setPolicy('b', 'gold');
    await bench.tenants.change('default', { policy: 'gold', quota: { iops: 300 } });
    const again = await bench.restart();
    const controller = await again.connect(host);
    assert.deepEqual(short(again.termsOf(controller, 2)), gold);
    assert.deepEqual(again.termsOf(controller, 1), free);
    // The tenant's meter is made first.
    const [tenant = free] = again.native.meters.values();
    assert.deepEqual(short(tenant), { iops: 300n, weight: 400 });
  });

  it('a granted snapshot goes by its volume, and by nothing when that is gone', async () => {
    const bench = await twoVolumes();
    await bench.volumes.setPolicy('a', 'gold');
    await bench.snapshots.create('a', 's');
    const { nsid } = await bench.snapshots.grant('a@s', host);
    const controller = await bench.connect(host);
    assert.deepEqual(short(bench.termsOf(controller, nsid)), gold);
    await bench.policies.change('gold', { weight: 7 });
    assert.equal(bench.termsOf(controller, nsid).weight, 7);
    await bench.volumes.setPolicy('b', null);
    assert.equal(bench.termsOf(controller, nsid).weight, 7);
    await bench.volumes.delete('a', { force: true });
    assert.deepEqual(bench.termsOf(controller, nsid), free);
  });

  it('rollback and resize: the same meter, by the same terms', async () => {
    const bench = await twoVolumes();
    await bench.volumes.setPolicy('a', 'gold');
    await bench.snapshots.create('a', 's');
    const controller = await bench.connect(host);
    const meterOf = () =>
      bench.native.attached.get(controller)?.find(({ nsid }) => nsid === 1)?.meter ?? assert.fail();
    const before = meterOf();
    await bench.volumes.resize('a', 2n * mib);
    await bench.snapshots.rollback('a@s', { force: true });
    assert.equal(meterOf(), before);
    assert.deepEqual(short(bench.termsOf(controller, 1)), gold);
  });

  it('given and deleted at the same moment: one of both is refused', async () => {
    const bench = await twoVolumes();
    const outcomes = await Promise.allSettled([
      bench.volumes.setPolicy('a', 'gold'),
      bench.policies.delete('gold'),
    ]);
    assert.equal(outcomes.filter(({ status }) => status === 'rejected').length, 1);
    const { policy } = await bench.volumes.show('a');
    const left = bench.policies.list().map(({ name }) => name);
    assert.deepEqual(left, policy === null ? [] : [policy]);
  });

  it('"none" is no name for one, as that takes a policy away', async () => {
    const bench = await twoVolumes();
    const refused = { code: 'invalid-argument', message: /means no policy/ };
    await assert.rejects(bench.policies.create('none'), refused);
    await assert.rejects(bench.policies.change('gold', { name: 'none' }), refused);
  });

  it('numbers that are none are refused before anything is written', async () => {
    const bench = await twoVolumes();
    const { commits } = bench.layers;
    for (const wrong of [{ burstPercent: 150.5 }, { weight: Number.NaN }, { iops: 0n }]) {
      await assert.rejects(bench.policies.change('gold', wrong), { code: 'invalid-argument' });
    }
    assert.equal(bench.layers.commits, commits);
  });

  it('a quota beyond every rate: no limit, and the node starts again', async () => {
    using folder = new PoolFolder();
    const pool = { ...folder.pool };
    {
      await using node = await open({ pool });
      await node.tenants.change('default', { quota: { iops: 2 ** 50, bytesPerSecond: 1n << 50n } });
    }
    await using again = await open({ pool });
    assert.equal(again.tenants.show('default').quota.iops, 2 ** 50);
  });
});
