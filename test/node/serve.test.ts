/** A whole node and a whole host over TCP on loopback: what hosts see of volumes and grants. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import type { Host } from '../../lib/host/index.js';
import { discoveryNqn } from '../../lib/target/nqn.js';
import { ascii, le } from '../target/layout.js';
import { connect, gib, hostNqn, mib, open, portOf } from './bench.js';

const invalidNamespace = 0x00b;

/** Parks an Asynchronous Event Request; resolves with the dword of the event. */
async function nextEvent(host: Host): Promise<number> {
  const { status, result } = await host.admin({ opcode: 0x0c });
  assert.equal(status, 0);
  return Number(result);
}

async function listenTo(host: Host, events: number): Promise<void> {
  const { status } = await host.admin({ opcode: 0x09, cdw10: 0x0b, cdw11: events });
  assert.equal(status, 0);
}

/** The association is gone: seen while a command was under way, or before it was sent. */
function isEnded(thrown: unknown): boolean {
  return thrown instanceof AshlarError && ['connection-lost', 'closed'].includes(thrown.code);
}

async function changedNamespaces(host: Host): Promise<number[]> {
  const page = await host.getLogPage(0x04, 4096);
  const nsids = Array.from({ length: 1024 }, (_, at) => Number(le(page, at * 4, 4)));
  return nsids.filter((nsid) => nsid !== 0);
}

describe('node', () => {
  it('a new pool with a demo volume: any host discovers, connects, writes and reads', async () => {
    await using node = await open({ demo: { volume: 'demo', sizeBytes: 10n * gib } });
    const { subnqn } = node.tenants.show('default');
    for (const discoveryOnly of [false, true]) {
      await using discovery = await connect(node, 'd', {
        subnqn: discoveryNqn,
        discoveryOnly,
        ioQueues: 0,
      });
      const log = await discovery.getLogPage(0x70, 4096);
      // This discovery service as it was reached and on its own portal, then the subsystem.
      const records = discoveryOnly ? 2 : 3;
      assert.equal(le(log, 8, 8), BigInt(records));
      const last = 1024 * records;
      assert.equal(ascii(log, last + 256, 256).split('\0')[0], subnqn);
      assert.equal(ascii(log, last + 512, 256).trim(), '127.0.0.1');
      assert.equal(ascii(log, last + 32, 32).trim(), String(portOf(node)));
    }
    await using host = await connect(node, 'alice');
    const controller = await host.identifyController();
    assert.equal(controller.modelNumber, 'Ashlar');
    assert.equal(controller.subnqn, subnqn);
    assert.equal(controller.ana, true);
    assert.equal(controller.inCapsuleBytes, 8192);
    assert.deepEqual(await host.activeNamespaces(), [1]);
    const namespace = await host.namespace(1);
    assert.equal(namespace.sizeBytes, 10n * gib);
    const data = new Uint8Array(65_536).map((_, index) => index % 251);
    await namespace.write(1n * mib, data);
    await namespace.flush();
    assert.deepEqual(await namespace.read(1n * mib, data.length), data);
    assert.equal((await host.identifyNamespace(1)).usedBlocks, 16n);
    const shown = await node.volumes.show('demo');
    assert.equal(shown.usage.exclusiveBytes, 65_536n);
    assert.deepEqual(
      shown.connectedHosts.map(({ hostnqn, ioQueues }) => [hostnqn, ioQueues]),
      [[hostNqn('alice'), 2]],
    );
  });

  it('a discovery portal whose port is taken: required, no start; optional, a warning', async () => {
    await using first = await open();
    const taken = { address: '127.0.0.1', port: portOf(first, true), discoveryOnly: true };
    const serving = { address: '127.0.0.1', port: 0, discoveryOnly: false };
    await assert.rejects(open({ portals: [serving, taken] }), { code: 'address-in-use' });
    await using node = await open({ portals: [serving, { ...taken, optional: true }] });
    assert.deepEqual(
      node.portals.list().map(({ discoveryOnly }) => discoveryOnly),
      [false],
    );
    const [warning] = node.events().filter(({ severity }) => severity === 'warning');
    assert.equal(warning?.kind, 'portal-skipped');
    assert.match(warning.message, new RegExp(`^no discovery on 127\\.0\\.0\\.1:${taken.port}: `));
  });

  it('a host without a grant is told that there is no such subsystem', async () => {
    await using node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: mib, hosts: [hostNqn('alice')] });
    await assert.rejects(connect(node, 'bob'));
    await using host = await connect(node, 'alice');
    assert.deepEqual(await host.activeNamespaces(), [1]);
    const refused = node.events().filter(({ kind }) => kind === 'connect-refused');
    assert.equal(refused.length, 1);
    assert.match(refused[0]?.message ?? '', /no subsystem .* for nqn\.2026-01\.test:bob/);
  });

  it('grants, growth and deletion are seen without reconnecting', async () => {
    await using node = await open();
    const alice = hostNqn('alice');
    await node.volumes.create({ name: 'one', sizeBytes: 16n * mib, hosts: [alice] });
    await node.volumes.create({ name: 'two', sizeBytes: 16n * mib });
    await using host = await connect(node, 'alice');
    await listenTo(host, 0x900);
    assert.deepEqual(await host.activeNamespaces(), [1]);

    const granted = nextEvent(host);
    await node.volumes.grant('two', alice);
    assert.equal(await granted, 0x04_00_02);
    assert.deepEqual(await changedNamespaces(host), [2]);
    const two = await host.namespace(2);
    await two.write(0n, new Uint8Array(4096).fill(7));

    const grown = nextEvent(host);
    await node.volumes.resize('two', 32n * mib);
    await grown;
    assert.deepEqual(await changedNamespaces(host), [2]);
    const larger = await host.namespace(2);
    assert.equal(larger.sizeBytes, 32n * mib);
    await larger.write(32n * mib - 4096n, new Uint8Array(4096).fill(8));
    assert.equal((await larger.read(0n, 4096))[0], 7);

    await assert.rejects(node.volumes.delete('two'), { code: 'busy', message: /test:alice;/ });
    const deleted = nextEvent(host);
    await node.volumes.delete('two', { force: true });
    await deleted;
    assert.deepEqual(await host.activeNamespaces(), [1]);
    assert.equal((await host.io({ opcode: 0, nsid: 2 })).status, invalidNamespace);
    assert.equal((await host.io({ opcode: 0, nsid: 1 })).status, 0);
    const again = await node.volumes.create({ name: 'two', sizeBytes: mib, hosts: [alice] });
    assert.equal(again.nsid, 3, 'NSID 2 is not given again');
  });

  it('revoking ends the I/O of that host, and of no other', async () => {
    await using node = await open();
    const hosts = [hostNqn('alice'), hostNqn('bob')];
    await node.volumes.create({ name: 'v', sizeBytes: 16n * mib, hosts });
    await using alice = await connect(node, 'alice');
    await using bob = await connect(node, 'bob');
    let running = true;
    const statuses: number[] = [];
    const load = (async () => {
      while (running) {
        const data = new Uint8Array(4096);
        const { status } = await alice.io({ opcode: 1, nsid: 1, dataOut: data });
        statuses.push(status);
      }
    })();
    await node.volumes.revoke('v', hostNqn('alice'));
    const seen = statuses.length;
    const after = await alice.io({ opcode: 1, nsid: 1, dataOut: new Uint8Array(4096) });
    running = false;
    await load;
    assert.equal(after.status, invalidNamespace);
    assert.ok(statuses.slice(seen + 1).every((status) => status === invalidNamespace));
    assert.equal((await bob.io({ opcode: 0, nsid: 1 })).status, 0);
  });

  it('a read-only grant: reads pass, writes are refused', async () => {
    await using node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: mib });
    await node.volumes.grant('v', hostNqn('alice'), { access: 'read-only' });
    await using host = await connect(node, 'alice');
    assert.equal((await host.identifyNamespace(1)).readOnly, true);
    const data = new Uint8Array(4096);
    assert.equal((await host.io({ opcode: 2, nsid: 1, dataInBytes: 4096 })).status, 0);
    assert.equal((await host.io({ opcode: 1, nsid: 1, dataOut: data })).status, 0x020);
  });

  it('tenants see nothing of each other', async () => {
    await using node = await open();
    const anyone = { sizeBytes: mib, hosts: ['*'] };
    await node.tenants.create('acme');
    await node.volumes.create({ name: 'v', ...anyone });
    await node.volumes.create({ name: 'v', ...anyone }, { tenant: 'acme' });
    await node.volumes.create({ name: 'w', ...anyone }, { tenant: 'acme' });
    await using host = await connect(node, 'alice');
    await using other = await connect(node, 'alice', {
      subnqn: node.tenants.show('acme').subnqn,
    });
    assert.deepEqual(await host.activeNamespaces(), [1]);
    assert.deepEqual(await other.activeNamespaces(), [1, 2]);
    const serials = await Promise.all(
      [host, other].map(async (each) => (await each.identifyController()).serialNumber),
    );
    assert.notEqual(serials[0], serials[1]);
    await assert.rejects(node.tenants.delete('acme'), { code: 'conflict' });
  });

  it('removing a host ends its associations', async () => {
    await using node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: mib, hosts: [hostNqn('alice')] });
    await using host = await connect(node, 'alice');
    await node.hosts.remove(hostNqn('alice'));
    await assert.rejects(
      (async () => {
        for (;;) await host.activeNamespaces();
      })(),
      isEnded,
    );
    assert.deepEqual((await node.volumes.show('v')).grants, []);
    await assert.rejects(connect(node, 'alice'));
  });

  it('closing ends associations in good order; afterwards calls say closed', async () => {
    const node = await open({ demo: { volume: 'demo', sizeBytes: gib } });
    await using host = await connect(node, 'alice');
    await Promise.all([node.close(), node.close()]);
    await assert.rejects(host.activeNamespaces(), isEnded);
    assert.throws(() => node.volumes.list(), { code: 'closed' });
    await assert.rejects(node.volumes.create({ name: 'x', sizeBytes: mib }), { code: 'closed' });
    await assert.rejects(node.status(), { code: 'closed' });
  });
});
