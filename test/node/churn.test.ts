/** Hosts that come and go badly: nothing of them stays behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import type { Node } from '../../lib/node/types.js';
import { connect as connectCommand } from '../protocol/commands.js';
import { capsuleCmd, icReq, plainFraming } from '../protocol/pdu.js';
import { connect, hostNqn, mib, open, portOf } from './bench.js';

/** ICReq and Connect in one write; then the socket is cut, at once or when an answer has come. */
async function connectAndVanish(node: Node, waitForAnswer: boolean): Promise<void> {
  const socket = net.connect({ port: portOf(node), host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  const { entry, data } = connectCommand({
    qid: 0,
    subnqn: node.tenants.show('default').subnqn,
    hostnqn: hostNqn('ghost'),
    hostid: Buffer.alloc(16, 7),
  });
  socket.write(Buffer.concat([icReq(), capsuleCmd(entry, data, plainFraming)]));
  if (waitForAnswer) await once(socket, 'data');
  socket.resetAndDestroy();
}

/** Until no association is left; fails with the test's own time limit. */
async function untilEmpty(node: Node): Promise<void> {
  for (;;) {
    const { connections } = await node.status();
    if (connections.length === 0) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('churn', () => {
  it('200 hosts that vanish around their Connect: no controller stays behind', async () => {
    await using node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: mib, hosts: ['*'] });
    for (let round = 0; round < 10; round += 1) {
      const ghosts = Array.from({ length: 20 }, (_, each) =>
        connectAndVanish(node, each % 2 === 0),
      );
      await Promise.all(ghosts);
    }
    await untilEmpty(node);
    await using host = await connect(node, 'alice');
    assert.deepEqual(await host.activeNamespaces(), [1]);
  });

  it('a node closed while hosts connect: it ends, and so do they', async () => {
    const node = await open();
    await node.volumes.create({ name: 'v', sizeBytes: mib, hosts: ['*'] });
    const hosts = Array.from({ length: 4 }, (_, each) => connect(node, `h${each}`));
    const settled = Promise.allSettled(hosts);
    await Promise.any(hosts);
    await node.close();
    for (const outcome of await settled) {
      if (outcome.status === 'fulfilled') await outcome.value.close();
    }
  });

  it('grants change while hosts connect: each ends up seeing exactly what it may', async () => {
    await using node = await open();
    for (const name of ['a', 'b', 'c']) {
      await node.volumes.create({ name, sizeBytes: mib, hosts: [hostNqn('x')] });
    }
    const connecting = Array.from({ length: 3 }, () => connect(node, 'x', { ioQueues: 1 }));
    await Promise.all([
      node.volumes.revoke('a', hostNqn('x')),
      node.volumes.delete('b', { force: true }),
      node.volumes.create({ name: 'd', sizeBytes: mib, hosts: ['*'] }),
    ]);
    for (const host of await Promise.all(connecting)) {
      assert.deepEqual(await host.activeNamespaces(), [3, 4]);
      assert.equal((await host.io({ opcode: 0, nsid: 1 })).status, 0x00b);
      assert.equal((await host.io({ opcode: 0, nsid: 4 })).status, 0);
      await host.close();
    }
  });
});
