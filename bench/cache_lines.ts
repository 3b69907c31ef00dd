/**
 * Cache lines that two reactors share: which of those that one writes with every I/O does the other
 * touch? Every access of the product's code on its real threads is noted (bench/lines), while each
 * reactor serves a queue of its own. What the kernel writes is not seen.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connectHost } from '../lib/host/index.js';
import type { Row } from './pairs.js';
import { PlainTarget, plainNqn } from './plain_target.js';

/** A line that one thread wrote and another touched, and the code that did. */
export interface SharedLine {
  line: string;
  writer: number;
  writes: number;
  code: string;
  other: number;
  reads: number;
  otherWrites: number;
  otherCode: string;
}

interface ThreadTotals {
  thread: number;
  /** That it wrote. */
  lines: number;
  writes: number;
}

export interface CacheLineReport {
  commands: number;
  threads: ThreadTotals[];
  /** The most written first. */
  shared: (SharedLine & { where: string; otherWhere: string })[];
  rows: Row[];
}

const volumeBytes = 64 * 2 ** 20;
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000b47c9';
const queues = 2;
const depth = 32;
/** A line of the store's blocks is written far less often: by chance two hosts meet in one. */
const writesAnIo = 0.01;

/** Half reads, half overwrites of 4 KiB at depth 32, a queue on each of two reactors. */
export async function measureCacheLines(root: string, commands: bigint): Promise<CacheLineReport> {
  await using target = await PlainTarget.start({
    ...{ root, name: 'lines', busyPollUs: 0, cpus: [0, 1], volumeBytes },
  });
  const { port } = target;
  const place = { address: '127.0.0.1', port, subnqn: plainNqn, hostnqn, keepAliveMs: 0 };
  await using host = await connectHost({ ...place, ioQueues: queues, queueDepth: depth + 1 });
  const load = { nsid: 1, blockBytes: 4096, queues, depth, spanBytes: BigInt(volumeBytes) };
  const fill = { ...load, ioBytes: 131_072, pattern: 'sequential', readPercent: 0 } as const;
  await host.load({ ...fill, maxCommands: BigInt(volumeBytes / fill.ioBytes), maxErrors: 1 });
  const mixed = { ...load, ioBytes: 4096, readPercent: 50, maxErrors: 1 };
  await host.load({ ...mixed, maxCommands: 4096n });
  target.say('b');
  const result = await host.load({ ...mixed, maxCommands: commands });
  const told = await target.ask<SharedLine | ThreadTotals>('e');
  if (result.firstError !== null) throw new Error(result.firstError);
  const served = Number(result.commands);
  const often = told
    .filter((each): each is SharedLine => 'line' in each)
    .filter(({ writes }) => writes >= served * writesAnIo)
    .sort((a, b) => b.writes - a.writes);
  const shared = await Promise.all(
    often.map(async (each) => ({
      ...each,
      where: await placeOf(root, each.code),
      otherWhere: await placeOf(root, each.otherCode),
    })),
  );
  const threads = told.filter((each): each is ThreadTotals => 'thread' in each);
  return { commands: served, threads, shared, rows: [rowOf(threads, shared.length, served)] };
}

function rowOf(threads: readonly ThreadTotals[], shared: number, served: number): Row {
  const busy = threads.filter(({ writes }) => writes > served);
  const written = busy.map(({ lines, writes }) => `${writes} writes to ${lines} lines`);
  return {
    what: 'cache lines that one of two reactors writes with its I/Os and another thread touches',
    wanted: '0',
    reached: `${shared}, in ${served} commands; ${written.join(', ')}`,
    // Were one reactor idle, nothing would have been looked for.
    fine: shared === 0 && busy.length === queues,
  };
}

/** File and line of the call before a return address. */
async function placeOf(root: string, code: string): Promise<string> {
  const program = `${root}/.build/bench/lines/lines`;
  const before = `0x${(BigInt(code) - 1n).toString(16)}`;
  const { stdout } = await promisify(execFile)('addr2line', ['-e', program, before]);
  return stdout.trim().replace(/^.*\/native\//, '');
}
