import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pack } from 'msgpackr';
import { Catalog, recordKey, splitKey } from '../../lib/catalog/catalog.js';
import {
  allKinds,
  grantKind,
  noQuota,
  scheduleKind,
  snapshotKey,
  snapshotKind,
  tenantKind,
  volumeKey,
  volumeKind,
} from '../../lib/catalog/kinds.js';
import { policyKind } from '../../lib/catalog/policy_kinds.js';
import { AshlarError } from '../../lib/errors.js';
import { FakeStore } from './fake_store.js';

const uuid = (last: number) => Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? last : 0));

function tenant(name: string, last: number) {
  return {
    name,
    uuid: uuid(last),
    subnqn: `nqn.2026-01.a:${last}`,
    nextNsid: 1,
    createdMs: 1,
    quota: noQuota,
    policy: 0n,
  };
}

function volume(name: string, last: number) {
  return {
    tenant: 1n,
    name,
    uuid: uuid(last),
    nguid: uuid(last),
    nsid: last,
    layer: uuid(last),
    sizeBytes: 64n << 40n,
    blockBytes: 512 as const,
    anagrpid: 1,
    createdMs: 1_790_000_000_000,
    reserved: false,
    source: new Uint8Array(0),
    policy: 0n,
  };
}

function schedule(volumes: bigint[]) {
  return {
    tenant: 1n,
    name: 's',
    uuid: uuid(9),
    cron: '0 2 * * *',
    timezone: 'UTC',
    volumes,
    prefix: 's',
    keep: { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 },
    enabled: true,
    armedMs: 1,
    lastRunMs: 0,
    lastFailure: '',
    createdMs: 1,
  };
}

function snapshot(name: string, last: number, volumeId: bigint) {
  return {
    tenant: 1n,
    volume: volumeId,
    volumeName: 'gone',
    name,
    uuid: uuid(last),
    nguid: uuid(last),
    nsid: 0,
    layer: uuid(last),
    sizeBytes: 4096n,
    blockBytes: 4096 as const,
    group: new Uint8Array(0),
    origin: new Uint8Array(0),
    createdMs: 1,
    schedule: new Uint8Array(0),
    plannedMs: 0,
    volumeUuid: new Uint8Array(0),
  };
}

const hasCode = (code: string, message?: RegExp) => (thrown: unknown) => {
  assert.ok(thrown instanceof AshlarError);
  assert.equal(thrown.code, code);
  if (message !== undefined) assert.match(thrown.message, message);
  return true;
};

describe('catalog', () => {
  it('what was committed is there after a reload, 64-bit sizes and bytes included', async () => {
    const store = new FakeStore();
    const catalog = await Catalog.load(store, allKinds);
    const id = await catalog.transact('add', (tx) => tx.add(volumeKind, volume('a', 3)));
    const again = await Catalog.load(store, allKinds);
    assert.deepEqual(again.get(volumeKind, id), { id, value: volume('a', 3) });
    assert.equal(again.find(volumeKind, 'name', volumeKey(1n, 'a'))?.id, id);
  });

  it('layer and record changes go to the pool in one commit, in their order', async () => {
    const store = new FakeStore();
    const catalog = await Catalog.load(store, allKinds);
    await catalog.transact('add', (tx) => {
      const layer = uuid(1);
      tx.layer({
        kind: 'create-layer',
        layer,
        parent: null,
        sizeBytes: 1n,
        blockBytes: 4096,
        volumeFrom: null,
        reserved: false,
      });
      tx.add(volumeKind, volume('a', 1));
    });
    assert.deepEqual(
      store.commits.map((changes) => changes.map(({ kind }) => kind)),
      [['create-layer', 'put-record']],
    );
  });

  it('memory changes only when the commit is durable, and not at all when it fails', async () => {
    const store = new FakeStore();
    const catalog = await Catalog.load(store, allKinds);
    let open: () => void = () => undefined;
    store.gate = new Promise((resolve) => {
      open = resolve;
    });
    store.failNext = new Error('no');
    const attempt = catalog.transact('add', (tx) => tx.add(tenantKind, tenant('a', 1)));
    await Promise.resolve();
    assert.equal(catalog.count(tenantKind), 0);
    open();
    await assert.rejects(attempt, /no/);
    assert.equal(catalog.count(tenantKind), 0);
    await catalog.transact('add', (tx) => tx.add(tenantKind, tenant('a', 1)));
    assert.equal(catalog.count(tenantKind), 1);
  });

  it('transactions run one after the other, and each sees the ones before', async () => {
    const store = new FakeStore();
    const catalog = await Catalog.load(store, allKinds);
    const outcomes = await Promise.allSettled(
      [1, 2, 3].map(() => catalog.transact('add', (tx) => tx.add(tenantKind, tenant('same', 1)))),
    );
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    );
    assert.equal(store.commits.length, 1);
  });

  it('an abort while waiting: nothing is built; afterwards the next goes on', async () => {
    const catalog = await Catalog.load(new FakeStore(), allKinds);
    const controller = new AbortController();
    controller.abort();
    const build = () => assert.fail('built');
    await assert.rejects(
      catalog.transact('add tenant', build, controller.signal),
      hasCode('cancelled', /add tenant/),
    );
    await catalog.transact('add', (tx) => tx.add(tenantKind, tenant('a', 1)));
  });

  it('unique keys: taken in the catalog: already-exists; free again after a rename', async () => {
    const catalog = await Catalog.load(new FakeStore(), allKinds);
    const id = await catalog.transact('add', (tx) => tx.add(tenantKind, tenant('a', 1)));
    const add = () => catalog.transact('add', (tx) => tx.add(tenantKind, tenant('a', 2)));
    await assert.rejects(add(), hasCode('already-exists', /a tenant with this name exists/));
    await catalog.transact('rename', (tx) => tx.put(tenantKind, id, tenant('b', 1)));
    await add();
    assert.equal(catalog.find(tenantKind, 'name', 'b')?.id, id);
  });

  it('fields of a newer version are kept and written back', async () => {
    const store = new FakeStore();
    const key = recordKey(tenantKind.kind, 5n);
    store.values.set(
      key,
      pack({ ...tenantKind.encode(tenant('a', 1)), v: 1, quota: { bytes: 7 }, colour: 'red' }),
    );
    const catalog = await Catalog.load(store, allKinds);
    await catalog.transact('rename', (tx) => tx.put(tenantKind, 5n, tenant('b', 1)));
    const again = await Catalog.load(store, allKinds);
    assert.equal(again.get(tenantKind, 5n)?.value.name, 'b');
    const { unpack } = await import('msgpackr');
    const written: unknown = unpack(store.values.get(key) ?? new Uint8Array());
    assert.deepEqual(
      { ...(written as object), uuid: null },
      {
        ...tenantKind.encode(tenant('b', 1)),
        uuid: null,
        v: 1,
        quota: { bytes: 7 },
        colour: 'red',
      },
    );
  });

  it('a newer record version or kind: refused, not misread', async () => {
    const cases: [bigint, object][] = [
      [recordKey(tenantKind.kind, 1n), { ...tenant('a', 1), v: 2 }],
      [recordKey(200, 1n), { v: 1 }],
    ];
    for (const [key, value] of cases) {
      const store = new FakeStore();
      store.values.set(key, pack(value));
      await assert.rejects(Catalog.load(store, allKinds), hasCode('catalog-newer-format'));
    }
  });

  it('damaged records: catalog-corrupt names record and field', async () => {
    const key = recordKey(volumeKind.kind, 9n);
    const good = { ...volume('a', 1), v: 1 };
    const cases: [Uint8Array, RegExp][] = [
      [Uint8Array.of(0x81), /volume 9 is not MessagePack/],
      [pack([1, 2]), /volume 9 is not a map/],
      [pack({ ...good, v: 'x' }), /'v' is not an integer/],
      [pack({ ...good, name: 7 }), /'name' is not text/],
      [pack({ ...good, uuid: Uint8Array.of(1) }), /'uuid' is not 16 bytes/],
      [pack({ ...good, sizeBytes: -1 }), /'sizeBytes' is not an unsigned integer/],
      [pack({ ...good, blockBytes: 1024 }), /'blockBytes' is not one of 512, 4096/],
      [pack({ v: 1 }), /is not/],
    ];
    for (const [bytes, message] of cases) {
      const store = new FakeStore();
      store.values.set(key, bytes);
      await assert.rejects(Catalog.load(store, allKinds), hasCode('catalog-corrupt', message));
    }
  });

  it('records from before snapshots: read with what they said then', async () => {
    const store = new FakeStore();
    const { reserved: _, source: __, ...oldVolume } = volume('a', 1);
    store.values.set(recordKey(volumeKind.kind, 1n), pack({ ...oldVolume, v: 1 }));
    const oldGrant = { volume: 1n, host: '*', access: 'read-only', createdMs: 1, v: 1 };
    store.values.set(recordKey(grantKind.kind, 1n), pack(oldGrant));
    const catalog = await Catalog.load(store, allKinds);
    assert.deepEqual(catalog.get(volumeKind, 1n)?.value, volume('a', 1));
    assert.equal(catalog.get(grantKind, 1n)?.value.snapshot, 0n);
    assert.equal(catalog.group(grantKind, 'volume', '1').length, 1);
  });

  it('policies and who has them: as they were after a reload', async () => {
    const store = new FakeStore();
    const catalog = await Catalog.load(store, allKinds);
    const gold = {
      name: 'gold',
      readIops: 1n,
      writeIops: 2n ** 40n,
      iops: 0n,
      readBytesPerSecond: 3n,
      writeBytesPerSecond: 4n,
      bytesPerSecond: 5n,
      burstPercent: 10_000,
      burstSeconds: 3600,
      weight: 400,
      offered: true,
      createdMs: 1,
    };
    const policy = await catalog.transact('add', (tx) => {
      const id = tx.add(policyKind, gold);
      tx.add(volumeKind, { ...volume('a', 1), policy: id });
      tx.add(volumeKind, volume('b', 2));
      tx.add(tenantKind, { ...tenant('t', 1), policy: id });
      return id;
    });
    const again = await Catalog.load(store, allKinds);
    assert.deepEqual(again.find(policyKind, 'name', 'gold'), { id: policy, value: gold });
    const names = (of: { value: { name: string } }[]) => of.map(({ value }) => value.name);
    assert.deepEqual(names(again.group(volumeKind, 'policy', String(policy))), ['a']);
    assert.deepEqual(names(again.group(tenantKind, 'policy', String(policy))), ['t']);
  });

  it('volumes and tenants from before policies: they have none', async () => {
    const store = new FakeStore();
    const { policy: _, ...oldVolume } = volume('a', 1);
    store.values.set(recordKey(volumeKind.kind, 1n), pack({ ...oldVolume, v: 1 }));
    const { policy: __, quota: ___, ...oldTenant } = tenant('t', 1);
    store.values.set(recordKey(tenantKind.kind, 1n), pack({ ...oldTenant, v: 1 }));
    const catalog = await Catalog.load(store, allKinds);
    assert.deepEqual(catalog.get(volumeKind, 1n)?.value, volume('a', 1));
    assert.deepEqual(catalog.get(tenantKind, 1n)?.value, tenant('t', 1));
  });

  it('snapshots from before schedules: read as made by hand', async () => {
    const store = new FakeStore();
    const { schedule: _, plannedMs: __, ...old } = snapshot('mon', 1, 7n);
    store.values.set(recordKey(snapshotKind.kind, 1n), pack({ ...old, v: 1 }));
    const catalog = await Catalog.load(store, allKinds);
    assert.deepEqual(catalog.get(snapshotKind, 1n)?.value, snapshot('mon', 1, 7n));
  });

  it('a schedule whose volumes are no list of numbers: catalog-corrupt', async () => {
    const store = new FakeStore();
    const catalog = await Catalog.load(store, allKinds);
    await catalog.transact('add', (tx) => tx.add(scheduleKind, schedule([1n, 2n ** 53n])));
    const again = await Catalog.load(store, allKinds);
    assert.deepEqual(again.get(scheduleKind, 1n)?.value, schedule([1n, 2n ** 53n]));
    const { keep: _, ...fields } = schedule([]);
    for (const volumes of ['a', [1, 'a'], [-1]]) {
      const counts = { keepLast: 1, keepHourly: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0 };
      const bytes = pack({ ...fields, ...counts, volumes, v: 1 });
      store.values.set(recordKey(scheduleKind.kind, 1n), bytes);
      await assert.rejects(Catalog.load(store, allKinds), hasCode('catalog-corrupt'));
    }
  });

  it('snapshots of one volume without NSIDs: no clash; of one name: already-exists', async () => {
    const catalog = await Catalog.load(new FakeStore(), allKinds);
    const add = (name: string, last: number) =>
      catalog.transact('add', (tx) => tx.add(snapshotKind, snapshot(name, last, 7n)));
    const id = await add('mon', 1);
    await add('tue', 2);
    await assert.rejects(add('mon', 3), hasCode('already-exists'));
    assert.equal(catalog.find(snapshotKind, 'name', snapshotKey(7n, 'mon'))?.id, id);
    assert.equal(catalog.groupSize(snapshotKind, 'volume', '7'), 2);
    assert.equal(catalog.groupSize(snapshotKind, 'namespaces', '1'), 0);
  });

  it('the id of a deleted volume that a snapshot names: not given again after a reload', async () => {
    const store = new FakeStore();
    const catalog = await Catalog.load(store, allKinds);
    const first = await catalog.transact('add', (tx) => {
      const id = tx.add(volumeKind, volume('gone', 1));
      tx.add(snapshotKind, snapshot('mon', 2, id));
      return id;
    });
    await catalog.transact('delete', (tx) => tx.delete(volumeKind, first));
    const again = await Catalog.load(store, allKinds);
    const second = await again.transact('add', (tx) => tx.add(volumeKind, volume('new', 3)));
    assert.equal(second, first + 1n);
  });

  it('two records with one unique key: catalog-corrupt', async () => {
    const store = new FakeStore();
    store.values.set(recordKey(tenantKind.kind, 1n), pack({ ...tenant('a', 1), v: 1 }));
    store.values.set(recordKey(tenantKind.kind, 2n), pack({ ...tenant('a', 2), v: 1 }));
    await assert.rejects(Catalog.load(store, allKinds), hasCode('catalog-corrupt', /both 'a'/));
  });

  it('a record over 48 KiB: limit-exceeded, nothing committed', async () => {
    const store = new FakeStore();
    const catalog = await Catalog.load(store, allKinds);
    const large = { ...tenant('a', 1), subnqn: 'x'.repeat(50_000) };
    await assert.rejects(
      catalog.transact('add', (tx) => tx.add(tenantKind, large)),
      hasCode('limit-exceeded'),
    );
    assert.equal(store.commits.length, 0);
  });

  it('keys: kind on top, id below, both ends', () => {
    assert.equal(recordKey(3, 5n), 0x0300_0000_0000_0005n);
    const largest = recordKey(255, (1n << 56n) - 1n);
    assert.equal(largest, (1n << 64n) - 1n);
    assert.deepEqual(splitKey(largest), { kind: 255, id: (1n << 56n) - 1n });
    assert.throws(() => recordKey(0, 1n), RangeError);
    assert.throws(() => recordKey(1, 1n << 56n), RangeError);
  });
});
