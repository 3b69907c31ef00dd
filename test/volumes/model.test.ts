/** Random calls against a model that is a map; from time to time the node is opened anew. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import type { Node } from '../../lib/node/types.js';
import { hostNqn, mib, open, PoolFolder } from '../node/bench.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';

interface ModelVolume {
  uuid: string;
  nsid: number;
  sizeBytes: bigint;
  hosts: Set<string>;
}

const names = ['a', 'b', 'c', 'd'];
const hosts = ['*', hostNqn('x'), hostNqn('y')];
const steps = 200;

class Model {
  readonly volumes = new Map<string, ModelVolume>();
  #highestNsid = 0;

  /** Runs one random call on both; they must agree on the outcome. */
  async step(node: Node, random: SeededRandom): Promise<void> {
    const name = random.pick(names) ?? 'a';
    const host = random.pick(hosts) ?? '*';
    const sizeBytes = BigInt(random.below(4)) * mib;
    const volume = this.volumes.get(name);
    switch (random.below(6)) {
      case 0:
      case 1:
        return this.#create(node, name, sizeBytes, volume);
      case 2: {
        const refused = volume === undefined ? 'not-found' : 'invalid-argument';
        const fine = volume !== undefined && sizeBytes >= volume.sizeBytes;
        if (await outcome(node.volumes.resize(name, sizeBytes), fine ? null : refused)) {
          if (volume !== undefined) volume.sizeBytes = sizeBytes;
        }
        return;
      }
      case 3:
        await outcome(node.volumes.delete(name), volume === undefined ? 'not-found' : null);
        this.volumes.delete(name);
        return;
      case 4: {
        const duplicate = volume?.hosts.has(host) === true ? 'already-exists' : null;
        const refused = volume === undefined ? 'not-found' : duplicate;
        if (await outcome(node.volumes.grant(name, host), refused)) volume?.hosts.add(host);
        return;
      }
      default: {
        const refused = volume?.hosts.has(host) === true ? null : 'not-found';
        if (await outcome(node.volumes.revoke(name, host), refused)) volume?.hosts.delete(host);
      }
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
    if (!(await outcome(node.volumes.create({ name, sizeBytes }), refused))) return;
    const { uuid, nsid } = await node.volumes.show(name);
    assert.ok(nsid > this.#highestNsid, 'an NSID was given twice');
    this.#highestNsid = nsid;
    this.volumes.set(name, { uuid, nsid, sizeBytes, hosts: new Set() });
  }

  assertSame(node: Node): void {
    const actual = node.volumes.list().map(({ name, uuid, nsid, sizeBytes, grants }) => {
      return { name, uuid, nsid, sizeBytes, hosts: grants.map(({ host }) => host) };
    });
    const expected = [...this.volumes]
      .map(([name, volume]) => ({ name, ...volume, hosts: [...volume.hosts].sort() }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    assert.deepEqual(actual, expected);
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

describe('volumes against a model', () => {
  const seed = seedOfRun();
  it(`seed ${seed}: ${steps} calls, restarts included: never a difference`, async () => {
    const random = new SeededRandom(seed);
    using folder = new PoolFolder();
    const model = new Model();
    let node = await open({ pool: folder.pool, portals: [] });
    try {
      for (let step = 0; step < steps; step += 1) {
        await model.step(node, random);
        model.assertSame(node);
        if (random.below(25) !== 0) continue;
        await node.close();
        node = await open({ pool: folder.pool, portals: [] });
        model.assertSame(node);
      }
      assert.deepEqual((await node.pool.check()).problems, []);
      assert.equal((await node.pool.status()).catalogRecords > 0n, true);
    } finally {
      await node.close();
    }
  });
});
