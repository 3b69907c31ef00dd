/**
 * fio job files with the same workloads, for hosts whose kernel is to be measured with the target:
 * each scenario is one job, one after the other.
 */
import type { Scenario } from './results.js';

export interface FioOptions {
  /** The block device that the kernel made of the namespace. */
  filename: string;
  seconds: number;
  warmupSeconds: number;
  seed: number;
}

/**
 * One job file. What fio cannot say is left out: digests are a matter of `nvme connect`, volumes
 * and snapshots of the device that is named. Queues become jobs, each a thread of its own.
 */
export function fioJobs(scenarios: readonly Scenario[], options: FioOptions): string {
  const seen = new Set<string>();
  const jobs = scenarios.flatMap((scenario) => {
    const job = jobOf(scenario);
    const key = job.slice(1).join('\n');
    if (seen.has(key)) return [];
    seen.add(key);
    return [job.join('\n')];
  });
  const head = [
    '# The workloads of `ashlar bench`, by fio on a kernel host.',
    '# Connect first (see `ashlar connect-info`), name the device below or by --filename, then:',
    '#   fio --output-format=json --output=result.json THIS-FILE',
    '# Jobs that write destroy what is on the device.',
    '[global]',
    'ioengine=io_uring',
    'direct=1',
    'thread=1',
    'group_reporting=1',
    'time_based=1',
    `runtime=${options.seconds}`,
    `ramp_time=${options.warmupSeconds}`,
    `randseed=${options.seed}`,
    'norandommap=1',
    'percentile_list=50:90:99:99.9:99.99',
    `filename=${options.filename}`,
  ];
  return `${[head.join('\n'), ...jobs].join('\n\n')}\n`;
}

function jobOf({ workload, setting }: Scenario): string[] {
  const { pattern, readPercent, ioBytes, queues, depth, ratePerSecond, verify } = workload;
  const random = pattern !== 'sequential';
  const kind = readPercent === 100 ? 'read' : readPercent === 0 ? 'write' : 'rw';
  const rw = random ? `rand${kind}` : kind;
  const name = [
    ...[pattern, `r${readPercent}`, `${ioBytes}b`, `q${queues}`, `d${depth}`],
    ...(ratePerSecond === null ? [] : [`rate${ratePerSecond}`]),
    ...(verify ? ['verify'] : []),
  ].join('-');
  const all = setting.spanBytes * setting.volumes;
  // Where order or content matters, queues have parts of their own, as ours do.
  const apart = queues > 1 && (verify || !random);
  const part = Math.floor(all / queues / ioBytes) * ioBytes;
  return [
    `[${name}]`,
    'stonewall',
    `rw=${rw}`,
    ...(kind === 'rw' ? [`rwmixread=${readPercent}`] : []),
    `bs=${ioBytes}`,
    `iodepth=${depth}`,
    `numjobs=${queues}`,
    `size=${apart ? part : all}`,
    ...(apart ? [`offset_increment=${part}`] : []),
    // It writes a block again before it has verified it, and then takes that for an error.
    ...(pattern === 'zipf' && !verify
      ? [`random_distribution=zipf:${fioTheta(workload.zipfTheta)}`]
      : []),
    // fio counts from when it sent an I/O, not from when it was due: a standstill looks shorter.
    // It knows whole numbers for each job, and takes 0 for no rate at all.
    ...(ratePerSecond === null
      ? []
      : [`rate_iops=${Math.max(1, Math.round(ratePerSecond / queues))}`]),
    ...(verify ? verifyOptions : []),
  ];
}

/** What is cut off by the end of its time is not read back: all is written once instead. */
const verifyOptions = [
  ...['time_based=0', 'runtime=0', 'ramp_time=0', 'norandommap=0'],
  // Or it leaves a file of its own for each job, wherever it was started.
  ...['verify=crc32c', 'verify_fatal=1', 'verify_state_save=0'],
];

/** It refuses exactly 1. */
function fioTheta(theta: number | null): number {
  return theta === 1 ? 1.0001 : (theta ?? 1.2);
}
