/**
 * A newer version opens the older pool. `formats/` keeps an image of a pool of every format that
 * was released, taken while it was served, so that opening it replays its journal as well.
 *
 * When the format changes, and only then: `ASHLAR_GOLDEN=write` makes the image of the new version
 * beside the older ones, which stay as they are for good.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Node } from '../../lib/node/types.js';
import { connect, hostNqn, mib, open, PoolFolder } from './bench.js';
import { loadImage, saveImage } from './image.js';

const folder = 'test/node/formats';
const blockBytes = 65_536;
const filled = (value: number): Uint8Array => new Uint8Array(blockBytes).fill(value);

/** What every image holds, whichever version wrote it. */
async function fill(node: Node): Promise<void> {
  await node.tenants.create('acme');
  await node.hosts.add(hostNqn('alice'));
  await node.volumes.create({ name: 'v', sizeBytes: 16n * mib, hosts: [hostNqn('alice')] });
  await node.volumes.create(
    { name: 'small', sizeBytes: 8n * mib, blockBytes: 512, reserved: true },
    { tenant: 'acme' },
  );
  await using host = await connect(node, 'alice');
  const volume = await host.namespace((await node.volumes.show('v')).nsid ?? 0);
  await volume.write(0n, filled(1));
  await volume.write(BigInt(blockBytes), filled(1), { fua: true });
  await node.snapshots.create('v', 'monday');
  await volume.write(BigInt(blockBytes), filled(2), { fua: true });
  await volume.deallocate([{ offset: 0n, length: 4096n }]);
  await volume.flush();
  await node.volumes.clone('v@monday', { name: 'copy', hosts: [hostNqn('alice')] });
  await node.schedules.create({
    name: 'nightly',
    cron: '0 2 * * *',
    timezone: 'Europe/Berlin',
    volumes: ['v'],
    keep: { daily: 7 },
    enabled: false,
  });
}

async function assertFilled(node: Node): Promise<void> {
  const names = node.volumes.list().map(({ name, tenant }) => `${tenant}/${name}`);
  assert.deepEqual(names.sort(), ['acme/small', 'default/copy', 'default/v']);
  const small = await node.volumes.show('small', { tenant: 'acme' });
  assert.deepEqual([small.sizeBytes, small.blockBytes], [8n * mib, 512]);
  const monday = await node.snapshots.show('v@monday');
  assert.equal(monday.sizeBytes, 16n * mib);
  const { cron, timezone, keep } = node.schedules.show('nightly');
  assert.deepEqual([cron, timezone, keep.daily], ['0 2 * * *', 'Europe/Berlin', 7]);

  await using host = await connect(node, 'alice');
  const read = async (name: string, block: bigint): Promise<Buffer> => {
    const namespace = await host.namespace((await node.volumes.show(name)).nsid ?? 0);
    return Buffer.from(await namespace.read(block * BigInt(blockBytes), blockBytes));
  };
  const holed = filled(1).fill(0, 0, 4096);
  assert.deepEqual(await read('v', 0n), Buffer.from(holed));
  assert.deepEqual(await read('v', 1n), Buffer.from(filled(2)));
  assert.deepEqual(await read('v', 2n), Buffer.from(filled(0)));
  assert.deepEqual(await read('copy', 0n), Buffer.from(filled(1)));
  assert.deepEqual(await read('copy', 1n), Buffer.from(filled(1)));
}

function currentVersion(): number {
  const text = readFileSync('native/FORMAT.md', 'utf8');
  const version = /^Format version (\d+)\./m.exec(text)?.[1];
  assert.ok(version !== undefined, 'native/FORMAT.md says which format version is current');
  return Number(version);
}

async function writeImage(image: string): Promise<void> {
  using place = new PoolFolder();
  const create = { sizeBytes: 64n * mib, journalBytes: null };
  await using node = await open({ pool: { ...place.pool, create } });
  await fill(node);
  // Nothing is under way: what a power loss at this moment would leave.
  copyFileSync(place.path, `${place.path}.copy`);
  saveImage(`${place.path}.copy`, image);
}

describe('pools of every released format', () => {
  it('the current format has its image', async () => {
    const image = join(folder, `format-${currentVersion()}.txt`);
    if (process.env['ASHLAR_GOLDEN'] === 'write' && !existsSync(image)) await writeImage(image);
    assert.ok(existsSync(image), `${image} is missing: ASHLAR_GOLDEN=write makes it`);
  });

  for (const name of readdirSync(folder).filter((each) => each.endsWith('.txt'))) {
    it(`${name}: opens, replays its journal, holds what was written, and can be written`, async () => {
      using place = new PoolFolder();
      loadImage(join(folder, name), place.path);
      {
        await using node = await open({ pool: place.pool });
        const { pool, created } = await node.status();
        assert.equal(created, false);
        assert.ok(pool.replayedRecords > 0n);
        assert.deepEqual((await node.pool.check()).problems, []);
        await assertFilled(node);
        await node.snapshots.create('v', 'tuesday');
        await using host = await connect(node, 'alice');
        const volume = await host.namespace((await node.volumes.show('v')).nsid ?? 0);
        await volume.write(5n * BigInt(blockBytes), filled(7));
      }
      await using again = await open({ pool: place.pool });
      await assertFilled(again);
      assert.deepEqual((await again.pool.check()).problems, []);
      await again.snapshots.delete('v@monday');
      await again.volumes.delete('copy');
      assert.deepEqual((await again.pool.check()).problems, []);
    });
  }
});
