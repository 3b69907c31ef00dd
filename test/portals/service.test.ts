/** What is decided on portals, above a target without sockets, with commits that fail at will. */
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { Catalog } from '../../lib/catalog/catalog.js';
import { allKinds } from '../../lib/catalog/kinds.js';
import { anaKind, portalKind } from '../../lib/catalog/portal_kinds.js';
import { AshlarError } from '../../lib/errors.js';
import type { AnaChange, NativeAddon } from '../../lib/native.js';
import { maxPortals, PortalService } from '../../lib/portals/portals.js';
import { longestChangeMs } from '../../lib/portals/transitions.js';
import { Target } from '../../lib/target/target.js';
import { KeyedLocks } from '../../lib/volumes/locks.js';
import { FakeStore } from '../catalog/fake_store.js';
import { FakeNative } from '../target/fake_native.js';

class Bench {
  readonly store = new FakeStore();
  readonly events: string[] = [];
  /** What native code was told, by portal: the ids that are open, and the changes of states. */
  readonly open = new Set<number>();
  readonly ana: AnaChange[][] = [];
  listenFails: AshlarError | null = null;
  readonly #configured: { address: string; port: number; discoveryOnly: boolean }[];

  constructor(configured = [{ address: '192.0.2.1', port: 4420, discoveryOnly: false }]) {
    this.#configured = configured;
  }

  /** A start of the node: on what the store has by now. */
  async start(): Promise<PortalService> {
    const native = new FakeNative();
    const catalog = await Catalog.load(this.store, allKinds);
    const target = new Target({
      native: this.#recording(native.addon()),
      runtime: native.runtime,
      firmware: '0.1.0',
      discovery: { nqn: 'nqn.2026-01.dev.ashlar:d', serial: 'd', firstGeneration: 0n },
      writeThrough: false,
      tls: 'none',
      atomicWriteBytes: 4096,
      cntlids: { first: 1, last: 9 },
      health: async () => ({ poolFailed: false, freePercent: 50, powerOnHours: 0n }),
      listener: {
        connected: () => undefined,
        disconnected: () => undefined,
        refused: () => undefined,
        failed: () => undefined,
      },
    });
    const service = new PortalService({
      catalog,
      target,
      locks: new KeyedLocks(),
      configured: this.#configured,
      assertOpen: () => undefined,
      emit: (severity, kind, message) => this.events.push(`${severity} ${kind}: ${message}`),
    });
    this.open.clear();
    await service.start();
    return service;
  }

  #recording(addon: NativeAddon): NativeAddon {
    const ids = new Map<object, number>();
    return {
      ...addon,
      portalListen: async (runtime, options) => {
        if (this.listenFails !== null) throw this.listenFails;
        const answer = await addon.portalListen(runtime, options);
        ids.set(answer.portal, options.portalId);
        this.open.add(options.portalId);
        return answer;
      },
      portalClose: async (portal) => {
        this.open.delete(ids.get(portal) ?? 0);
      },
      portalSetAna: async (_portal, changes) => {
        this.ana.push(changes);
      },
    };
  }
}

describe('portals', () => {
  it('a commit that fails: the new portal listens no more, and nothing is kept', async () => {
    const bench = new Bench();
    const portals = await bench.start();
    bench.store.failNext = new AshlarError('pool-failed', 'the pool failed');
    await assert.rejects(portals.add({ address: '192.0.2.2', port: 4420 }), {
      code: 'pool-failed',
    });
    assert.deepEqual([...bench.open], [1]);
    assert.equal(portals.list().length, 1);
    await portals.add({ address: '192.0.2.2', port: 4420 });
    bench.store.failNext = new AshlarError('pool-failed', 'the pool failed');
    await assert.rejects(portals.remove('192.0.2.2'), { code: 'pool-failed' });
    assert.deepEqual(
      portals.list().map(({ endpoint, problem }) => [endpoint, problem]),
      [
        ['192.0.2.1:4420', null],
        ['192.0.2.2:4420', null],
      ],
    );
    assert.equal(bench.open.size, 2, 'it still listens');
    bench.store.failNext = new AshlarError('pool-failed', 'the pool failed');
    await assert.rejects(portals.setAna('1', 'inaccessible'), { code: 'pool-failed' });
    bench.store.failNext = new AshlarError('pool-failed', 'the pool failed');
    await assert.rejects(portals.drain('1'), { code: 'pool-failed' });
    assert.deepEqual([bench.ana, portals.show('1').drained], [[], false]);
  });

  it('as many as a node can have: one more is refused, and one less makes room', async () => {
    const portals = await new Bench().start();
    for (let last = 2; last <= maxPortals; last += 1) {
      await portals.add({ address: `192.0.2.${last}`, port: 4420 });
    }
    const oneMore = { address: '192.0.2.200', port: 4420 };
    await assert.rejects(portals.add(oneMore), { code: 'limit-exceeded', message: /64 portals/ });
    await portals.remove('192.0.2.2');
    assert.equal((await portals.add(oneMore)).portalId, maxPortals + 1);
  });

  it('the same endpoint by two calls at once: one portal', async () => {
    const bench = new Bench();
    const portals = await bench.start();
    const wanted = { address: '192.0.2.2', port: 4420 };
    const [one, other] = await Promise.all([
      portals.add(wanted, { repeatable: true }),
      portals.add(wanted, { repeatable: true }),
    ]);
    assert.deepEqual(one, other);
    assert.deepEqual([...bench.open], [1, 2]);
  });

  it('a call that is cancelled while it waits: nothing listens, nothing is kept', async () => {
    const bench = new Bench();
    const portals = await bench.start();
    const signal = AbortSignal.abort();
    await assert.rejects(portals.add({ address: '192.0.2.2', port: 4420 }, { signal }), {
      code: 'cancelled',
    });
    assert.deepEqual([...bench.open], [1]);
  });

  it('added, then configured, then configured no more: keeps its number and is still there', async () => {
    const bench = new Bench([]);
    const first = await bench.start();
    await first.add({ address: '192.0.2.1', port: 4420 });
    await first.setAna('1', 'non-optimized');
    const configured = new Bench();
    for (const [key, value] of bench.store.values) configured.store.values.set(key, value);
    const second = await configured.start();
    assert.deepEqual(
      second.list().map(({ portalId, origin, ana }) => [portalId, origin, ana.length]),
      [[1, 'configured', 1]],
    );
    await assert.rejects(second.remove('1'), { code: 'conflict' });
    for (const [key, value] of configured.store.values) bench.store.values.set(key, value);
    const third = await bench.start();
    assert.deepEqual(
      third.list().map(({ portalId, origin, ana }) => [portalId, origin, ana.length]),
      [[1, 'added', 1]],
    );
    await third.remove('1');
    const catalog = await Catalog.load(bench.store, allKinds);
    assert.deepEqual([catalog.count(portalKind), catalog.count(anaKind)], [0, 0]);
  });

  it('an added one that cannot listen at a start: told once, and why it is not there', async () => {
    const bench = new Bench([]);
    await (await bench.start()).add({ address: '192.0.2.2', port: 4420 });
    bench.events.length = 0;
    bench.listenFails = new AshlarError('address-unavailable', 'this machine has no such address');
    const portals = await bench.start();
    assert.deepEqual(bench.events, [
      'warning portal-unavailable: portal 192.0.2.2:4420: this machine has no such address; ' +
        'until then it is tried again every few seconds',
    ]);
    assert.equal(portals.show('1').problem, 'this machine has no such address');
    // States are kept for when it listens.
    await portals.drain('1');
    assert.equal(portals.show('1').drained, true);
    assert.deepEqual(bench.ana, []);
    await portals.close();
  });

  it('a configured one that cannot listen: the start fails', async () => {
    const bench = new Bench();
    bench.listenFails = new AshlarError('address-in-use', 'another program listens there');
    await assert.rejects(bench.start(), { code: 'address-in-use' });
  });
});

describe('a change', () => {
  it('ends by itself: what follows holds, hosts are told, and an event says so', async () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    try {
      const bench = new Bench();
      const portals = await bench.start();
      const { changeEndsAt } = await portals.setAna('1', 'change', { next: 'non-optimized' });
      assert.equal(Date.parse(changeEndsAt ?? ''), Date.now() + longestChangeMs);
      assert.deepEqual(bench.ana, [[{ anagrpid: 1, state: 'change' }]]);
      mock.timers.tick(longestChangeMs);
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(bench.ana.at(-1), [{ anagrpid: 1, state: 'non-optimized' }]);
      assert.deepEqual(
        portals.listAna().map(({ state, changeEndsAt: ends }) => [state, ends]),
        [['non-optimized', null]],
      );
      assert.match(bench.events.at(-1) ?? '', /ana-changed: .*non-optimized.*: the change is over/);
    } finally {
      mock.timers.reset();
    }
  });

  it('of a portal that is removed meanwhile: nothing follows', async () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    try {
      const bench = new Bench();
      const portals = await bench.start();
      await portals.add({ address: '192.0.2.2', port: 4420 });
      await portals.setAna('2', 'change', { anagrpid: 9 });
      await portals.remove('2');
      const told = bench.ana.length;
      mock.timers.tick(longestChangeMs);
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(bench.ana.length, told);
      assert.match(bench.events.at(-1) ?? '', /portal-removed/);
    } finally {
      mock.timers.reset();
    }
  });

  it('a drain is one message to native code, with every group', async () => {
    const bench = new Bench();
    const portals = await bench.start();
    await portals.drain('1');
    assert.equal(bench.ana.length, 1);
    assert.equal(bench.ana[0]?.length, 128);
    assert.ok(bench.ana[0]?.every(({ state }) => state === 'inaccessible'));
    await portals.drain('1');
    assert.equal(bench.ana.length, 1, 'drained already');
    await portals.resume('1');
    assert.ok(bench.ana[1]?.every(({ state }) => state === 'optimized'));
  });
});
