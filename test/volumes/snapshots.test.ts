/** Snapshots, clones, rollback and deletes: what is asked of the layers, and every refusal. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { snapshotKind } from '../../lib/catalog/kinds.js';
import { ControlBench } from './control_bench.js';

const mib = 1n << 20n;
const alice = 'nqn.2026-01.test:alice';

let bench: ControlBench;
beforeEach(async () => {
  bench = await ControlBench.open();
});

const make = (name: string, sizeBytes = mib, hosts: string[] = []) =>
  bench.volumes.create({ name, sizeBytes, hosts });

describe('snapshots', () => {
  it('create: the volume goes on on a new layer, and the snapshot has the old one', async () => {
    const volume = await make('a');
    const snapshot = await bench.snapshots.create('a', 'mon');
    assert.equal(snapshot.reference, 'a@mon');
    assert.equal(snapshot.volumeUuid, volume.uuid);
    assert.equal(snapshot.sizeBytes, mib);
    assert.equal(snapshot.nsid, null);
    assert.equal(snapshot.groupUuid, null);
    assert.equal((await bench.volumes.show('a')).snapshots, 1);
    assert.equal(bench.layers.layerCount, 2);
    bench.assertConsistent();
  });

  it('usage: mapped, exclusive, shared and frees come from the layer', async () => {
    await make('a');
    const { usage } = await bench.snapshots.create('a', 'mon');
    assert.deepEqual(usage, {
      mappedBytes: 12_288n,
      exclusiveBytes: 65_536n,
      sharedBytes: 8192n,
      freesBytes: 131_072n,
    });
    assert.deepEqual((await bench.volumes.show('a')).usage, {
      mappedBytes: 12_288n,
      exclusiveBytes: 65_536n,
      sharedBytes: 8192n,
      reservedBytes: 0n,
    });
  });

  it('wrong calls: each by its code, and nothing is made', async () => {
    await make('a');
    await bench.snapshots.create('a', 'mon');
    const { snapshots } = bench;
    const commits = bench.layers.commits;
    const cases: [() => Promise<unknown>, string, RegExp][] = [
      [() => snapshots.create('none', 'x'), 'not-found', /volume 'none' does not exist/],
      [() => snapshots.create('a', 'x/y'), 'invalid-argument', /snapshot name 'x\/y'/],
      [() => snapshots.create('a', ''), 'invalid-argument', /snapshot name/],
      [() => snapshots.create('a', 'mon'), 'already-exists', /'a@mon' exists already/],
      [() => snapshots.createGroup([], 'x'), 'invalid-argument', /0 volumes at one instant/],
      [() => snapshots.createGroup(['a', 'a'], 'x'), 'invalid-argument', /'a' is named twice/],
      [() => snapshots.createGroup(['a', 'none'], 'x'), 'not-found', /'none'/],
      [() => snapshots.show('a'), 'invalid-argument', /'a' is not a snapshot: give VOLUME@NAME/],
      [() => snapshots.show('a@none'), 'not-found', /snapshot 'a@none' does not exist/],
      [() => snapshots.show('none@mon'), 'not-found', /snapshot 'none@mon' does not exist/],
      [() => snapshots.delete('a@none'), 'not-found', /'a@none'/],
      [() => snapshots.rollback('a@none'), 'not-found', /'a@none'/],
      [() => snapshots.page({ volume: 'none' }), 'not-found', /'none' does not exist and has left/],
      [() => snapshots.page({ limit: 0 }), 'invalid-argument', /0 items/],
      [() => snapshots.page({ after: '!' }), 'invalid-argument', /'!' is not where a page ended/],
    ];
    for (const [call, code, message] of cases) await assert.rejects(call, { code, message });
    assert.equal(bench.layers.commits, commits);
    bench.assertConsistent();
  });

  it('repeats that are allowed: the same snapshot; a delete of one that is gone', async () => {
    await make('a');
    await make('b');
    const options = { repeatable: true };
    const first = await bench.snapshots.create('a', 'mon');
    assert.equal((await bench.snapshots.create('a', 'mon', options)).uuid, first.uuid);
    const group = await bench.snapshots.createGroup(['a', 'b'], 'tue');
    const again = await bench.snapshots.createGroup(['b', 'a'], 'tue', options);
    assert.deepEqual(again.map(({ uuid }) => uuid).reverse(), [group[0]?.uuid, group[1]?.uuid]);
    const mixed = bench.snapshots.createGroup(['a', 'b'], 'mon', options);
    await assert.rejects(mixed, { code: 'already-exists', message: /'a@mon'/ });
    await bench.snapshots.delete('a@mon');
    await bench.snapshots.delete('a@mon', options);
    bench.assertConsistent();
  });

  it('a group: one commit, one group UUID; one volume that has the name: none is made', async () => {
    for (const name of ['a', 'b', 'c']) await make(name);
    const commits = bench.layers.commits;
    const group = await bench.snapshots.createGroup(['c', 'a', 'b'], 'noon');
    assert.equal(bench.layers.commits, commits + 1);
    assert.deepEqual(
      group.map(({ reference }) => reference),
      ['c@noon', 'a@noon', 'b@noon'],
    );
    assert.equal(new Set(group.map(({ groupUuid }) => groupUuid)).size, 1);
    assert.notEqual(group[0]?.groupUuid, null);
    await bench.snapshots.create('b', 'one');
    const clash = bench.snapshots.createGroup(['a', 'b', 'c'], 'one');
    await assert.rejects(clash, { code: 'already-exists', message: /'b@one'/ });
    assert.equal(bench.catalog.count(snapshotKind), 4);
    bench.assertConsistent();
  });

  it('groups that overlap, in opposite orders, at once: all are made', async () => {
    for (const name of ['a', 'b', 'c']) await make(name);
    const work = Array.from({ length: 10 }, (_, index) => {
      const volumes = index % 2 === 0 ? ['a', 'b', 'c'] : ['c', 'b', 'a'];
      return bench.snapshots.createGroup(volumes, `s${index}`);
    });
    await Promise.all(work);
    assert.equal(bench.catalog.count(snapshotKind), 30);
    bench.assertConsistent();
  });

  it('a group of volumes of two tenants: refused', async () => {
    await make('a');
    await bench.tenants.create('t');
    const other = await bench.volumes.create({ name: 'b', sizeBytes: mib }, { tenant: 't' });
    const call = bench.snapshots.createGroup(['a', other.uuid], 'x');
    await assert.rejects(call, { code: 'invalid-argument', message: /of another tenant/ });
  });

  it('a snapshot outlives its volume: found by the last name until a namesake has one', async () => {
    await make('old');
    const first = await bench.snapshots.create('old', 'mon');
    await bench.volumes.rename('old', 'a');
    await assert.rejects(bench.snapshots.show('old@mon'), { code: 'not-found' });
    assert.equal((await bench.snapshots.show('a@mon')).uuid, first.uuid);
    await bench.volumes.delete('a');
    bench.assertConsistent();
    bench = await bench.restart();
    const orphan = await bench.snapshots.show('a@mon');
    assert.equal(orphan.uuid, first.uuid);
    assert.equal(orphan.volumeUuid, null);

    await make('a');
    assert.equal((await bench.snapshots.show('a@mon')).uuid, first.uuid);
    const second = await bench.snapshots.create('a', 'mon');
    assert.equal((await bench.snapshots.show('a@mon')).uuid, second.uuid);
    assert.equal((await bench.snapshots.show(first.uuid)).reference, 'a@mon');

    await bench.volumes.delete('a');
    await assert.rejects(bench.snapshots.show('a@mon'), (thrown: Error) => {
      assert.match(thrown.message, /names 2 snapshots of deleted volumes/);
      assert.ok(thrown.message.includes(first.uuid) && thrown.message.includes(second.uuid));
      return true;
    });
    await bench.snapshots.delete(second.uuid);
    await bench.snapshots.delete('a@mon');
    assert.equal(bench.layers.layerCount, 0);
  });

  it('a new volume after a restart does not adopt the snapshots of a deleted one', async () => {
    await make('a');
    await bench.snapshots.create('a', 'mon');
    await bench.volumes.delete('a');
    bench = await bench.restart();
    const volume = await make('b');
    assert.equal(volume.snapshots, 0);
    assert.equal((await bench.snapshots.show('a@mon')).volumeUuid, null);
  });

  it('rollback: the volume is on the snapshot again, and keeps the larger size', async () => {
    await make('a');
    await bench.snapshots.create('a', 'small');
    await bench.volumes.resize('a', 2n * mib);
    await bench.snapshots.create('a', 'large');
    const back = await bench.snapshots.rollback('a@small');
    assert.equal(back.sizeBytes, 2n * mib);
    bench.assertConsistent();
    await bench.volumes.delete('a');
    const orphan = bench.snapshots.rollback('a@small');
    await assert.rejects(orphan, { code: 'conflict', message: /ashlar volume clone a@small a$/ });
    await make('a');
    const another = bench.snapshots.rollback('a@small');
    await assert.rejects(another, { code: 'conflict', message: /is deleted/ });
    bench.assertConsistent();
  });

  it('pages: by volume and age, each snapshot once, whatever comes and goes between', async () => {
    for (const name of ['b', 'a']) await make(name);
    for (let index = 0; index < 5; index += 1) {
      await bench.snapshots.createGroup(['b', 'a'], `s${index}`);
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await bench.snapshots.page({ limit: 3, after });
      assert.ok(page.items.length <= 3);
      seen.push(...page.items.map(({ reference }) => reference));
      after = page.next ?? undefined;
      if (seen.length === 3) await bench.snapshots.delete('a@s0');
      if (seen.length === 6) await bench.snapshots.delete('b@s0');
    } while (after !== undefined);
    const of = (volume: string) => [0, 1, 2, 3, 4].map((index) => `${volume}@s${index}`);
    assert.deepEqual(seen, [...of('a'), ...of('b')]);
    const only = await bench.snapshots.page({ volume: 'b' });
    assert.deepEqual(
      only.items.map(({ name }) => name),
      ['s1', 's2', 's3', 's4'],
    );
    assert.deepEqual(
      bench.snapshots.listOf('a').map(({ name }) => name),
      ['s1', 's2', 's3', 's4'],
    );
  });

  it('pages of volumes: by name, each once', async () => {
    for (const name of ['c', 'a', 'b']) await make(name);
    const first = await bench.volumes.page({ limit: 2 });
    assert.deepEqual(
      first.items.map(({ name }) => name),
      ['a', 'b'],
    );
    const second = await bench.volumes.page({ limit: 2, after: first.next ?? undefined });
    assert.deepEqual(
      second.items.map(({ name }) => name),
      ['c'],
    );
    assert.equal(second.next, null);
  });
});

describe('clones', () => {
  it('of a snapshot: a volume on its layer, of its size or larger', async () => {
    await make('a');
    const snapshot = await bench.snapshots.create('a', 'mon');
    const clone = await bench.volumes.clone('a@mon', { name: 'b', hosts: [alice] });
    assert.equal(clone.sizeBytes, mib);
    assert.equal(clone.sourceUuid, snapshot.uuid);
    assert.deepEqual(
      clone.grants.map(({ host }) => host),
      [alice],
    );
    const large = await bench.volumes.clone(snapshot.uuid, { name: 'c', sizeBytes: 3n * mib });
    assert.equal(large.sizeBytes, 3n * mib);
    bench.assertConsistent();
  });

  it('of a volume: both go on on layers of their own, and nobody sees the one below', async () => {
    const source = await make('a');
    const clone = await bench.volumes.clone('a', { name: 'b', reserved: true });
    assert.equal(clone.sourceUuid, source.uuid);
    assert.equal(clone.reserved, true);
    assert.equal(bench.layers.layerCount, 3);
    assert.equal(bench.layers.visibleLayers.size, 2);
    assert.equal(bench.catalog.count(snapshotKind), 0);
    bench.assertConsistent();
    await bench.volumes.delete('a');
    await bench.volumes.delete('b');
    assert.equal(bench.layers.layerCount, 0);
  });

  it('wrong calls: each by its code, naming both sizes where they differ', async () => {
    await make('a', 2n * mib);
    const { volumes } = bench;
    const cases: [() => Promise<unknown>, string, RegExp][] = [
      [() => volumes.clone('none', { name: 'b' }), 'not-found', /volume 'none'/],
      [() => volumes.clone('a@none', { name: 'b' }), 'not-found', /snapshot 'a@none'/],
      [
        () => volumes.clone('a', { name: 'b', sizeBytes: mib }),
        'invalid-argument',
        /clone 'b' of 1MiB is smaller than volume 'a' of 2MiB/,
      ],
      [() => volumes.clone('a', { name: 'b', sizeBytes: 65n << 40n }), 'limit-exceeded', /64TiB/],
      [() => volumes.clone('a', { name: 'b/' }), 'invalid-argument', /volume name/],
      [() => volumes.clone('a', { name: 'a' }), 'already-exists', /volume 'a' exists already/],
      [() => volumes.clone('a', { name: 'b', uuid: 'x' }), 'invalid-argument', /not a UUID/],
    ];
    for (const [call, code, message] of cases) await assert.rejects(call, { code, message });
    assert.equal(bench.layers.layerCount, 1);
    bench.assertConsistent();
  });

  it('a repeat: the clone that is there, of that source alone', async () => {
    await make('a');
    await bench.snapshots.create('a', 'mon');
    const first = await bench.volumes.clone('a@mon', { name: 'b' });
    const options = { repeatable: true };
    assert.equal((await bench.volumes.clone('a@mon', { name: 'b' }, options)).uuid, first.uuid);
    const other = bench.volumes.clone('a', { name: 'b' }, options);
    await assert.rejects(other, { code: 'already-exists', message: /cloned from/ });
    const larger = bench.volumes.clone('a@mon', { name: 'b', sizeBytes: 4n * mib }, options);
    await assert.rejects(larger, { code: 'already-exists' });
  });

  it('into the tenant of the source, also when that is named by UUID', async () => {
    await bench.tenants.create('t');
    const { uuid } = await bench.volumes.create({ name: 'a', sizeBytes: mib }, { tenant: 't' });
    assert.equal((await bench.volumes.clone(uuid, { name: 'b' })).tenant, 't');
  });
});

describe('what hosts have connected', () => {
  it('delete of a volume: busy, naming the host; with force it is taken from it', async () => {
    await make('a', mib, [alice]);
    const controller = await bench.connect(alice);
    await assert.rejects(bench.volumes.delete('a'), {
      code: 'busy',
      message: `volume 'a' is connected by host ${alice}; disconnect it there, or take it away from there with --force`,
    });
    assert.deepEqual(bench.seenBy(controller), [[1, false]]);
    bench.assertConsistent();
    await bench.volumes.delete('a', { force: true });
    assert.deepEqual(bench.seenBy(controller), []);
    assert.deepEqual(bench.events.slice(-2), [
      `volume-detached: volume 'a' is taken from host ${alice} to be deleted (forced)`,
      "volume-deleted: volume 'a' deleted",
    ]);
  });

  it('rollback: busy; with force under the host, which is an event', async () => {
    await make('a', mib, [alice]);
    await bench.snapshots.create('a', 'mon');
    await bench.connect(alice);
    await assert.rejects(bench.snapshots.rollback('a@mon'), { code: 'busy', message: /alice/ });
    await bench.snapshots.rollback('a@mon', { force: true });
    assert.match(
      bench.events.at(-1) ?? '',
      /^volume-rolled-back: .* under host .*alice \(forced\)/,
    );
    bench.assertConsistent();
  });

  it('shrink: asked for, refused while connected, then done at rest', async () => {
    await make('a', 2n * mib, [alice]);
    await assert.rejects(bench.volumes.resize('a', mib), {
      code: 'invalid-argument',
      message: /shrink from 2MiB to 1MiB, .*--shrink$/,
    });
    const controller = await bench.connect(alice);
    const shrink = () => bench.volumes.resize('a', mib, { shrink: true });
    await assert.rejects(shrink, { code: 'busy', message: /alice/ });
    await bench.volumes.revoke('a', alice);
    assert.equal((await shrink()).sizeBytes, mib);
    bench.assertConsistent();
    await bench.volumes.grant('a', alice);
    assert.deepEqual(bench.seenBy(controller), [[1, false]]);
  });

  it('a snapshot that is granted: a read-only namespace, its NSID for life', async () => {
    await make('a', mib, [alice]);
    await bench.snapshots.create('a', 'mon');
    const controller = await bench.connect(alice);
    const write = bench.grants.add('a@mon', alice, { access: 'read-write' });
    await assert.rejects(write, { code: 'invalid-argument', message: /granted read-only/ });
    const granted = await bench.snapshots.grant('a@mon', alice);
    assert.equal(granted.nsid, 2);
    assert.deepEqual(bench.seenBy(controller), [
      [1, false],
      [2, true],
    ]);
    assert.equal(granted.connectedHosts.length, 1);
    await assert.rejects(bench.snapshots.delete('a@mon'), { code: 'busy', message: /alice/ });
    await assert.rejects(bench.snapshots.grant('a@mon', alice), { code: 'already-exists' });

    const open = bench.layers.openCount;
    await bench.snapshots.revoke('a@mon', alice);
    assert.equal(bench.layers.openCount, open - 1, 'closed after the last revoke');
    assert.deepEqual(bench.seenBy(controller), [[1, false]]);
    await bench.volumes.create({ name: 'next', sizeBytes: mib });
    assert.equal((await bench.snapshots.grant('a@mon', '*')).nsid, 2);
    await bench.snapshots.delete('a@mon', { force: true });
    assert.match(bench.events.at(-2) ?? '', /^snapshot-detached: /);
    assert.equal(bench.layers.openCount, 2);
    bench.assertConsistent();
  });

  it('a granted snapshot after a restart: open and seen; one that is not granted: closed', async () => {
    await make('a');
    await bench.snapshots.create('a', 'mon');
    await bench.snapshots.create('a', 'tue');
    await bench.snapshots.grant('a@mon', alice);
    bench = await bench.restart();
    assert.equal(bench.layers.openCount, 2);
    assert.deepEqual(bench.seenBy(await bench.connect(alice)), [[2, true]]);
    assert.deepEqual(bench.hosts.show(alice).volumes, ['a@mon']);
  });

  it('a host that is removed: its snapshots are closed', async () => {
    await make('a');
    await bench.snapshots.create('a', 'mon');
    await bench.snapshots.grant('a@mon', alice);
    assert.equal(bench.layers.openCount, 2);
    await bench.hosts.remove(alice);
    assert.equal(bench.layers.openCount, 1);
    assert.deepEqual((await bench.snapshots.show('a@mon')).grants, []);
  });

  it('grants: listed by tenant, volume, snapshot and host', async () => {
    await make('a', mib, ['*']);
    await bench.snapshots.create('a', 'mon');
    const entry = await bench.grants.add('a@mon', alice);
    assert.deepEqual([entry.volume, entry.snapshot, entry.access], ['a', 'mon', 'read-only']);
    assert.deepEqual(
      bench.grants.list().map(({ volume, snapshot, host }) => [volume, snapshot, host]),
      [
        ['a', null, '*'],
        ['a', 'mon', alice],
      ],
    );
    await bench.grants.remove('a@mon', alice);
    await assert.rejects(bench.grants.remove('a@mon', alice), { code: 'not-found' });
  });

  it('a snapshot that is borrowed: not deleted, shared with its hosts, closed at the end', async () => {
    await make('a');
    const { uuid } = await bench.snapshots.create('a', 'mon');
    const [stored] = bench.catalog.all(snapshotKind);
    assert.ok(stored !== undefined);
    const first = await bench.exports.borrowSnapshot(stored);
    await bench.snapshots.grant(uuid, alice);
    const second = await bench.exports.borrowSnapshot(stored);
    assert.equal(first.handle, second.handle);
    await first[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    await assert.rejects(bench.snapshots.delete(uuid), { code: 'busy', message: /by an export/ });
    await second[Symbol.asyncDispose]();
    await bench.snapshots.delete(uuid);
    assert.equal(bench.layers.openCount, 1);
  });
});

describe('reserved volumes', () => {
  it('created so, or changed later; each new top layer keeps the promise', async () => {
    const { uuid } = await bench.volumes.create({ name: 'a', sizeBytes: mib, reserved: true });
    assert.equal((await bench.volumes.show(uuid)).usage.reservedBytes, mib);
    await bench.snapshots.create('a', 'mon');
    bench.assertConsistent();
    await bench.snapshots.rollback('a@mon');
    await bench.volumes.clone('a', { name: 'b' });
    bench.assertConsistent();
    assert.equal((await bench.volumes.reserve('a', false)).reserved, false);
    const commits = bench.layers.commits;
    await bench.volumes.reserve('a', false);
    assert.equal(bench.layers.commits, commits, 'nothing to change');
    await bench.volumes.reserve('b', true);
    bench.assertConsistent();
  });
});

describe('commits that fail', () => {
  const calls: [string, () => Promise<unknown>][] = [
    ['create a snapshot', () => bench.snapshots.create('a', 'x')],
    ['create a group', () => bench.snapshots.createGroup(['a', 'b'], 'x')],
    ['clone a snapshot', () => bench.volumes.clone('a@mon', { name: 'x' })],
    ['clone a volume', () => bench.volumes.clone('a', { name: 'x' })],
    ['roll back', () => bench.snapshots.rollback('a@mon')],
    ['delete a snapshot', () => bench.snapshots.delete('a@mon', { force: true })],
    ['delete a volume', () => bench.volumes.delete('a', { force: true })],
    ['shrink', () => bench.volumes.resize('b', mib / 2n, { shrink: true })],
    ['grow', () => bench.volumes.resize('b', mib * 2n)],
    ['reserve', () => bench.volumes.reserve('b', true)],
    ['grant a snapshot', () => bench.snapshots.grant('b@mon', alice)],
    ['revoke a snapshot', () => bench.snapshots.revoke('a@mon', alice)],
  ];
  for (const [what, call] of calls) {
    it(`${what}: refused with the reason, and all is as before, also after a restart`, async () => {
      await make('a', mib, [alice]);
      await make('b');
      await bench.snapshots.createGroup(['a', 'b'], 'mon');
      await bench.snapshots.grant('a@mon', alice);
      const before = bench.volumes.list();
      const snapshots = await bench.snapshots.page();
      const open = bench.layers.openCount;
      bench.layers.failAfter = 0;
      await assert.rejects(call, { code: 'no-space', message: 'this commit was to fail' });
      bench.layers.failAfter = null;
      assert.deepEqual(bench.volumes.list(), before);
      assert.deepEqual(await bench.snapshots.page(), snapshots);
      assert.equal(bench.layers.openCount, open);
      bench.assertConsistent();
      assert.equal(bench.seenBy(await bench.connect(alice)).length, 2);
      bench = await bench.restart();
      assert.deepEqual(bench.volumes.list(), before);
      assert.deepEqual(await bench.snapshots.page(), snapshots);
    });
  }

  it('delete of a renamed volume, cut off between its two steps: found by its own name', async () => {
    await make('old');
    await bench.snapshots.create('old', 'mon');
    await bench.volumes.rename('old', 'a');
    bench.layers.failAfter = 1;
    await assert.rejects(bench.volumes.delete('a'), { code: 'no-space' });
    bench.layers.failAfter = null;
    bench = await bench.restart();
    assert.equal((await bench.snapshots.show('a@mon')).volume, 'a');
    bench.assertConsistent();
  });
});
