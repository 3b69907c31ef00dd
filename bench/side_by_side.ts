/**
 * Ashlar, asleep and polling, beside SPDK's null device where somebody has built that: the
 * workloads of the table in docs/performance.md, each subject in turn within each round. Without
 * SPDK the share of the machine's limit stands alone.
 */
import type { BenchResult, Scenario } from '../lib/bench/results.js';
import { runBench } from '../lib/bench/run.js';
import { defaultSweep, planSweep, unique } from '../lib/bench/scenarios.js';
import type { OpenSubject } from '../lib/bench/subject.js';
import { SpdkTarget, spdkBlockBytes, spdkProgram } from './spdk.js';
import { SpdkSubject } from './spdk_subject.js';
import { limitsOn } from './standard.js';
import { gib, openAshlar, type PairedOptions, pollUs } from './subjects.js';

const kib = 1024;
const spdkPort = 4498;

/** What all subjects can: no snapshots, no second volume. Its queues hold 127 commands. */
export function sideBySideSet(): Scenario[] {
  const base = { ...defaultSweep, readPercents: [100, 0] };
  return unique([
    ...planSweep({ ...base, ioBytes: [4 * kib], depths: [1, 32, 127] }),
    ...planSweep({ ...base, ioBytes: [4 * kib], queues: [8], depths: [1, 32, 127] }),
    ...planSweep({ ...base, ioBytes: [128 * kib], depths: [32] }),
    ...planSweep({ ...base, ioBytes: [4 * kib], depths: [32], digests: true }),
  ]);
}

async function openSpdk(program: string, { targetCpu }: PairedOptions): Promise<SpdkTarget> {
  return await SpdkTarget.start(program, {
    ...{ cpu: targetCpu, port: spdkPort },
    makeDevices: async (call) => {
      const size = { num_blocks: gib / spdkBlockBytes, block_size: spdkBlockBytes };
      await call('bdev_null_create', { name: 'bench', ...size });
      return ['bench'];
    },
  });
}

export async function runSideBySide(options: PairedOptions): Promise<BenchResult> {
  const { hostCpu, targetCpu, rounds, durationMs, tell } = options;
  const program = spdkProgram();
  await using spdk = program === null ? null : await openSpdk(program, options);
  const subjects: OpenSubject[] = [];
  try {
    const memory = { poolFile: null, poolBytes: 2 * gib };
    subjects.push(await openAshlar(options, { name: 'ashlar asleep', ...memory, busyPollUs: 0 }));
    subjects.push(
      await openAshlar(options, { name: 'ashlar polling', ...memory, busyPollUs: pollUs }),
    );
    if (spdk !== null) {
      const generator = { cpus: [hostCpu], pollUs };
      subjects.push(await SpdkSubject.open(spdk, { name: 'spdk null', nsid: 1, generator }));
    }
    return await runBench({
      title: 'side by side',
      command: 'npm run bench -- side-by-side',
      scenarios: sideBySideSet(),
      subjects,
      ...{ rounds, durationMs, warmupMs: durationMs / 5, pollUs, seed: 1, tell },
      limits: limitsOn(subjects, [hostCpu, targetCpu], durationMs / 2),
    });
  } finally {
    for (const subject of subjects.reverse()) await subject[Symbol.asyncDispose]();
  }
}
