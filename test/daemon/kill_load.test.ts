/**
 * kill -9 at random moments under load from our own host. What was acknowledged is there, flushed
 * or not; what was under way is there or not; what was never written reads as zeroes.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connectHost, type Host, type HostNamespace } from '../../lib/host/index.js';
import { loadNative } from '../../lib/native.js';
import { Daemon, type Volume } from '../rig/daemon.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import { writeReport } from '../rig/report.js';

const kills = 60 * Number(process.env['ASHLAR_SOAK'] ?? 1);
const seed = seedOfRun();
const random = new SeededRandom(seed);
const blockBytes = 4096;
const blocks = 2048;
const lanes = 12;

/** One volume as the host knows it: by block the stamp that it holds, 0 for zeroes. */
interface Known {
  nsid: number;
  acknowledged: number[];
  /** Sent and not answered: any of these may have been applied. */
  pending: Map<number, number>;
}

/** One value for each write of each block, so that an older or another block's is found out. */
function stamp(data: Buffer, at: number, nsid: number, slba: number, value: number): void {
  for (let word = at; word < at + blockBytes; word += 512) {
    data.writeUInt32LE(value, word);
    data.writeUInt32LE(slba, word + 4);
    data.writeUInt32LE(nsid, word + 8);
  }
}

let daemon: Daemon;
const volumes: Known[] = [];
let subnqn = '';
let stamps = 0;
let acknowledgements = 0;
const started = performance.now();

before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: null });
  for (const name of ['one', 'two']) {
    const sizeBytes = blocks * blockBytes;
    const made = await daemon.call<Volume>('POST', '/v1/volumes', {
      name,
      sizeBytes,
      hosts: ['*'],
    });
    subnqn = made.subnqn;
    const acknowledged = new Array<number>(blocks).fill(0);
    volumes.push({ nsid: made.nsid, acknowledged, pending: new Map() });
  }
});
after(() => daemon[Symbol.asyncDispose]());

function connect(): Promise<Host> {
  return connectHost({
    address: '127.0.0.1',
    port: daemon.port,
    subnqn,
    hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:6d9c2f6e-1111-4f6e-9b3e-0d9a6f1c2b3a',
    ioQueues: 2,
  });
}

/** A command on one to eight blocks that no other command is on. */
async function oneCommand(disk: HostNamespace, volume: Known): Promise<void> {
  const dice = random.below(100);
  if (dice < 4) return disk.flush();
  const slba = random.below(blocks - 8);
  const count = 1 + random.below(8);
  const range = Array.from({ length: count }, (_, i) => slba + i);
  if (range.some((block) => volume.pending.has(block))) return;
  const zeroes = dice >= 84;
  const value = zeroes ? 0 : ++stamps;
  for (const block of range) volume.pending.set(block, value);
  const bytes = { offset: BigInt(slba * blockBytes), length: BigInt(count * blockBytes) };
  if (zeroes && dice < 92) await disk.writeZeroes(bytes.offset, bytes.length);
  else if (zeroes) await disk.deallocate([bytes]);
  else {
    const data = Buffer.alloc(count * blockBytes);
    for (const [i, block] of range.entries()) {
      stamp(data, i * blockBytes, volume.nsid, block, value);
    }
    await disk.write(bytes.offset, data, { fua: dice < 12 });
  }
  for (const block of range) {
    volume.pending.delete(block);
    volume.acknowledged[block] = value;
  }
  acknowledgements += 1;
}

/** Load until the daemon is killed, at a moment that nothing waits for. */
async function loadAndKill(): Promise<void> {
  const host = await connect();
  const disks = await Promise.all(volumes.map(({ nsid }) => host.namespace(nsid)));
  let over = false;
  const lane = async (at: number) => {
    const volume = volumes[at % volumes.length];
    const disk = disks[at % volumes.length];
    if (volume === undefined || disk === undefined) throw new Error('no volume');
    while (!over) {
      try {
        await oneCommand(disk, volume);
      } catch (error) {
        if (over) return; // The daemon is gone.
        throw error;
      }
    }
  };
  const all = Promise.all(Array.from({ length: lanes }, (_, at) => lane(at)));
  await Promise.race([delay(5 + random.below(250)), all]);
  over = true;
  await daemon.kill();
  await all;
  await host.close().catch(() => undefined);
}

/** `check` proves every structure of the pool, with nobody serving it. */
async function check(round: number): Promise<void> {
  const native = loadNative();
  const runtime = native.runtimeOpen(
    { reactors: 1, cpus: null, bufferBytes: null, busyPollUs: 0 },
    () => undefined,
  );
  const pool = await native.poolOpen(runtime, {
    device: { kind: 'file', path: daemon.workspace.file('pool.ashlar') },
    writeThrough: false,
    readOnly: true,
    mapCacheBytes: null,
  });
  const report = await native.poolCheck(pool);
  assert.deepEqual(report.problems, [], `round ${round}`);
  await native.poolClose(pool);
  await native.runtimeClose(runtime);
}

/** Compares every block with what is known of it, and settles what was pending. */
async function verify(round: number): Promise<void> {
  await using host = await connect();
  for (const volume of volumes) {
    const disk = await host.namespace(volume.nsid);
    const found = Buffer.from(await disk.read(0n, blocks * blockBytes));
    const expected = Buffer.alloc(blockBytes);
    for (let slba = 0; slba < blocks; slba += 1) {
      const possible = [volume.acknowledged[slba], volume.pending.get(slba)];
      const block = found.subarray(slba * blockBytes, (slba + 1) * blockBytes);
      const value = block.readUInt32LE(0);
      expected.fill(0);
      if (value !== 0) stamp(expected, 0, volume.nsid, slba, value);
      assert.ok(
        possible.includes(value) && block.equals(expected),
        `round ${round}: LBA ${slba} of namespace ${volume.nsid} holds ${value}, ` +
          `not ${possible[0]} (acknowledged) or ${possible[1]} (under way)`,
      );
      volume.acknowledged[slba] = value;
    }
    volume.pending.clear();
  }
}

test(`${kills} kills under load (seed ${seed}): every block is its last acknowledged write or later`, async () => {
  let startsCut = 0;
  for (let round = 0; round < kills; round += 1) {
    await loadAndKill();
    if (random.below(4) === 0) {
      // And once more while it recovers.
      const starting = daemon.start().then(
        () => true,
        () => false,
      );
      await delay(random.below(400));
      await daemon.kill();
      if (!(await starting)) startsCut += 1;
    }
    if (round % 3 === 0) await check(round);
    await daemon.start();
    await verify(round);
  }
  await daemon.kill();
  await check(kills);
  assert.ok(acknowledgements > kills * 20, `${acknowledgements} commands in ${kills} rounds`);
  writeReport({
    suite: 'kill',
    promises: ['P1', 'P2', 'P3', 'P10'],
    counts: { kills, 'starts cut off': startsCut, 'commands acknowledged': acknowledgements },
    seconds: (performance.now() - started) / 1000,
    seed: String(seed),
  });
});
