/**
 * The picture of `ashlar top` in the documents, of a real run with load on its volumes:
 * node .build/test/cli/top_picture.js
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { connectHost, type Host } from '../../lib/host/index.js';
import type { LoadSettings } from '../../lib/host/load.js';
import { Daemon, program, type Volume } from '../rig/daemon.js';
import { lastFrame, terminalSvg } from './terminal_svg.js';

const file = 'docs/pictures/top.svg';
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-00000000c0de';
const kib = 1024;
const spanBytes = 256 * kib * kib;
/** Longer than it takes to draw all frames. */
const durationMs = 10_000;
/** A second each; the first two have the starts of the loads in them. */
const frames = 5;

type Work = Pick<LoadSettings, 'ioBytes' | 'readPercent' | 'depth' | 'ratePerSecond' | 'pattern'>;

interface Used {
  name: string;
  tenant: string;
  policy?: string;
  work: Work;
}

const used: readonly Used[] = [
  {
    ...{ name: 'web', tenant: 'default' },
    work: { ioBytes: 4 * kib, readPercent: 95, depth: 4, ratePerSecond: 6000, pattern: 'zipf' },
  },
  {
    ...{ name: 'db', tenant: 'default' },
    work: { ioBytes: 8 * kib, readPercent: 70, depth: 4, ratePerSecond: 4000 },
  },
  // Closed loop: takes what it can get, which is what the limit lets through.
  {
    ...{ name: 'build', tenant: 'ci', policy: 'silver' },
    work: { ioBytes: 4 * kib, readPercent: 50, depth: 8 },
  },
  {
    ...{ name: 'cache', tenant: 'ci' },
    work: {
      ioBytes: 128 * kib,
      readPercent: 0,
      depth: 4,
      ratePerSecond: 400,
      pattern: 'sequential',
    },
  },
];

async function made(daemon: Daemon): Promise<Volume[]> {
  await daemon.call('POST', '/v1/policies', { name: 'silver', iops: 2500 });
  await daemon.call('POST', '/v1/tenants', { name: 'ci' });
  const volumes: Volume[] = [];
  for (const { name, tenant, policy } of used) {
    const body = { name, sizeBytes: 2 ** 30, hosts: [hostnqn], ...(policy && { policy }) };
    volumes.push(await daemon.call('POST', `/v1/volumes?tenant=${tenant}`, body));
  }
  return volumes;
}

async function load(host: Host, volume: Volume, work: Partial<LoadSettings>): Promise<void> {
  const { nsid, blockBytes, name } = volume;
  const common = { nsid, blockBytes, queues: 2, ioBytes: 128 * kib, spanBytes: BigInt(spanBytes) };
  const { firstError } = await host.load({ ...common, ...work });
  if (firstError !== null) throw new Error(`load on '${name}': ${firstError}`);
}

/** What the terminal got, from the program's start until it was told to end by its key. */
async function drawn(socket: string): Promise<string> {
  // One row for each volume, eight of the node and the table's head, one free, one of keys.
  const size = `stty rows ${used.length + 10} cols 140`;
  const child = spawn(
    'script',
    ['-qec', `${size}; exec ${process.execPath} ${program} top --socket ${socket}`, '/dev/null'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const closed = once(child, 'close');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    output += piece;
    if (output.split('\x1b[H').length > frames + 2 && child.stdin.writable) child.stdin.end('q');
  });
  await closed;
  return output;
}

await using daemon = await Daemon.start({
  ...{ poolFile: 'pool.ashlar', poolSize: '4GiB', demoSize: null, reactors: 2 },
});
const volumes = await made(daemon);
const runs: { host: Host; volume: Volume; work: Work }[] = [];
for (const [index, volume] of volumes.entries()) {
  const { subnqn } = volume;
  const host = await connectHost({
    ...{ address: '127.0.0.1', port: daemon.port, subnqn, hostnqn, ioQueues: 2 },
  });
  // Reads find data, and the pool has some.
  const whole = { pattern: 'sequential', readPercent: 0, depth: 8 } as const;
  await load(host, volume, { ...whole, maxCommands: BigInt(spanBytes / (128 * kib)) });
  runs.push({ host, volume, work: used[index]?.work ?? { ioBytes: 4 * kib } });
}
const loads = Promise.all(
  runs.map(({ host, volume, work }) => load(host, volume, { ...work, durationMs })),
);
const output = await drawn(daemon.socket);
await loads;
for (const { host } of runs) await host.close();
fs.writeFileSync(
  file,
  terminalSvg(lastFrame(output), {
    title: 'ashlar top: four volumes of two tenants under load, one held at its limit',
    description:
      'A terminal. Above, how full the pool is, how busy each reactor is, and what hosts do in ' +
      'all. Below, a row for each volume: reads and writes a second, their bytes and latencies, ' +
      'and the share of commands that waited for a limit.',
  }),
);
