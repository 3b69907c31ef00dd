/**
 * The target side of a benchmark, as a process of its own: a node with a memory pool, one reactor
 * pinned to the CPU given, one volume for any host. Says where it listens, takes a snapshot or ends
 * when told.
 */
import { pino } from 'pino';
import { openNode } from '../lib/node/node.js';

const [cpu, poolBytes, volumeBytes, populate] = process.argv.slice(2);
const node = await openNode(
  {
    pool: {
      device: { kind: 'memory', sizeBytes: BigInt(poolBytes ?? 0), populate: populate === 'true' },
      create: { sizeBytes: null, journalBytes: null },
      writeThrough: false,
      mapCacheBytes: null,
    },
    runtime: { reactors: 1, cpus: [Number(cpu)], bufferBytes: null, busyPollUs: 0 },
    portals: [{ address: '127.0.0.1', port: 0, discoveryOnly: false }],
    cntlids: { first: 1, last: 65_519 },
    demo: { volume: 'bench', sizeBytes: BigInt(volumeBytes ?? 0) },
  },
  pino({ level: 'warn' }, process.stderr),
);
const volume = await node.volumes.show('bench');
let snapshots = 0;
process.on('message', (message) => {
  if (message === 'snapshot') {
    snapshots += 1;
    void node.snapshots.create('bench', `s${snapshots}`).then(() => process.send?.('taken'));
    return;
  }
  void node.close().then(() => process.disconnect());
});
process.send?.({
  port: node.portals.list()[0]?.port,
  subnqn: volume.subnqn,
  nsid: volume.nsid,
});
