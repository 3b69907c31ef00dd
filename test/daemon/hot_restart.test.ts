/**
 * SIGTERM under load, again and again, from our own host: the daemon lets what is under way finish,
 * leaves nothing to replay, and serves the same volumes to the same addresses when it is started
 * again. What a kernel does meanwhile is in test/kernel.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { connectHost } from '../../lib/host/index.js';
import { Daemon, type Volume } from '../rig/daemon.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import { writeReport } from '../rig/report.js';

const rounds = 10 * Number(process.env['ASHLAR_SOAK'] ?? 1);
const lanes = 8;
const blocksOfLane = 64;
const blockBytes = 4096;
const seed = seedOfRun();

interface Pools {
  items: { replayedRecords: number }[];
}

test(`${rounds} restarts under load (seed ${seed}): exit code 0, nothing to replay, nothing lost`, async () => {
  const random = new SeededRandom(seed);
  const started = performance.now();
  // As it is installed: what a start loads is part of how long it takes.
  const script = path.join(process.cwd(), 'dist/program/main.js');
  await using daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: null, script });
  const made = await daemon.call<Volume>('POST', '/v1/volumes', {
    name: 'v',
    sizeBytes: lanes * blocksOfLane * blockBytes,
    hosts: ['*'],
  });
  const acknowledged = new Array<number>(lanes * blocksOfLane).fill(0);
  const sent = [...acknowledged];
  let writes = 0;
  let readyMs = 0;
  for (let round = 1; round <= rounds; round += 1) {
    const host = await connectHost({
      address: '127.0.0.1',
      port: daemon.port,
      subnqn: made.subnqn,
      hostnqn: 'nqn.2026-01.test:alice',
      ioQueues: 2,
    });
    const disk = await host.namespace(made.nsid);
    for (const [block, value] of acknowledged.entries()) {
      const data = Buffer.from(await disk.read(BigInt(block * blockBytes), blockBytes));
      const found = data.readUInt32LE(0);
      assert.ok(
        found >= value &&
          found <= (sent[block] ?? 0) &&
          data.equals(Buffer.alloc(blockBytes, data.subarray(0, 4))),
        `round ${round}: block ${block} holds ${found}, not ${value} to ${sent[block]}`,
      );
      acknowledged[block] = found;
    }
    let stopping = false;
    const enough = 100 + random.below(400);
    let ofRound = 0;
    let reached: () => void = () => undefined;
    const loaded = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const lane = async (at: number): Promise<void> => {
      for (let value = round * 1_000_000; ; value += 1) {
        const block = at * blocksOfLane + (value % blocksOfLane);
        sent[block] = value;
        const data = Buffer.alloc(blockBytes);
        for (let word = 0; word < blockBytes; word += 4) data.writeUInt32LE(value, word);
        try {
          await disk.write(BigInt(block * blockBytes), data);
        } catch (error) {
          if (stopping) return; // The association has ended.
          throw error;
        }
        acknowledged[block] = value;
        writes += 1;
        ofRound += 1;
        if (ofRound === enough) reached();
      }
    };
    const all = Promise.all(Array.from({ length: lanes }, (_, at) => lane(at)));
    await Promise.race([loaded, all]);
    stopping = true;
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null }, daemon.log);
    await all;
    await host.close().catch(() => undefined);
    const from = performance.now();
    await daemon.start();
    readyMs = Math.max(readyMs, performance.now() - from);
    const { items } = await daemon.call<Pools>('GET', '/v1/pools');
    assert.deepEqual(
      items.map(({ replayedRecords }) => replayedRecords),
      [0],
      `round ${round}`,
    );
  }
  writeReport({
    suite: 'hot restart',
    promises: ['P1', 'P10'],
    counts: {
      restarts: rounds,
      'writes acknowledged': writes,
      'ms to be serving, longest': Math.round(readyMs),
    },
    seconds: (performance.now() - started) / 1000,
    seed: String(seed),
  });
});
