/**
 * The daemon killed with −9 while volumes are created, resized and deleted: what was acknowledged
 * is there, what was refused is not, and the catalog and the store agree.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Daemon, runProgram, type Volume } from '../rig/daemon.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import { writeReport } from '../rig/report.js';

const kills = 25 * Number(process.env['ASHLAR_SOAK'] ?? 1);
const MiB = 2 ** 20;
const seed = seedOfRun();
const random = new SeededRandom(seed);

/** What is known of a volume. `pending`: a call was cut off, so both outcomes are right. */
interface Known {
  sizeBytes: number;
  pending: 'create' | 'delete' | { resizeTo: number } | null;
}

let daemon: Daemon;
before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool', poolSize: '1GiB', demoSize: null });
});
after(() => daemon[Symbol.asyncDispose]());

const known = new Map<string, Known>();
let names = 0;
const started = performance.now();

async function create(): Promise<void> {
  const name = `volume-${++names}`;
  const sizeBytes = (1 + random.below(64)) * MiB;
  const entry: Known = { sizeBytes, pending: 'create' };
  known.set(name, entry);
  await daemon.call('POST', '/v1/volumes', { name, sizeBytes });
  entry.pending = null;
}

async function remove(name: string, entry: Known): Promise<void> {
  entry.pending = 'delete';
  await daemon.call('DELETE', `/v1/volumes/${name}`);
  known.delete(name);
}

async function grow(name: string, entry: Known): Promise<void> {
  const resizeTo = entry.sizeBytes + MiB;
  entry.pending = { resizeTo };
  await daemon.call('PATCH', `/v1/volumes/${name}`, { sizeBytes: resizeTo });
  entry.sizeBytes = resizeTo;
  entry.pending = null;
}

/** Changes one volume after another until a call fails, which is when the daemon is gone. */
async function change(isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const idle = [...known].filter(([, entry]) => entry.pending === null);
    const chosen = random.pick(idle);
    try {
      if (chosen === undefined || (idle.length < 20 && random.below(3) === 0)) await create();
      else if (random.below(2) === 0) await remove(...chosen);
      else await grow(...chosen);
    } catch (error) {
      if (isOver()) return;
      throw error;
    }
  }
}

/** Compares what is there with what is known, and settles what was pending. */
async function settle(): Promise<void> {
  const { items } = await daemon.call<{ items: Volume[] }>('GET', '/v1/volumes');
  const there = new Map(items.map((volume) => [volume.name, volume.sizeBytes]));
  for (const [name, { sizeBytes, pending }] of known) {
    const found = there.get(name);
    if (pending === null) assert.equal(found, sizeBytes, `${name}, acknowledged`);
    else if (typeof pending === 'object') {
      assert.ok(found === sizeBytes || found === pending.resizeTo, `${name}, half resized`);
    } else assert.ok(found === undefined || found === sizeBytes, `${name}, pending ${pending}`);
    if (found === undefined) known.delete(name);
    else known.set(name, { sizeBytes: found, pending: null });
  }
  for (const name of there.keys()) assert.ok(known.has(name), `${name}, which was deleted`);
  const { pools } = await daemon.call<{ pools: { layers: number }[] }>('GET', '/v1/status');
  assert.equal(pools[0]?.layers, items.length, 'layers of the store and volumes of the catalog');
}

test(`${kills} kills during create, resize and delete (seed ${seed}): the pool stays clean`, async () => {
  for (let round = 0; round < kills; round += 1) {
    let over = false;
    const workers = [0, 1, 2].map(() => change(() => over));
    await delay(random.below(120));
    over = true;
    await daemon.kill();
    await Promise.all(workers);
    const check = await runProgram([
      ...['pool', 'check', daemon.workspace.file('pool'), '--json'],
      ...['--socket', daemon.socket],
    ]);
    assert.equal(check.code, 0, `round ${round}: ${check.out}${check.err}`);
    const { clean } = JSON.parse(check.out) as { clean: boolean };
    assert.ok(clean, check.out);
    await daemon.start();
    await settle();
  }
  writeReport({
    suite: 'kill control',
    promises: ['P4', 'P11'],
    counts: { kills, 'volumes made': names },
    seconds: (performance.now() - started) / 1000,
    seed: String(seed),
  });
});
