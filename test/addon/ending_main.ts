/**
 * A whole node and a host under load in one environment, which then ends as the argument says,
 * with everything open. Run as a process and as a worker by ending.test.ts.
 */
import { argv } from 'node:process';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { pino } from 'pino';
import { connectHost } from '../../lib/host/index.js';
import { openNode } from '../../lib/node/node.js';

const end = isMainThread ? argv[2] : (workerData as string);
const node = await openNode(
  {
    pool: {
      device: { kind: 'memory', sizeBytes: 256n << 20n },
      create: { sizeBytes: null, journalBytes: null },
      writeThrough: false,
      mapCacheBytes: null,
    },
    runtime: { reactors: 2, cpus: null, bufferBytes: null, busyPollUs: 0 },
    portals: [{ address: '127.0.0.1', port: 0, discoveryOnly: false }],
    cntlids: { first: 1, last: 100 },
    demo: { volume: 'demo', sizeBytes: 64n << 20n },
  },
  pino({ level: 'silent' }),
);
const volume = await node.volumes.show('demo');
const host = await connectHost({
  address: '127.0.0.1',
  port: node.portals.list()[0]?.port ?? 0,
  subnqn: volume.subnqn,
  hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-00000000e9d1',
  ioQueues: 2,
  queueDepth: 33,
});
// Goes on until the environment ends.
host
  .load({
    nsid: volume.nsid,
    blockBytes: 4096,
    depth: 32,
    queues: 2,
    ioBytes: 4096,
    pattern: 'random',
    readPercent: 50,
    spanBytes: 64n << 20n,
    warmupMs: 0,
    durationMs: 600_000,
    seed: 1n,
  })
  .catch(() => {});
await host.identifyController();
if (end === 'exit') process.exit(0);
parentPort?.postMessage('loaded');
