/**
 * First 4 KiB writes after a snapshot, on a pool in a file beside SPDK's volumes (blobstore) on a
 * file of the same file system. Each round takes a new snapshot and drops the last one.
 *
 * What an answered write is worth: on both sides its data went to the file by O_DIRECT, and only a
 * Flush makes the disk keep it. SPDK has written where the data is, too, before it answers; Ashlar
 * keeps that in memory which outlives a kill of the process, and in the journal within a second.
 */
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { FileLimit, Limits } from '../lib/bench/limits.js';
import type { BenchResult } from '../lib/bench/results.js';
import { runBench } from '../lib/bench/run.js';
import { defaultSweep, planSweep } from '../lib/bench/scenarios.js';
import type { OpenSubject } from '../lib/bench/subject.js';
import { type Row, resultOf, rowOf } from './pairs.js';
import { type SpdkCall, SpdkTarget, spdkBlockBytes, spdkProgram } from './spdk.js';
import { SpdkSubject } from './spdk_subject.js';
import { gib, openAshlar, type PairedOptions, pollUs } from './subjects.js';

const kib = 1024;
/** Large enough that a round of a second hardly meets a cluster of 4 MiB twice. */
const spanBytes = 2 * gib;
const fileBytes = 6 * gib;
const spdkPort = 4499;
/** SPDK's default, and the size of our chunks, with which it copies least. */
const clusters = [
  { name: 'spdk 4 MiB', bytes: 4096 * kib },
  { name: 'spdk 64 KiB', bytes: 64 * kib },
] as const;

const plan = {
  ...{ ...defaultSweep, readPercents: [0], depths: [32] },
  ...{ spanBytes, state: 'fresh-snapshot' as const },
};

async function makeVolume(
  call: SpdkCall,
  store: string,
  file: string,
  clusterBytes: number,
): Promise<string> {
  await writeFile(file, '');
  await truncate(file, fileBytes);
  const bdev = `file-${store}`;
  await call('bdev_aio_create', { filename: file, name: bdev, block_size: spdkBlockBytes });
  await call('bdev_lvol_create_lvstore', {
    ...{ bdev_name: bdev, lvs_name: store, cluster_sz: clusterBytes, clear_method: 'none' },
  });
  const size = { size_in_mib: spanBytes / kib ** 2, thin_provision: true };
  await call('bdev_lvol_create', { lvs_name: store, lvol_name: 'bench', ...size });
  return `${store}/bench`;
}

/** A store on a file of its own for each size of clusters, with one thin volume. */
async function startSpdk(program: string, cpu: number, folder: string): Promise<SpdkTarget> {
  return await SpdkTarget.start(program, {
    ...{ cpu, port: spdkPort },
    makeDevices: async (call) => {
      const names: string[] = [];
      for (const [at, { bytes }] of clusters.entries()) {
        names.push(await makeVolume(call, `store${at}`, path.join(folder, `spdk${at}`), bytes));
      }
      return names;
    },
  });
}

function openSpdk(target: SpdkTarget, at: number, hostCpu: number): Promise<SpdkSubject> {
  const store = `store${at}`;
  let taken = 0;
  const snapshot = async (): Promise<void> => {
    if (taken > 0) await target.call('bdev_lvol_delete', { name: `${store}/s${taken}` });
    taken += 1;
    const names = { lvol_name: `${store}/bench`, snapshot_name: `s${taken}` };
    await target.call('bdev_lvol_snapshot', names);
  };
  const name = clusters[at]?.name ?? '';
  const generator = { cpus: [hostCpu], pollUs };
  return SpdkSubject.open(target, { name, nsid: at + 1, generator, snapshot });
}

/** Beside each of them, overwrites of a file on the same file system: what the disk does then. */
function limitsOf(raw: FileLimit, subjects: readonly OpenSubject[], durationMs: number): Limits {
  const description = 'io_uring on a file beside it';
  const limits = new Limits(durationMs / 2);
  for (const { subject } of subjects) {
    limits.add(subject.name, { description, sources: [raw.measure] });
  }
  return limits;
}

/**
 * Makes its files in `folder`, on the file system to measure, and removes them at the end.
 *
 * @throws Error without SPDK, or what went wrong.
 */
export async function measureFirstWrites(
  options: PairedOptions,
  folder: string,
): Promise<{ run: BenchResult; rows: Row[] }> {
  const program = spdkProgram();
  if (program === null) throw new Error('ASHLAR_SPDK_TGT does not say where nvmf_tgt is');
  const { rounds, durationMs, targetCpu, hostCpu, tell } = options;
  const place = await mkdtemp(path.join(folder, 'first-writes-'));
  const subjects: OpenSubject[] = [];
  try {
    await using spdk = await startSpdk(program, targetCpu, place);
    const generator = { cpus: [hostCpu], pollUs };
    await using raw = await FileLimit.open(path.join(place, 'raw'), spanBytes, generator);
    const pool = { poolFile: path.join(place, 'pool'), poolBytes: fileBytes, busyPollUs: 0 };
    try {
      subjects.push(await openAshlar(options, { name: 'ashlar', ...pool }));
      for (const at of clusters.keys()) subjects.push(await openSpdk(spdk, at, hostCpu));
      const run = await runBench({
        title: 'first writes after a snapshot',
        command: 'npm run bench -- first-writes',
        scenarios: planSweep(plan),
        subjects,
        // Clusters that a warm-up has copied would be missing from the measured time.
        ...{ rounds, durationMs, warmupMs: 0, pollUs, seed: 1, tell },
        limits: limitsOf(raw, subjects, durationMs),
      });
      return { run, rows: rowsOf(run) };
    } finally {
      for (const subject of subjects.reverse()) await subject[Symbol.asyncDispose]();
    }
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

function rowsOf(run: BenchResult): Row[] {
  const name = planSweep(plan)[0]?.name ?? '';
  const of = resultOf(run, name, 'ashlar');
  return clusters.flatMap((cluster) => {
    const to = resultOf(run, name, cluster.name);
    const what = `first 4 KiB writes after a snapshot, depth 32, against ${cluster.name} clusters`;
    return [
      rowOf({ what: `${what}: IOPS`, wanted: { atLeast: 1.5 }, of, to, metric: 'iops' }),
      rowOf({ what: `${what}: p99.9`, wanted: { atMost: 0.2 }, of, to, metric: 'p999' }),
    ];
  });
}
