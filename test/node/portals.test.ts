/** Portals and ANA states of a whole node, as our own hosts see them over loopback. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { connectHost, type Host } from '../../lib/host/index.js';
import type { Node } from '../../lib/node/types.js';
import { discoveryNqn } from '../../lib/target/nqn.js';
import { le } from '../target/layout.js';
import { hostNqn, mib, open, PoolFolder } from './bench.js';

const anaNotice = 0x0c_03_02;
const statuses = { persistentLoss: 0x301, inaccessible: 0x302, change: 0x303 } as const;

/** A port of 127.0.0.1 on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

/** Connects through a portal; one name is one HOSTID, so that two are paths of one host. */
function through(node: Node, portal: string, name: string, subnqn?: string): Promise<Host> {
  const { address, port } = node.portals.show(portal);
  return connectHost({
    address,
    port,
    subnqn: subnqn ?? node.tenants.show('default').subnqn,
    hostnqn: hostNqn(name),
    hostid: new Uint8Array(16).fill(name.length),
    ioQueues: subnqn === undefined ? 1 : 0,
  });
}

/** A node with a volume for any host, and two portals: 1 configured, the other added. */
async function openTwo(): Promise<{ node: Node; second: string; port: number }> {
  const node = await open({ portals: [{ address: '127.0.0.1', port: 0, discoveryOnly: false }] });
  await node.volumes.create({ name: 'v', sizeBytes: 16n * mib, hosts: ['*'] });
  const port = await freePort();
  const { portalId } = await node.portals.add({ address: '127.0.0.1', port });
  return { node, second: String(portalId), port };
}

const reads = async (host: Host): Promise<number> =>
  (await host.io({ opcode: 2, nsid: 1, dataInBytes: 4096 })).status;

async function listenTo(host: Host, events = 0x900): Promise<void> {
  const { status } = await host.admin({ opcode: 0x09, cdw10: 0x0b, cdw11: events });
  assert.equal(status, 0);
}

/** Parks an Asynchronous Event Request; resolves with the dword of the event. */
async function nextEvent(host: Host): Promise<number> {
  return Number((await host.admin({ opcode: 0x0c })).result);
}

/** Change count of the ANA log, and the state of its first group (Base 5.16.1.11). */
async function anaLog(host: Host): Promise<{ changes: bigint; group: bigint; state: number }> {
  const page = await host.getLogPage(0x0c, 4096);
  return { changes: le(page, 0, 8), group: le(page, 16, 4), state: (page[32] ?? 0) & 0xf };
}

const kinds = (node: Node): string[] => node.events().map(({ kind }) => kind);

describe('portals', () => {
  it('one added: hosts connect through it at once, and find it by discovery', async () => {
    const { node, second, port } = await openTwo();
    await using _ = node;
    assert.deepEqual(
      node.portals.list().map(({ portalId, origin, problem }) => [portalId, origin, problem]),
      [
        [1, 'configured', null],
        [2, 'added', null],
      ],
    );
    await using host = await through(node, second, 'alice');
    assert.equal(await reads(host), 0);
    assert.equal(node.portals.show(`127.0.0.1:${port}`).controllers, 1);
    await using discovery = await through(node, '1', 'alice', discoveryNqn);
    const log = await discovery.getLogPage(0x70, 4096);
    assert.equal(le(log, 8, 8), 3n, 'the service itself, and a path through each portal');
    assert.ok(kinds(node).includes('portal-added'));
  });

  it('IPv6, written in any way: one portal, reached and named by its address', async () => {
    const { node } = await openTwo();
    await using _ = node;
    const port = await freePort();
    const added = await node.portals.add({ address: '0:0::1', port });
    assert.equal(added.endpoint, `[::1]:${port}`);
    await assert.rejects(node.portals.add({ address: '::1', port }), { code: 'already-exists' });
    await using host = await through(node, `[0:0:0::1]:${port}`, 'alice');
    assert.equal(await reads(host), 0);
  });

  it('the same again: already-exists, or the same portal where repeats are wanted', async () => {
    const { node, second, port } = await openTwo();
    await using _ = node;
    const again = { address: '127.0.0.1', port };
    await assert.rejects(node.portals.add(again), { code: 'already-exists', message: /portal 2/ });
    const same = await node.portals.add(again, { repeatable: true });
    assert.equal(String(same.portalId), second);
    await assert.rejects(
      node.portals.add({ ...again, discoveryOnly: true }, { repeatable: true }),
      { code: 'already-exists' },
    );
    assert.equal(node.portals.list().length, 2);
  });

  it('an address that the machine lacks, a port in use: told, and nothing is kept', async () => {
    const { node } = await openTwo();
    await using _ = node;
    const { port } = node.portals.show('1');
    await assert.rejects(node.portals.add({ address: '192.0.2.7', port: 4420 }), {
      code: 'address-unavailable',
      message: /192\.0\.2\.7:4420: this machine has no such address/,
    });
    await assert.rejects(node.portals.add({ address: '0.0.0.0', port }), {
      code: 'address-in-use',
      message: /portal 1 of this node, 127\.0\.0\.1:\d+, has port \d+ on it already/,
    });
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const busy = other.address();
    assert.ok(typeof busy === 'object' && busy !== null);
    await assert.rejects(node.portals.add({ address: '127.0.0.1', port: busy.port }), {
      code: 'address-in-use',
      message: /another program/,
    });
    other.close();
    assert.equal(node.portals.list().length, 2);
    await using alone = await open({ portals: [] });
    await assert.rejects(alone.portals.add({ address: 'fe80::1%nowhere', port: 4420 }), {
      code: 'address-unavailable',
      message: /no interface 'nowhere'/,
    });
    assert.deepEqual(alone.portals.list(), []);
  });

  it('an unknown one: not-found, and gone already is fine where repeats are wanted', async () => {
    const { node, second } = await openTwo();
    await using _ = node;
    for (const name of ['7', '127.0.0.1:1', '[::1]:4420']) {
      await assert.rejects(node.portals.remove(name), { code: 'not-found' }, name);
      await node.portals.remove(name, { repeatable: true });
      await assert.rejects(node.portals.drain(name), { code: 'not-found' }, name);
      await assert.rejects(node.portals.setAna(name, 'optimized'), { code: 'not-found' }, name);
    }
    await assert.rejects(node.portals.remove('node2'), { code: 'invalid-argument' });
    await assert.rejects(node.portals.remove('1'), { code: 'conflict', message: /configuration/ });
    await node.portals.remove(second);
    const next = await node.portals.add({ address: '127.0.0.1', port: await freePort() });
    assert.equal(next.portalId, 3, 'a number rests before it is given again');
  });
});

describe('a node that closes', () => {
  it('while a portal is added and another is removed: it ends, and nothing listens', async () => {
    const { node, second, port } = await openTwo();
    const other = await freePort();
    await using host = await through(node, second, 'alice');
    const subnqn = node.tenants.show('default').subnqn;
    const calls = Promise.allSettled([
      node.portals.add({ address: '127.0.0.1', port: other }),
      node.portals.remove(second, { force: true }),
      node.portals.setAna('1', 'change'),
    ]);
    await node.close();
    for (const outcome of await calls) {
      if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'closed');
    }
    await assert.rejects(reads(host));
    for (const gone of [port, other]) {
      const options = { address: '127.0.0.1', port: gone, subnqn, hostnqn: hostNqn('a') };
      await assert.rejects(connectHost(options), { code: 'connection-refused' });
    }
    await assert.rejects(node.portals.drain('1'), { code: 'closed' });
  });
});

describe('ANA', () => {
  it('each state: an event on that path alone, its status for new I/O, and a higher count', async () => {
    const { node, second } = await openTwo();
    await using _ = node;
    await using one = await through(node, '1', 'alice');
    await using two = await through(node, second, 'alice');
    await listenTo(two);
    let events = 0;
    await listenTo(one);
    void nextEvent(one).then(
      () => {
        events += 1;
      },
      () => undefined,
    );
    const expected = [
      ['inaccessible', statuses.inaccessible, 3],
      ['persistent-loss', statuses.persistentLoss, 4],
      ['non-optimized', 0, 2],
      ['change', statuses.change, 0xf],
      ['optimized', 0, 1],
    ] as const;
    let changes = (await anaLog(two)).changes;
    for (const [state, status, code] of expected) {
      const told = nextEvent(two);
      await node.portals.setAna(second, state);
      assert.equal(await told, anaNotice, state);
      assert.equal(await reads(two), status, state);
      const log = await anaLog(two);
      assert.deepEqual([log.group, log.state], [1n, code], state);
      assert.ok(log.changes > changes, `${state}: ${log.changes} after ${changes}`);
      changes = log.changes;
      assert.equal(await reads(one), 0, 'the other path');
    }
    assert.equal(events, 0, 'nothing changed on the other path');
    assert.equal(kinds(node).filter((kind) => kind === 'ana-changed').length, expected.length);
  });

  it('the last path of a host: refused by name, the other portal it has not counts for nothing', async () => {
    const { node, second } = await openTwo();
    await using _ = node;
    await using host = await through(node, second, 'alice');
    const refused = { code: 'busy', message: /last path to ANA group 1 .* host .*:alice;/ };
    for (const state of ['inaccessible', 'persistent-loss'] as const) {
      await assert.rejects(node.portals.setAna(second, state), refused);
      await assert.rejects(node.portals.setAna(second, 'change', { next: state }), refused);
    }
    await assert.rejects(node.portals.drain(second), { code: 'busy', message: /last path.*alice/ });
    await assert.rejects(node.portals.remove(second), { code: 'busy', message: /last path/ });
    assert.equal(await reads(host), 0);
    // Another host's path is none of alice's.
    await using other = await through(node, '1', 'carla');
    await assert.rejects(node.portals.setAna(second, 'inaccessible'), refused);
    await node.portals.setAna(second, 'inaccessible', { force: true });
    assert.equal(await reads(host), statuses.inaccessible);
    assert.equal(await reads(other), 0);
    const event = node.events().at(-1);
    assert.equal(event?.severity, 'warning');
    assert.match(event?.message ?? '', /last path of host nqn\.2026-01\.test:alice/);
  });

  it('two calls at once that would each take one of two paths: one of them is refused', async () => {
    const { node, second } = await openTwo();
    await using _ = node;
    await using one = await through(node, '1', 'alice');
    await using two = await through(node, second, 'alice');
    const outcomes = await Promise.allSettled([
      node.portals.setAna('1', 'inaccessible'),
      node.portals.drain(second),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.deepEqual([await reads(one), await reads(two)], [statuses.inaccessible, 0]);
  });

  it('a change that leads nowhere usable: refused as what follows it would be', async () => {
    const { node, second } = await openTwo();
    await using _ = node;
    await using host = await through(node, second, 'alice');
    await assert.rejects(node.portals.setAna(second, 'change', { next: 'inaccessible' }), {
      code: 'busy',
    });
    const changing = await node.portals.setAna(second, 'change');
    assert.deepEqual([changing.state, changing.lasting], ['change', 'optimized']);
    assert.equal(await reads(host), statuses.change);
    const ended = await node.portals.setAna(second, 'optimized');
    assert.equal(ended.changeEndsAt, null);
    assert.equal(await reads(host), 0);
  });

  it('wrong states, groups and portals: refused, and nothing changes', async () => {
    await using node = await open();
    const invalid = { code: 'invalid-argument' };
    await assert.rejects(node.portals.setAna('1', 'fast' as 'optimized'), invalid);
    await assert.rejects(node.portals.setAna('1', 'optimized', { anagrpid: 0 }), invalid);
    await assert.rejects(node.portals.setAna('1', 'optimized', { anagrpid: 129 }), invalid);
    await assert.rejects(node.portals.setAna('1', 'optimized', { next: 'optimized' }), invalid);
    await assert.rejects(node.portals.setAna('2', 'inaccessible'), { code: 'conflict' });
    await assert.rejects(node.portals.drain('2'), { code: 'conflict' });
    assert.deepEqual(
      node.portals.listAna().map(({ portalId, anagrpid, state }) => [portalId, anagrpid, state]),
      [[1, 1, 'optimized']],
    );
  });
});

describe('drain', () => {
  it('hosts are told and go elsewhere; then it can be removed, and its connections end', async () => {
    const { node, second } = await openTwo();
    await using _ = node;
    await using one = await through(node, '1', 'alice');
    await using two = await through(node, second, 'alice');
    await assert.rejects(node.portals.remove(second), {
      code: 'busy',
      message: /connected by host .*:alice; let them move away/,
    });
    await listenTo(two);
    const told = nextEvent(two);
    const drained = await node.portals.drain(second);
    assert.equal(await told, anaNotice);
    assert.equal(await reads(two), statuses.inaccessible);
    assert.deepEqual(
      [drained.drained, drained.ana, drained.controllers],
      [true, [{ anagrpid: 1, state: 'inaccessible' }], 1],
    );
    await using discovery = await through(node, second, 'alice', discoveryNqn);
    const log = await discovery.getLogPage(0x70, 4096);
    assert.equal(le(log, 8, 8), 2n, 'nobody is led to the drained portal');
    const ended = assert.rejects(nextEvent(two));
    await node.portals.remove(second);
    await ended;
    assert.equal(await reads(one), 0);
    await assert.rejects(connectHost({ ...drained, subnqn: discoveryNqn, hostnqn: hostNqn('a') }), {
      code: 'connection-refused',
    });
    assert.deepEqual(
      node.portals.list().map(({ portalId }) => portalId),
      [1],
    );
  });

  it('resumed: groups are as they were set, meanwhile too', async () => {
    const { node, second } = await openTwo();
    await using _ = node;
    await using host = await through(node, second, 'alice');
    await node.portals.drain(second, { force: true });
    const set = await node.portals.setAna(second, 'non-optimized');
    assert.deepEqual([set.state, set.lasting], ['inaccessible', 'non-optimized']);
    assert.equal(await reads(host), statuses.inaccessible);
    const resumed = await node.portals.resume(second);
    assert.deepEqual(resumed.ana, [{ anagrpid: 1, state: 'non-optimized' }]);
    assert.equal(await reads(host), 0);
    assert.equal((await anaLog(host)).state, 2);
    assert.deepEqual(
      kinds(node).filter((kind) => kind.startsWith('portal-') || kind === 'ana-changed'),
      ['portal-listening', 'portal-added', 'portal-drained', 'ana-changed', 'portal-resumed'],
    );
  });

  it('removed by force: the connections of its hosts end, and an event names them', async () => {
    const { node, second } = await openTwo();
    await using _ = node;
    await using host = await through(node, second, 'alice');
    const ended = assert.rejects(nextEvent(host));
    await node.portals.remove(second, { force: true });
    await ended;
    assert.equal(node.portals.list().length, 1);
    assert.equal((await node.status()).connections.length, 0);
    const event = node.events().find(({ kind }) => kind === 'portal-removed');
    assert.equal(event?.severity, 'warning');
    assert.match(event?.message ?? '', /connections of host .*:alice/);
  });
});

describe('after a restart', () => {
  const listening = (port: number) => [{ address: '127.0.0.1', port, discoveryOnly: false }];

  it('portals come back with their numbers and states, before any host is let in', async () => {
    using folder = new PoolFolder();
    const [first, second, third] = [await freePort(), await freePort(), await freePort()];
    const portals = listening(first);
    const before = await open({ pool: folder.pool, portals });
    await before.volumes.create({ name: 'v', sizeBytes: 16n * mib, hosts: ['*'] });
    await before.portals.add({ address: '127.0.0.1', port: second });
    await before.portals.remove('2');
    await before.portals.add({ address: '127.0.0.1', port: second });
    await before.portals.add({ address: '127.0.0.1', port: third });
    await before.portals.setAna('1', 'non-optimized');
    await before.portals.setAna('3', 'persistent-loss', { anagrpid: 9 });
    await before.portals.setAna('3', 'inaccessible');
    await before.portals.setAna('3', 'change', { next: 'inaccessible' });
    await before.portals.drain('4');
    const was = before.portals.list();
    await before.close();

    await using after = await open({ pool: folder.pool, portals });
    // A change that was under way when the node ended is over.
    const is = was.map((portal) =>
      portal.portalId === 3
        ? {
            ...portal,
            ana: portal.ana.map((each) => ({
              ...each,
              ...(each.anagrpid === 1 ? { state: 'inaccessible' as const } : {}),
            })),
          }
        : portal,
    );
    assert.deepEqual(after.portals.list(), is);
    await using one = await through(after, '1', 'alice');
    assert.equal((await anaLog(one)).state, 2);
    for (const portal of ['3', '4']) {
      await using host = await through(after, portal, 'alice');
      assert.equal(await reads(host), statuses.inaccessible, portal);
    }
    assert.deepEqual((await after.pool.check()).problems, []);
  });

  it('a configured portal that is configured no more: forgotten with its states', async () => {
    using folder = new PoolFolder();
    const [first, second] = [await freePort(), await freePort()];
    const before = await open({ pool: folder.pool, portals: listening(first) });
    await before.portals.setAna('1', 'non-optimized');
    await before.close();
    const between = await open({ pool: folder.pool, portals: listening(second) });
    assert.deepEqual(
      between.portals.list().map(({ portalId, port, ana }) => [portalId, port, ana]),
      [[2, second, []]],
    );
    await between.close();
    await using after = await open({ pool: folder.pool, portals: listening(first) });
    assert.deepEqual(after.portals.listAna()[0]?.state, 'optimized');
  });

  it('an added portal whose port is taken: the start goes on, and it listens when it is free', async () => {
    using folder = new PoolFolder();
    const port = await freePort();
    const before = await open({ pool: folder.pool });
    await before.portals.add({ address: '127.0.0.1', port });
    await before.close();

    const squatter = createServer().listen(port, '127.0.0.1');
    await once(squatter, 'listening');
    await using node = await open({ pool: folder.pool });
    const waiting = node.portals.show(`127.0.0.1:${port}`);
    assert.match(waiting.problem ?? '', /another program/);
    const unavailable = node.events().find(({ kind }) => kind === 'portal-unavailable');
    assert.equal(unavailable?.severity, 'warning');
    const listens = new Promise<void>((resolve) => {
      node.onEvent(({ kind, message }) => {
        if (kind === 'portal-listening' && message.includes('now')) resolve();
      });
    });
    squatter.close();
    await listens;
    assert.equal(node.portals.show(`127.0.0.1:${port}`).problem, null);
    await using _host = await through(node, `127.0.0.1:${port}`, 'alice', discoveryNqn);
  });

  it('an added portal that waits: removed, it is not tried again, and the node closes', async () => {
    using folder = new PoolFolder();
    const port = await freePort();
    const before = await open({ pool: folder.pool });
    await before.portals.add({ address: '127.0.0.1', port });
    await before.close();
    const squatter = createServer().listen(port, '127.0.0.1');
    await once(squatter, 'listening');
    try {
      const node = await open({ pool: folder.pool });
      await node.portals.drain(`127.0.0.1:${port}`);
      await node.portals.remove(`127.0.0.1:${port}`);
      assert.equal(node.portals.list().length, 2);
      await node.close();
      await using again = await open({ pool: folder.pool });
      assert.equal(again.portals.list().length, 2);
    } finally {
      squatter.close();
    }
  });
});
