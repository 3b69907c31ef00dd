/**
 * Random calls against a model that is a few maps, data included; from time to time a host writes
 * and reads everything, and the node is opened anew.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import type { Node } from '../../lib/node/types.js';
import { connect, hostNqn, mib, open, PoolFolder } from '../node/bench.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';

/** What was written: a byte for each block of 4 KiB that is not zeroes. */
type Contents = Map<number, number>;

interface ModelVolume {
  uuid: string;
  nsid: number;
  sizeBytes: bigint;
  hosts: Set<string>;
  contents: Contents;
}

interface ModelSnapshot {
  uuid: string;
  name: string;
  /** The volume's UUID, and its last name. */
  volume: string;
  volumeName: string;
  sizeBytes: bigint;
  contents: Contents;
}

const names = ['a', 'b', 'c', 'd'];
const snapshotNames = ['x', 'y'];
const writer = hostNqn('writer');
const hosts = ['*', hostNqn('x'), hostNqn('y')];
const steps = 250;
const blockBytes = 4096;

class Model {
  readonly volumes = new Map<string, ModelVolume>();
  readonly snapshots: ModelSnapshot[] = [];
  #highestNsid = 0;

  /** Runs one random call on both; they must agree on the outcome. */
  async step(node: Node, random: SeededRandom): Promise<void> {
    const name = random.pick(names) ?? 'a';
    const other = random.pick(names) ?? 'b';
    const snapshotName = random.pick(snapshotNames) ?? 'x';
    const reference = `${name}@${snapshotName}`;
    const sizeBytes = BigInt(random.below(4)) * mib;
    const volume = this.volumes.get(name);
    switch (random.below(13)) {
      case 0:
      case 1:
        return this.#create(node, name, sizeBytes, volume);
      case 2:
        return this.#resize(node, name, sizeBytes, volume);
      case 3:
        await outcome(node.volumes.delete(name), volume === undefined ? 'not-found' : null);
        this.volumes.delete(name);
        return;
      case 4:
        return this.#access(node, name, random.pick(hosts) ?? '*', random.below(2) === 0);
      case 5:
      case 6:
        return this.#snapshot(node, [name], snapshotName);
      case 7:
        return this.#snapshot(node, [...new Set([name, other])], snapshotName);
      case 8:
        return this.#clone(node, reference, this.#resolve(reference), other, sizeBytes);
      case 9:
        return this.#clone(node, name, volume ?? 'not-found', other, sizeBytes);
      case 10:
        return this.#rollback(node, reference);
      case 11:
        return this.#deleteSnapshot(node, reference);
      default:
        return this.#write(node, random);
    }
  }

  async #create(
    node: Node,
    name: string,
    sizeBytes: bigint,
    before: ModelVolume | undefined,
  ): Promise<void> {
    const duplicate = before === undefined ? null : 'already-exists';
    const refused = sizeBytes === 0n ? 'invalid-argument' : duplicate;
    const request = { name, sizeBytes, hosts: [writer] };
    if (!(await outcome(node.volumes.create(request), refused))) return;
    await this.#made(node, name, sizeBytes, new Map());
  }

  async #made(node: Node, name: string, sizeBytes: bigint, contents: Contents): Promise<void> {
    const { uuid, nsid } = await node.volumes.show(name);
    assert.ok(nsid > this.#highestNsid, 'an NSID was given twice');
    this.#highestNsid = nsid;
    this.volumes.set(name, { uuid, nsid, sizeBytes, hosts: new Set([writer]), contents });
  }

  async #resize(
    node: Node,
    name: string,
    sizeBytes: bigint,
    volume: ModelVolume | undefined,
  ): Promise<void> {
    const refused = volume === undefined ? 'not-found' : 'invalid-argument';
    const fine = volume !== undefined && sizeBytes >= volume.sizeBytes;
    if (!(await outcome(node.volumes.resize(name, sizeBytes), fine ? null : refused))) return;
    if (volume !== undefined) volume.sizeBytes = sizeBytes;
  }

  async #access(node: Node, name: string, host: string, give: boolean): Promise<void> {
    const volume = this.volumes.get(name);
    const has = volume?.hosts.has(host) === true;
    if (give) {
      const refused = volume === undefined ? 'not-found' : has ? 'already-exists' : null;
      if (await outcome(node.volumes.grant(name, host), refused)) volume?.hosts.add(host);
      return;
    }
    const call = node.volumes.revoke(name, host);
    if (await outcome(call, has ? null : 'not-found')) volume?.hosts.delete(host);
  }

  async #snapshot(node: Node, of: string[], name: string): Promise<void> {
    const volumes = of.map((each) => this.volumes.get(each));
    const has = (uuid: string) =>
      this.snapshots.some((each) => each.volume === uuid && each.name === name);
    const missing = volumes.some((volume) => volume === undefined);
    const clash = volumes.some((volume) => volume !== undefined && has(volume.uuid));
    const refused = missing ? 'not-found' : clash ? 'already-exists' : null;
    if (!(await outcome(node.snapshots.createGroup(of, name), refused))) return;
    for (const volumeName of of) {
      const { uuid } = await node.snapshots.show(`${volumeName}@${name}`);
      const volume = this.volumes.get(volumeName) ?? assert.fail('it was there');
      const { sizeBytes } = volume;
      const contents = new Map(volume.contents);
      this.snapshots.push({ uuid, name, volume: volume.uuid, volumeName, sizeBytes, contents });
    }
  }

  /** What a reference names: a live volume's own first, then what deleted ones have left. */
  #resolve(reference: string): ModelSnapshot | 'not-found' | 'conflict' {
    const [volumeName = '', name = ''] = reference.split('@');
    const live = this.volumes.get(volumeName)?.uuid;
    const named = this.snapshots.filter((each) => each.name === name);
    const own = named.find((each) => each.volume === live);
    if (own !== undefined) return own;
    const orphans = named.filter((each) => each.volumeName === volumeName && this.#isOrphan(each));
    if (orphans.length > 1) return 'conflict';
    return orphans[0] ?? 'not-found';
  }

  #isOrphan({ volume }: ModelSnapshot): boolean {
    return ![...this.volumes.values()].some(({ uuid }) => uuid === volume);
  }

  /** `sizeBytes` 0: the source's. */
  async #clone(
    node: Node,
    reference: string,
    source: { sizeBytes: bigint; contents: Contents } | string,
    name: string,
    sizeBytes: bigint,
  ): Promise<void> {
    const size = sizeBytes === 0n ? {} : { sizeBytes };
    const call = node.volumes.clone(reference, { name, ...size, hosts: [writer] });
    if (typeof source === 'string') return void (await outcome(call, source));
    const small = sizeBytes !== 0n && sizeBytes < source.sizeBytes;
    const refused = small ? 'invalid-argument' : this.volumes.has(name) ? 'already-exists' : null;
    if (!(await outcome(call, refused))) return;
    const actual = sizeBytes === 0n ? source.sizeBytes : sizeBytes;
    await this.#made(node, name, actual, new Map(source.contents));
  }

  async #rollback(node: Node, reference: string): Promise<void> {
    const snapshot = this.#resolve(reference);
    const call = node.snapshots.rollback(reference);
    if (typeof snapshot === 'string') return void (await outcome(call, snapshot));
    const volume = [...this.volumes.values()].find(({ uuid }) => uuid === snapshot.volume);
    if (!(await outcome(call, volume === undefined ? 'conflict' : null))) return;
    assert.ok(volume !== undefined);
    volume.contents = new Map(snapshot.contents);
    if (snapshot.sizeBytes > volume.sizeBytes) volume.sizeBytes = snapshot.sizeBytes;
  }

  async #deleteSnapshot(node: Node, reference: string): Promise<void> {
    const snapshot = this.#resolve(reference);
    const call = node.snapshots.delete(reference);
    if (typeof snapshot === 'string') return void (await outcome(call, snapshot));
    await outcome(call, null);
    this.snapshots.splice(this.snapshots.indexOf(snapshot), 1);
  }

  /** Writes and zeroes a few blocks of each volume, then reads all of them. */
  async #write(node: Node, random: SeededRandom): Promise<void> {
    if (this.volumes.size === 0) return; // To a host that is granted nothing there is no subsystem.
    const host = await connect(node, 'writer');
    try {
      for (const [name, { nsid, sizeBytes, contents }] of this.volumes) {
        const namespace = await host.namespace(nsid);
        const blocks = Number(sizeBytes) / blockBytes;
        for (let count = random.below(6); count > 0; count -= 1) {
          const block = random.below(Math.min(blocks, 64));
          const value = random.below(256);
          const offset = BigInt(block * blockBytes);
          await namespace.write(offset, new Uint8Array(blockBytes).fill(value));
          if (value === 0) contents.delete(block);
          else contents.set(block, value);
        }
        const data = await namespace.read(0n, Number(sizeBytes));
        for (let block = 0; block < blocks; block += 1) {
          const bytes = data.subarray(block * blockBytes, (block + 1) * blockBytes);
          const wanted = contents.get(block) ?? 0;
          assert.ok(
            bytes.every((byte) => byte === wanted),
            `block ${block} of '${name}' is ${bytes[0]}, not ${wanted}`,
          );
        }
      }
    } finally {
      await host.close();
    }
    // What hosts have connected is refused; the model's next calls expect that none is.
    while ((await node.status()).connections.length > 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async assertSame(node: Node): Promise<void> {
    const actual = node.volumes.list().map(({ name, uuid, nsid, sizeBytes, grants }) => {
      return { name, uuid, nsid, sizeBytes, hosts: grants.map(({ host }) => host) };
    });
    const expected = [...this.volumes]
      .map(([name, { uuid, nsid, sizeBytes, hosts: granted }]) => {
        return { name, uuid, nsid, sizeBytes, hosts: [...granted].sort() };
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    assert.deepEqual(actual, expected);
    const { items } = await node.snapshots.page();
    const left = items
      .map(({ uuid, name, volume, sizeBytes }) => ({ uuid, name, volume, sizeBytes }))
      .sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
    const wanted = this.snapshots
      .map(({ uuid, name, volumeName, sizeBytes }) => {
        return { uuid, name, volume: volumeName, sizeBytes };
      })
      .sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
    assert.deepEqual(left, wanted);
  }
}

/** Whether the call succeeded; it must exactly when `refused` is null. */
async function outcome(call: Promise<unknown>, refused: string | null): Promise<boolean> {
  try {
    await call;
  } catch (thrown) {
    assert.ok(thrown instanceof AshlarError);
    assert.equal(thrown.code, refused, thrown.message);
    return false;
  }
  assert.equal(refused, null, 'the call should have been refused');
  return true;
}

describe('volumes and snapshots against a model', () => {
  const seed = seedOfRun();
  it(`seed ${seed}: ${steps} calls, data and restarts included: never a difference`, async () => {
    const random = new SeededRandom(seed);
    using folder = new PoolFolder();
    const model = new Model();
    let node = await open({ pool: folder.pool });
    try {
      for (let step = 0; step < steps; step += 1) {
        await model.step(node, random);
        await model.assertSame(node);
        if (random.below(25) !== 0) continue;
        await node.close();
        node = await open({ pool: folder.pool });
        await model.assertSame(node);
      }
      assert.deepEqual((await node.pool.check()).problems, []);
      assert.equal((await node.pool.status()).catalogRecords > 0n, true);
    } finally {
      await node.close();
    }
  });
});
