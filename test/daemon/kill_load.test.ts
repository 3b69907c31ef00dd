/** kill -9 under writes: what was acknowledged is there, flushed or not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectHost } from '../../lib/host/index.js';
import { Daemon } from '../rig/daemon.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';

const seed = seedOfRun();
const block = 4096;
const blocks = 4096;
const kills = 10;

/** One value for each write of each block, so that an older or another block's is found out. */
function stamped(slba: number, stamp: number): Buffer {
  const data = Buffer.alloc(block);
  for (let at = 0; at < block; at += 8) {
    data.writeUInt32LE(stamp, at);
    data.writeUInt32LE(slba, at + 4);
  }
  return data;
}

test(`killed ${kills} times under first writes and overwrites (seed ${seed}): every acknowledged block`, async () => {
  await using daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: '16MiB' });
  const random = new SeededRandom(seed);
  const acknowledged = new Map<number, number>();
  // Sent and not answered: it may have been applied or not.
  const pending = new Map<number, number>();
  const subnqn = await daemon.subnqn();
  const { nsid } = await daemon.volume('demo');
  const connect = () =>
    connectHost({
      address: '127.0.0.1',
      port: daemon.port,
      subnqn,
      hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:6d9c2f6e-1111-4f6e-9b3e-0d9a6f1c2b3a',
      ioQueues: 2,
    });

  const verify = async () => {
    await using host = await connect();
    const disk = await host.namespace(nsid);
    for (let slba = 0; slba < blocks; slba += 1) {
      const possible = [acknowledged.get(slba) ?? 0, pending.get(slba)];
      if (possible[0] === 0 && possible[1] === undefined) continue;
      const found = Buffer.from(await disk.readBlocks(BigInt(slba), 1));
      const stamp = found.readUInt32LE(0);
      const good = possible.includes(stamp) && (stamp === 0 || found.equals(stamped(slba, stamp)));
      assert.ok(good, `LBA ${slba} holds ${stamp}, not one of ${possible.join(', ')}`);
      acknowledged.set(slba, stamp);
    }
    pending.clear();
  };

  let stamp = 0;
  for (let round = 0; round < kills; round += 1) {
    const host = await connect();
    const disk = await host.namespace(nsid);
    let over = false;
    const writer = async () => {
      while (!over) {
        const slba = random.below(blocks);
        if (pending.has(slba)) continue;
        stamp += 1;
        const mine = stamp;
        pending.set(slba, mine);
        try {
          await disk.writeBlocks(BigInt(slba), stamped(slba, mine));
        } catch {
          return; // The daemon is gone.
        }
        pending.delete(slba);
        acknowledged.set(slba, mine);
        if (random.below(100) === 0) await disk.flush().catch(() => undefined);
      }
    };
    const writers = Array.from({ length: 16 }, writer);
    const wanted = acknowledged.size + 50 + random.below(300);
    const enough = () =>
      acknowledged.size >= Math.min(wanted, blocks - 32) || stamp > (round + 1) * 4000;
    while (!enough()) await new Promise((resolve) => setImmediate(resolve));
    await daemon.kill();
    over = true;
    await Promise.all(writers);
    await host.close().catch(() => undefined);
    await daemon.start();
    await verify();
  }
});
