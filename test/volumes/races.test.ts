/**
 * Calls on a few volumes all at once, some aborted, some whose commit fails: whatever the order,
 * catalog and layers agree afterwards, and so does a start on what is then in the pool.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { snapshotKind } from '../../lib/catalog/kinds.js';
import { AshlarError } from '../../lib/errors.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import { ControlBench } from './control_bench.js';

const mib = 1n << 20n;
const rounds = 60;
const callsAtOnce = 12;
const volumes = ['a', 'b', 'c'];
const names = ['x', 'y'];
const hosts = ['*', 'nqn.2026-01.test:alice', 'nqn.2026-01.test:bob'];

/** Refusals that a race can lead to; anything else is a bug. */
const refusals = new Set([
  'not-found',
  'already-exists',
  'busy',
  'conflict',
  'invalid-argument',
  'cancelled',
  'no-space',
]);

function call(bench: ControlBench, random: SeededRandom): Promise<unknown> {
  const volume = random.pick(volumes) ?? 'a';
  const other = random.pick(volumes) ?? 'b';
  const name = random.pick(names) ?? 'x';
  const host = random.pick(hosts) ?? '*';
  const snapshot = `${volume}@${name}`;
  const sizeBytes = BigInt(1 + random.below(4)) * mib;
  const abort = new AbortController();
  if (random.below(6) === 0) setImmediate(() => abort.abort());
  const options = { signal: abort.signal, force: random.below(2) === 0 };
  const reserved = random.below(4) === 0;
  switch (random.below(14)) {
    case 0:
    case 1:
      return bench.volumes.create({ name: volume, sizeBytes, reserved }, options);
    case 2:
      return bench.volumes.clone(snapshot, { name: other, reserved }, options);
    case 3:
      return bench.volumes.clone(volume, { name: other, sizeBytes }, options);
    case 4:
      return bench.volumes.delete(volume, options);
    case 5:
      return bench.volumes.resize(volume, sizeBytes, { ...options, shrink: true });
    case 6:
      return bench.volumes.rename(volume, other, options);
    case 7:
      return bench.snapshots.createGroup([volume, other], name, options);
    case 8:
    case 9:
      return bench.snapshots.create(volume, name, options);
    case 10:
      return bench.snapshots.rollback(snapshot, options);
    case 11:
      return bench.snapshots.delete(snapshot, options);
    case 12:
      return bench.grants.add(random.below(2) === 0 ? snapshot : volume, host, options);
    default:
      return bench.grants.remove(random.below(2) === 0 ? snapshot : volume, host, options);
  }
}

describe('calls at once', () => {
  const seed = seedOfRun();
  it(`seed ${seed}: ${rounds} times ${callsAtOnce}: catalog and layers always agree`, async () => {
    const random = new SeededRandom(seed);
    let bench = await ControlBench.open();
    let done = 0;
    for (let round = 0; round < rounds; round += 1) {
      bench.layers.pause = async () => {
        for (let turns = random.below(4); turns > 0; turns -= 1) {
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      if (random.below(3) === 0) bench.layers.failAfter = random.below(callsAtOnce);
      const calls = Array.from({ length: callsAtOnce }, () => call(bench, random));
      for (const outcome of await Promise.allSettled(calls)) {
        if (outcome.status === 'fulfilled') {
          done += 1;
          continue;
        }
        const { reason } = outcome;
        assert.ok(reason instanceof AshlarError && refusals.has(reason.code), String(reason));
      }
      await bench.state.locks.idle();
      bench.layers.failAfter = null;
      bench.assertConsistent();
      if (random.below(4) === 0) bench = await bench.restart();
    }
    assert.ok(done > rounds, `only ${done} of ${rounds * callsAtOnce} calls did something`);
    await removeAll(bench);
    assert.equal(bench.layers.layerCount, 0, 'layers left behind');
    assert.equal(bench.layers.openCount, 0);
  });
});

async function removeAll(bench: ControlBench): Promise<void> {
  for (const { uuid } of bench.volumes.list()) await bench.volumes.delete(uuid);
  for (const { id } of bench.catalog.all(snapshotKind)) {
    const { items } = await bench.snapshots.page({ limit: 1 });
    const [first] = items;
    assert.ok(first !== undefined, `snapshot record ${id} is in no list`);
    await bench.snapshots.delete(first.uuid);
  }
}
