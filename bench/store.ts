/**
 * What layers promise, measured: snapshots under load, writes after one, reads through a thousand,
 * a crash with a terabyte mapped, a pool with 100,000 snapshots. Ratios come from turns taken in
 * one run; the store alone is bench/store/store.cc.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { openNode } from '../lib/node/node.js';
import type { Node, NodeConfig } from '../lib/node/types.js';
import type { Row } from './pairs.js';
import { BenchTarget } from './target.js';

const mib = 1024 * 1024;
/** Each block written after a snapshot takes a chunk of 64 KiB. */
const deepPoolBytes = 10 * 1024 * mib;

export interface StoreOptions {
  root: string;
  targetCpu: number;
  hostCpu: number;
  /** Names of scenarios; null: all. */
  only: readonly string[] | null;
}

type Tell = (row: Row) => void;

/** Compiles the program of the store alone against the addon's own objects. */
async function buildProgram(root: string): Promise<string> {
  const folder = `${root}/.build/bench`;
  await mkdir(folder, { recursive: true });
  const program = `${folder}/store`;
  await promisify(execFile)('g++', [
    ...['-std=c++20', '-O2', '-fno-rtti', '-fno-exceptions', `-I${root}/native`, `-I${root}`],
    ...['-o', program, `${root}/bench/store/store.cc`, `${root}/build/Release/ashlar_core.a`],
    ...['-pthread', '-l:liburing.a'],
  ]);
  return program;
}

/** Figures of one of its scenarios, by name; the last of a name counts. */
async function runProgram(program: string, scenario: string): Promise<Map<string, number>> {
  const child = spawn(program, [scenario], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const figures = new Map<string, number>();
  for await (const line of createInterface({ input: child.stdout })) {
    const { name, value } = JSON.parse(line) as { name: string; value: number };
    figures.set(name, value);
  }
  const code = await ended;
  if (code !== 0) throw new Error(`${program} ${scenario} ended with ${String(code)}`);
  return figures;
}

function figure(figures: ReadonlyMap<string, number>, name: string): number {
  const value = figures.get(name);
  if (value === undefined) throw new Error(`no figure '${name}'`);
  return value;
}

async function large(program: string, tell: Tell): Promise<void> {
  const figures = await runProgram(program, 'large');
  const of = (name: string): number => figure(figures, name);
  const took = of('snapshot_longest_ms');
  tell({
    what: `snapshot of 10 TiB with 1 TiB mapped, at ${of('snapshot_load')} writes a second, the longest of 20`,
    wanted: '<= 10 ms',
    reached: `${took.toFixed(2)} ms`,
    fine: took <= 10,
  });
  const over = of('snapshot_longest_write_ms') - of('usual_write_p99_ms');
  tell({
    what: 'longest write meanwhile, over the usual p99',
    wanted: '<= 10 ms',
    reached:
      `${over.toFixed(2)} ms (p99 ${of('usual_write_p99_ms').toFixed(2)} ms, ` +
      `longest without snapshots ${of('usual_write_longest_ms').toFixed(2)} ms)`,
    fine: over <= 10,
  });
  const first = of('crash_first_io_ms');
  tell({
    what: `crash with 1 TiB mapped, ${of('crash_replayed_records')} records: time to first I/O`,
    wanted: '<= 1000 ms',
    reached: `${first.toFixed(0)} ms`,
    fine: first <= 1000,
  });
  tell({
    what: 'map pages and views in memory afterwards, of the cache setting',
    wanted: `<= ${of('crash_map_cache_mib').toFixed(0)} MiB`,
    reached: `${of('crash_map_mib').toFixed(1)} MiB (process ${of('crash_resident_mib').toFixed(0)} MiB more)`,
    // Pages that commands under way need together come on top.
    fine: of('crash_map_mib') <= of('crash_map_cache_mib') * 1.05,
  });
  tell({
    what: `the same under ${of('snapshots')} snapshots, ${of('deep_crash_replayed_records')} records`,
    wanted: '-',
    reached: `${of('deep_crash_first_io_ms').toFixed(0)} ms, process ${of('deep_crash_resident_mib').toFixed(0)} MiB more`,
    fine: true,
  });
  const perTib = of('map_mib_per_tib');
  tell({
    what: 'map memory per mapped TiB, no snapshots',
    wanted: '<= 160 MiB',
    reached: `${perTib.toFixed(1)} MiB`,
    fine: perTib <= 160,
  });
}

async function writes(program: string, tell: Tell): Promise<void> {
  const figures = await runProgram(program, 'writes');
  const of = (name: string): number => figure(figures, name);
  const operations = of('overwrite_operations');
  const metadata = of('overwrite_metadata_bytes');
  tell({
    what: '4 KiB random overwrite: device writes a host write, metadata bytes',
    wanted: '1.00, 0',
    reached: `${operations.toFixed(2)}, ${metadata.toFixed(0)}`,
    fine: operations === 1 && metadata === 0,
  });
  const data = of('first_write_data');
  tell({
    what: '4 KiB random write after a snapshot: data bytes a byte written',
    wanted: '1.00',
    reached: data.toFixed(2),
    fine: data < 1.005,
  });
  const journal = of('first_write_journal');
  tell({
    what: 'and journal bytes',
    wanted: '<= 0.05',
    reached: `${journal.toFixed(4)} (map pages of checkpoints: ${of('first_write_pages').toFixed(3)})`,
    fine: journal <= 0.05,
  });
  tell({
    what: 'the store alone, no network: first writes against overwrites',
    wanted: '-',
    reached: of('store_first_write_ratio').toFixed(2),
    fine: true,
  });
}

async function deepAlone(program: string, tell: Tell): Promise<void> {
  const figures = await runProgram(program, 'deep');
  tell({
    what: 'the store alone, no network: reads 1,000 snapshots deep against none',
    wanted: '-',
    reached: figure(figures, 'store_deep_read_ratio').toFixed(2),
    fine: true,
  });
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Commands a second of a short load through NVMe/TCP. */
async function iops(
  target: BenchTarget,
  options: StoreOptions,
  load: { readPercent: number; seed: number; ms: number; spanBytes: number; warmupMs: number },
): Promise<number> {
  const depth = 32;
  await using host = await target.connect({ cpu: options.hostCpu, queues: 1, depth });
  const { blockBytes } = await host.identifyNamespace(target.nsid);
  const result = await host.load({
    nsid: target.nsid,
    blockBytes,
    depth,
    queues: 1,
    ioBytes: 4096,
    pattern: 'random',
    readPercent: load.readPercent,
    spanBytes: BigInt(load.spanBytes),
    warmupMs: load.warmupMs,
    durationMs: load.ms,
    seed: BigInt(load.seed),
  });
  if (result.errors > 0n) throw new Error(String(result.firstError));
  return (Number(result.commands) * 1e9) / Number(result.elapsedNs);
}

async function fill(target: BenchTarget, hostCpu: number, bytes: number): Promise<void> {
  await using host = await target.connect({ cpu: hostCpu, queues: 1, depth: 127 });
  const namespace = await host.namespace(target.nsid);
  const piece = new Uint8Array(8 * mib).map((_, i) => i * 31);
  for (let at = 0; at < bytes; at += piece.byteLength) await namespace.write(BigInt(at), piece);
  await namespace.flush();
}

async function writesThroughTarget(options: StoreOptions, tell: Tell): Promise<void> {
  const bytes = 1024 * mib;
  const rounds = 7;
  const ratios: number[] = [];
  // Each round's snapshot keeps what was written before it.
  const poolBytes = (rounds + 2) * bytes;
  await using target = await BenchTarget.start(options.targetCpu, bytes, poolBytes, true);
  await fill(target, options.hostCpu, bytes);
  for (let round = 1; round <= rounds; round += 1) {
    const load = { readPercent: 0, seed: round, ms: 300, spanBytes: bytes, warmupMs: 100 };
    const before = await iops(target, options, load);
    await target.snapshot();
    // From the first write on: this is what a host sees after a snapshot.
    const after = await iops(target, options, { ...load, seed: round + 100, warmupMs: 0 });
    ratios.push(after / before);
    await fill(target, options.hostCpu, bytes);
  }
  const ratio = median(ratios);
  tell({
    what: 'its IOPS against overwrites before the snapshot, through NVMe/TCP on a memory pool (populated)',
    wanted: '>= 0.90',
    reached: `${ratio.toFixed(2)} (${ratios.map((each) => each.toFixed(2)).join(', ')})`,
    fine: ratio >= 0.9,
  });
}

async function readsThroughTarget(options: StoreOptions, tell: Tell): Promise<void> {
  const bytes = 1024 * mib;
  await using flat = await BenchTarget.start(options.targetCpu, bytes, 2 * bytes, true);
  await fill(flat, options.hostCpu, bytes);
  await using deep = await BenchTarget.start(options.targetCpu, bytes, deepPoolBytes, true);
  await fill(deep, options.hostCpu, bytes);
  for (let count = 1; count <= 1000; count += 1) {
    await deep.snapshot();
    if (count % 10 !== 0) continue;
    const load = { readPercent: 0, seed: count, ms: 3, spanBytes: bytes, warmupMs: 0 };
    await iops(deep, options, load);
  }
  const load = { readPercent: 100, seed: 1, ms: 400, spanBytes: bytes, warmupMs: 200 };
  await iops(deep, options, load);
  const ratios: number[] = [];
  for (let round = 0; round < 11; round += 1) {
    // In turns, so that a machine that gets faster or slower favours neither.
    const order = round % 2 === 0 ? [flat, deep] : [deep, flat];
    const figures = new Map<BenchTarget, number>();
    for (const target of order) figures.set(target, await iops(target, options, load));
    ratios.push((figures.get(deep) ?? 0) / (figures.get(flat) ?? 0));
  }
  const ratio = median(ratios);
  tell({
    what: '4 KiB random read, 1,000 snapshots deep, IOPS against none, through NVMe/TCP',
    wanted: '>= 0.90',
    reached: `${ratio.toFixed(2)} (${ratios.map((each) => each.toFixed(2)).join(', ')})`,
    fine: ratio >= 0.9,
  });
}

/** 10,000 volumes with ten snapshots each, made one after the other. */
async function many(tell: Tell): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ashlar-bench-'));
  const config: NodeConfig = {
    pool: {
      device: { kind: 'file', path: join(folder, 'pool') },
      create: { sizeBytes: 16n << 30n, journalBytes: null },
      writeThrough: false,
      mapCacheBytes: null,
    },
    runtime: { reactors: 1, cpus: null, bufferBytes: null, busyPollUs: 0 },
    portals: [{ address: '127.0.0.1', port: 0, discoveryOnly: false }],
    cntlids: { first: 1, last: 65_519 },
    demo: null,
  };
  const open = (): Promise<Node> => openNode(config, pino({ level: 'fatal' }));
  const volumes = 10_000;
  try {
    const onMemory = { ...config, pool: { ...config.pool } };
    onMemory.pool.device = { kind: 'memory', sizeBytes: 16n << 30n };
    onMemory.pool.create = { sizeBytes: null, journalBytes: null };
    const memory = await openNode(onMemory, pino({ level: 'fatal' }));
    const made = await fillNode(memory, volumes);
    await memory.close();
    tell({
      what: `${volumes} volumes and ${volumes * 10} snapshots on memory: create p99, volume and snapshot`,
      wanted: '<= 5 ms',
      reached: `${made.volumeP99Ms.toFixed(2)} ms, ${made.snapshotP99Ms.toFixed(2)} ms`,
      fine: made.volumeP99Ms <= 5 && made.snapshotP99Ms <= 5,
    });
    const node = await open();
    await fillNode(node, volumes, 64);
    const listed = await listAll(node);
    await node.close();
    tell({
      what: 'list of snapshots in pages of 1,000: the longest page',
      wanted: '-',
      reached: `${listed.longestMs.toFixed(1)} ms, ${listed.count} in all`,
      fine: listed.count === volumes * 10,
    });
    const began = performance.now();
    const again = await open();
    const tookMs = performance.now() - began;
    await again.close();
    tell({
      what: 'restart with them (a pool file)',
      wanted: '<= 5000 ms',
      reached: `${tookMs.toFixed(0)} ms`,
      fine: tookMs <= 5000,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function fillNode(
  node: Node,
  volumes: number,
  atOnce = 1,
): Promise<{ volumeP99Ms: number; snapshotP99Ms: number }> {
  const volumeMs: number[] = [];
  const snapshotMs: number[] = [];
  const timed = async (into: number[], work: () => Promise<unknown>): Promise<void> => {
    const began = performance.now();
    await work();
    into.push(performance.now() - began);
  };
  const one = async (at: number): Promise<void> => {
    const name = `v${at}`;
    await timed(volumeMs, () => node.volumes.create({ name, sizeBytes: 1n << 30n }));
    for (let taken = 1; taken <= 10; taken += 1) {
      await timed(snapshotMs, () => node.snapshots.create(name, `s${taken}`));
    }
  };
  for (let at = 0; at < volumes; at += atOnce) {
    const group = Array.from({ length: Math.min(atOnce, volumes - at) }, (_, i) => at + i);
    await Promise.all(group.map(one));
  }
  const p99 = (values: number[]): number =>
    values.sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? 0;
  return { volumeP99Ms: p99(volumeMs), snapshotP99Ms: p99(snapshotMs) };
}

async function listAll(node: Node): Promise<{ longestMs: number; count: number }> {
  let longestMs = 0;
  let count = 0;
  let after: string | null = null;
  do {
    const began = performance.now();
    const page: { items: unknown[]; next: string | null } = await node.snapshots.page({
      limit: 1000,
      ...(after === null ? {} : { after }),
    });
    longestMs = Math.max(longestMs, performance.now() - began);
    count += page.items.length;
    after = page.next;
  } while (after !== null);
  return { longestMs, count };
}

/** Scenarios by name, in the order in which they run. */
const scenarios: Readonly<
  Record<string, (program: string, options: StoreOptions, tell: Tell) => Promise<void>>
> = {
  large: (program, _, tell) => large(program, tell),
  writes: (program, _, tell) => writes(program, tell),
  'writes-tcp': (_, options, tell) => writesThroughTarget(options, tell),
  'reads-tcp': (_, options, tell) => readsThroughTarget(options, tell),
  deep: (program, _, tell) => deepAlone(program, tell),
  many: (_, __, tell) => many(tell),
};

/**
 * Every figure; `tell` hears each as it comes.
 *
 * @throws Error a name in `only` that is no scenario's.
 */
export async function benchStore(options: StoreOptions, tell: Tell): Promise<Row[]> {
  const rows: Row[] = [];
  const keep = (row: Row): void => {
    rows.push(row);
    tell(row);
  };
  const program = await buildProgram(options.root);
  for (const name of options.only ?? Object.keys(scenarios)) {
    const scenario = scenarios[name];
    if (scenario === undefined) {
      throw new Error(`no scenario '${name}'; there are: ${Object.keys(scenarios).join(', ')}`);
    }
    await scenario(program, options, keep);
  }
  return rows;
}
