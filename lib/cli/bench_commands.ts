/** The commands of the benchmark; see program.ts. */
import { type Command, InvalidArgumentError } from 'commander';
import { parseDurationMs, parseSize } from '../config/units.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { addCommand, addGroup, cpuList, listOf, wholeNumber } from './command.js';

/** Sets the exit code. */
interface Outcome {
  exitCode: number;
}

export function addBench(program: Command, outcome: Outcome): void {
  const bench = addGroup(
    program,
    'bench',
    'Measure a target, a device, or an Ashlar started for it; report and compare.',
  );
  addRun(bench, outcome);
  addCommand(bench, {
    usage: 'report <file...>',
    description: 'Make one page of results: HTML that needs nothing else, and Markdown.',
    examples: [
      ['ashlar bench report run.json', 'run.html and run.md beside it'],
      ['ashlar bench report old.json new.json', 'both in every chart, and what changed'],
    ],
    build: (command) =>
      command
        .option('--html <file>', 'where the page goes (default: beside the first file)')
        .option('--markdown <file>', 'where the tables go (default: beside the first file)')
        .option('--charts <folder>', 'every chart as an SVG file of its own, into this folder')
        .option('--seed <number>', 'of the comparison (default: 1)', wholeNumber(0, 2 ** 31))
        .action(async (files, options) =>
          (await import('./bench_report.js')).reportBench(files, options),
        ),
  });
  addCommand(bench, {
    usage: 'compare <a> <b>',
    description:
      'Say what changed from A to B beyond noise; exits with 1 when something became worse. A ' +
      'side is FILE, or FILE#SUBJECT.',
    examples: [
      ['ashlar bench compare old.json new.json', 'two runs'],
      ["ashlar bench compare 'run.json#spdk' 'run.json#self'", 'two subjects of one run, in pairs'],
    ],
    build: (command) =>
      command
        .option('--threshold <percent>', 'the least change that counts (default: 3)', percentage)
        .option('--seed <number>', 'of the resampling (default: 1)', wholeNumber(0, 2 ** 31))
        .action(async (a, b, options) => {
          outcome.exitCode = await (await import('./bench_report.js')).compareBench(a, b, options);
        }),
  });
  addCommand(bench, {
    usage: 'fio',
    description: 'Print the same workloads as a fio job file, for hosts whose kernel is measured.',
    examples: [
      [
        'ashlar bench fio --device /dev/nvme0n1 > jobs.fio',
        'fio jobs.fio; writing jobs destroy data',
      ],
    ],
    build: (command) =>
      sweepOptions(command)
        .option('--device <path>', 'the block device (default: /dev/nvme0n1)')
        .option('--duration <time>', 'of each job (default: 10s)', duration)
        .option('--seed <number>', 'of everything random (default: 1)', wholeNumber(0, 2 ** 31))
        .action(async (options) => (await import('./bench_report.js')).printFio(options)),
  });
}

function addRun(bench: Command, outcome: Outcome): void {
  addCommand(bench, {
    usage: 'run',
    isDefault: true,
    description:
      'Run scenarios and write the results. Without --target or --local an Ashlar is started for ' +
      'it. Several subjects take turns in each round.',
    examples: [
      ['ashlar bench', 'an Ashlar in memory; a minute'],
      [
        'ashlar bench --target 192.0.2.7:4420 --nqn nqn.2014-08.org.example:disk --mix 100',
        'reads',
      ],
      ['ashlar bench --local /dev/nvme1n1 --mix 100 --depth 1,32', 'what the device itself does'],
      ['ashlar bench --size 4KiB --mix 70 --rate 50000 --depth 128', 'latency under a given load'],
      [
        'ashlar bench --verify --mix 50 --duration 60s --rounds 1',
        'is what is read what was written?',
      ],
    ],
    build: (command) => {
      subjectOptions(command);
      sweepOptions(command);
      command
        .option('--rounds <count>', 'of each scenario (default: 5)', wholeNumber(1, 1000))
        .option('--duration <time>', 'of each round (default: 1s)', duration)
        .option('--warmup <time>', 'before each round (default: 200ms)', duration)
        .option('--seed <number>', 'of everything random (default: 1)', wholeNumber(0, 2 ** 31))
        .option(
          '--poll-us <us>',
          'generator: poll so long (default: 1000)',
          wholeNumber(0, 1_000_000),
        )
        .option('--cpus <list>', 'generator: a thread pinned to each of these CPUs', cpuList)
        .option('--title <text>', 'what the run is called in reports')
        .option('-o, --output <file>', 'results (default: .ashlar/bench/<time>.json)')
        .action(async (options) => {
          await (await import('./bench.js')).runBenchCommand(options);
          outcome.exitCode = 0;
        });
    },
  });
}

function subjectOptions(command: Command): void {
  command
    .option('--target <address:port...>', 'NVMe/TCP targets (port 4420 when left out)')
    .option('--nqn <nqn...>', "the target's subsystem; one for each target")
    .option('--nsid <list>', 'namespaces of the target (default: the first)', listOf(nsid))
    .option('--hostnqn <nqn>', 'as which host')
    .option(
      '--target-pid <pid>',
      "the target's process here: its CPU time counts",
      wholeNumber(1, 2 ** 22),
    )
    .option('--local <path>', 'a file or device by io_uring; a file that is not there is made')
    .option('--self', 'an Ashlar of its own, beside the others')
    .option('--pool <file>', 'its pool, made and removed (default: memory)')
    .option('--reactors <count>', 'its I/O threads (default: 1)', wholeNumber(1, 64))
    .option('--target-cpus <list>', 'CPUs to pin them to', cpuList)
    .option('--busy-poll-us <us>', 'they poll so long (default: 0)', wholeNumber(0, 1_000_000))
    .option('--overwrite', 'what the target or device holds may go')
    .option('--no-limit', 'do not measure what the machine allows beside each round')
    .option('--limit-local', 'for targets elsewhere: what loopback does here, for comparison');
}

function sweepOptions(command: Command): Command {
  return command
    .option('--set <name>', 'quick or standard, instead of the lists below (default: quick)')
    .option(
      '--depth <list>',
      'commands in flight a queue, e.g. 1,32,128',
      listOf(wholeNumber(1, 1023)),
    )
    .option('--queues <list>', 'I/O queues, e.g. 1,8', listOf(wholeNumber(1, 128)))
    .option('--size <list>', 'of an I/O, e.g. 4KiB,128KiB', listOf(ioSize))
    .option('--mix <list>', 'percent of reads, e.g. 100,70,0', listOf(wholeNumber(0, 100)))
    .option('--pattern <list>', 'random, sequential, zipf', listOf(pattern))
    .option('--theta <number>', 'skew of zipf (default: 1.2)', theta)
    .option('--rate <list>', 'commands a second, due whatever the answers do', listOf(rate))
    .option('--volumes <list>', 'volumes to spread over, e.g. 1,64', listOf(wholeNumber(1, 1024)))
    .option('--snapshots <list>', 'snapshots under each, e.g. 0,10', listOf(wholeNumber(0, 1000)))
    .option('--fresh-snapshot', 'a snapshot before each round: what its first writes cost')
    .option('--span <size>', 'used part of each volume (default: 512MiB)', size('--span'))
    .option('--digests', 'header and data digests')
    .option('--verify', 'stamp what is written, and hold what is read against it');
}

// ---- Values -------------------------------------------------------------------------------------

/** Our own parsers throw our errors; commander wants its own. */
function parsed<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (thrown) {
      if (thrown instanceof AshlarError) throw new InvalidArgumentError(thrown.message);
      throw toAshlarError(thrown);
    }
  };
}

const duration = parsed((text) => parseDurationMs(text, 'duration'));

function size(what: string): (text: string) => number {
  return parsed((text) => {
    const bytes = parseSize(text, what);
    if (bytes >= 4096n && bytes <= 2n ** 50n && bytes % 4096n === 0n) return Number(bytes);
    throw new InvalidArgumentError('Give a multiple of 4KiB, at most 1PiB.');
  });
}

function ioSize(text: string): number {
  const bytes = parsed((each) => parseSize(each, '--size'))(text);
  if (bytes >= 512n && bytes <= 16n * 2n ** 20n && bytes % 512n === 0n) return Number(bytes);
  throw new InvalidArgumentError('Give multiples of 512 bytes, at most 16MiB.');
}

const nsid = wholeNumber(1, 0xffff_fffe);
const rate = wholeNumber(1, 100_000_000);

function pattern(text: string): 'random' | 'sequential' | 'zipf' {
  if (text === 'random' || text === 'sequential' || text === 'zipf') return text;
  throw new InvalidArgumentError('Give random, sequential or zipf.');
}

function theta(text: string): number {
  const value = Number(text);
  if (text !== '' && value > 0 && value <= 8) return value;
  throw new InvalidArgumentError('Give a number above 0, at most 8.');
}

function percentage(text: string): number {
  const value = Number(text);
  if (text !== '' && value >= 0 && value < 100) return value;
  throw new InvalidArgumentError('Give percent, from 0 to below 100.');
}
